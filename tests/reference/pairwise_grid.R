# Writes pairwise_grid.json: effect sizes, meta-regressions, Mantel-Haenszel and Peto by metafor.
# Run from the root of the repository: Rscript tests/reference/pairwise_grid.R
# Needs: metafor 3.8-1, metadat (Debian: r-cran-metafor r-cran-metadat).

suppressMessages(library(metafor))
options(warn = 1)
source("tests/reference/json.R")
OUT <- "tests/reference/pairwise_grid.json"

# ---- effect sizes ------------------------------------------------------------------------------------------------
ours_to_escalc <- c(events_t = "ai", total_t = "n1i", events_c = "ci", total_c = "n2i", time_t = "t1i", time_c = "t2i",
                    events = "xi", total = "ni", time = "ti", mean_t = "m1i", sd_t = "sd1i", n_t = "n1i", mean_c = "m2i",
                    sd_c = "sd2i", n_c = "n2i", mean = "mi", sd = "sdi", n = "ni", r = "ri",
                    mean_post = "m1i", mean_pre = "m2i", sd_post = "sd1i", sd_pre = "sd2i")

complete <- function(columns) {
  keep <- Reduce(`&`, lapply(columns, function(x) !is.na(x)))
  lapply(columns, function(x) as.numeric(x[keep]))
}
arms <- function(d, a, n1, c, n2) complete(list(events_t = d[[a]], total_t = d[[n1]], events_c = d[[c]], total_c = d[[n2]]))
means <- function(d) complete(list(mean_t = d$m1i, sd_t = d$sd1i, n_t = d$n1i, mean_c = d$m2i, sd_c = d$sd2i, n_c = d$n2i))

bcg <- metadat::dat.bcg
bcg$n1 <- bcg$tpos + bcg$tneg
bcg$n2 <- bcg$cpos + bcg$cneg
cbt <- metadat::dat.landenberger2005
cbt$n1 <- cbt$n.cbt.rec + cbt$n.cbt.non
cbt$n2 <- cbt$n.ctrl.rec + cbt$n.ctrl.non
born <- metadat::dat.bornmann2007

TABLES <- list(
  bcg = arms(bcg, "tpos", "n1", "cpos", "n2"),
  nielweise2007 = arms(metadat::dat.nielweise2007, "ai", "n1i", "ci", "n2i"),
  collins1985a = arms(metadat::dat.collins1985a, "b.xti", "nti", "b.xci", "nci"),
  collins1985b = arms(metadat::dat.collins1985b, "pre.xti", "pre.nti", "pre.xci", "pre.nci"),
  hine1989 = arms(metadat::dat.hine1989, "ai", "n1i", "ci", "n2i"),
  hahn2001 = arms(metadat::dat.hahn2001, "ai", "n1i", "ci", "n2i"),
  graves2010 = arms(metadat::dat.graves2010, "ai", "n1i", "ci", "n2i"),
  egger2001 = arms(metadat::dat.egger2001, "ai", "n1i", "ci", "n2i"),
  yusuf1985_6 = arms(subset(metadat::dat.yusuf1985, table == "6"), "ai", "n1i", "ci", "n2i"),
  yusuf1985_10 = arms(subset(metadat::dat.yusuf1985, table == "10"), "ai", "n1i", "ci", "n2i"),
  hart1999_patients = arms(metadat::dat.hart1999, "x1i", "n1i", "x2i", "n2i"),
  linde2005 = arms(metadat::dat.linde2005, "ai", "n1i", "ci", "n2i"),
  lee2004 = arms(metadat::dat.lee2004, "ai", "n1i", "ci", "n2i"),
  dorn2007 = arms(metadat::dat.dorn2007, "x.a", "n.a", "x.p", "n.p"),
  landenberger2005 = arms(cbt, "n.cbt.rec", "n1", "n.ctrl.rec", "n2"),
  bornmann2007 = arms(born, "waward", "wtotal", "maward", "mtotal"),
  viechtbauer2021 = arms(metadat::dat.viechtbauer2021, "xTi", "nTi", "xCi", "nCi"),
  zeros = list(events_t = c(0, 3, 0, 8, 12), total_t = c(20, 25, 11, 8, 30), events_c = c(0, 0, 4, 3, 12), total_c = c(22, 24, 10, 9, 30))
)
MEANS <- list(
  normand1999 = means(metadat::dat.normand1999), gibson2002 = means(metadat::dat.gibson2002),
  curtis1998 = means(metadat::dat.curtis1998)
)
CHANGES <- list(made_up = list(
  mean_post = c(30.6, 23.5, .5, 53.4, 35.6), mean_pre = c(23.1, 24.9, .6, 55.7, 34.8), sd_post = c(15, 3.1, .1, 14.5, 4.7),
  sd_pre = c(13.8, 4.1, .2, 17.3, 3.1), n = c(20, 50, 9, 10, 14), r = c(.47, .64, .77, .89, .44)
))
CORRELATIONS <- list(
  mcdaniel1994 = with(metadat::dat.mcdaniel1994, complete(list(r = ri, n = ni))),
  molloy2014 = with(metadat::dat.molloy2014, complete(list(r = ri, n = ni))),
  cohen1981 = with(metadat::dat.cohen1981, complete(list(r = ri, n = ni))),
  crede2010 = with(metadat::dat.crede2010, complete(list(r = ri, n = ni)))
)
times <- function(d) with(d, complete(list(events_t = x1i, time_t = t1i, events_c = x2i, time_c = t2i)))
TIMES <- list(nielweise2008 = times(metadat::dat.nielweise2008), hart1999 = times(metadat::dat.hart1999),
              zeros = list(events_t = c(0, 3, 0, 8), time_t = c(20.5, 250, 11, 8), events_c = c(0, 0, 4, 3), time_c = c(22, 24, 10.25, 9)))
ONE_TIME <- lapply(TIMES, function(d) list(events = d$events_c, time = d$time_c))
ONE_RATE <- lapply(TABLES[c("nielweise2007", "collins1985a", "zeros")], function(d) list(events = d$events_c, total = d$total_c))

one_effect <- function(measure, columns, call, asked) {
  arguments <- setNames(columns, ours_to_escalc[names(columns)])
  if (measure %in% c("IRR", "IRD", "IRSD")) names(arguments) <- c("x1i", "t1i", "x2i", "t2i")
  if (measure == "SMCR") names(arguments) <- sub("sd2i", "sd1i", names(arguments)) # its sd1i is that before
  e <- suppressWarnings(do.call(escalc, c(list(measure = measure), arguments, call)))
  c(list(measure = measure, columns = lapply(columns, vec), yi = vec(e$yi), vi = vec(e$vi)),
    if (length(asked)) list(asked = asked))
}
EFFECTS <- list()
add <- function(sets, measures, calls = list(list())) {
  for (set in names(sets)) for (measure in measures) for (given in calls) {
    if (measure == "VR") columns <- sets[[set]][c("sd_t", "n_t", "sd_c", "n_c")]
    else if (measure == "SMCR") columns <- sets[[set]][c("mean_post", "mean_pre", "sd_pre", "n", "r")]
    else columns <- sets[[set]]
    asked <- given$asked
    key <- paste(c(set, measure, asked), collapse = "/")
    EFFECTS[[key]] <<- one_effect(measure, columns, given$call, asked)
  }
}
policy <- function(to) list(call = list(to = to, add = .5), asked = list(correction = to))
variance <- function(vtype) list(call = list(vtype = vtype), asked = list(variance = vtype))
add(TABLES, c("RR", "OR", "RD", "AS", "PETO"))
add(TABLES[c("zeros", "nielweise2007")], c("RR", "OR", "RD"), lapply(c("if0all", "all"), policy))
add(ONE_RATE, c("PR", "PLO", "PLN", "PAS", "PFT"))
add(MEANS, c("MD", "SMD", "SMDH", "ROM", "VR"))
# the coefficient of variation needs means of one sign; hours and biomass are
add(MEANS[c("normand1999", "curtis1998")], "CVR")
add(MEANS, "MD", list(variance("HO")))
add(MEANS, "SMD", lapply(c("LS2", "UB", "AV"), variance))
add(MEANS, "SMDH", list(variance("LS2")))
add(MEANS, "ROM", lapply(c("HO", "AV", "AVHO"), variance))
add(list(senn2013 = with(metadat::dat.senn2013, complete(list(mean = mi, sd = sdi, n = ni)))), "MN")
add(CHANGES, c("MC", "SMCC", "SMCR"))
add(CHANGES, c("SMCC", "SMCR"), list(variance("LS2")))
add(CORRELATIONS, c("COR", "UCOR", "ZCOR"))
add(CORRELATIONS, "COR", list(variance("AV")))
add(CORRELATIONS, "UCOR", lapply(c("UB", "AV"), variance))
add(TIMES, c("IRR", "IRD", "IRSD"))
add(ONE_TIME, c("IR", "IRLN", "IRS", "IRFT"))

# ---- meta-regression ---------------------------------------------------------------------------------------------
rr <- escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = bcg)
set.seed(1)
simulated <- function(k) {
  x <- rnorm(k); g <- sample(c("a", "b", "c"), k, TRUE); g[1:3] <- c("a", "b", "c"); v <- .02 + rexp(k, 20)
  data.frame(yi = .3 + .1 * x + .2 * (g == "b") + rnorm(k, 0, sqrt(v + .03)), vi = v, x = x, g = g)
}
tied <- data.frame(yi = c(.1, .1, .4, .4, .4, .9, .9, .2), vi = rep(c(.02, .05), 4), x = c(1, 1, 2, 2, 2, 3, 3, 1))
REGRESSIONS <- list(
  bcg_ablat = list(rr, ~ ablat), bcg_ablat_year = list(rr, ~ ablat + year), bcg_alloc = list(rr, ~ alloc),
  bcg_interaction = list(rr, ~ ablat * alloc), bcg_no_intercept = list(rr, ~ alloc - 1), bcg_square = list(rr, ~ ablat + I(ablat^2)),
  raudenbush1985 = list(metadat::dat.raudenbush1985, ~ weeks),
  raudenbush1985_setting = list(metadat::dat.raudenbush1985, ~ weeks + setting + tester),
  bangertdrowns2004 = list(subset(metadat::dat.bangertdrowns2004, !is.na(length) & !is.na(feedback)), ~ length + feedback + imag),
  molloy2014 = list(escalc("ZCOR", ri = ri, ni = ni, data = metadat::dat.molloy2014), ~ quality + meanage),
  mcdaniel1994 = list(subset(escalc("ZCOR", ri = ri, ni = ni, data = metadat::dat.mcdaniel1994), struct != "" & type != ""), ~ type + struct),
  curtis1998 = list(escalc("ROM", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i, data = metadat::dat.curtis1998), ~ time + fungrp),
  kalaian1996 = list(subset(metadat::dat.kalaian1996, !is.na(hrs)), ~ log(hrs) + outcome),
  bornmann2007 = list(escalc("OR", ai = waward, n1i = wtotal, ci = maward, n2i = mtotal, data = born), ~ type + year),
  assink2016 = list(metadat::dat.assink2016, ~ deltype + year),
  konstantopoulos2011 = list(metadat::dat.konstantopoulos2011, ~ I(year - 1990)),
  gibson2002 = list(escalc("SMD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i,
                           data = subset(metadat::dat.gibson2002, !is.na(m1i) & !is.na(sd1i))), ~ type),
  dorn2007 = list(escalc("RR", ai = x.a, n1i = n.a, ci = x.p, n2i = n.p, data = metadat::dat.dorn2007), ~ jadad),
  baskerville2012 = list(transform(metadat::dat.baskerville2012, yi = smd, vi = se^2), ~ score + year),
  pignon2000 = list(transform(metadat::dat.pignon2000, yi = OmE / V, vi = 1 / V), ~ factor(grp) - 1),
  tied = list(tied, ~ x), three = list(simulated(3)[, 1:3], ~ x), four = list(simulated(4), ~ x), ten = list(simulated(10), ~ x + g),
  hundred = list(simulated(100), ~ x * g), thousand = list(simulated(1000), ~ x + g)
)
METHODS <- c("CE", "DL", "HE", "HS", "HSk", "SJ", "ML", "REML", "EB", "PM", "PMM")
TESTS <- c(z = "z", t = "t", hk = "knha", "hk-adhoc" = "adhoc")
fit_at <- function(yi, vi, X, method, test, tau2 = NULL, threshold = 1e-13) {
  control <- list(threshold = threshold * mean(vi), tol = 1e-15 * mean(vi), maxiter = 20000, tau2.max = 1e5 * max(vi, var(yi)))
  if (method == "CE") tau2 <- NULL
  suppressWarnings(rma(yi, vi, mods = X, intercept = FALSE, method = method, test = test, tau2 = tau2, control = control))
}
one_test <- function(f) {
  list(se = vec(f$se), pval = vec(f$pval), low = vec(f$ci.lb), high = vec(f$ci.ub), QM = f$QM, QMp = f$QMp)
}
one_regression <- function(d, formula) {
  d <- as.data.frame(d)
  X <- model.matrix(formula, d)
  yi <- as.numeric(d$yi); vi <- as.numeric(d$vi); k <- length(yi); p <- ncol(X)
  methods <- lapply(METHODS, function(method) {
    first <- try(fit_at(yi, vi, X, method, "z"), silent = TRUE)
    if (inherits(first, "try-error")) first <- fit_at(yi, vi, X, method, "z", threshold = 1e-10)
    alone <- if ("(Intercept)" %in% colnames(X) && method != "CE") fit_at(yi, vi, matrix(1, k, 1), method, "z", threshold = 1e-12)$tau2
    tests <- lapply(TESTS, function(test) one_test(fit_at(yi, vi, X, method, test, tau2 = first$tau2)))
    # an estimated tau2 and a given one differ in what metafor says of I2 alone
    out <- list(tau2 = first$tau2, beta = vec(first$beta), I2 = first$I2, H2 = first$H2, alone = alone, tests = tests)
    if (method %in% c("ML", "REML")) out$loglik <- c(logLik(first))
    if (method == "REML") {
      out$leverage <- vec(hatvalues(first))
      if (method != "CE") out$blup <- vec(blup(first)$pred)
      qp <- try(confint(first, control = list(tol = 1e-14 * mean(vi), maxiter = 10000, tau2.max = 1e5 * max(vi, var(yi))))$random[1, 2:3], silent = TRUE)
      if (!inherits(qp, "try-error")) out$QP <- vec(qp)
    }
    out
  })
  common <- fit_at(yi, vi, X, "CE", "z")
  list(k = k, names = txt(colnames(X)), X = lapply(seq_len(p), function(j) vec(X[, j])), yi = vec(yi), vi = vec(vi),
       QE = common$QE, QEp = common$QEp, methods = setNames(methods, METHODS))
}

# ---- Mantel-Haenszel and Peto ------------------------------------------------------------------------------------
numbers_of <- function(f) list(estimate = as.numeric(f$beta), se = f$se, low = f$ci.lb, high = f$ci.ub, pval = f$pval, QE = f$QE, QEp = f$QEp)
STRATIFIED <- list()
for (set in names(TABLES)) {
  d <- TABLES[[set]]
  for (measure in c("OR", "RR", "RD")) {
    f <- suppressWarnings(rma.mh(measure = measure, ai = d$events_t, n1i = d$total_t, ci = d$events_c, n2i = d$total_c))
    more <- if (measure == "OR") list(MH = f$MH, MHp = f$MHp, BD = f$BD, BDp = f$BDp, TA = f$TA, TAp = f$TAp)
    STRATIFIED[[paste(set, measure, sep = "/")]] <- c(list(measure = measure, columns = lapply(d, vec)), numbers_of(f), more)
  }
  f <- suppressWarnings(rma.peto(ai = d$events_t, n1i = d$total_t, ci = d$events_c, n2i = d$total_c))
  STRATIFIED[[paste(set, "PETO", sep = "/")]] <- c(list(measure = "PETO", columns = lapply(d, vec)), numbers_of(f))
}
for (set in names(TIMES)) for (measure in c("IRR", "IRD")) {
  d <- TIMES[[set]]
  f <- suppressWarnings(rma.mh(measure = measure, x1i = d$events_t, t1i = d$time_t, x2i = d$events_c, t2i = d$time_c))
  more <- if (measure == "IRR") list(MH = f$MH, MHp = f$MHp)
  STRATIFIED[[paste(set, measure, sep = "/")]] <- c(list(measure = measure, columns = lapply(d, vec)), numbers_of(f), more)
}

made <- list(
  versions = list(R = R.version.string, metafor = as.character(packageVersion("metafor")), metadat = as.character(packageVersion("metadat"))),
  effects = EFFECTS,
  regressions = lapply(REGRESSIONS, function(r) one_regression(r[[1]], r[[2]])),
  stratified = STRATIFIED
)
writeLines(json(made), OUT)
cat(length(EFFECTS), "effects,", length(REGRESSIONS), "regressions,", length(STRATIFIED), "stratified\n")
