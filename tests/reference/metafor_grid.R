# Writes metafor_grid.json: data sets x measures x methods x tests, fitted by metafor at tight control.
# Run from the root of the repository: Rscript tests/reference/metafor_grid.R
# Needs: metafor 3.8-1, metadat, lme4 (Debian: r-cran-metafor r-cran-metadat r-cran-lme4).

suppressMessages({
  library(metafor)
  library(lme4)
})
options(warn = 1)

OUT <- "tests/reference/metafor_grid.json"
METHODS <- c("CE", "DL", "HE", "HS", "HSk", "SJ", "ML", "REML", "EB", "PM", "PMM", "SJIT", "GENQ-iv", "GENQ-sqrt")
# DLIT is left out: metafor 3.8-1 iterates (Q - (k - 1))/tr(P) instead of (Q - tr(PV))/tr(P); see README.md.
TESTS <- c(z = "z", t = "t", hk = "knha", "hk-adhoc" = "adhoc")
RATES <- c("PR", "PLO", "PLN", "PAS", "PFT")
SMALL <- 20 # per-study vectors of every method up to this k, of CE, DL and REML only beyond

source("tests/reference/json.R")

# ---- data sets ---------------------------------------------------------------------------------------------------
nie <- metadat::dat.nielweise2007
bcg <- metadat::dat.bcg
col <- subset(metadat::dat.collins1985b, select = c(pre.xti, pre.nti, pre.xci, pre.nci))
rates <- function(x, n, source) {
  known <- !is.na(x) & !is.na(n)
  list(x = as.numeric(x[known]), n = as.numeric(n[known]), source = source)
}
COUNTS <- list(
  dataset_a = rates(c(0, 3, 1, 4, 2, 3, 9, 7), c(20, 44, 28, 30, 51, 30, 40, 40), "made up"),
  pritz1997 = with(metadat::dat.pritz1997, rates(xi, ni, "metadat dat.pritz1997")),
  debruin2009 = with(metadat::dat.debruin2009, rates(xi, ni, "metadat dat.debruin2009")),
  nielweise2007_standard = with(nie, rates(ci, n2i, "metadat dat.nielweise2007, standard catheters")),
  nielweise2007_coated = with(nie, rates(ai, n1i, "metadat dat.nielweise2007, anti-infective catheters")),
  lee2004_control = with(metadat::dat.lee2004, rates(ci, n2i, "metadat dat.lee2004, controls")),
  hasselblad1998 = with(metadat::dat.hasselblad1998, rates(xi, ni, "metadat dat.hasselblad1998, all arms")),
  bcg_control = with(bcg, rates(cpos, cpos + cneg, "metadat dat.bcg, controls: n 139 to 88391")),
  linde2005_active = with(metadat::dat.linde2005, rates(ai, n1i, "metadat dat.linde2005, Hypericum arms")),
  homogeneous = rates(c(5, 11, 8, 13, 3), c(50, 100, 82, 120, 35), "made up: Q below k - 1"),
  high = rates(c(20, 17, 30, 11, 44, 25), c(20, 18, 31, 11, 46, 29), "made up: rates near and at 1"),
  identical = rates(c(2, 3, 4), c(20, 30, 40), "made up: equal rates"),
  three = rates(c(3, 9, 12), c(20, 25, 28), "made up"),
  two = rates(c(3, 9), c(20, 25), "made up")
)
generic <- function(d, source) list(yi = as.numeric(d$yi), vi = as.numeric(d$vi), source = source)
GENERIC <- list(
  bcg_rr = generic(escalc("RR", data = bcg, ai = tpos, bi = tneg, ci = cpos, di = cneg),
                   "metadat dat.bcg, log risk ratio"),
  bcg_or = generic(escalc("OR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = bcg),
                   "metadat dat.bcg, log odds ratio"),
  hackshaw1998 = generic(metadat::dat.hackshaw1998, "metadat dat.hackshaw1998, log odds ratio"),
  raudenbush1985 = generic(metadat::dat.raudenbush1985, "metadat dat.raudenbush1985, standardised mean difference"),
  normand1999_md = generic(escalc("MD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i,
                                  data = metadat::dat.normand1999), "metadat dat.normand1999, mean difference"),
  normand1999_smd = generic(escalc("SMD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i,
                                   data = metadat::dat.normand1999), "metadat dat.normand1999, Hedges' g"),
  begg1989 = generic(metadat::dat.begg1989, "metadat dat.begg1989, disease-free survival, all arms"),
  collins1985b = generic(escalc("OR", ai = pre.xti, n1i = pre.nti, ci = pre.xci, n2i = pre.nci, data = col),
                         "metadat dat.collins1985b, pre-eclampsia, log odds ratio"),
  narrow = list(yi = c(.10, .11, .12, .10), vi = c(.01, .02, .03, .02), source = "made up: Hartung-Knapp narrower than z"),
  # Metafor's Fisher scoring ends in the lower of two maxima in the next three (REML).
  two_maxima_low = list(yi = c(3.1, 2.73, -2.33), vi = c(.049, .023, 4.14), source = "made up: the higher maximum is the smaller"),
  two_maxima_high = list(yi = c(-.46, -.3, 1.16, .74, 1.28), vi = c(.013, .004, .372, 3.428, 3.42),
                         source = "made up: the higher maximum is the larger"),
  two_maxima_zero = list(yi = c(2.36, .71, -2.34, .58, -2.03), vi = c(.768, .004, 2.112, .004, 3.128),
                         source = "made up: metafor settles on 0"),
  boundary_maximum = list(yi = c(0, .1, -.1, .05, 3.2, -2.9), vi = c(.01, .012, .009, .011, 1, 1.2),
                          source = "made up: a maximum at 0 and a lower one inside"),
  gen_three = list(yi = c(.1, .9, -.4), vi = c(.04, .2, .09), source = "made up"),
  gen_two = list(yi = c(.1, .9), vi = c(.04, .2), source = "made up")
)

# Stopping rules in units of the data: metafor's are absolute.
scale_of <- function(yi, vi) {
  w <- 1 / vi
  dl <- (sum(w * (yi - sum(w * yi) / sum(w))^2) - (length(yi) - 1)) / (sum(w) - sum(w^2) / sum(w))
  max(0, dl) + 1 / mean(w)
}

# ---- one fit -----------------------------------------------------------------------------------------------------
tight <- function(yi, vi, method, test, level, weights = NULL, tau2 = NULL, start = NULL) {
  arguments <- list(yi = yi, vi = vi, method = method, test = test, level = level)
  if (!is.null(tau2)) arguments$tau2 <- tau2
  if (!is.null(weights)) arguments$weights <- weights
  scale <- scale_of(yi, vi)
  for (step in c(1, .5, .1)) for (threshold in c(1e-14, 1e-13, 1e-12, 1e-11)) {
    arguments$control <- list(threshold = threshold * scale, tol = 1e-15 * scale, maxiter = 50000, stepadj = step,
                              tau2.max = 1e4 * max(scale, var(yi)))
    if (!is.null(start)) arguments$control$tau2.init <- start
    fit <- try(suppressWarnings(do.call(rma, arguments)), silent = TRUE)
    if (!inherits(fit, "try-error")) {
      fit$tight <- c(threshold = threshold, stepadj = step)
      return(fit)
    }
  }
  stop("no convergence: ", method, ": ", conditionMessage(attr(fit, "condition")))
}

# Highest profile likelihood over tau2 >= 0, found by a scan: tells whether metafor's maximum is the global one.
profile_scan <- function(yi, vi, reml) {
  ll <- function(t2) {
    w <- 1 / (vi + t2)
    mu <- sum(w * yi) / sum(w)
    -.5 * (sum(log(vi + t2)) + sum(w * (yi - mu)^2) + if (reml) log(sum(w)) else 0)
  }
  top <- 100 * (var(yi) + max(vi))
  grid <- c(0, exp(seq(log(min(vi) * 1e-6), log(top), length.out = 4000)))
  value <- vapply(grid, ll, 0)
  inner <- which(diff(sign(diff(value))) < 0) + 1
  peaks <- vapply(inner, function(i)
    optimize(ll, grid[c(i - 1, i + 1)], maximum = TRUE, tol = 1e-12)$maximum, 0)
  peaks <- c(if (value[1] > value[2]) 0, peaks)
  height <- vapply(peaks, ll, 0)
  list(peaks = peaks, best = peaks[which.max(height)], height = max(height), at = ll)
}

# metafor's own maximum; where the scan finds a higher one, the fit that metafor gives from there.
likelihood_fits <- function(yi, vi, code) {
  scan <- profile_scan(yi, vi, code == "REML")
  own <- tight(yi, vi, code, "z", 95)
  global <- scan$height - scan$at(own$tau2) < 1e-7 * max(1, abs(scan$height))
  fits <- lapply(TESTS, function(test) tight(yi, vi, code, test, 95, start = if (!global) scan$best))
  stopifnot(scan$height - scan$at(fits$z$tau2) < 1e-7 * max(1, abs(scan$height)))
  list(fits = fits, record = list(loglik = c(logLik(fits$z)), global = global, own_tau2 = own$tau2,
                                  peaks = vec(scan$peaks)))
}

interval_control <- function(yi, vi) {
  scale <- scale_of(yi, vi)
  list(tol = 1e-15 * scale, maxiter = 10000, tau2.max = 1e6 * max(scale, var(yi)))
}

one_method <- function(yi, vi, method) {
  k <- length(yi)
  weights <- switch(method, "GENQ-iv" = 1 / vi, "GENQ-sqrt" = 1 / sqrt(vi), NULL)
  code <- sub("-.*", "", method)
  if (code %in% c("ML", "REML")) {
    likelihood <- likelihood_fits(yi, vi, code)
    fits <- likelihood$fits
  } else {
    first <- tight(yi, vi, code, "z", 95, weights)
    # SJIT takes thousands of steps: its other tests are asked for at the tau2 that the first fit found.
    fixed <- if (code == "SJIT") first$tau2
    fits <- lapply(TESTS, function(test) tight(yi, vi, code, test, 95, weights, fixed))
    fits <- lapply(fits, function(f) { f$parms <- first$parms; f })
    fits$z <- first
  }
  first <- fits$z
  keep <- k <= SMALL || code %in% c("CE", "DL", "REML")
  out <- list(
    estimate = c(first$beta), tau2 = first$tau2, se_tau2 = if (code == "CE") NA_real_ else first$se.tau2,
    I2 = first$I2, H2 = first$H2,
    tests = lapply(names(TESTS), function(name) {
      f <- fits[[name]]
      crit <- if (name == "z") qnorm(.95) else qt(.95, k - 1)
      n90 <- suppressWarnings(predict(f, level = 90))
      stopifnot(isTRUE(all.equal(n90$ci.lb, c(f$beta) - crit * f$se, tolerance = 1e-12)))
      vec(c(f$se, f$zval, f$pval, f$ci.lb, f$ci.ub, n90$ci.lb, n90$ci.ub))
    }) |> setNames(names(TESTS))
  )
  if (!is.null(first$tight) && !all(first$tight == c(1e-14, 1))) out$control <- first$tight
  if (code != "CE") {
    pi_of <- function(fit, ...) { p <- predict(fit, ...); vec(c(p$pi.lb, p$pi.ub)) }
    out$pi <- list(z = pi_of(first), simple = pi_of(first, pi.type = "simple"), t = pi_of(first, pi.type = "t"),
                   hts = if (k > 2) pi_of(first, pi.type = "riley"), hk = if (k > 2) pi_of(fits$hk, pi.type = "riley"))
  }
  if (code %in% c("ML", "REML")) {
    out <- c(out, likelihood$record)
    pl <- try(suppressWarnings(confint(first, type = "PL", control = interval_control(yi, vi)))$random[1, 2:3], silent = TRUE)
    if (!inherits(pl, "try-error")) out$PL <- vec(pl)
  }
  if (keep) {
    out$weights <- vec(weights(first))
    if (code != "CE" && is.null(weights)) {
      b <- blup(first)
      out$blup <- vec(b$pred)
      out$blup_se <- vec(b$se)
    }
  }
  out
}

one_cell <- function(yi, vi, extra = NULL) {
  base <- tight(yi, vi, "DL", "z", 95)
  limits <- function(level) {
    ci <- confint(base, level = level, control = interval_control(yi, vi))
    vec(t(ci$random[c(1, 3, 4), 2:3]))
  }
  c(extra, list(yi = vec(yi), vi = vec(vi), k = length(yi), Q = base$QE, Q_pvalue = base$QEp,
                QP = limits(95), QP90 = limits(90)),
    list(methods = setNames(lapply(METHODS, function(m) one_method(yi, vi, m)), METHODS)))
}

# ---- binomial-normal model ---------------------------------------------------------------------------------------
quiet <- function(fit) suppressMessages(suppressWarnings(fit))
sharp <- function(x, n, nodes) {
  d <- data.frame(y = x / n, n = n, id = seq_along(x))
  for (pwrss in c(1e-13, 1e-10, 1e-8)) {
    control <- glmerControl(optimizer = "bobyqa", optCtrl = list(rhobeg = 1e-2, rhoend = 1e-10, maxfun = 1e5),
                            tolPwrss = pwrss, boundary.tol = 0, check.conv.singular = "ignore",
                            check.conv.grad = "ignore", check.conv.hess = "ignore")
    fit <- try(quiet(glmer(y ~ 1 + (1 | id), weights = n, family = binomial, data = d, nAGQ = nodes,
                           control = control)), silent = TRUE)
    if (inherits(fit, "try-error")) next
    again <- try(quiet(update(fit, start = list(theta = getME(fit, "theta"), fixef = fixef(fit)))), silent = TRUE)
    if (!inherits(again, "try-error")) fit <- again
    return(c(estimate = unname(fixef(fit)), se = sqrt(as.matrix(vcov(fit))[1, 1]), tau2 = VarCorr(fit)$id[1, 1],
             tolPwrss = pwrss))
  }
  NULL
}
one_glmm <- function(x, n) {
  fit <- try(quiet(rma.glmm(measure = "PLO", xi = x, ni = n, nAGQ = 7)), silent = TRUE)
  out <- list(events = vec(x), total = vec(n))
  if (inherits(fit, "try-error")) {
    out$stopped <- trimws(gsub("\n", " ", conditionMessage(attr(fit, "condition"))))
  } else {
    out$metafor <- c(estimate = c(fit$beta), se = fit$se, statistic = fit$zval, pvalue = fit$pval,
                     ci_low = fit$ci.lb, ci_high = fit$ci.ub, tau2 = fit$tau2, I2 = fit$I2, H2 = fit$H2,
                     QE_Wld = fit$QE.Wld, QEp_Wld = fit$QEp.Wld, QE_LRT = fit$QE.LRT, QEp_LRT = fit$QEp.LRT)
    equal <- quiet(rma.glmm(measure = "PLO", xi = x, ni = n, method = "EE"))
    out$common <- c(estimate = c(equal$beta), se = equal$se)
  }
  for (nodes in c(7, 25)) out[[paste0("lme4_", nodes)]] <- sharp(x, n, nodes)
  out
}
GLMM <- c(COUNTS, list(
  all_zero = rates(c(0, 0, 0), c(12, 30, 9), "made up"),
  all_events = rates(c(10, 20, 25, 5), c(10, 20, 25, 5), "made up"),
  near_equal = rates(c(4, 3, 2, 1), c(10, 20, 30, 40), "made up"),
  one = rates(3, 20, "made up"),
  half_zero = rates(c(0, 0, 0, 0, 2, 5, 1, 9), c(25, 40, 18, 33, 30, 41, 22, 38), "made up: half of the studies at 0")
))

# ---- all of it ---------------------------------------------------------------------------------------------------
cells <- list()
for (name in names(COUNTS)) for (measure in RATES) {
  d <- COUNTS[[name]]
  es <- suppressWarnings(escalc(measure, xi = d$x, ni = d$n))
  message(name, " ", measure)
  cells[[paste(name, measure, sep = "/")]] <-
    one_cell(as.numeric(es$yi), as.numeric(es$vi), list(source = d$source, events = vec(d$x), total = vec(d$n)))
}
for (name in names(GENERIC)) {
  d <- GENERIC[[name]]
  message(name)
  cells[[paste(name, "GEN", sep = "/")]] <- one_cell(d$yi, d$vi, list(source = d$source))
}
version <- function(p) as.character(packageVersion(p))
grid <- list(
  versions = c(R = paste(R.version$major, R.version$minor, sep = "."), metafor = version("metafor"),
               metadat = version("metadat"), lme4 = version("lme4")),
  axes = list(datasets = c(names(COUNTS), names(GENERIC)), measures = RATES, methods = METHODS, tests = names(TESTS),
              columns = c("se", "statistic", "pvalue", "ci_low", "ci_high", "ci90_low", "ci90_high"),
              glmm = names(GLMM)),
  cells = cells,
  glmm = lapply(GLMM, function(d) one_glmm(d$x, d$n))
)
writeLines(json(grid), OUT)
