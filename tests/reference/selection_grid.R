# Writes selection_grid.json: selection models of metafor for data sets x weight functions, by maximum likelihood.
# Run from the root of the repository: Rscript tests/reference/selection_grid.R   (about ten minutes)
# Needs: metafor 3.8-1, metadat (Debian: r-cran-metafor r-cran-metadat).

suppressMessages(library(metafor))

OUT <- "tests/reference/selection_grid.json"
KINDS <- c("step", "step2", "beta", "halfnorm", "negexp", "logistic", "power")

source("tests/reference/json.R")

generic <- function(d, source, alternative, x = NULL) {
  known <- !is.na(d$yi) & !is.na(d$vi)
  list(yi = as.numeric(d$yi)[known], vi = as.numeric(d$vi)[known], x = if (!is.null(x)) as.numeric(x)[known],
       source = source, alternative = alternative)
}
bcg <- metadat::dat.bcg
bas <- metadat::dat.baskerville2012
hah <- metadat::dat.hahn2001
nor <- metadat::dat.normand1999
SETS <- list(
  hackshaw1998 = generic(metadat::dat.hackshaw1998, "dat.hackshaw1998, log odds ratio", "greater",
                         metadat::dat.hackshaw1998$year),
  baskerville2012 = list(yi = bas$smd, vi = bas$se^2, x = as.numeric(bas$blind), source = "dat.baskerville2012",
                         alternative = "greater"),
  bcg = generic(escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = bcg), "dat.bcg, log risk ratio", "less",
                bcg$ablat),
  raudenbush1985 = generic(metadat::dat.raudenbush1985, "dat.raudenbush1985", "greater", metadat::dat.raudenbush1985$weeks),
  hahn2001 = generic(escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = hah, drop00 = TRUE),
                     "dat.hahn2001, log odds ratio", "less"),
  collins1985b = generic(escalc("OR", ai = pre.xti, n1i = pre.nti, ci = pre.xci, n2i = pre.nci, data = metadat::dat.collins1985b),
                         "dat.collins1985b, pre-eclampsia, log odds ratio", "less"),
  li2007 = generic(escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = metadat::dat.li2007), "dat.li2007, log odds ratio",
                   "less"),
  molloy2014 = generic(escalc("ZCOR", ri = ri, ni = ni, data = metadat::dat.molloy2014), "dat.molloy2014, Fisher's z", "greater"),
  hart1999 = generic(escalc("IRR", x1i = x1i, t1i = t1i, x2i = x2i, t2i = t2i, data = metadat::dat.hart1999),
                     "dat.hart1999, log incidence rate ratio", "less"),
  hine1989 = generic(escalc("RD", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = metadat::dat.hine1989), "dat.hine1989, risk difference",
                     "greater"),
  nielweise2007 = generic(escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = metadat::dat.nielweise2007),
                          "dat.nielweise2007, log odds ratio", "less"),
  normand1999 = generic(escalc("MD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i, data = nor),
                        "dat.normand1999, mean difference", "two.sided"),
  linde2005 = generic(escalc("RR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = metadat::dat.linde2005),
                      "dat.linde2005, log risk ratio", "greater"),
  bangertdrowns2004 = generic(metadat::dat.bangertdrowns2004, "dat.bangertdrowns2004", "greater",
                              metadat::dat.bangertdrowns2004$grade)
)

steps_of <- function(kind) switch(kind, step = .025, step2 = c(.025, .5), NULL)
type_of <- function(kind) if (startsWith(kind, "step")) "stepfun" else kind

# The highest likelihood is kept of two optimisers; metafor's own control is tried where the first does not converge.
CONTROLS <- list(tight = list(reltol = 1e-11), own = list(),
                 nlminb = list(optimizer = "nlminb", rel.tol = 1e-13, intCtrl = list(rel.tol = 1e-7, subdivisions = 300)))

numbers <- function(fit) {
  list(estimate = vec(fit$beta), se = vec(fit$se), tau2 = as.numeric(fit$tau2), se_tau2 = as.numeric(fit$se.tau2),
       delta = vec(if (fit$type == "stepfun") fit$delta[-1] else fit$delta),
       se_delta = vec(if (fit$type == "stepfun") fit$se.delta[-1] else fit$se.delta),
       loglik = as.numeric(logLik(fit)), LRT = as.numeric(fit$LRT), LRT_df = as.numeric(fit$LRTdf), LRT_pvalue = as.numeric(fit$LRTp),
       LRT_tau2 = if (is.null(fit$LRT.tau2)) NA_real_ else as.numeric(fit$LRT.tau2))
}

one <- function(set, kind, mods = FALSE, method = "ML", prec = NULL, delta = NULL, steps = steps_of(kind)) {
  fit <- suppressWarnings(if (mods) rma(set$yi, set$vi, mods = ~ set$x, method = method) else rma(set$yi, set$vi, method = method))
  call <- list(fit, type = type_of(kind), alternative = set$alternative)
  if (!is.null(steps)) call$steps <- steps
  if (!is.null(prec)) call$prec <- prec
  if (!is.null(delta)) call$delta <- delta
  best <- list(error = "no convergence")
  for (name in names(CONTROLS)) {
    if (name == "own" && !is.null(best$loglik)) next
    call$control <- CONTROLS[[name]]
    made <- try(suppressWarnings(do.call(selmodel, call)), silent = TRUE)
    if (inherits(made, "try-error")) {
      if (!is.null(best$error)) best <- list(error = conditionMessage(attr(made, "condition")))
    } else if (is.null(best$loglik) || as.numeric(logLik(made)) > best$loglik) best <- numbers(made)
  }
  best
}

WOODS <- list(steps = c(0.005, 0.01, 0.05, 0.10, 0.25, 0.35, 0.50, 0.65, 0.75, 0.90, 0.95, 0.99, 0.995, 1),
              moderate = c(1, 0.99, 0.95, 0.80, 0.75, 0.65, 0.60, 0.55, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50),
              severe = c(1, 0.99, 0.90, 0.75, 0.60, 0.50, 0.40, 0.35, 0.30, 0.25, 0.10, 0.10, 0.10, 0.10))

cells <- lapply(SETS, function(set) {
  fits <- lapply(setNames(KINDS, KINDS), function(kind) one(set, kind))
  fits$CE <- one(set, "step", method = "EE")
  for (weights in c("moderate", "severe"))
    fits[[weights]] <- one(set, "step", steps = WOODS$steps, delta = WOODS[[weights]])
  if (!is.null(set$x)) fits$moderator <- one(set, "step", mods = TRUE)
  message(set$source)
  c(list(source = set$source, alternative = set$alternative, yi = vec(set$yi), vi = vec(set$vi)),
    if (!is.null(set$x)) list(x = vec(set$x)), list(fits = fits))
})
for (kind in c("halfnorm", "negexp", "logistic", "power")) {
  cells$hackshaw1998$fits[[paste0(kind, "_sei")]] <- one(SETS$hackshaw1998, kind, prec = "sei")
  cells$baskerville2012$fits[[paste0(kind, "_alpha")]] <- one(SETS$baskerville2012, kind, steps = .025)
}
versions <- c(R = as.character(getRversion()), metafor = as.character(packageVersion("metafor")),
              metadat = as.character(packageVersion("metadat")))
writeLines(json(list(versions = versions, kinds = txt(KINDS), woods = lapply(WOODS, vec), cells = cells)), OUT)
