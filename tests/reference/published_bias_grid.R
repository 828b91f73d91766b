# Writes published_bias_grid.json: gosh (every subset of at most eight studies), fsn and tes of metafor.
# Run from the root of the repository: Rscript tests/reference/published_bias_grid.R
# Needs: metafor 3.8-1, metadat (Debian: r-cran-metafor r-cran-metadat).

suppressMessages(library(metafor))

OUT <- "tests/reference/published_bias_grid.json"
METHODS <- c("REML", "DL", "CE")
MOST <- 8   # studies of a gosh and of an exact test, which sums over choices of studies
TESTS <- c("exact", "binom", "chi2")
DIRECTIONS <- c("greater", "less", "two.sided")
ALTERNATIVES <- c("two.sided", "greater", "less")

source("tests/reference/json.R")
source("tests/reference/sets.R")
SETS <- SETS[setdiff(names(SETS), c("pritz1997", "bonett2010"))]

# Subsets are stored by number: study i is in subset j if bit i of j is set. Stopping rules are in units of the data.
subsets <- function(set, method) {
  few <- seq_len(min(MOST, length(set$yi)))
  yi <- set$yi[few]; vi <- set$vi[few]
  unit <- 1 / mean(1 / vi)
  control <- list(threshold = 1e-13 * unit, tol = 1e-15 * unit, maxiter = 20000, stepadj = .5)
  fit <- rma(yi, vi, method = method, control = if (method == "REML") control else list())
  made <- gosh(fit, progbar = FALSE)
  number <- drop(as.matrix(made$incl) %*% 2^(few - 1))
  o <- order(number)
  stopifnot(identical(as.numeric(number[o]), as.numeric(seq_len(2^length(few) - 1))))
  res <- made$res[o, ]
  made <- list(estimate = vec(res$estimate), I2 = vec(res$I2))
  if (method == "CE") c(made, list(H2 = vec(res$H2), Q = vec(res$QE))) else c(made, list(tau2 = vec(res$tau2)))
}

one_tes <- function(set, tau2, test, direction, alternative) {
  few <- if (test == "exact") seq_len(min(MOST, length(set$yi))) else seq_along(set$yi)
  made <- tes(set$yi[few], vi = set$vi[few], tau2 = tau2, test = test, tes.alternative = direction, alternative = alternative,
              progbar = FALSE)
  all <- list(O = made$O, E = made$E, pvalue = made$pval, theta = made$theta, theta_lim = vec(made$theta.lim))
  if (direction == "greater") c(all, list(power = vec(made$power))) else all  # which does not depend on it
}

cells <- lapply(SETS, function(set) {
  fsn_of <- function(...) {
    made <- fsn(set$yi, set$vi, ...)
    list(n = made$fsnum, pvalue = made$pval, mean = made$meanes, target = made$target)
  }
  small <- abs(mean(set$yi)) / 3
  dl <- rma(set$yi, set$vi, method = "DL")$tau2
  list(source = set$source, yi = vec(set$yi), vi = vec(set$vi), small = small, dl = dl,
       gosh = lapply(setNames(METHODS, METHODS), function(method) subsets(set, method)),
       fsn = list(rosenthal = fsn_of(type = "Rosenthal"), rosenberg = fsn_of(type = "Rosenberg"),
                  rosenthal_01 = fsn_of(type = "Rosenthal", alpha = .01),
                  rosenberg_01 = fsn_of(type = "Rosenberg", alpha = .01),
                  orwin = fsn_of(type = "Orwin", target = small), orwin_half = fsn_of(type = "Orwin"),
                  orwin_weighted = fsn_of(type = "Orwin", target = small, weighted = TRUE)),
       tes = lapply(setNames(ALTERNATIVES, ALTERNATIVES), function(alternative)
         lapply(setNames(TESTS, TESTS), function(test)
           lapply(setNames(DIRECTIONS, DIRECTIONS), function(direction)
             one_tes(set, 0, test, direction, alternative)))),
       tes_dl = one_tes(set, dl, "chi2", "greater", "two.sided"))
})
versions <- c(R = as.character(getRversion()), metafor = as.character(packageVersion("metafor")),
              metadat = as.character(packageVersion("metadat")))
axes <- list(methods = txt(METHODS), tests = txt(TESTS), directions = txt(DIRECTIONS), alternatives = txt(ALTERNATIVES))
writeLines(json(list(versions = versions, axes = axes, cells = cells)), OUT)
