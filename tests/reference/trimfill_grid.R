# Writes trimfill_grid.json: trimfill of metafor for data sets x methods x estimators x sides.
# Run from the root of the repository: Rscript tests/reference/trimfill_grid.R
# Needs: metafor 3.8-1, metadat (Debian: r-cran-metafor r-cran-metadat).

suppressMessages(library(metafor))

OUT <- "tests/reference/trimfill_grid.json"
METHODS <- c("REML", "DL", "PM", "CE")
ESTIMATORS <- c("L0", "R0", "Q0")
SIDES <- c("left", "right")

source("tests/reference/json.R")
source("tests/reference/sets.R")

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
