# Writes glmm_grid.json: generalised linear mixed models by rma.glmm as it comes, and by lme4::glmer at tight control.
# Run from the root of the repository: Rscript tests/reference/glmm_grid.R   (about nine minutes of one core)
# Needs: metafor 3.8-1, metadat, lme4, BiasedUrn (Debian: r-cran-metafor r-cran-metadat r-cran-lme4 r-cran-biasedurn).
# A fit's log-likelihood is kept where it is marginal: glmer with one node (Laplace), rma.glmm UM.RS (the same) and CM.EL of
# odds ratios. rma.glmm drops studies without events, or without non-events, in both arms; names in lme4_* keep them for UM.RS,
# "_drop00" does not.

suppressMessages({
  library(metafor)
  library(lme4)
})
source("tests/reference/json.R")
OUT <- "tests/reference/glmm_grid.json"
ONLY <- commandArgs(trailingOnly = TRUE) # names of groups, for a part: one_arm two_arms rates links

data_of <- function(name) eval(parse(text = paste0("metadat::dat.", name)))

# ---- running and keeping ------------------------------------------------------------------------------------------
watch <- function(expression) {
  said <- character()
  value <- withCallingHandlers(
    tryCatch(expression, error = function(e) structure(list(conditionMessage(e)), class = "stopped")),
    warning = function(w) { said <<- c(said, conditionMessage(w)); invokeRestart("muffleWarning") },
    message = function(m) invokeRestart("muffleMessage"))
  list(value = value, said = unique(trimws(gsub("\\s+", " ", said))))
}
plain <- function(text) trimws(gsub("\\s+", " ", gsub("\033\\[[0-9;]*m", "", text)))
keep <- function(run, numbers, nodes) {
  out <- if (inherits(run$value, "stopped")) list(stopped = plain(run$value[[1]])) else numbers(run$value)
  out$nodes <- nodes
  if (length(run$said)) out$warnings <- txt(plain(run$said))
  out
}
Z <- qnorm(.975)
from_metafor <- function(loglik) function(f) {
  out <- list(estimate = vec(f$beta), se = vec(f$se), ci_low = vec(f$ci.lb), ci_high = vec(f$ci.ub), tau2 = f$tau2, k = f$k)
  if (f$p > 1) out$vcov <- vec(f$vb)
  if (f$model == "UM.RS" && is.element(f$measure, c("OR", "RR", "RD", "IRR"))) out$sigma2 <- f$sigma2
  if (isTRUE(f$cor)) out$rho <- f$rho
  if (loglik) out$loglik <- c(logLik(f))
  out
}
# p effects come last in the formulas below; the first `skip` coefficients are the study effects.
from_lme4 <- function(pwrss, effects, loglik) function(f) {
  V <- as.matrix(vcov(f))[effects, effects, drop = FALSE]
  variances <- lapply(VarCorr(f), function(v) as.matrix(v))
  out <- list(estimate = vec(fixef(f)[effects]), se = vec(sqrt(diag(V))))
  if (length(effects) > 1) out$vcov <- vec(V)
  last <- variances[[length(variances)]]
  out$tau2 <- last[nrow(last), nrow(last)]
  if (length(variances) > 1) out$sigma2 <- variances[[1]][1, 1]
  if (nrow(last) > 1) {
    out$sigma2 <- last[1, 1]
    out$rho <- attr(VarCorr(f)[[1]], "correlation")[1, 2]
  }
  if (loglik) out$loglik <- c(logLik(f))
  out$tolPwrss <- pwrss
  d <- f@optinfo$derivs
  out$gradient <- if (is.null(d)) NA else tryCatch(max(abs(solve(chol(d$Hessian), d$gradient))), error = function(e) NA)
  out
}
# glmer to a trust region of 1e-10, started again where it ended; the inner iterations at the tightest tolerance that works.
sharp <- function(formula, data, family, nodes, effects, weights = NULL, start = NULL, hess = TRUE) {
  run <- NULL
  for (pwrss in c(1e-13, 1e-10)) {
    control <- glmerControl(optimizer = "bobyqa", optCtrl = list(rhobeg = 1e-2, rhoend = 1e-10, maxfun = 1e5),
                            tolPwrss = pwrss, boundary.tol = 0, check.conv.singular = "ignore",
                            check.conv.grad = "ignore", check.conv.hess = "ignore", check.nobs.vs.rankZ = "ignore",
                            check.nobs.vs.nlev = "ignore", check.nobs.vs.nRE = "ignore")
    data$w <- if (is.null(weights)) rep(1, nrow(data)) else weights
    call <- list(formula = formula, data = data, family = family, nAGQ = nodes, control = control, weights = quote(w))
    if (!is.null(start)) call$start <- start
    run <- watch(do.call(glmer, call))
    if (inherits(run$value, "stopped")) next
    call$start <- list(theta = getME(run$value, "theta"), fixef = fixef(run$value))
    again <- watch(do.call(glmer, call))
    if (!inherits(again$value, "stopped")) run <- again
    break
  }
  out <- keep(run, from_lme4(pwrss, effects, nodes == 1), nodes)
  if (is.null(out$stopped) && is.na(out$gradient) && out$tau2 > 0) out <- list(stopped = "the end of the search is no maximum", nodes = nodes)
  out
}
log_of <- function(name) message(format(Sys.time(), "%H:%M:%S "), name)

# ---- one arm ------------------------------------------------------------------------------------------------------
arm <- function(x, n, mods = NULL) {
  known <- complete.cases(cbind(x, n, mods)) & n > 0
  list(x = as.numeric(x[known]), n = as.numeric(n[known]), mods = if (is.null(mods)) NULL else as.matrix(mods)[known, , drop = FALSE])
}
bcg <- data_of("bcg")
nie <- data_of("nielweise2007")
col <- data_of("collins1985a")
bru <- data_of("debruin2009")
has <- data_of("hasselblad1998")
yus <- subset(data_of("yusuf1985"), table == "6")
arm_of <- function(name, which) with(data_of(name), if (which == 1) arm(ai, n1i) else arm(ci, n2i))
ONE <- list(
  pritz1997 = with(data_of("pritz1997"), arm(xi, ni)),
  debruin2009 = with(bru, arm(xi, ni)),
  hasselblad1998 = with(has, arm(xi, ni)),
  hannum2020 = with(data_of("hannum2020"), arm(xi, ni)),
  pagliaro1992 = with(data_of("pagliaro1992"), arm(xi, ni)),
  obrien2003 = with(data_of("obrien2003"), arm(cases, total)),
  kearon1998_sensitivity = with(data_of("kearon1998"), arm(tp, np)),
  kearon1998_specificity = with(data_of("kearon1998"), arm(tn, nn)),
  nielweise2007_coated = with(nie, arm(ai, n1i)),
  nielweise2007_standard = with(nie, arm(ci, n2i)),
  bcg_vaccinated = with(bcg, arm(tpos, tpos + tneg)),
  bcg_control = with(bcg, arm(cpos, cpos + cneg)),
  collins1985a_treated = with(col, arm(b.xti, nti)),
  yusuf1985_treated = with(yus, arm(ai, n1i)),
  egger2001_control = arm_of("egger2001", 2),
  hine1989_treated = arm_of("hine1989", 1),
  hahn2001_treated = arm_of("hahn2001", 1),
  li2007_treated = arm_of("li2007", 1),
  linde2005_control = arm_of("linde2005", 2),
  laopaiboon2015_treated = arm_of("laopaiboon2015", 1),
  lee2004_treated = arm_of("lee2004", 1),
  graves2010_treated = arm_of("graves2010", 1),
  lau1992_control = arm_of("lau1992", 2),
  damico2009_treated = with(data_of("damico2009"), arm(xt, nt)),
  dorn2007_placebo = with(data_of("dorn2007"), arm(x.p, n.p)),
  axfors2021_control = with(data_of("axfors2021"), arm(control_arm_event, control_arm_total)),
  cannon2006_treated = with(data_of("cannon2006"), arm(ep1t, nt)),
  viechtbauer2021_control = with(data_of("viechtbauer2021"), arm(xCi, nCi)),
  issue_meta_57 = arm(4:1, 10 * 1:4),
  equal_rates = arm(c(2, 3, 4), c(20, 30, 40)),
  no_events = arm(c(0, 0, 0), c(12, 30, 9)),
  all_events = arm(c(15, 15, 15, 15), c(15, 15, 15, 15)),
  one_study = arm(3, 20),
  bcg_control_ablat = with(bcg, arm(cpos, cpos + cneg, cbind(ablat = ablat))),
  bcg_vaccinated_ablat = with(bcg, arm(tpos, tpos + tneg, cbind(ablat = ablat))),
  debruin2009_scq = with(bru, arm(xi, ni, cbind(scq = scq))),
  hasselblad1998_arms = with(has, arm(xi, ni, cbind(self_help = +(trt == "self_help"), ind_counseling = +(trt == "ind_counseling"),
                                                    grp_counseling = +(trt == "grp_counseling")))),
  damico2009_control_conceal = with(data_of("damico2009"), arm(xc, nc, cbind(conceal = conceal)))
)
MADE <- c("equal_rates", "no_events", "all_events", "one_study")
start_of <- function(x, n, X, link) {
  p <- pmin(pmax(x / n, .5 / n), 1 - .5 / n)
  fit <- suppressWarnings(glm(p ~ X - 1, family = binomial(link), weights = n, start = c(make.link(link)$linkfun(sum(n * p) / sum(n)), rep(0, ncol(X) - 1))))
  list(theta = .3, fixef = unname(coef(fit)))
}
glmer_arm <- function(d, nodes, link = "logit") {
  X <- cbind(rep(1, length(d$x)), d$mods)
  data <- data.frame(y = d$x / d$n, id = factor(seq_along(d$x)))
  data$X <- X
  start <- if (link == "logit") NULL else start_of(d$x, d$n, X, link)
  sharp(y ~ X - 1 + (1 | id), data, binomial(link), nodes, seq_len(ncol(X)), weights = d$n, start = start)
}
one_arm <- function(name) {
  d <- ONE[[name]]
  log_of(name)
  fits <- list()
  for (nodes in c(7, 1)) {
    call <- list(measure = "PLO", xi = d$x, ni = d$n, nAGQ = nodes)
    if (!is.null(d$mods)) call$mods <- d$mods
    fits[[paste0("metafor_", nodes)]] <- keep(watch(do.call(rma.glmm, call)), from_metafor(FALSE), nodes)
  }
  for (nodes in c(25, 7, 1)) fits[[paste0("lme4_", nodes)]] <- glmer_arm(d, nodes)
  c(list(measure = "PLO", model = "arm", source = if (name == "issue_meta_57") "known_issues.json, meta_57" else if (name %in% MADE) "made up" else paste0("metadat dat.", sub("_.*", "", name)),
         columns = list(events = vec(d$x), total = vec(d$n))),
    if (!is.null(d$mods)) list(mods = lapply(as.data.frame(d$mods), vec)), list(fits = fits))
}

# ---- two arms -----------------------------------------------------------------------------------------------------
pair <- function(a, n1, c, n2, mods = NULL) {
  known <- complete.cases(cbind(a, n1, c, n2, mods))
  list(a = as.numeric(a[known]), n1 = as.numeric(n1[known]), c = as.numeric(c[known]), n2 = as.numeric(n2[known]),
       mods = if (is.null(mods)) NULL else as.matrix(mods)[known, , drop = FALSE])
}
pair_of <- function(name) with(data_of(name), pair(ai, n1i, ci, n2i))
TWO <- list(
  bcg = with(bcg, pair(tpos, tpos + tneg, cpos, cpos + cneg)),
  nielweise2007 = pair_of("nielweise2007"), hine1989 = pair_of("hine1989"), hahn2001 = pair_of("hahn2001"),
  egger2001 = pair_of("egger2001"), linde2005 = pair_of("linde2005"), lee2004 = pair_of("lee2004"),
  li2007 = pair_of("li2007"), laopaiboon2015 = pair_of("laopaiboon2015"), graves2010 = pair_of("graves2010"),
  lau1992 = pair_of("lau1992"),
  gibson2002 = with(data_of("gibson2002"), pair(ai, ai + bi, ci, ci + di)),
  collins1985a = with(col, pair(b.xti, nti, b.xci, nci)),
  yusuf1985 = with(yus, pair(ai, n1i, ci, n2i)),
  dorn2007 = with(data_of("dorn2007"), pair(x.a, n.a, x.p, n.p)),
  damico2009 = with(data_of("damico2009"), pair(xt, nt, xc, nc)),
  cannon2006 = with(data_of("cannon2006"), pair(ep1t, nt, ep1c, nc)),
  viechtbauer2021 = with(data_of("viechtbauer2021"), pair(xTi, nTi, xCi, nCi)),
  axfors2021 = with(data_of("axfors2021"), pair(hcq_arm_event, hcq_arm_total, control_arm_event, control_arm_total)),
  bcg_ablat = with(bcg, pair(tpos, tpos + tneg, cpos, cpos + cneg, cbind(ablat = ablat))),
  damico2009_conceal = with(data_of("damico2009"), pair(xt, nt, xc, nc, cbind(conceal = conceal)))
)
RATIOS <- c("bcg", "collins1985a", "damico2009", "hine1989", "hahn2001", "lau1992", "cannon2006", "graves2010") # risk ratios and differences
TIMES <- list(
  nielweise2008 = with(data_of("nielweise2008"), pair(x1i, t1i, x2i, t2i)),
  hart1999 = with(data_of("hart1999"), pair(x1i, t1i, x2i, t2i))
)
long <- function(d, coding) {
  k <- length(d$a)
  treated <- rep(c(1, 0), k)
  data <- data.frame(events = c(rbind(d$a, d$c)), n = c(rbind(d$n1, d$n2)), study = factor(rep(seq_len(k), each = 2)), treated = treated,
                     group = treated - (1 - coding))
  X <- cbind(rep(1, k), d$mods)[rep(seq_len(k), each = 2), , drop = FALSE]
  data$X <- X * treated
  data
}
useful <- function(d) { # as metafor's drop00: no study without events, or without non-events, in both arms
  keep <- !(d$a == 0 & d$c == 0) & !(d$a == d$n1 & d$c == d$n2)
  list(a = d$a[keep], n1 = d$n1[keep], c = d$c[keep], n2 = d$n2[keep], mods = d$mods[keep, , drop = FALSE])
}
glmer_two <- function(d, model, nodes, coding = .5, link = "logit", times = FALSE, cor = FALSE) {
  if (model == "UM.FS") d <- useful(d) # a study effect of minus infinity: such a study adds nothing
  data <- long(d, coding)
  p <- ncol(data$X)
  formula <- if (model == "UM.FS") "~ X + study - 1 + (0 + group | study)" else if (cor) "~ X + (1 + group | study)" else "~ X + (1 | study) + (0 + group | study)"
  effects <- if (model == "UM.FS") seq_len(p) else 1 + seq_len(p)
  if (times) sharp(as.formula(paste("events", formula, "+ offset(log(n))")), data, poisson(), nodes, effects)
  else sharp(as.formula(paste("events / n", formula)), data, binomial(link), nodes, effects, weights = data$n)
}
TIMED <- function(measure) measure == "IRR"
by_metafor <- function(d, measure, model, nodes = NULL, ...) {
  call <- if (TIMED(measure)) list(x1i = d$a, t1i = d$n1, x2i = d$c, t2i = d$n2) else list(ai = d$a, n1i = d$n1, ci = d$c, n2i = d$n2)
  call <- c(call, list(measure = measure, model = model), list(...))
  if (!is.null(nodes)) call$nAGQ <- nodes
  if (!is.null(d$mods)) call$mods <- d$mods
  exact <- (model == "CM.EL" && measure == "OR") || model == "UM.RS"
  keep(watch(do.call(rma.glmm, call)), from_metafor(exact), if (is.null(nodes)) NA else nodes)
}
two_arms <- function(name, d, measure) {
  log_of(paste(name, measure))
  fits <- list(UM.FS_7 = by_metafor(d, measure, "UM.FS", 7), UM.RS_1 = by_metafor(d, measure, "UM.RS", 1))
  if (measure == "OR") {
    fits$CM.EL <- by_metafor(d, measure, "CM.EL")
    fits$CM.AL_7 <- by_metafor(d, measure, "CM.AL", 7)
  }
  if (measure == "IRR") fits$CM.EL_7 <- by_metafor(d, measure, "CM.EL", 7)
  if (is.element(measure, c("OR", "IRR"))) {
    fits$UM.RS_1_cor <- by_metafor(d, measure, "UM.RS", 1, cor = TRUE)
    fits$UM.FS_7_coding1 <- by_metafor(d, measure, "UM.FS", 7, coding = 1)
    fits$lme4_UM.RS_1 <- glmer_two(d, "UM.RS", 1, times = TIMED(measure))
    if (!TIMED(measure) && length(useful(d)$a) < length(d$a)) fits$lme4_UM.RS_1_drop00 <- glmer_two(useful(d), "UM.RS", 1)
    fits$lme4_UM.RS_1_cor <- glmer_two(d, "UM.RS", 1, times = TIMED(measure), cor = TRUE)
    if (length(d$a) <= 20) for (nodes in c(7, 25)) fits[[paste0("lme4_UM.FS_", nodes)]] <- glmer_two(d, "UM.FS", nodes, times = TIMED(measure))
  }
  names <- if (TIMED(measure)) c("events_t", "time_t", "events_c", "time_c") else c("events_t", "total_t", "events_c", "total_c")
  c(list(measure = measure, model = "two arms", source = paste0("metadat dat.", sub("_.*", "", name)),
         columns = setNames(lapply(d[c("a", "n1", "c", "n2")], vec), names)),
    if (!is.null(d$mods)) list(mods = lapply(as.data.frame(d$mods), vec)), list(fits = fits))
}

# ---- incidence rates of one arm -----------------------------------------------------------------------------------
one_rate <- function(name, x, t) {
  log_of(name)
  fits <- list()
  for (nodes in c(7, 1))
    fits[[paste0("metafor_", nodes)]] <- keep(watch(rma.glmm(measure = "IRLN", xi = x, ti = t, nAGQ = nodes)), from_metafor(FALSE), nodes)
  data <- data.frame(y = x, t = t, id = factor(seq_along(x)))
  for (nodes in c(25, 7, 1)) fits[[paste0("lme4_", nodes)]] <- sharp(y ~ 1 + offset(log(t)) + (1 | id), data, poisson(), nodes, 1)
  list(measure = "IRLN", model = "arm", source = paste0("metadat dat.", sub("_.*", "", name)), columns = list(events = vec(x), time = vec(t)), fits = fits)
}

# ---- other links --------------------------------------------------------------------------------------------------
LINKED <- c("nielweise2007_standard", "debruin2009", "bcg_control", "collins1985a_treated", "laopaiboon2015_treated", "lee2004_treated",
            "lau1992_control", "debruin2009_scq", "bcg_control_ablat", "damico2009_control_conceal")
profiled <- function(d, link) {
  data <- data.frame(y = d$x / d$n, id = factor(seq_along(d$x)), w = d$n)
  run <- watch({
    fit <- glmer(y ~ 1 + (1 | id), data, binomial(link), weights = w, nAGQ = 25, control = glmerControl(optimizer = "bobyqa", tolPwrss = 1e-12))
    limits <- confint(fit, method = "profile", quiet = TRUE)
    list(tau = vec(limits[1, ]), estimate = vec(limits[2, ]))
  })
  if (inherits(run$value, "stopped")) list(stopped = plain(run$value[[1]])) else run$value
}
links_of <- function(name) {
  d <- ONE[[name]]
  log_of(paste(name, "links"))
  links <- list()
  for (link in c("probit", "cloglog", "log")) links[[link]] <- list(lme4_25 = glmer_arm(d, 25, link), lme4_7 = glmer_arm(d, 7, link), lme4_1 = glmer_arm(d, 1, link))
  if (is.element(name, c("debruin2009", "lee2004_treated"))) for (link in c("logit", "probit", "cloglog")) links[[link]]$profile <- profiled(d, link)
  links
}

# ---- all of it ----------------------------------------------------------------------------------------------------
wanted <- function(group) length(ONLY) == 0 || group %in% ONLY
cases <- list()
if (wanted("one_arm")) for (name in names(ONE)) cases[[paste0(name, "/PLO")]] <- one_arm(name)
if (wanted("rates")) {
  for (name in names(TIMES)) {
    d <- TIMES[[name]]
    cases[[paste0(name, "_treated/IRLN")]] <- one_rate(paste0(name, "_treated"), d$a, d$n1)
    cases[[paste0(name, "_control/IRLN")]] <- one_rate(paste0(name, "_control"), d$c, d$n2)
    cases[[paste0(name, "/IRR")]] <- two_arms(name, d, "IRR")
  }
}
if (wanted("two_arms")) {
  for (name in names(TWO)) cases[[paste0(name, "/OR")]] <- two_arms(name, TWO[[name]], "OR")
  for (measure in c("RR", "RD")) for (name in RATIOS) cases[[paste0(name, "/", measure)]] <- two_arms(name, TWO[[name]], measure)
}
links <- list()
if (wanted("links")) for (name in LINKED) links[[paste0(name, "/PLO")]] <- links_of(name)
version <- function(p) as.character(packageVersion(p))
writeLines(json(list(versions = c(R = paste(R.version$major, R.version$minor, sep = "."), metafor = version("metafor"), metadat = version("metadat"),
                                  lme4 = version("lme4"), BiasedUrn = version("BiasedUrn")), cases = cases, links = links)),
           if (length(ONLY)) paste0("/tmp/glmm_", paste(ONLY, collapse = "_"), ".json") else OUT)
cat(length(cases), "cases\n")
