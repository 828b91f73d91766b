# Effects of data sets of metadat that several scripts of this folder fit; needs metafor and metadat.
generic <- function(d, source) {
  known <- !is.na(d$yi) & !is.na(d$vi)
  list(yi = as.numeric(d$yi)[known], vi = as.numeric(d$vi)[known], source = source)
}
nor <- metadat::dat.normand1999
nie <- metadat::dat.nielweise2007
col <- metadat::dat.collins1985b
har <- metadat::dat.hart1999
hin <- metadat::dat.hine1989
mol <- metadat::dat.molloy2014
pri <- metadat::dat.pritz1997
coh <- metadat::dat.cohen1981
bon <- metadat::dat.bonett2010
SETS <- list(
  bcg = generic(escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = metadat::dat.bcg), "dat.bcg, log risk ratio"),
  hackshaw1998 = generic(metadat::dat.hackshaw1998, "dat.hackshaw1998, log odds ratio"),
  raudenbush1985 = generic(metadat::dat.raudenbush1985, "dat.raudenbush1985, standardised mean difference"),
  normand1999 = generic(escalc("MD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i, data = nor),
                        "dat.normand1999, mean difference"),
  begg1989 = generic(metadat::dat.begg1989, "dat.begg1989, disease-free survival, all arms"),
  collins1985b = generic(escalc("OR", ai = pre.xti, n1i = pre.nti, ci = pre.xci, n2i = pre.nci, data = col),
                         "dat.collins1985b, pre-eclampsia, log odds ratio"),
  molloy2014 = generic(escalc("ZCOR", ri = ri, ni = ni, data = mol), "dat.molloy2014, Fisher's z"),
  pritz1997 = generic(escalc("PLO", xi = xi, ni = ni, data = pri), "dat.pritz1997, logit of rates"),
  nielweise2007 = generic(escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = nie), "dat.nielweise2007, log odds ratio"),
  hart1999 = generic(escalc("IRR", x1i = x1i, t1i = t1i, x2i = x2i, t2i = t2i, data = har),
                     "dat.hart1999, log incidence rate ratio"),
  hine1989 = generic(escalc("RD", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = hin), "dat.hine1989, risk difference"),
  cohen1981 = generic(escalc("ZCOR", ri = ri, ni = ni, data = coh), "dat.cohen1981, Fisher's z"),
  bonett2010 = generic(escalc("ABT", ai = ai, mi = mi, ni = ni, data = bon), "dat.bonett2010, transformed alpha"),
  three = list(yi = c(.1, .9, -.4), vi = c(.04, .2, .09), source = "made up")
)
