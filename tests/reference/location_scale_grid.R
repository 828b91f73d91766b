# Writes location_scale_grid.json: location-scale models of metafor, with the log link, for data sets x ML and REML.
# Run from the root of the repository: Rscript tests/reference/location_scale_grid.R
# Needs: metafor 3.8-1, metadat (Debian: r-cran-metafor r-cran-metadat).

suppressMessages(library(metafor))

OUT <- "tests/reference/location_scale_grid.json"
METHODS <- c("REML", "ML")
TESTS <- c("z", "t", "knha")

source("tests/reference/json.R")

set <- function(d, source, x, z) {
  known <- !is.na(d$yi) & !is.na(d$vi) & !is.na(x) & !is.na(z)
  list(yi = as.numeric(d$yi)[known], vi = as.numeric(d$vi)[known], x = as.numeric(x)[known], z = as.numeric(z)[known],
       source = source)
}
bangert <- metadat::dat.bangertdrowns2004
bcg <- escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = metadat::dat.bcg)
hackshaw <- metadat::dat.hackshaw1998
raudenbush <- metadat::dat.raudenbush1985
linde <- escalc("RR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = metadat::dat.linde2005)
molloy <- escalc("ZCOR", ri = ri, ni = ni, data = metadat::dat.molloy2014)
mcdaniel <- escalc("ZCOR", ri = ri, ni = ni, data = metadat::dat.mcdaniel1994)
li <- escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = metadat::dat.li2007)
curtis <- escalc("ROM", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i, data = metadat::dat.curtis1998)
debruin <- escalc("PLO", xi = xi, ni = ni, data = metadat::dat.debruin2009)
pritz <- escalc("PLO", xi = xi, ni = ni, data = metadat::dat.pritz1997)
baskerville <- data.frame(yi = metadat::dat.baskerville2012$smd, vi = metadat::dat.baskerville2012$se^2)
SETS <- list(
  bangertdrowns_n = set(bangert, "dat.bangertdrowns2004, sample size / 100", bangert$ni / 100, bangert$ni / 100),
  bangertdrowns_grade = set(bangert, "dat.bangertdrowns2004, grade", bangert$grade, bangert$grade),
  bangertdrowns_meta = set(bangert, "dat.bangertdrowns2004, length and meta", bangert$length, bangert$meta),
  bcg_ablat = set(bcg, "dat.bcg, latitude", bcg$ablat, bcg$ablat),
  bcg_year = set(bcg, "dat.bcg, year less 1960", bcg$year - 1960, bcg$ablat),
  linde = set(linde, "dat.linde2005, baseline score and year less 1990", linde$year - 1990, linde$year - 1990),
  molloy = set(molloy, "dat.molloy2014, age and conscientiousness at baseline", molloy$meanage, molloy$meanage),
  mcdaniel = set(mcdaniel, "dat.mcdaniel1994, structured and job-related interviews", mcdaniel$struct == "s", mcdaniel$type == "j"),
  curtis = set(curtis, "dat.curtis1998, exposure in years", curtis$time / 365, curtis$time / 365),
  curtis_fungrp = set(curtis, "dat.curtis1998, angiosperms", curtis$fungrp == "ANGIO", curtis$fungrp == "ANGIO"),
  raudenbush = set(raudenbush, "dat.raudenbush1985, weeks of contact", raudenbush$weeks, raudenbush$weeks),
  hackshaw_year = set(hackshaw, "dat.hackshaw1998, year less 1985", hackshaw$year - 1985, hackshaw$year - 1985),
  hackshaw_design = set(hackshaw, "dat.hackshaw1998, cohorts", hackshaw$year - 1985, hackshaw$design == "cohort"),
  baskerville = set(baskerville, "dat.baskerville2012, tailored and intensity", metadat::dat.baskerville2012$blind,
                    metadat::dat.baskerville2012$duration),
  debruin = set(debruin, "dat.debruin2009, quality of care and its variance", debruin$scq, debruin$scq)
)

one <- function(set, method, test, mods) {
  best <- NULL
  for (control in list(list(), list(optimizer = "nlminb", rel.tol = 1e-14, x.tol = 1e-10), list(optimizer = "optim", reltol = 1e-14))) {
    fit <- try(suppressWarnings(if (mods) rma(set$yi, set$vi, mods = ~ set$x, scale = ~ set$z, method = method, test = test, control = control)
                                else rma(set$yi, set$vi, scale = ~ set$z, method = method, test = test, control = control)), silent = TRUE)
    if (inherits(fit, "try-error")) next
    if (is.null(best) || as.numeric(logLik(fit)) > as.numeric(logLik(best))) best <- fit
  }
  if (is.null(best)) return(list(error = "no fit"))
  list(estimate = vec(best$beta), se = vec(best$se), alpha = vec(best$alpha), se_alpha = vec(best$se.alpha),
       ci_alpha = vec(c(best$ci.lb.alpha, best$ci.ub.alpha)), pval_alpha = vec(best$pval.alpha),
       QM = as.numeric(best$QM), QMp = as.numeric(best$QMp), QS = as.numeric(best$QS), QSp = as.numeric(best$QSp), QE = as.numeric(best$QE),
       loglik = as.numeric(logLik(best)))
}

cells <- lapply(SETS, function(set) c(
  list(source = set$source, yi = vec(set$yi), vi = vec(set$vi), x = vec(set$x), z = vec(set$z)),
  list(fits = lapply(setNames(METHODS, METHODS), function(method)
    c(list(alone = one(set, method, "z", FALSE)), lapply(setNames(TESTS, TESTS), function(test) one(set, method, test, TRUE)))))))
versions <- c(R = as.character(getRversion()), metafor = as.character(packageVersion("metafor")),
              metadat = as.character(packageVersion("metadat")))
writeLines(json(list(versions = versions, axes = list(methods = txt(METHODS), tests = txt(TESTS)), cells = cells)), OUT)
