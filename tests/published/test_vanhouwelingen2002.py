"""van Houwelingen, Arends & Stijnen (2002). Advanced methods in meta-analysis: multivariate approach and
meta-regression. Stat Med 21:589-624. doi:10.1002/sim.1040

BCG vaccine, log odds ratios (metadat dat.colditz1994). Printed values as quoted, with the pages, in metafor's
tests/testthat/test_analysis_example_vanhouwelingen2002.r; where that file notes a different figure in the paper,
the paper's.
"""

from __future__ import annotations

import math

import numpy as np
from helpers.printed import printed
from helpers.two_arms import log_odds_ratio

import metaan

POSITIVE = np.array([4, 6, 3, 62, 33, 180, 8, 505, 29, 17, 186, 5, 27])
NEGATIVE = np.array([119, 300, 228, 13536, 5036, 1361, 2537, 87886, 7470, 1699, 50448, 2493, 16886])
POSITIVE_CONTROL = np.array([11, 29, 11, 248, 47, 372, 10, 499, 45, 65, 141, 3, 29])
NEGATIVE_CONTROL = np.array([128, 274, 209, 12619, 5761, 1079, 619, 87892, 7232, 1600, 27197, 2338, 17825])
BCG = log_odds_ratio(POSITIVE, POSITIVE + NEGATIVE, POSITIVE_CONTROL, POSITIVE_CONTROL + NEGATIVE_CONTROL)


def test_common_effect():
    """Page 596, in the text."""
    res = metaan.pool(BCG, method="CE", test="z")
    assert printed("0.647") == math.exp(res.estimate)
    assert printed("0.595") == math.exp(res.ci_low)
    assert printed("0.703", units=1, because="0.7024 is printed as 0.703") == math.exp(res.ci_high)


def test_maximum_likelihood():
    """Page 597, in the text; the profile interval of tau2 is the one drawn in Figure 4."""
    res = metaan.pool(BCG, method="ML", test="z")
    assert printed("0.476") == math.exp(res.estimate)
    assert printed("0.336") == math.exp(res.ci_low)
    assert printed("0.675") == math.exp(res.ci_high)
    assert printed("0.302") == res.tau2
    low, high = metaan.tau2_interval(res, method="PL")
    assert printed("0.12") == low
    assert printed("0.89") == high


def test_interval_of_true_effects():
    """Page 599, in the text: mu -+ 1.96 tau."""
    res = metaan.pool(BCG, method="ML", test="z", pi="simple")
    assert printed("-1.820") == res.pi_low
    assert printed("0.336") == res.pi_high
