# Writes deletion_grid.json: leave1out and cumul of rma.mh and rma.peto; rma with moderators, rma and rma.mv fitted again
# without each study or each cluster (metafor 3.8 has no cluster argument for leave1out, and none of it for moderators).
# Run from the root of the repository: Rscript tests/reference/deletion_grid.R
# Needs: metafor 3.8-1, metadat (Debian: r-cran-metafor r-cran-metadat).

suppressMessages(library(metafor))
options(warn = 1)
source("tests/reference/json.R")
OUT <- "tests/reference/deletion_grid.json"

columns <- function(x, names) setNames(lapply(names, function(n) vec(x[[n]])), names)

# ---- Mantel-Haenszel and Peto ------------------------------------------------------------------------------------
arms <- function(d, a, n1, c, n2, order = rev(seq_len(nrow(d)))) {
  x <- list(ai = d[[a]], n1i = d[[n1]], ci = d[[c]], n2i = d[[n2]], order = order)
  known <- Reduce(`&`, lapply(x, function(column) !is.na(column)))
  lapply(x, function(column) as.numeric(column[known]))
}
plain <- function(d, ...) arms(d, "ai", "n1i", "ci", "n2i", ...)
bcg <- metadat::dat.bcg
bcg$n1 <- bcg$tpos + bcg$tneg
bcg$n2 <- bcg$cpos + bcg$cneg
one <- metadat::dat.collins1985a
two <- metadat::dat.collins1985b
yus <- metadat::dat.yusuf1985
TABLES <- list(
  bcg = arms(bcg, "tpos", "n1", "cpos", "n2", bcg$year),
  collins1985a = arms(one, "b.xti", "nti", "b.xci", "nci", one$year),
  collins1985b = arms(two, "pre.xti", "pre.nti", "pre.xci", "pre.nci", two$year),
  nielweise2007 = plain(metadat::dat.nielweise2007, metadat::dat.nielweise2007$year),
  hine1989 = plain(metadat::dat.hine1989),
  hahn2001 = plain(metadat::dat.hahn2001),
  graves2010 = plain(metadat::dat.graves2010),
  egger2001 = plain(metadat::dat.egger2001, metadat::dat.egger2001$year),
  yusuf1985_6 = plain(subset(yus, table == "6")),
  yusuf1985_10 = plain(subset(yus, table == "10")),
  lee2004 = plain(metadat::dat.lee2004, metadat::dat.lee2004$year),
  laopaiboon2015 = plain(metadat::dat.laopaiboon2015, metadat::dat.laopaiboon2015$year),
  damico2009 = arms(metadat::dat.damico2009, "xt", "nt", "xc", "nc", metadat::dat.damico2009$year),
  zeros = list(ai = c(3, 0, 0, 8, 12), n1i = c(25, 20, 11, 8, 30), ci = c(0, 0, 4, 3, 12), n2i = c(24, 22, 10, 9, 30), order = 1:5)
)
times <- function(d) with(d, list(x1i = x1i, t1i = t1i, x2i = x2i, t2i = t2i, order = rev(seq_len(nrow(d)))))
TIMES <- list(nielweise2008 = times(metadat::dat.nielweise2008), hart1999 = times(metadat::dat.hart1999),
              zeros = list(x1i = c(4, 0, 3, 0, 8), t1i = c(31, 20.5, 250, 11, 8), x2i = c(2, 0, 0, 4, 3), t2i = c(30, 22, 24, 10.25, 9), order = 5:1))
COMMON <- c("estimate", "se", "pval", "ci.lb", "Q", "Qp", "I2")

stratified <- function(set, measures) {
  given <- set[names(set) != "order"]
  order <- set$order
  made <- lapply(setNames(measures, measures), function(measure) {
    fit <- suppressWarnings(if (measure == "PETO") do.call(rma.peto, given) else do.call(rma.mh, c(list(measure = measure), given)))
    suppressWarnings(list(leave1out = columns(leave1out(fit), COMMON), cumul = columns(cumul(fit, order = order), COMMON)))
  })
  list(data = lapply(set, vec), measures = made)
}

# ---- regressions and clusters ------------------------------------------------------------------------------------
METHODS <- c("REML", "DL", "ML", "PM")
TESTS <- c(z = "z", hk = "knha")
COEFFICIENTS <- c("beta", "se", "pval")

fit_without <- function(yi, vi, X, keep, method, test) {
  y <- yi[keep]
  v <- vi[keep]
  for (threshold in 10^-(13:9)) for (step in c(1, .5, .1)) {
    control <- list(threshold = threshold * mean(v), tol = 1e-15 * mean(v), maxiter = 20000, stepadj = step,
                    tau2.max = 1e5 * max(v, var(y)))
    fit <- try(suppressWarnings(rma(y, v, mods = X[keep, , drop = FALSE], intercept = FALSE, method = method, test = test,
                                    control = control)), silent = TRUE)
    if (!inherits(fit, "try-error")) return(fit)
  }
  stop("no convergence: ", method, " ", test)
}
each <- function(yi, vi, X, sets) {
  refits <- lapply(setNames(METHODS, METHODS), function(method) lapply(TESTS, function(test) {
    fits <- lapply(sets, function(out) fit_without(yi, vi, X, !out, method, test))
    c(setNames(lapply(COEFFICIENTS, function(n) vec(t(vapply(fits, function(fit) c(fit[[n]]), numeric(ncol(X)))))), COEFFICIENTS),
      list(tau2 = vec(vapply(fits, function(fit) fit$tau2, 0)), QE = vec(vapply(fits, function(fit) fit$QE, 0)),
           I2 = vec(vapply(fits, function(fit) fit$I2, 0))))
  }))
  list(yi = vec(yi), vi = vec(vi), X = lapply(seq_len(ncol(X)), function(j) vec(X[, j])), refits = refits)
}
regression <- function(d, ...) {
  X <- cbind(1, ...)
  known <- !is.na(d$yi) & !is.na(d$vi) & stats::complete.cases(X)
  yi <- as.numeric(d$yi)[known]
  X <- unname(X[known, , drop = FALSE])
  each(yi, as.numeric(d$vi)[known], X, lapply(seq_along(yi), function(i) seq_along(yi) == i))
}
clustered <- function(d, cluster) {
  yi <- as.numeric(d$yi)
  labels <- unique(cluster)
  made <- each(yi, as.numeric(d$vi), matrix(1, length(yi), 1), lapply(labels, function(label) cluster == label))
  c(made, list(cluster = txt(cluster)))
}
ratio <- escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = bcg)
li <- escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = metadat::dat.li2007)
dorn <- escalc("RR", ai = x.a, n1i = n.a, ci = x.p, n2i = n.p, data = metadat::dat.dorn2007)
pre <- escalc("OR", ai = pre.xti, n1i = pre.nti, ci = pre.xci, n2i = pre.nci, data = two)
lee <- escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = metadat::dat.lee2004)
nie <- escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = metadat::dat.nielweise2007)
rau <- metadat::dat.raudenbush1985
REGRESSIONS <- list(
  bcg = regression(ratio, ratio$ablat, ratio$year - 1970),
  raudenbush1985 = regression(rau, rau$weeks),
  li2007 = regression(li, li$year - 2000),
  dorn2007 = regression(dorn, dorn$jadad, dorn$year - 2000),
  collins1985b = regression(pre, pre$year - 1970),
  lee2004 = regression(lee, lee$year - 2000),
  nielweise2007 = regression(nie, nie$year - 2000)
)
kon <- metadat::dat.konstantopoulos2011
ass <- metadat::dat.assink2016
CLUSTERS <- list(
  bcg = clustered(ratio, ratio$alloc),
  konstantopoulos2011 = clustered(kon, as.character(kon$district)),
  assink2016 = clustered(ass, as.character(ass$study)),
  li2007 = clustered(li, as.character(li$year)),
  raudenbush1985 = clustered(rau, rau$tester)
)

# ---- multilevel models -------------------------------------------------------------------------------------------
polished <- function(d, random) {
  best <- NULL
  for (tol in c(1e-13, 1e-12, 1e-11, 1e-10, 1e-8)) {
    fit <- try(suppressWarnings(rma.mv(yi, vi, random = random, data = d, control = list(rel.tol = tol))), silent = TRUE)
    if (!inherits(fit, "try-error")) { best <- fit; break }
  }
  again <- try(suppressWarnings(rma.mv(yi, vi, random = random, data = d, control = list(
    optimizer = "optim", optmethod = "Nelder-Mead", reltol = 1e-15, maxit = 5000, sigma2.init = pmax(best$sigma2, 1e-6)))), silent = TRUE)
  if (!inherits(again, "try-error") && logLik(again) > logLik(best)) again else best
}
nested <- function(d, random, levels) {
  labels <- unique(d[[levels[1]]])
  fits <- lapply(labels, function(label) polished(d[d[[levels[1]]] != label, ], random))
  list(yi = vec(d$yi), vi = vec(d$vi), levels = txt(levels), groups = lapply(levels, function(n) txt(as.character(d[[n]]))),
       estimate = vec(vapply(fits, function(fit) c(fit$beta), 0)), se = vec(vapply(fits, function(fit) fit$se, 0)),
       sigma2 = lapply(seq_along(levels), function(i) vec(vapply(fits, function(fit) fit$sigma2[i], 0))),
       QE = vec(vapply(fits, function(fit) fit$QE, 0)),
       loglik = vec(vapply(fits, function(fit) as.numeric(logLik(fit, REML = TRUE)), 0)))
}
NESTED <- list(
  konstantopoulos2011 = nested(kon, ~ 1 | district / school, c("district", "school")),
  assink2016 = nested(ass, ~ 1 | study / esid, c("study", "esid"))
)

versions <- c(R = as.character(getRversion()), metafor = as.character(packageVersion("metafor")),
              metadat = as.character(packageVersion("metadat")))
writeLines(json(list(
  versions = versions,
  tables = lapply(TABLES, stratified, measures = c("OR", "RR", "RD", "PETO")),
  times = lapply(TIMES, stratified, measures = c("IRR", "IRD")),
  regressions = REGRESSIONS, clusters = CLUSTERS, nested = NESTED
)), OUT)
