# Writes sensitivity_grid.json: leave1out, cumul, influence and rstudent of metafor for data sets x methods x tests.
# Run from the root of the repository: Rscript tests/reference/sensitivity_grid.R
# Needs: metafor 3.8-1, metadat (Debian: r-cran-metafor r-cran-metadat).

suppressMessages(library(metafor))

OUT <- "tests/reference/sensitivity_grid.json"
METHODS <- c("REML", "DL", "ML", "PM", "CE")
TESTS <- c(z = "z", hk = "knha")

source("tests/reference/json.R")

generic <- function(d, source, order = NULL) {
  known <- !is.na(d$yi) & !is.na(d$vi)
  list(yi = as.numeric(d$yi)[known], vi = as.numeric(d$vi)[known], order = if (!is.null(order)) as.numeric(order)[known],
       source = source)
}
bcg <- metadat::dat.bcg
nor <- metadat::dat.normand1999
nie <- metadat::dat.nielweise2007
col <- metadat::dat.collins1985b
har <- metadat::dat.hart1999
hin <- metadat::dat.hine1989
mol <- metadat::dat.molloy2014
pri <- metadat::dat.pritz1997
deb <- metadat::dat.debruin2009
coh <- metadat::dat.cohen1981
bon <- metadat::dat.bonett2010
SETS <- list(
  bcg = generic(escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = bcg), "dat.bcg, log risk ratio", bcg$year),
  hackshaw1998 = generic(metadat::dat.hackshaw1998, "dat.hackshaw1998, log odds ratio", metadat::dat.hackshaw1998$year),
  raudenbush1985 = generic(metadat::dat.raudenbush1985, "dat.raudenbush1985, standardised mean difference",
                           metadat::dat.raudenbush1985$year),
  normand1999 = generic(escalc("MD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i, data = nor),
                        "dat.normand1999, mean difference"),
  begg1989 = generic(metadat::dat.begg1989, "dat.begg1989, disease-free survival, all arms"),
  collins1985b = generic(escalc("OR", ai = pre.xti, n1i = pre.nti, ci = pre.xci, n2i = pre.nci, data = col),
                         "dat.collins1985b, pre-eclampsia, log odds ratio", col$year),
  molloy2014 = generic(escalc("ZCOR", ri = ri, ni = ni, data = mol), "dat.molloy2014, Fisher's z", mol$year),
  pritz1997 = generic(escalc("PLO", xi = xi, ni = ni, data = pri), "dat.pritz1997, logit of rates"),
  debruin2009 = generic(escalc("PLO", xi = xi, ni = ni, data = deb), "dat.debruin2009, logit of rates"),
  nielweise2007 = generic(escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = nie),
                          "dat.nielweise2007, log odds ratio", nie$year),
  hart1999 = generic(escalc("IRR", x1i = x1i, t1i = t1i, x2i = x2i, t2i = t2i, data = har),
                     "dat.hart1999, log incidence rate ratio", har$year),
  hine1989 = generic(escalc("RD", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = hin), "dat.hine1989, risk difference"),
  cohen1981 = generic(escalc("ZCOR", ri = ri, ni = ni, data = coh), "dat.cohen1981, Fisher's z"),
  bonett2010 = generic(escalc("ABT", ai = ai, mi = mi, ni = ni, data = bon), "dat.bonett2010, transformed alpha"),
  outlier = list(yi = c(.1, .12, .08, .15, 1.9, .11), vi = c(.02, .03, .02, .04, .03, .05), order = NULL,
                 source = "made up: one study far out"),
  homogeneous = list(yi = c(.2, .22, .18, .25, .21), vi = c(.02, .03, .02, .04, .03), order = NULL,
                     source = "made up: tau2 = 0 throughout"),
  three = list(yi = c(.1, .9, -.4), vi = c(.04, .2, .09), order = NULL, source = "made up")
)

# Stopping rules in units of the data: metafor's are absolute.
scale_of <- function(yi, vi) {
  w <- 1 / vi
  dl <- (sum(w * (yi - sum(w * yi) / sum(w))^2) - (length(yi) - 1)) / (sum(w) - sum(w^2) / sum(w))
  max(0, dl) + 1 / mean(w)
}

columns <- function(x, names) setNames(lapply(names, function(n) vec(x[[n]])), names)
TABLE <- c("estimate", "se", "zval", "pval", "ci.lb", "ci.ub", "Q", "Qp", "tau2", "I2", "H2")
rows <- function(x) {
  names(x)[names(x) == "tval"] <- "zval"
  names(x)[names(x) == "pvals"] <- "pval"
  names(x)[names(x) == "QE"] <- "Q"
  names(x)[names(x) == "QEp"] <- "Qp"
  columns(x, TABLE)
}

one <- function(set, method, test) {
  scale <- scale_of(set$yi, set$vi)
  tries <- expand.grid(threshold = c(1e-13, 1e-12, 1e-11, 1e-10), step = c(1, .5, .1))
  for (i in seq_len(nrow(tries))) {
    step <- tries$step[i]
    threshold <- tries$threshold[i]
    control <- list(threshold = threshold * scale, tol = 1e-15 * scale, maxiter = 5000, stepadj = step,
                    tau2.max = 1e4 * max(scale, var(set$yi)))
    made <- try(suppressWarnings({
      fit <- rma(set$yi, set$vi, method = method, test = test, control = control)
      list(fit = fit, out = leave1out(fit),
           so_far = if (is.null(set$order)) cumul(fit) else cumul(fit, order = set$order),
           moved = influence(fit), residual = rstudent(fit))
    }), silent = TRUE)
    if (!inherits(made, "try-error") && !anyNA(made$out$tau2) && !anyNA(made$so_far$tau2) && !anyNA(made$moved$tau2.del))
      break
  }
  if (inherits(made, "try-error")) stop("no convergence: ", method, " ", test)
  inf <- made$moved$inf
  diagnostics <- columns(inf, c("rstudent", "dffits", "cook.d", "cov.r", "tau2.del", "QE.del", "hat", "weight"))
  list(tau2 = made$fit$tau2, estimate = c(made$fit$beta), control = c(threshold = threshold, stepadj = step),
       leave1out = rows(made$out), cumul = rows(made$so_far),
       influence = c(diagnostics, list(dfbs = vec(made$moved$dfbs[[1]]), influential = made$moved$is.infl)),
       z = vec(made$residual$z))
}

cells <- lapply(names(SETS), function(name) {
  set <- SETS[[name]]
  fits <- lapply(setNames(METHODS, METHODS), function(method)
    lapply(TESTS, function(test) one(set, method, test)))
  c(list(source = set$source, yi = vec(set$yi), vi = vec(set$vi)),
    if (!is.null(set$order)) list(order = vec(set$order)), list(methods = fits))
})
names(cells) <- names(SETS)
versions <- c(R = as.character(getRversion()), metafor = as.character(packageVersion("metafor")),
              metadat = as.character(packageVersion("metadat")))
writeLines(json(list(versions = versions, axes = list(methods = txt(METHODS), tests = txt(names(TESTS))), cells = cells)), OUT)
