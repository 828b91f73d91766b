# Writes followup_grid.json: what is asked after a fit, by metafor. Predictions, contrasts, joint tests, variance inflation
# and heterogeneity intervals of meta-regressions; subgroups; a pooled fit of 1000 studies; conversions.
# Run from the root of the repository: Rscript tests/reference/followup_grid.R
# Needs: metafor 3.8-1, metadat (Debian: r-cran-metafor r-cran-metadat).

suppressMessages(library(metafor))
options(warn = 1)
source("tests/reference/json.R")
OUT <- "tests/reference/followup_grid.json"
TESTS <- c(z = "z", t = "t", hk = "knha")

# Thresholds are in units of the variances. Where no root is found that sharply, the next one is tried, and kept on record.
fit_at <- function(yi, vi, formula, d, method, test = "z", tau2 = NULL) {
  for (threshold in c(1e-14, 1e-13, 1e-12, 1e-10)) {
    control <- list(threshold = threshold * mean(vi), tol = 1e-15 * mean(vi), maxiter = 1000, tau2.max = 1e5 * max(vi, var(yi)))
    f <- try(suppressWarnings(rma(yi, vi, mods = formula, data = d, method = method, test = test, tau2 = tau2, control = control)), silent = TRUE)
    if (!inherits(f, "try-error")) return(structure(f, threshold = threshold))
  }
  stop(f)
}
column <- function(x) if (is.numeric(x)) vec(x) else txt(x)
rows <- function(m) lapply(seq_len(nrow(m)), function(i) vec(m[i, ]))

# ---- meta-regressions --------------------------------------------------------------------------------------------
meta <- function(name) as.data.frame(get(name, asNamespace("metadat")))
md <- function(measure, d) escalc(measure, m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i, data = d)
bcg <- as.data.frame(escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = metadat::dat.bcg))
writing <- subset(meta("dat.bangertdrowns2004"), !is.na(length) & !is.na(wic) & !is.na(feedback) & !is.na(info) & !is.na(meta))
curtis <- as.data.frame(md("ROM", metadat::dat.curtis1998))
smoking <- as.data.frame(escalc("PLO", xi = xi, ni = ni, data = metadat::dat.hasselblad1998))
adherence <- as.data.frame(escalc("PLO", xi = xi, ni = ni, data = metadat::dat.debruin2009))
z_of <- function(d) as.data.frame(escalc("ZCOR", ri = ri, ni = ni, data = d))
interviews <- subset(z_of(metadat::dat.mcdaniel1994), struct != "" & type != "")
four <- data.frame(yi = c(.1, .5, .3, 1.1), vi = c(.01, .02, .015, .03), x = c(1, 2, 3, 5))
three <- data.frame(yi = c(.1, .9, .2), vi = c(.01, .02, .03), x = c(1, 2, 4))
flat <- data.frame(yi = c(.10, .12, .15, .16, .21, .22), vi = c(.02, .03, .01, .05, .04, .02), x = c(1, 2, 3, 4, 5, 6))

# formula (read alike by R and by formulaic), data, four new points of which the last lies far outside
REGRESSIONS <- list(
  bcg_ablat_year = list("~ ablat + year", bcg, list(ablat = c(33, 0, 55, 400), year = c(1948, 1970, 1980, 2400))),
  bcg_alloc = list("~ alloc", bcg, list(alloc = c("random", "alternate", "systematic", "random"))),
  bcg_interaction = list("~ ablat * alloc", bcg, list(ablat = c(13, 44, 0, 900), alloc = c("random", "alternate", "systematic", "systematic"))),
  bcg_no_intercept = list("~ 0 + alloc + ablat", bcg, list(alloc = c("random", "alternate", "systematic", "random"), ablat = c(13, 44, 0, 900))),
  raudenbush1985 = list("~ weeks", meta("dat.raudenbush1985"), list(weeks = c(0, 1.5, 24, 1000))),
  raudenbush1985_setting = list("~ weeks + setting + tester", meta("dat.raudenbush1985"),
    list(weeks = c(0, 3, 24, 500), setting = c("group", "indiv", "group", "indiv"), tester = c("aware", "blind", "blind", "aware"))),
  bangertdrowns2004 = list("~ length + wic + feedback + info + meta", writing,
    list(length = c(1, 15, 24, 300), wic = c(0, 1, 1, 0), feedback = c(0, 1, 0, 1), info = c(1, 1, 0, 0), meta = c(0, 1, 1, 5))),
  curtis1998 = list("~ time + fungrp + method", curtis, list(time = c(40, 365, 1000, 1e5), fungrp = c("ANGIO", "GYMNO", "N2FIX", "N2FIX"), method = c("GC", "OTC", "GH", "OTC"))),
  molloy2014 = list("~ meanage * quality + design", z_of(metadat::dat.molloy2014),
    list(meanage = c(30, 45.5, 70, 300), quality = c(1, 2.5, 4, -90), design = c("prospective", "cross-sectional", "prospective", "cross-sectional"))),
  mcdaniel1994 = list("~ type + struct", interviews, list(type = c("j", "p", "s", "s"), struct = c("s", "u", "s", "u"))),
  hasselblad1998 = list("~ year + trt", smoking, list(year = c(1970, 1984.5, 1990, 2100), trt = c("no_contact", "ind_counseling", "grp_counseling", "self_help"))),
  four = list("~ x", four, list(x = c(0, 2, 4.5, -70))), three = list("~ x", three, list(x = c(0, 2, 4.5, -70))),
  flat = list("~ x", flat, list(x = c(0, 2, 4.5, -70)))
)
METHODS <- c("CE", "DL", "ML", "REML")

limits <- function(p) list(low = vec(p$pi.lb), high = vec(p$pi.ub))
predictions <- function(fits, new) {
  default <- lapply(fits, predict, newmods = new)
  out <- lapply(default, function(p) list(estimate = vec(p$pred), se = vec(p$se), low = vec(p$ci.lb), high = vec(p$ci.ub)))
  if (fits$z$method == "CE") return(list(tests = out))
  # these fits estimated tau2: with a given one "riley" has a degree of freedom more
  asked <- function(test, type) limits(predict(fits[[test]], newmods = new, pi.type = type))
  at90 <- predict(fits$hk, newmods = new, level = 90)
  list(tests = out, hk90 = list(low = vec(at90$ci.lb), high = vec(at90$ci.ub)), pi = list(
    z = limits(default$z), t = limits(default$t), "z/t" = asked("z", "t"), "z/simple" = asked("z", "simple"), "hk/simple" = asked("hk", "simple"),
    "z/riley" = asked("z", "riley"), "t/riley" = asked("t", "riley"), hk = limits(default$hk), "hk/riley" = asked("hk", "riley")))
}
contrasts_of <- function(f, X) {
  a <- anova(f, X = X)
  list(estimate = vec(a$Xb), se = vec(a$se), statistic = vec(a$zval), pvalue = vec(a$pval), df = f$ddf)
}
joint <- function(btt, fit) {
  a <- anova(fit, btt = btt)
  list(statistic = a$QM, df = a$QMdf[1], df2 = a$QMdf[2], pvalue = a$QMp)
}
heterogeneity <- function(f, ...) {
  unit <- mean(f$vi)
  ci <- confint(f, ..., control = list(tol = 1e-14 * unit, maxiter = 10000, tau2.max = 1e5 * max(f$vi, var(f$yi))))$random
  setNames(rows(ci), c("tau2", "tau", "I2", "H2"))
}
intervals_of <- function(f) {
  out <- list(QP = heterogeneity(f), QP90 = heterogeneity(f, level = 90))
  if (f$method %in% c("ML", "REML")) out$PL <- heterogeneity(f, type = "PL")
  out
}
one_regression <- function(formula, d, new) {
  text <- formula; formula <- as.formula(formula)
  yi <- as.numeric(d$yi); vi <- as.numeric(d$vi)
  d <- d[names(new)]
  X <- model.matrix(formula, d)
  levels <- lapply(Filter(is.character, d), function(x) sort(unique(x)))
  points <- unname(model.matrix(formula, as.data.frame(new), xlev = levels))
  with_intercept <- colnames(X)[1] == "(Intercept)"
  p <- ncol(X)
  # a difference of two points, one far away, the sum of all coefficients
  combinations <- rbind(points[1, ] - points[2, ], points[4, ], rep(1, p))
  terms <- split(seq_len(p), attr(X, "assign"))
  names(terms) <- c(if (with_intercept) "Intercept", attr(terms(formula), "term.labels"))
  slopes <- terms[names(terms) != "Intercept"]
  tested <- c(unname(slopes), list(seq_len(p), p, unique(c(p, max(1, p - 1)))))
  methods <- lapply(setNames(nm = METHODS), function(method) {
    fits <- lapply(TESTS, function(test) fit_at(yi, vi, formula, d, method, test))
    f <- fits$z
    by_term <- lapply(slopes, function(i) vif(f, btt = i)$vif[[1]])
    out <- list(tau2 = f$tau2, threshold = attr(f, "threshold"), predictions = predictions(fits, if (with_intercept) points[, -1, drop = FALSE] else points),
      contrasts = lapply(fits, function(f) contrasts_of(f, combinations)), joint = lapply(fits, function(f) lapply(tested, joint, fit = f)),
      vif = vec(vif(f)$vifs), gvif = lapply(by_term, function(v) vec(c(v$m, v$vif, v$sif))))
    if (method != "CE") out$intervals <- intervals_of(f)
    out
  })
  pooled <- lapply(setNames(nm = c("ML", "REML")), function(method) intervals_of(fit_at(yi, vi, ~ 1, d, method)))
  list(formula = text, yi = vec(yi), vi = vec(vi), data = lapply(d, column), X = rows(X), new = lapply(new, column), points = rows(points),
       combinations = rows(combinations), tested = lapply(tested, vec), terms = lapply(slopes, vec), methods = methods, pooled = pooled)
}

# ---- subgroups ---------------------------------------------------------------------------------------------------
SUBGROUPS <- list(
  bcg_alloc = list("RR", bcg, "alloc"), bcg_one_alternate = list("RR", bcg[-which(bcg$alloc == "alternate")[1], ], "alloc"),
  raudenbush1985_setting = list("SMD", meta("dat.raudenbush1985"), "setting"),
  curtis1998_fungrp = list("ROM", curtis, "fungrp"), curtis1998_method = list("ROM", curtis, "method"),
  bangertdrowns2004_subject = list("SMD", meta("dat.bangertdrowns2004"), "subject"),
  hasselblad1998_trt = list("PLO", smoking, "trt"), debruin2009_ethnicity = list("PLO", adherence, "ethnicity"),
  debruin2009_patients = list("PLO", adherence, "patients"), mcdaniel1994_type = list("ZCOR", interviews, "type")
)
# Welch's F of estimates with standard errors and degrees of freedom: of samples made to have these
welch <- function(b, s, df) {
  if (any(is.na(df))) return(NULL)
  made <- mapply(function(b, s, n) b + s * sqrt(n) * c(scale(seq_len(n)^2)), b, s, df + 1, SIMPLIFY = FALSE)
  w <- oneway.test(y ~ g, data.frame(y = unlist(made), g = factor(rep(seq_along(b), df + 1))))
  vec(c(w$statistic, w$parameter, w$p.value))
}
numbers_of <- function(f) vec(c(f$beta, f$se, f$ci.lb, f$ci.ub, f$pval))
one_subgroups <- function(measure, d, by) {
  yi <- as.numeric(d$yi); vi <- as.numeric(d$vi)
  d <- data.frame(group = factor(d[[by]], levels = unique(d[[by]])))
  names <- levels(d$group); G <- length(names)
  inside <- lapply(names, function(name) which(d$group == name))
  methods <- lapply(setNames(nm = c("DL", "REML")), function(method) {
    shared <- lapply(TESTS, function(test) fit_at(yi, vi, ~ 0 + group, d, method, test))
    between <- lapply(TESTS, function(test) fit_at(yi, vi, ~ group, d, method, test))
    tau2 <- shared$z$tau2
    alone <- lapply(inside, function(i) if (length(i) == 1L) tau2 else fit_at(yi[i], vi[i], ~ 1, d[i, , drop = FALSE], method)$tau2)
    separate <- lapply(TESTS, function(test) {
      # one study: normal, at the common tau2
      each <- mapply(function(i, t) fit_at(yi[i], vi[i], ~ 1, d[i, , drop = FALSE], method, if (length(i) == 1L) "z" else test, t), inside, alone, SIMPLIFY = FALSE)
      found <- data.frame(b = sapply(each, function(f) c(f$beta)), s = sapply(each, function(f) f$se), group = factor(names, levels = names))
      test_of <- rma(b, sei = s, mods = ~ group, data = found, method = "FE")
      list(groups = lapply(each, numbers_of), I2 = vec(sapply(each, function(f) f$I2)), Q = vec(sapply(each, function(f) f$QE)),
           between = vec(c(test_of$QM, test_of$QMdf[1], NA, test_of$QMp)), welch = welch(found$b, found$s, sapply(each, function(f) f$ddf)))
    })
    common <- lapply(names(TESTS), function(test) {
      f <- shared[[test]]; b <- between[[test]]
      p <- limits(predict(fit_at(yi, vi, ~ 0 + group, d, method, "t"), newmods = diag(G)))
      X <- if (G > 2) cbind(1, -diag(G - 1)) else cbind(1, -1) # the first less each other
      list(groups = rows(cbind(f$beta, f$se, f$ci.lb, f$ci.ub, f$pval)), between = vec(c(b$QM, b$QMdf, b$QMp)), pi = p,
           I2 = vec(sapply(inside, function(i) fit_at(yi[i], vi[i], ~ 1, d[i, , drop = FALSE], method, "z", tau2)$I2)), against_first = contrasts_of(f, X))
    })
    list(tau2 = tau2, separate_tau2 = vec(unlist(alone)), separate = separate, common = setNames(common, names(TESTS)))
  })
  list(measure = measure, yi = vec(yi), vi = vec(vi), group = txt(d$group), names = txt(names), k = vec(lengths(inside)), methods = methods)
}

# ---- a thousand studies ------------------------------------------------------------------------------------------
set.seed(20)
vi <- round(.005 + rexp(1000, 30), 5)
yi <- round(rnorm(1000, .25, sqrt(vi + .02)), 4)
thousand <- lapply(setNames(nm = c("DL", "ML", "PM", "REML")), function(method) {
  f <- fit_at(yi, vi, ~ 1, data.frame(yi), method)
  hk <- fit_at(yi, vi, ~ 1, data.frame(yi), method, "knha", f$tau2)
  list(tau2 = f$tau2, I2 = f$I2, z = numbers_of(f), hk = numbers_of(hk))
})

# ---- conversions -------------------------------------------------------------------------------------------------
whole <- function(columns) {
  keep <- Reduce(`&`, lapply(columns, function(x) !is.na(x)))
  lapply(columns, function(x) as.numeric(x[keep]))
}
converted <- function(measure, columns, names) {
  columns <- whole(columns)
  e <- suppressWarnings(do.call(escalc, c(list(measure = measure), setNames(columns, names))))
  list(columns = lapply(columns, vec), yi = vec(e$yi), vi = vec(e$vi))
}
from_tables <- function(ai, n1i, ci, n2i) converted("OR2DL", list(events_t = ai, total_t = n1i, events_c = ci, total_c = n2i), c("ai", "n1i", "ci", "n2i"))
from_means <- function(d) converted("D2ORL", with(d, list(mean_t = m1i, sd_t = sd1i, n_t = n1i, mean_c = m2i, sd_c = sd2i, n_c = n2i)), c("m1i", "sd1i", "n1i", "m2i", "sd2i", "n2i"))
from_r <- function(d) converted("ZCOR", list(r = d$ri, n = d$ni), c("ri", "ni"))
CONVERSIONS <- list(
  OR2DL = list(bcg = with(metadat::dat.bcg, from_tables(tpos, tpos + tneg, cpos, cpos + cneg)), nielweise2007 = with(metadat::dat.nielweise2007, from_tables(ai, n1i, ci, n2i)),
               collins1985b = with(metadat::dat.collins1985b, from_tables(pre.xti, pre.nti, pre.xci, pre.nci))),
  D2ORL = list(normand1999 = from_means(metadat::dat.normand1999), curtis1998 = from_means(metadat::dat.curtis1998)),
  ZCOR = list(molloy2014 = from_r(metadat::dat.molloy2014), mcdaniel1994 = from_r(metadat::dat.mcdaniel1994))
)

made <- list(
  versions = list(R = R.version.string, metafor = as.character(packageVersion("metafor")), metadat = as.character(packageVersion("metadat"))),
  regressions = lapply(REGRESSIONS, function(r) one_regression(r[[1]], r[[2]], r[[3]])),
  subgroups = lapply(SUBGROUPS, function(s) one_subgroups(s[[1]], s[[2]], s[[3]])),
  thousand = list(yi = vec(yi), vi = vec(vi), methods = thousand), conversions = CONVERSIONS
)
writeLines(json(made), OUT)
cat(length(REGRESSIONS), "regressions,", length(SUBGROUPS), "subgroup analyses\n")
