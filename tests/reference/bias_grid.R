# Writes bias_grid.json: regtest (every model and predictor) and ranktest of metafor, and tests of two arms by its lm model.
# Run from the root of the repository: Rscript tests/reference/bias_grid.R
# Needs: metafor 3.8-1, metadat (Debian: r-cran-metafor r-cran-metadat).

suppressMessages(library(metafor))

OUT <- "tests/reference/bias_grid.json"
METHODS <- c(REML = "REML", DL = "DL", ML = "ML", PM = "PM", CE = "EE")
TESTS <- c(z = "z", t = "t", hk = "knha")
PREDICTORS <- c("sei", "vi", "ni", "ninv", "sqrtni", "sqrtninv")

source("tests/reference/json.R")

# one data set: effects, sizes (NULL where they are not known), a moderator if there is one
generic <- function(d, source, ni = attr(d$yi, "ni"), mods = NULL) {
  known <- !is.na(d$yi) & !is.na(d$vi)
  list(yi = as.numeric(d$yi)[known], vi = as.numeric(d$vi)[known], ni = if (!is.null(ni)) as.numeric(ni)[known],
       mods = if (!is.null(mods)) as.numeric(mods)[known], source = source)
}
bcg <- metadat::dat.bcg
egg <- metadat::dat.egger2001
rau <- metadat::dat.raudenbush1985
nor <- metadat::dat.normand1999
nie <- metadat::dat.nielweise2007
col <- metadat::dat.collins1985b
har <- metadat::dat.hart1999
hin <- metadat::dat.hine1989
mol <- metadat::dat.molloy2014
pri <- metadat::dat.pritz1997
deb <- metadat::dat.debruin2009
ban <- metadat::dat.bangertdrowns2004
lim <- metadat::dat.linde2005
SETS <- list(
  bcg = generic(escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = bcg), "dat.bcg, log risk ratio"),
  egger2001 = generic(escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = egg), "dat.egger2001, log odds ratio"),
  raudenbush1985 = generic(rau, "dat.raudenbush1985, standardised mean difference", ni = rau$n1i + rau$n2i),
  normand1999 = generic(escalc("MD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i, data = nor),
                        "dat.normand1999, mean difference"),
  nielweise2007 = generic(escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = nie),
                          "dat.nielweise2007, log odds ratio"),
  collins1985b = generic(escalc("OR", ai = pre.xti, n1i = pre.nti, ci = pre.xci, n2i = pre.nci, data = col),
                         "dat.collins1985b, pre-eclampsia, log odds ratio"),
  hart1999 = generic(escalc("IRR", x1i = x1i, t1i = t1i, x2i = x2i, t2i = t2i, data = har),
                     "dat.hart1999, log incidence rate ratio, ni is person-time"),
  hine1989 = generic(escalc("RD", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = hin), "dat.hine1989, risk difference"),
  molloy2014 = generic(escalc("ZCOR", ri = ri, ni = ni, data = mol), "dat.molloy2014, Fisher's z"),
  pritz1997 = generic(escalc("PFT", xi = xi, ni = ni, data = pri), "dat.pritz1997, double arcsine of rates"),
  debruin2009 = generic(escalc("PLO", xi = xi, ni = ni, data = deb), "dat.debruin2009, logit of rates"),
  bangertdrowns2004 = generic(ban, "dat.bangertdrowns2004, standardised mean difference", ni = ban$ni),
  hackshaw1998 = generic(metadat::dat.hackshaw1998, "dat.hackshaw1998, log odds ratio", ni = NULL),
  begg1989 = generic(metadat::dat.begg1989, "dat.begg1989, disease-free survival, all arms", ni = NULL),
  bcg_latitude = generic(escalc("OR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = bcg),
                         "dat.bcg, log odds ratio, on latitude", mods = bcg$ablat),
  bangertdrowns2004_grade = generic(ban, "dat.bangertdrowns2004 on grade", ni = ban$ni, mods = ban$grade),
  raudenbush1985_weeks = generic(rau, "dat.raudenbush1985 on weeks of contact", ni = rau$n1i + rau$n2i, mods = rau$weeks)
)

scale_of <- function(yi, vi) {
  w <- 1 / vi
  dl <- (sum(w * (yi - sum(w * yi) / sum(w))^2) - (length(yi) - 1)) / (sum(w) - sum(w^2) / sum(w))
  max(0, dl) + 1 / mean(w)
}

numbers <- function(x, slope, se, tau2) {
  c(statistic = unname(x$zval), pvalue = unname(x$pval), df = if (length(x$dfs)) unname(x$dfs)[1] else NA,
    slope = unname(slope), slope_se = unname(se), tau2 = tau2,
    if (!is.null(x$est)) c(limit = unname(x$est), limit_low = unname(x$ci.lb), limit_high = unname(x$ci.ub)))
}

fit_of <- function(set, method, test, control) {
  asked <- list(yi = set$yi, vi = set$vi, method = method, test = test, control = control)
  if (!is.null(set$mods)) asked$mods <- set$mods
  if (!is.null(set$ni)) asked$ni <- set$ni
  do.call(rma, asked)
}

# metafor's stopping rules are absolute; REML and ML need the loosest of these here and there
one <- function(set, method, test, predictor) {
  scale <- scale_of(set$yi, set$vi)
  tries <- expand.grid(threshold = c(1e-13, 1e-12, 1e-11, 1e-10), step = c(1, .5, .1))
  for (i in seq_len(nrow(tries))) {
    control <- list(threshold = tries$threshold[i] * scale, tol = 1e-15 * scale, maxiter = 10000,
                    stepadj = tries$step[i], tau2.max = 1e4 * max(scale, var(set$yi)))
    made <- try(suppressWarnings({
      fit <- fit_of(set, method, test, control)
      regtest(fit, model = "rma", predictor = predictor, ret.fit = TRUE, control = control)
    }), silent = TRUE)
    if (!inherits(made, "try-error")) break
  }
  if (inherits(made, "try-error")) stop("no convergence: ", set$source, " ", method, " ", predictor, ": ", made)
  p <- length(made$fit$beta)
  numbers(made, made$fit$beta[p], made$fit$se[p], made$fit$tau2)
}

weighted <- function(set, predictor) {
  fit <- fit_of(set, "EE", "z", list())
  made <- regtest(fit, model = "lm", predictor = predictor, ret.fit = TRUE)
  table <- coef(summary(made$fit))
  numbers(made, table[nrow(table), 1], table[nrow(table), 2], 0)
}

cells <- lapply(SETS, function(set) {
  predictors <- if (is.null(set$ni)) PREDICTORS[1:2] else PREDICTORS
  by <- setNames(predictors, predictors)
  fits <- lapply(METHODS, function(method) lapply(TESTS, function(test) lapply(by, function(p) one(set, method, test, p))))
  ranked <- suppressWarnings(ranktest(set$yi, set$vi))
  c(list(source = set$source, yi = vec(set$yi), vi = vec(set$vi)),
    if (!is.null(set$ni)) list(ni = vec(set$ni)), if (!is.null(set$mods)) list(mods = vec(set$mods)),
    list(lm = lapply(by, function(p) weighted(set, p)), rma = fits,
         begg = c(statistic = unname(ranked$tau), pvalue = unname(ranked$pval))))
})

# Tests of two arms: regtest of the effects, variances and predictors that their papers give.
plain <- function(yi, vi, predictor, ni) {
  made <- regtest(as.numeric(yi), vi = as.numeric(vi), ni = ni, model = "lm", predictor = predictor, ret.fit = TRUE)
  table <- coef(summary(made$fit))
  numbers(made, table[nrow(table), 1], table[nrow(table), 2], 0)
}
two_arms <- function(a, n1, c, n2, source) {
  a <- as.numeric(a); n1 <- as.numeric(n1); c <- as.numeric(c); n2 <- as.numeric(n2) # products overflow integers
  b <- n1 - a
  d <- n2 - c
  n <- n1 + n2
  says <- a + c > 0 & b + d > 0
  margin <- 1 / (a + c) + 1 / (b + d)
  or <- escalc("OR", ai = a, n1i = n1, ci = c, n2i = n2)
  rr <- escalc("RR", ai = a, n1i = n1, ci = c, n2i = n2)
  as <- escalc("AS", ai = a, n1i = n1, ci = c, n2i = n2)
  po <- suppressWarnings(escalc("PETO", ai = a, n1i = n1, ci = c, n2i = n2, add = 0, to = "none", drop00 = TRUE))
  effective <- 4 * n1 * n2 / n
  z <- (a * n - (a + c) * n1) / (b + d)
  v <- n1 * n2 * (a + c) / (n * (b + d))
  dl <- regtest(rma(as$yi, as$vi, method = "DL", test = "t"), model = "rma", ret.fit = TRUE)
  list(source = source, events_t = vec(a), total_t = vec(n1), events_c = vec(c), total_c = vec(n2),
       tests = list(peters_OR = plain(or$yi[says], margin[says], "ninv", n[says]),
                    peters_RR = plain(rr$yi[says], margin[says], "ninv", n[says]),
                    harbord_OR = plain(po$yi[says], po$vi[says], "sei", n[says]),
                    harbord_RR = plain((z / v)[says], (1 / v)[says], "sei", n[says]),
                    macaskill_pooled = plain(or$yi[says], margin[says], "ni", n[says]),
                    macaskill_inverse = plain(or$yi[says], or$vi[says], "ni", n[says]),
                    deeks = plain(or$yi, 1 / effective, "sei", n),
                    arcsine_lm = plain(as$yi, as$vi, "sei", n),
                    arcsine_rma = numbers(dl, dl$fit$beta[2], dl$fit$se[2], dl$fit$tau2)))
}
ARMS <- list(
  bcg = with(bcg, two_arms(tpos, tpos + tneg, cpos, cpos + cneg, "dat.bcg")),
  egger2001 = with(egg, two_arms(ai, n1i, ci, n2i, "dat.egger2001")),
  nielweise2007 = with(nie, two_arms(ai, n1i, ci, n2i, "dat.nielweise2007, with trials without events")),
  collins1985b = with(col, two_arms(pre.xti, pre.nti, pre.xci, pre.nci, "dat.collins1985b, pre-eclampsia")),
  hine1989 = with(hin, two_arms(ai, n1i, ci, n2i, "dat.hine1989")),
  linde2005 = with(subset(lim, !is.na(ai) & !is.na(ci)), two_arms(ai, n1i, ci, n2i, "dat.linde2005"))
)

smd <- escalc("SMD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i, data = nor)
MEANS <- c(lapply(list(mean_t = nor$m1i, sd_t = nor$sd1i, n_t = nor$n1i, mean_c = nor$m2i, sd_c = nor$sd2i,
                       n_c = nor$n2i), vec),
           list(pustejovsky_rodgers = plain(smd$yi, 1 / nor$n1i + 1 / nor$n2i, "sei", nor$n1i + nor$n2i)))

versions <- c(R = as.character(getRversion()), metafor = as.character(packageVersion("metafor")),
              metadat = as.character(packageVersion("metadat")))
axes <- list(methods = txt(names(METHODS)), tests = txt(names(TESTS)), predictors = txt(PREDICTORS))
writeLines(json(list(versions = versions, axes = axes, cells = cells, two_arms = ARMS, means = MEANS)), OUT)
