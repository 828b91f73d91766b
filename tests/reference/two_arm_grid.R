# Writes two_arm_grid.json: conditional models of two arms by rma.glmm (OR: CM.EL, CM.AL; IRR: CM.EL).
# Run from the root of the repository: Rscript tests/reference/two_arm_grid.R
# Needs: metafor 3.8-1, metadat, lme4, BiasedUrn (Debian: r-cran-metafor r-cran-metadat r-cran-lme4 r-cran-biasedurn).

suppressMessages(library(metafor))
source("tests/reference/json.R")
OUT <- "tests/reference/two_arm_grid.json"

arms <- function(a, n1, c, n2) { keep <- complete.cases(a, n1, c, n2); list(events_t = a[keep], total_t = n1[keep], events_c = c[keep], total_c = n2[keep]) }
times <- function(d) list(events_t = d$x1i, time_t = d$t1i, events_c = d$x2i, time_c = d$t2i)
ODDS <- with(metadat::dat.bcg, list(bcg = arms(tpos, tpos + tneg, cpos, cpos + cneg)))
for (name in c("nielweise2007", "hine1989", "hahn2001", "egger2001", "linde2005", "lee2004"))
  ODDS[[name]] <- with(get(paste0("dat.", name), asNamespace("metadat")), arms(ai, n1i, ci, n2i))
ODDS$collins1985a <- with(metadat::dat.collins1985a, arms(b.xti, nti, b.xci, nci))
ODDS$dorn2007 <- with(metadat::dat.dorn2007, arms(x.a, n.a, x.p, n.p))
TIMES <- list(nielweise2008 = times(metadat::dat.nielweise2008), hart1999 = times(metadat::dat.hart1999))

numbers_of <- function(f) list(estimate = as.numeric(f$beta), se = f$se, tau2 = f$tau2, loglik = c(logLik(f)), k = f$k)
exact <- function(d, model) {
  call <- list(measure = "OR", ai = d$events_t, n1i = d$total_t, ci = d$events_c, n2i = d$total_c, model = model, nAGQ = 25)
  if (model == "CM.EL") call$nAGQ <- NULL
  numbers_of(suppressWarnings(do.call(rma.glmm, call)))
}
common <- function(d) {
  f <- suppressWarnings(rma.glmm(measure = "OR", ai = d$events_t, n1i = d$total_t, ci = d$events_c, n2i = d$total_c, model = "CM.EL", method = "EE"))
  list(estimate = as.numeric(f$beta), se = f$se, loglik = c(logLik(f)))
}
rates <- function(d) numbers_of(suppressWarnings(rma.glmm(measure = "IRR", x1i = d$events_t, t1i = d$time_t, x2i = d$events_c, t2i = d$time_c, model = "CM.EL", nAGQ = 25)))

CASES <- list()
for (name in names(ODDS)) {
  d <- ODDS[[name]]
  CASES[[name]] <- list(measure = "OR", columns = lapply(d, vec), CM.EL = exact(d, "CM.EL"), CM.AL = exact(d, "CM.AL"), common = common(d))
}
for (name in names(TIMES)) CASES[[name]] <- list(measure = "IRR", columns = lapply(TIMES[[name]], vec), CM.EL = rates(TIMES[[name]]))
writeLines(json(list(versions = list(R = R.version.string, metafor = as.character(packageVersion("metafor")), lme4 = as.character(packageVersion("lme4")), BiasedUrn = as.character(packageVersion("BiasedUrn"))), cases = CASES)), OUT)
cat(length(CASES), "cases\n")
