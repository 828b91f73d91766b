"""Prediction interval of Higgins, Thompson & Spiegelhalter (2009). A re-evaluation of random-effects meta-analysis.
J R Stat Soc A 172:137-159. doi:10.1111/j.1467-985X.2008.00552.x

mu -+ t(k - 2) sqrt(tau2 + se^2), worked out by Borenstein, Hedges, Higgins & Rothstein (2009), Introduction to
Meta-Analysis, Wiley, chapter 17, page 131, for the six studies of Table 14.1, page 88 (Hedges' g,
DerSimonian-Laird). Data: as typed from the book in a public MATLAB script. The four figures of the book stand here
from memory and were not read again; that the data give each of them to the last digit is why they are kept. (check)
"""

from __future__ import annotations

from helpers.printed import printed
from helpers.two_arms import hedges_g

import metaan


def test_prediction_interval():
    studies = hedges_g(
        [94, 98, 98, 94, 98, 96], [22, 21, 28, 19, 21, 21], [60, 65, 40, 200, 50, 85],
        [92, 92, 88, 82, 88, 92], [20, 22, 26, 17, 22, 22], [60, 65, 40, 200, 45, 85],
    )  # fmt: skip
    res = metaan.pool(studies, method="DL", test="z", pi="hts")
    assert printed("0.3582") == res.estimate
    assert printed("0.0373") == res.tau2
    assert printed("-0.2525") == res.pi_low
    assert printed("0.9690") == res.pi_high
