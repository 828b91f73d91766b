# Writes influence_grid.json: influence and baujat of rma with moderators, baujat of rma, rstudent and baujat of rma.mh
# and rma.peto, rstudent, cooks.distance and dfbetas of rma.mv by estimate and by cluster, radial and qqnorm of rma.
# Run from the root of the repository: Rscript tests/reference/influence_grid.R
# Needs: metafor 3.8-1, metadat (Debian: r-cran-metafor r-cran-metadat).

suppressMessages(library(metafor))
source("tests/reference/json.R")
OUT <- "tests/reference/influence_grid.json"
METHODS <- c("REML", "DL")
TESTS <- c(z = "z", hk = "knha")
pdf(NULL)

# ---- regressions ---------------------------------------------------------------------------------------------------
with_mods <- function(d, formula, source) {
  d <- as.data.frame(d)
  known <- complete.cases(d[c("yi", "vi", all.vars(formula))])
  d <- d[known, ]
  list(yi = as.numeric(d$yi), vi = as.numeric(d$vi), X = model.matrix(formula, d), source = source)
}
of <- function(name) getExportedValue("metadat", name)
bcg <- escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = of("dat.bcg"))
deb <- escalc("PLO", xi = xi, ni = ni, data = of("dat.debruin2009"))
mol <- escalc("ZCOR", ri = ri, ni = ni, data = of("dat.molloy2014"))
har <- escalc("IRR", x1i = x1i, t1i = t1i, x2i = x2i, t2i = t2i, data = of("dat.hart1999"))
col <- escalc("OR", ai = pre.xti, n1i = pre.nti, ci = pre.xci, n2i = pre.nci, data = of("dat.collins1985b"))
bon <- escalc("ABT", ai = ai, mi = mi, ni = ni, data = of("dat.bonett2010"))
lee <- escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = of("dat.lee2004"))
lin <- escalc("RR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = subset(of("dat.linde2005"), !is.na(ai)))
vie <- escalc("OR", ai = xTi, n1i = nTi, ci = xCi, n2i = nCi, data = of("dat.viechtbauer2021"), add = .5, to = "only0")
lao <- escalc("RR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = of("dat.laopaiboon2015"))
SETS <- list(
  bcg_latitude = with_mods(bcg, ~ ablat, "dat.bcg, log risk ratio on latitude"),
  bcg_year_alloc = with_mods(bcg, ~ year + alloc, "dat.bcg, log risk ratio on year and allocation"),
  bcg_quadratic = with_mods(bcg, ~ year + I((year - 1960)^2), "dat.bcg, log risk ratio on year and its square"),
  raudenbush1985 = with_mods(of("dat.raudenbush1985"), ~ weeks, "dat.raudenbush1985 on weeks of contact"),
  begg1989 = with_mods(of("dat.begg1989"), ~ 0 + trt, "dat.begg1989 on treatment, no intercept"),
  bangertdrowns2004 = with_mods(of("dat.bangertdrowns2004"), ~ length + wic, "dat.bangertdrowns2004 on length and writing in class"),
  debruin2009 = with_mods(deb, ~ scq, "dat.debruin2009, logit of rates on quality of care"),
  molloy2014 = with_mods(mol, ~ meanage + quality, "dat.molloy2014, Fisher's z on age and quality"),
  hart1999 = with_mods(har, ~ year, "dat.hart1999, log incidence rate ratio on year"),
  collins1985b = with_mods(col, ~ year, "dat.collins1985b, pre-eclampsia, log odds ratio on year"),
  lee2004 = with_mods(lee, ~ year, "dat.lee2004, log odds ratio on year"),
  linde2005 = with_mods(lin, ~ group, "dat.linde2005, log risk ratio on group"),
  viechtbauer2021 = with_mods(vie, ~ dose, "dat.viechtbauer2021, log odds ratio on dose"),
  laopaiboon2015 = with_mods(lao, ~ age, "dat.laopaiboon2015, log risk ratio on age"),
  bonett2010 = with_mods(bon, ~ 1, "dat.bonett2010, transformed alpha, no moderator"),
  outlier = with_mods(data.frame(yi = c(.1, .12, .08, .15, 1.9, .11, .2), vi = c(.02, .03, .02, .04, .03, .05, .02), x = c(1, 2, 4, 3, 5, 2, 9)),
                      ~ x, "made up: one study far out")
)

# Stopping rules in units of the data: metafor's are absolute.
scale_of <- function(yi, vi) 1 / mean(1 / vi) + var(yi)
fit_rma <- function(yi, vi, X, method, test) {
  unit <- scale_of(yi, vi)
  arguments <- list(yi = yi, vi = vi, method = method, test = test)
  if (!is.null(X)) arguments <- c(arguments, list(mods = X, intercept = FALSE))
  for (threshold in c(1e-13, 1e-12, 1e-11, 1e-10, 1e-9)) for (step in c(1, .5, .2)) {
    control <- list(threshold = threshold * unit, tol = 1e-15 * unit, maxiter = 10000, stepadj = step)
    made <- try(suppressWarnings({
      fit <- do.call(rma, c(arguments, list(control = control)))
      list(fit = fit, moved = influence(fit), baujat = baujat(fit))
    }), silent = TRUE)
    if (!inherits(made, "try-error") && !anyNA(made$moved$inf$tau2.del)) return(made)
  }
  if (inherits(made, "try-error")) stop(method, " ", test, " k = ", length(yi), ": ", made)
  made
}

columns <- function(x, names) setNames(lapply(names, function(n) vec(x[[n]])), names)
DIAGNOSTICS <- c("rstudent", "dffits", "cook.d", "cov.r", "tau2.del", "QE.del", "hat", "weight")
regression <- function(set, method, test) {
  made <- fit_rma(set$yi, set$vi, set$X, method, test)
  list(tau2 = made$fit$tau2,
       influence = c(columns(made$moved$inf, DIAGNOSTICS), list(influential = made$moved$is.infl)),
       dfbs = lapply(unname(as.list(as.data.frame(unclass(made$moved$dfbs)[seq_len(ncol(set$X))]))), vec),
       baujat = columns(made$baujat, c("x", "y")), rstandard = vec(rstandard(made$fit)$z))
}
pooled <- function(set, method, test) {
  made <- fit_rma(set$yi, set$vi, NULL, method, test)
  around <- radial(made$fit)
  quantiles <- qqnorm(made$fit, envelope = FALSE)
  list(baujat = columns(made$baujat, c("x", "y")), rstandard = vec(rstandard(made$fit)$z),
       radial = list(x = vec(around$x), z = vec(around$y)), qq = list(x = vec(quantiles$x), y = vec(quantiles$y)))
}
grid <- function(f, set) lapply(setNames(METHODS, METHODS), function(method) lapply(TESTS, function(test) f(set, method, test)))
regressions <- lapply(SETS, function(set) {
  c(list(source = set$source, yi = vec(set$yi), vi = vec(set$vi), names = txt(colnames(set$X)),
         X = lapply(seq_len(ncol(set$X)), function(j) vec(set$X[, j])), methods = grid(regression, set)),
    list(pooled = grid(pooled, set)))
})

# ---- tables --------------------------------------------------------------------------------------------------------
arms <- function(a, n1, c, n2) { keep <- complete.cases(a, n1, c, n2); list(events_t = a[keep], total_t = n1[keep], events_c = c[keep], total_c = n2[keep]) }
times <- function(d) list(events_t = d$x1i, time_t = d$t1i, events_c = d$x2i, time_c = d$t2i)
TABLES <- list(bcg = with(of("dat.bcg"), arms(tpos, tpos + tneg, cpos, cpos + cneg)),
               yusuf1985_6 = with(subset(of("dat.yusuf1985"), table == "6"), arms(ai, n1i, ci, n2i)),
               collins1985b = with(of("dat.collins1985b"), arms(pre.xti, pre.nti, pre.xci, pre.nci)),
               zeros = list(events_t = c(0, 3, 1, 8, 12), total_t = c(20, 25, 11, 9, 30), events_c = c(2, 0, 4, 3, 12), total_c = c(22, 24, 10, 9, 30)))
for (name in c("nielweise2007", "hine1989", "hahn2001", "egger2001", "lee2004", "laopaiboon2015"))
  TABLES[[name]] <- with(of(paste0("dat.", name)), arms(ai, n1i, ci, n2i))
TIMES <- list(nielweise2008 = times(of("dat.nielweise2008")), hart1999 = times(of("dat.hart1999")))
moved <- function(fit) {
  found <- rstudent(fit)
  around <- suppressWarnings(baujat(fit))
  list(z = vec(found$z), x = vec(around$x), y = vec(around$y))
}
two_by_two <- function(d, measure) {
  call <- list(ai = d$events_t, n1i = d$total_t, ci = d$events_c, n2i = d$total_c)
  suppressWarnings(if (measure == "PETO") do.call(rma.peto, c(call, add = 0)) else do.call(rma.mh, c(call, measure = measure)))
}
tables <- lapply(TABLES, function(d) c(list(columns = lapply(d, vec)), lapply(c(OR = "OR", RR = "RR", RD = "RD", PETO = "PETO"), function(m) moved(two_by_two(d, m)))))
person_time <- lapply(TIMES, function(d) c(list(columns = lapply(d, vec)), lapply(c(IRR = "IRR", IRD = "IRD"), function(m)
  moved(suppressWarnings(rma.mh(x1i = d$events_t, t1i = d$time_t, x2i = d$events_c, t2i = d$time_c, measure = m))))))

# ---- multilevel models ---------------------------------------------------------------------------------------------
born <- escalc("OR", ai = waward, n1i = wtotal, ci = maward, n2i = mtotal, data = of("dat.bornmann2007"))
kal <- transform(subset(of("dat.kalaian1996"), !is.na(hrs)), group = study, effect = id)
ber <- of("dat.berkey1998")
NESTED <- list(
  konstantopoulos2011 = list(of("dat.konstantopoulos2011"), c("district", "school"), ~ 1),
  konstantopoulos2011_year = list(of("dat.konstantopoulos2011"), c("district", "school"), ~ I(year - 1990)),
  bornmann2007_type = list(born, c("study", "obs"), ~ type),
  kalaian1996 = list(kal, c("group", "effect"), ~ outcome),
  berkey1998 = list(transform(ber, yi = as.numeric(yi), effect = seq_len(nrow(ber))), c("trial", "effect"), ~ outcome)
)
nested <- lapply(NESTED, function(case) {
  d <- as.data.frame(case[[1]])
  d$yi <- as.numeric(d$yi)
  d$vi <- as.numeric(d$vi)
  levels <- case[[2]]
  X <- model.matrix(case[[3]], d)
  V <- diag(d$vi)
  correlated <- "v2i" %in% names(d)
  if (correlated) V <- as.matrix(Matrix::bdiag(lapply(split(d[c("v1i", "v2i")], d$trial), as.matrix)))
  random <- as.formula(paste("~ 1 |", paste(levels, collapse = "/")))
  every <- function(fit, ...) {
    residual <- suppressWarnings(rstudent(fit, ...))
    out <- list(cook = vec(suppressWarnings(cooks.distance(fit, ...))),
                dfbs = lapply(unname(as.list(suppressWarnings(dfbetas(fit, ...)))), vec))
    if (length(list(...))) c(out, list(z = vec(residual$obs$z), X2 = vec(residual$cluster$X2), labels = txt(residual$cluster$slab)))
    else c(out, list(z = vec(residual$z)))
  }
  # as tight as every refit allows
  for (control in list(list(optimizer = "optim", optmethod = "BFGS", reltol = 1e-16), list(rel.tol = 1e-10), list(rel.tol = 1e-9), list())) {
    made <- try({
      fit <- suppressWarnings(rma.mv(yi, V, mods = X, intercept = FALSE, random = random, data = d, method = "REML", control = control))
      list(estimates = every(fit), clusters = every(fit, cluster = d[[levels[1]]]))
    }, silent = TRUE)
    if (!inherits(made, "try-error") && !anyNA(unlist(made[c("estimates", "clusters")]))) break
  }
  list(yi = vec(d$yi), vi = vec(d$vi), levels = txt(levels), groups = lapply(levels, function(l) txt(d[[l]])),
       names = txt(colnames(X)), X = lapply(seq_len(ncol(X)), function(j) vec(X[, j])),
       V = if (correlated) lapply(seq_len(nrow(V)), function(i) vec(V[i, ])), sigma2 = vec(fit$sigma2),
       control = txt(paste(names(control), unlist(control))), estimates = made$estimates, clusters = made$clusters)
})

versions <- c(R = as.character(getRversion()), metafor = as.character(packageVersion("metafor")),
              metadat = as.character(packageVersion("metadat")))
writeLines(json(list(versions = versions, regressions = regressions, tables = tables, person_time = person_time, nested = nested)), OUT)
