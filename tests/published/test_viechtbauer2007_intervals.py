"""Viechtbauer (2007). Confidence intervals for the amount of heterogeneity in meta-analysis. Stat Med 26:37-52.
doi:10.1002/sim.2514

Table II, page 44: diuretics against pre-eclampsia (Collins et al. 1985), log odds ratios. The table has two
decimals; three are quoted here as metafor's tests/testthat/test_analysis_example_viechtbauer2007a.r gives them for
that table. Data: metadat dat.collins1985b.
"""

from __future__ import annotations

import pytest
from helpers.printed import printed
from helpers.two_arms import log_odds_ratio

import metaan

TRIALS = log_odds_ratio(
    [14, 21, 14, 6, 12, 138, 15, 6, 65],
    [131, 385, 57, 38, 1011, 1370, 506, 108, 153],
    [14, 17, 24, 18, 35, 175, 20, 2, 40],
    [136, 134, 48, 40, 760, 1336, 524, 103, 102],
)


@pytest.mark.parametrize(("method", "tau2"), [("DL", "0.230"), ("ML", "0.239"), ("REML", "0.301"), ("SJ", "0.456")])
def test_estimates(method, tau2):
    assert printed(tau2) == metaan.pool(TRIALS, method=method, test="z").tau2


@pytest.mark.parametrize(
    ("method", "interval", "low", "high"),
    [("DL", "QP", "0.072", "2.203"), ("ML", "PL", "0.027", "1.131"), ("REML", "PL", "0.043", "1.475")],
)
def test_intervals(method, interval, low, high):
    limits = metaan.tau2_interval(metaan.pool(TRIALS, method=method, test="z"), method=interval)
    assert printed(low) == limits[0]
    assert printed(high) == limits[1]
