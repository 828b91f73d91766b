# Writes multilevel_grid.json: rma.mv with nested random effects, and cluster-robust inference by clubSandwich.
# Run from the root of the repository: Rscript tests/reference/multilevel_grid.R
# Needs: metafor 3.8-1, metadat, clubSandwich 0.5.8 (Debian: r-cran-metafor r-cran-metadat r-cran-clubsandwich).

suppressMessages({
  library(metafor)
  library(clubSandwich)
})
options(warn = 1)
source("tests/reference/json.R")
OUT <- "tests/reference/multilevel_grid.json"

crede <- escalc("ZCOR", ri = ri, ni = ni, data = metadat::dat.crede2010)
crede$effect <- seq_len(nrow(crede))
born <- escalc("OR", ai = waward, n1i = wtotal, ci = maward, n2i = mtotal, data = metadat::dat.bornmann2007)
curtis <- escalc("ROM", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i, data = metadat::dat.curtis1998)
set.seed(2)
made_up <- local({
  study <- rep(1:40, sample(1:8, 40, TRUE)); k <- length(study)
  v <- .01 + rexp(k, 50); x <- rnorm(k); z <- rnorm(40)[study]
  data.frame(study, estimate = seq_len(k), x, z, vi = v, yi = .2 + .1 * x + rnorm(40, 0, .3)[study] + rnorm(k, 0, sqrt(v + .02)))
})
CASES <- list(
  konstantopoulos2011 = list(metadat::dat.konstantopoulos2011, c("district", "school"), ~ 1),
  konstantopoulos2011_year = list(metadat::dat.konstantopoulos2011, c("district", "school"), ~ I(year - 1990)),
  assink2016 = list(metadat::dat.assink2016, c("study", "esid"), ~ 1),
  assink2016_moderators = list(metadat::dat.assink2016, c("study", "esid"), ~ deltype + year),
  bornmann2007 = list(born, c("study", "obs"), ~ 1),
  bornmann2007_type = list(born, c("study", "obs"), ~ type),
  crede2010 = list(crede, c("studyid", "sampleid", "effect"), ~ 1),
  crede2010_criterion = list(crede, c("studyid", "sampleid", "effect"), ~ criterion),
  curtis1998 = list(curtis, c("paper", "id"), ~ 1),
  curtis1998_time = list(curtis, c("paper", "id"), ~ time),
  kalaian1996 = list(transform(subset(metadat::dat.kalaian1996, !is.na(hrs)), group = study, effect = id), c("group", "effect"), ~ outcome),
  made_up = list(made_up, c("study", "estimate"), ~ x + z),
  one_level = list(made_up, "study", ~ 1)
)

fit_mv <- function(d, V, X, levels, method, test, dfs = "residual") {
  random <- as.formula(paste("~ 1 |", paste(levels, collapse = "/")))
  arguments <- list(yi = d$yi, V = V, mods = X, intercept = FALSE, random = random, data = d, method = method, test = test, dfs = dfs)
  controls <- c(lapply(c(1e-13, 1e-12, 1e-11, 1e-10, 1e-8), function(tol) list(rel.tol = tol)), list(list(optimizer = "BFGS")))
  for (control in controls) {
    fit <- try(suppressWarnings(do.call(rma.mv, c(arguments, list(control = control)))), silent = TRUE)
    if (!inherits(fit, "try-error")) break
  }
  # polish with another optimiser from there
  positive <- pmax(fit$sigma2, 1e-8)
  again <- try(suppressWarnings(do.call(rma.mv, c(arguments, list(control = list(
    optimizer = "optim", optmethod = "Nelder-Mead", reltol = 1e-15, maxit = 5000, sigma2.init = positive))))), silent = TRUE)
  if (!inherits(again, "try-error") && c(logLik(again)) > c(logLik(fit))) again else fit
}

one_fit <- function(f) {
  out <- list(sigma2 = vec(f$sigma2), beta = vec(f$beta), se = vec(f$se), low = vec(f$ci.lb), high = vec(f$ci.ub),
              pval = vec(f$pval), loglik = c(logLik(f)), QE = f$QE, QEp = f$QEp, QM = f$QM, QMp = f$QMp)
  out
}

one_case <- function(case) {
  d <- as.data.frame(case[[1]])
  levels <- case[[2]]
  X <- model.matrix(case[[3]], d)
  d <- transform(d, yi = as.numeric(yi), vi = as.numeric(vi))
  V <- diag(d$vi)
  reml <- fit_mv(d, V, X, levels, "REML", "z")
  ml <- fit_mv(d, V, X, levels, "ML", "z")
  contain <- fit_mv(d, V, X, levels, "REML", "t", "contain")
  residual <- fit_mv(d, V, X, levels, "REML", "t")
  ranef <- do.call(rbind, lapply(ranef(reml), function(r) r[, 1:2]))
  out <- list(levels = txt(levels), k = nrow(d), names = txt(colnames(X)), X = lapply(seq_len(ncol(X)), function(j) vec(X[, j])),
              groups = lapply(levels, function(l) txt(d[[l]])), yi = vec(d$yi), vi = vec(d$vi),
              REML = one_fit(reml), ML = one_fit(ml),
              contain = list(df = vec(contain$ddf), low = vec(contain$ci.lb), high = vec(contain$ci.ub), QM = contain$QM, QMp = contain$QMp),
              residual = list(low = vec(residual$ci.lb), high = vec(residual$ci.ub)),
              blup = vec(blup_of(reml)), leverage = vec(hatvalues(reml)))
  ordered <- order(as.character(unique(d[[levels[1]]])))
  top <- ranef(reml)[[1]]
  out$ranef <- list(group = txt(rownames(top)), estimate = vec(top[, 1]), se = vec(top[, 2]))
  correlated <- as.matrix(suppressWarnings(impute_covariance_matrix(d$vi, d[[levels[1]]], .6, return_list = FALSE)))
  out$correlated <- one_fit(fit_mv(d, correlated, X, levels, "REML", "z"))
  profile <- try(lapply(seq_along(levels), function(i) suppressWarnings(confint(reml, sigma2 = i, control = list(tol = 1e-9, vc.max = 50)))$random[1, 2:3]), silent = TRUE)
  if (!inherits(profile, "try-error")) out$profile <- lapply(profile, vec)
  cluster <- d[[levels[1]]]
  if (length(unique(cluster)) > ncol(X)) {
    kinds <- c("CR0", "CR1", "CR1p", "CR2")
    out$robust <- lapply(kinds, function(kind) {
      t <- suppressWarnings(coef_test(reml, vcov = kind, cluster = cluster, test = "Satterthwaite"))
      list(se = vec(t$SE), df = vec(t$df_Satt))
    }) |> setNames(kinds)
    # equal weights within clusters: every symmetric root is the same one
    plain <- rma(d$yi, rep(mean(d$vi), nrow(d)), mods = X, intercept = FALSE, method = "FE")
    t <- suppressWarnings(coef_test(plain, vcov = "CR2", cluster = cluster, test = "Satterthwaite"))
    out$equal <- list(v = mean(d$vi), se = vec(t$SE), df = vec(t$df_Satt))
    keep <- which(colnames(X) != "(Intercept)")
    if (length(keep) > 1) {
      w <- try(Wald_test(plain, constraints = constrain_zero(keep), vcov = "CR2", cluster = cluster, test = "HTZ"), silent = TRUE)
      if (!inherits(w, "try-error")) out$equal$HTZ <- vec(c(w$Fstat, w$df_num, w$df_denom, w$p_val))
    }
    f <- suppressWarnings(robust(reml, cluster = cluster))
    out$metafor_robust <- list(se = vec(f$se), low = vec(f$ci.lb), high = vec(f$ci.ub), QM = f$QM, QMp = f$QMp)
  }
  out
}
# shrunken true effects: fitted value and the random effects of every level
blup_of <- function(f) {
  M <- f$M
  V <- f$V
  as.numeric(f$yi - V %*% solve(M, f$yi - f$X %*% f$beta))
}

made <- list(
  versions = list(R = R.version.string, metafor = as.character(packageVersion("metafor")),
                  clubSandwich = as.character(packageVersion("clubSandwich"))),
  cases = lapply(names(CASES), function(name) { message(name); one_case(CASES[[name]]) }) |> setNames(names(CASES))
)
writeLines(json(made), OUT)
