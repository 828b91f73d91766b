# Writes permutation_grid.json: exact permutation tests of metafor (permutest) for pooled effects and regressions.
# Run from the root of the repository: Rscript tests/reference/permutation_grid.R   (about three minutes)
# Needs: metafor 3.8-1, metadat (Debian: r-cran-metafor r-cran-metadat).

suppressMessages(library(metafor))
source("tests/reference/json.R")
OUT <- "tests/reference/permutation_grid.json"

of <- function(name) getExportedValue("metadat", name)
bcg <- escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = of("dat.bcg"))
deb <- escalc("PLO", xi = xi, ni = ni, data = of("dat.debruin2009"))
mol <- escalc("ZCOR", ri = ri, ni = ni, data = of("dat.molloy2014"))
har <- escalc("IRR", x1i = x1i, t1i = t1i, x2i = x2i, t2i = t2i, data = of("dat.hart1999"))
col <- escalc("OR", ai = pre.xti, n1i = pre.nti, ci = pre.xci, n2i = pre.nci, data = of("dat.collins1985b"))
bon <- escalc("ABT", ai = ai, mi = mi, ni = ni, data = of("dat.bonett2010"))
lin <- escalc("RR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = subset(of("dat.linde2005"), !is.na(ai)))
nor <- escalc("MD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i, data = of("dat.normand1999"))

# The first k studies with moderators; `two` adds one of two values, so that rows of the design come more than once.
small <- function(d, mods, k, source) {
  d <- as.data.frame(d)
  d <- d[complete.cases(d[c("yi", "vi", mods)]), ][seq_len(k), ]
  X <- if (length(mods)) vapply(mods, function(m) as.numeric(d[[m]]), numeric(k)) else matrix(0, k, 0)
  list(yi = as.numeric(d$yi), vi = as.numeric(d$vi), X = X, source = source)
}
raudenbush <- of("dat.raudenbush1985")
raudenbush$short <- as.numeric(raudenbush$weeks < 2)
bangert <- of("dat.bangertdrowns2004")
bcg$late <- as.numeric(bcg$year > 1955)
SETS <- list(
  bcg = small(bcg, c("ablat", "year"), 6, "dat.bcg, log risk ratio, first 6; latitude, year"),
  bcg_alike = small(bcg[c(2, 4, 5, 7, 9, 12, 13), ], "late", 7, "dat.bcg, seven trials; after 1955"),
  raudenbush1985 = small(raudenbush, c("weeks", "short"), 6, "dat.raudenbush1985, first 6; weeks, under two weeks"),
  bangertdrowns2004 = small(bangert, c("length", "grade"), 6, "dat.bangertdrowns2004, first 6; length, grade"),
  debruin2009 = small(deb, "scq", 6, "dat.debruin2009, logit of rates, first 6; quality of care"),
  molloy2014 = small(mol, c("meanage", "quality"), 6, "dat.molloy2014, Fisher's z, first 6; age, quality"),
  hart1999 = small(har, "year", 6, "dat.hart1999, log incidence rate ratio, first 6; year"),
  collins1985b = small(col, "year", 6, "dat.collins1985b, pre-eclampsia, log odds ratio, first 6; year"),
  hackshaw1998 = small(of("dat.hackshaw1998"), "year", 6, "dat.hackshaw1998, log odds ratio, first 6; year"),
  normand1999 = small(nor, character(0), 7, "dat.normand1999, mean difference, first 7"),
  bonett2010 = small(bon, "ni", 6, "dat.bonett2010, transformed alpha, first 6; participants"),
  linde2005 = small(lin, "baseline", 5, "dat.linde2005, log risk ratio, first 5; baseline severity"),
  homogeneous = list(yi = c(.2, .22, .18, .25, .21), vi = c(.02, .03, .02, .04, .03), X = cbind(x = c(1, 2, 3, 4, 5)),
                     source = "made up: tau2 = 0")
)
CASES <- list(REML_z = c("REML", "z"), REML_hk = c("REML", "knha"), DL_z = c("DL", "z"), DL_hk = c("DL", "knha"))

unit <- function(set) mean(set$vi) + var(set$yi)
control <- function(set, step) list(threshold = 1e-12 * unit(set), maxiter = 20000, stepadj = step, tau2.max = 1e4 * unit(set))

# Fisher scoring ends in a cycle in some permutations; they then fail and are left out: shorter steps until none does.
test_of <- function(set, X, case) {
  for (step in c(1, .5, .2, .05)) {
    args <- list(yi = set$yi, vi = set$vi, method = case[1], test = case[2], control = control(set, step))
    if (ncol(X)) args$mods <- X
    fit <- try(suppressWarnings(do.call(rma, args)), silent = TRUE)
    if (inherits(fit, "try-error")) next
    made <- suppressWarnings(permutest(fit, exact = TRUE, progbar = FALSE))
    if (!anyNA(made$zval.perm)) break
  }
  z <- as.matrix(made$zval.perm)
  list(statistic = vec(fit$zval), pvalue = vec(made$pval), QM = if (ncol(X)) fit$QM, QMp = if (ncol(X)) made$QMp,
       permutations = nrow(z), missing = sum(is.na(z)), square = vec(colMeans(z^2)),
       QM_mean = if (ncol(X)) mean(made$QM.perm))
}

limits <- function(set, case) {
  fit <- rma(set$yi, set$vi, method = case[1], test = case[2], control = control(set, 1))
  made <- permutest(fit, exact = TRUE, permci = TRUE, progbar = FALSE, control = list(tol = 1e-9, maxiter = 200, distfac = 2))
  c(low = made$ci.lb, high = made$ci.ub)
}

cells <- lapply(SETS, function(set) {
  message(set$source)
  p <- ncol(set$X)
  list(source = set$source, yi = vec(set$yi), vi = vec(set$vi), X = lapply(seq_len(p), function(j) vec(set$X[, j])),
       mean = lapply(CASES, function(case) test_of(set, set$X[, 0, drop = FALSE], case)),
       one = if (p) lapply(CASES[c("REML_z", "DL_hk")], function(case) test_of(set, set$X[, 1, drop = FALSE], case)),
       both = if (p > 1) lapply(CASES["REML_hk"], function(case) test_of(set, set$X, case)))
})
for (name in c("normand1999", "bcg_alike")) # a root of a step function is found by halves: the time is spent here
  cells[[name]]$limits <- lapply(CASES["DL_z"], function(case) limits(SETS[[name]], case))

versions <- c(R = as.character(getRversion()), metafor = as.character(packageVersion("metafor")),
              metadat = as.character(packageVersion("metadat")))
writeLines(json(list(versions = versions, cells = cells)), OUT)
