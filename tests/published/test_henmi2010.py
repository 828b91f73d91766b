"""Henmi & Copas (2010). Confidence intervals for random effects meta-analysis and robustness to publication bias.
Stat Med 29:2969-2983. doi:10.1002/sim.4029

Page 2978: acupoint stimulation against nausea (Lee & Done 2004), log odds ratios, DerSimonian-Laird. Data: metadat
dat.lee2004. Values as in metafor's tests/testthat/test_analysis_example_henmi2010.r.
"""

from __future__ import annotations

from helpers.printed import printed
from helpers.two_arms import log_odds_ratio

import metaan


def test_dersimonian_laird():
    trials = log_odds_ratio(
        [18, 5, 9, 32, 9, 11, 69, 3, 1, 11, 7, 4, 1, 24, 16, 28],
        [100, 50, 20, 135, 23, 18, 122, 25, 30, 30, 44, 47, 30, 40, 50, 110],
        [20, 18, 7, 31, 10, 12, 80, 12, 1, 19, 16, 6, 13, 71, 53, 25],
        [100, 50, 20, 139, 23, 18, 122, 25, 30, 30, 39, 47, 30, 80, 88, 111],
    )
    res = metaan.pool(trials, method="DL", test="z")
    assert printed("0.3325") == res.tau2
    assert printed("-0.6787") == res.estimate
    assert printed("-1.0664") == res.ci_low
    assert printed("-0.2911") == res.ci_high
