"""Viechtbauer (2007). Accounting for heterogeneity via random-effects models and moderator analyses in
meta-analysis. Z Psychol 215:104-121. doi:10.1027/0044-3409.215.2.104

St. John's wort against depression, 17 trials, log risk ratios (metadat dat.linde2005, rows 7-10 and 13-25). Printed
values as quoted, with the pages, in metafor's tests/testthat/test_analysis_example_viechtbauer2007b.r, the
article's where the two differ.
"""

from __future__ import annotations

import math

from helpers.printed import printed
from helpers.two_arms import log_risk_ratio

import metaan

TRIALS = log_risk_ratio(
    [20, 14, 4, 20, 28, 34, 35, 24, 45, 67, 34, 46, 55, 23, 26, 46, 98],
    [25, 20, 25, 32, 50, 48, 53, 49, 80, 106, 60, 70, 123, 37, 98, 113, 186],
    [11, 9, 2, 6, 13, 25, 12, 16, 12, 22, 17, 34, 57, 15, 19, 56, 80],
    [25, 20, 25, 33, 55, 49, 54, 49, 79, 47, 59, 70, 124, 35, 102, 116, 189],
)


def test_common_effect():
    """Page 107."""
    res = metaan.pool(TRIALS, method="CE", test="z")
    assert printed("1.39", units=1, because="1.384 is printed as 1.39") == math.exp(res.estimate)
    assert printed("1.26") == math.exp(res.ci_low)
    assert printed("1.52") == math.exp(res.ci_high)


def test_random_effects():
    """Page 109; the interval of true effects leaves the error of the mean out. The upper limit, 1.886, is printed
    as 1.90.
    """
    res = metaan.pool(TRIALS, method="DL", test="z", pi="simple")
    assert printed("1.57") == math.exp(res.estimate)
    assert printed("1.31") == math.exp(res.ci_low)
    assert printed("0.87") == math.exp(res.pi_low)
    assert printed("2.83") == math.exp(res.pi_high)
    rounded = metaan.effects([math.log(round(math.exp(y), 2)) for y in TRIALS.yi], TRIALS.vi)
    assert (
        printed("0.091") == metaan.pool(rounded, method="DL", test="z").tau2
    )  # the article's risk ratios have two decimals
