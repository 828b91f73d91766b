"""Hartung & Knapp (2001). A refined method for the meta-analysis of controlled clinical trials with binary outcome.
Stat Med 20:3875-3889. doi:10.1002/sim.1009

Cisapride against non-ulcer dyspepsia, 13 trials, log odds ratios with 0.5 added to every cell. The paper's own
table of results (VII) was not at hand: the values are those printed by the vignette "Introduction to the pimeta
package" of R's pimeta 1.1.4 for these data; its bootstrap intervals rest on 25000 draws. Hartung-Knapp limits
printed in a book: test_raudenbush2009.py.
"""

from __future__ import annotations

import math

import pytest
from helpers.printed import printed
from helpers.two_arms import log_odds_ratio

import metaan

CISAPRIDE = log_odds_ratio(
    [15, 12, 29, 42, 14, 44, 14, 29, 10, 17, 38, 19, 21],
    [16, 16, 34, 56, 22, 54, 17, 58, 14, 26, 44, 29, 38],
    [9, 1, 18, 31, 6, 17, 7, 23, 3, 6, 12, 22, 19],
    [16, 16, 34, 56, 22, 55, 15, 58, 15, 27, 45, 30, 38],
    add=0.5,
)


def test_effect_sizes():
    for i, (y, se) in enumerate([("2.098986", "0.9847737"), ("3.357026", "1.0165653"), ("1.565232", "0.5747840")]):
        assert printed(y) == CISAPRIDE.yi[i]
        assert printed(se) == math.sqrt(CISAPRIDE.vi[i])


def test_dersimonian_laird():
    res = metaan.pool(CISAPRIDE, method="DL", test="z")
    assert printed("4.141") == math.exp(res.estimate)
    assert printed("0.718") == res.tau2
    assert printed("69.9") == res.I2


def test_bootstrap_prediction_interval():
    """0.533 to 33.692; the standard error of a 2.5 % quantile of 25000 draws is about 0.02 on the log scale."""
    res = metaan.pool(CISAPRIDE, method="DL", test="z", pi="bootstrap")
    assert res.pi_low == pytest.approx(math.log(0.533), abs=0.09)
    assert res.pi_high == pytest.approx(math.log(33.692), abs=0.09)
