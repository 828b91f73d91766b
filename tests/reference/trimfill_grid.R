# Writes trimfill_grid.json: trimfill of metafor for data sets x methods x estimators x sides.
# Run from the root of the repository: Rscript tests/reference/trimfill_grid.R
# Needs: metafor 3.8-1, metadat (Debian: r-cran-metafor r-cran-metadat).

suppressMessages(library(metafor))

OUT <- "tests/reference/trimfill_grid.json"
METHODS <- c("REML", "DL", "PM", "CE")
ESTIMATORS <- c("L0", "R0", "Q0")
SIDES <- c("left", "right")

source("tests/reference/json.R")

generic <- function(d, source) {
  known <- !is.na(d$yi) & !is.na(d$vi)
  list(yi = as.numeric(d$yi)[known], vi = as.numeric(d$vi)[known], source = source)
}
nor <- metadat::dat.normand1999
nie <- metadat::dat.nielweise2007
col <- metadat::dat.collins1985b
har <- metadat::dat.hart1999
hin <- metadat::dat.hine1989
mol <- metadat::dat.molloy2014
pri <- metadat::dat.pritz1997
coh <- metadat::dat.cohen1981
bon <- metadat::dat.bonett2010
SETS <- list(
  bcg = generic(escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = metadat::dat.bcg), "dat.bcg, log risk ratio"),
  hackshaw1998 = generic(metadat::dat.hackshaw1998, "dat.hackshaw1998, log odds ratio"),
  raudenbush1985 = generic(metadat::dat.raudenbush1985, "dat.raudenbush1985, standardised mean difference"),
  normand1999 = generic(escalc("MD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i, data = nor),
                        "dat.normand1999, mean difference"),
  begg1989 = generic(metadat::dat.begg1989, "dat.begg1989, disease-free survival, all arms"),
  collins1985b = generic(escalc("OR", ai = pre.xti, n1i = pre.nti, ci = pre.xci, n2i = pre.nci, data = col),
                         "dat.collins1985b, pre-eclampsia, log odds ratio"),
  molloy2014 = generic(escalc("ZCOR", ri = ri, ni = ni, data = mol), "dat.molloy2014, Fisher's z"),
  pritz1997 = generic(escalc("PLO", xi = xi, ni = ni, data = pri), "dat.pritz1997, logit of rates"),
  nielweise2007 = generic(escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = nie), "dat.nielweise2007, log odds ratio"),
  hart1999 = generic(escalc("IRR", x1i = x1i, t1i = t1i, x2i = x2i, t2i = t2i, data = har),
                     "dat.hart1999, log incidence rate ratio"),
  hine1989 = generic(escalc("RD", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = hin), "dat.hine1989, risk difference"),
  cohen1981 = generic(escalc("ZCOR", ri = ri, ni = ni, data = coh), "dat.cohen1981, Fisher's z"),
  bonett2010 = generic(escalc("ABT", ai = ai, mi = mi, ni = ni, data = bon), "dat.bonett2010, transformed alpha"),
  three = list(yi = c(.1, .9, -.4), vi = c(.04, .2, .09), source = "made up")
)

# Stopping rules in units of the data: metafor's are absolute.
scale_of <- function(yi, vi) {
  w <- 1 / vi
  dl <- (sum(w * (yi - sum(w * yi) / sum(w))^2) - (length(yi) - 1)) / (sum(w) - sum(w^2) / sum(w))
  max(0, dl) + 1 / mean(w)
}

# One analysis at the tightest control at which every fit in it converges; test knha, so that its factor is compared too.
one <- function(set, method, estimator, side) {
  scale <- scale_of(set$yi, set$vi)
  tries <- expand.grid(threshold = c(1e-13, 1e-12, 1e-11, 1e-10), step = c(1, .5, .1))
  for (i in seq_len(nrow(tries))) {
    control <- list(threshold = tries$threshold[i] * scale, tol = 1e-15 * scale, maxiter = 5000, stepadj = tries$step[i],
                    tau2.max = 1e4 * max(scale, var(set$yi)))
    made <- try(suppressWarnings({
      fit <- rma(set$yi, set$vi, method = method, test = if (method == "CE") "z" else "knha", control = control)
      trimfill(fit, side = side, estimator = estimator, control = control, test = fit$test)  # which trimfill would drop
    }), silent = TRUE)
    if (!inherits(made, "try-error")) break
  }
  if (inherits(made, "try-error")) return(list(error = gsub("[[:space:]]+", " ", conditionMessage(attr(made, "condition")))))
  k <- length(set$yi)
  new <- seq_len(made$k) > k
  list(side = made$side, k0 = made$k0, se_k0 = made$se.k0, p_k0 = made$p.k0, estimate = c(made$beta), se = made$se,
       tau2 = made$tau2, ci_low = made$ci.lb, ci_high = made$ci.ub, Q = made$QE,
       yi = vec(made$yi[new]), vi = vec(made$vi[new]))
}

cells <- lapply(SETS, function(set) {
  fits <- lapply(setNames(METHODS, METHODS), function(method)
    lapply(setNames(ESTIMATORS, ESTIMATORS), function(estimator)
      c(lapply(setNames(SIDES, SIDES), function(side) one(set, method, estimator, side)),
        list(default = one(set, method, estimator, NULL)$side))))
  list(source = set$source, yi = vec(set$yi), vi = vec(set$vi), methods = fits)
})
versions <- c(R = as.character(getRversion()), metafor = as.character(packageVersion("metafor")),
              metadat = as.character(packageVersion("metadat")))
axes <- list(methods = txt(METHODS), estimators = txt(ESTIMATORS), sides = txt(SIDES))
writeLines(json(list(versions = versions, axes = axes, cells = cells)), OUT)
