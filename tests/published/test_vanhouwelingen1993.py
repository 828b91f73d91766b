"""van Houwelingen, Zwinderman & Stijnen (1993). A bivariate approach to meta-analysis. Stat Med 12:2273-2284.
doi:10.1002/sim.4780122405

Pages 2275 and 2277, in the text: mortality in the trials of Collins et al. (1985), control against diuretics, odds
ratios by the conditional logistic model. Data: metadat dat.collins1985a (columns b.xci, nci, b.xti, nti). The paper
was not at hand: values are those that metafor's tests/testthat/test_analysis_example_vanhouwelingen1993.r compares with
these pages, in its present four digits (for the common effect, those by dnoncenhypergeom, whose standard error is not
from a coarse finite difference; the paper prints the upper limit as 0.31).
"""

from __future__ import annotations

import numpy as np
import pytest
from helpers.grid import conditional
from helpers.printed import printed

import metaan
from metaan.core.conditional import Hypergeometric


@pytest.fixture(scope="module")
def arms():
    given = conditional()["cases"]["collins1985a"]["columns"]
    swapped = {"events_t": "events_c", "total_t": "total_c", "events_c": "events_t", "total_c": "total_t"}
    return {name: np.array(given[other]) for name, other in swapped.items()}


def test_common_effect(arms):
    b = Hypergeometric.from_tables(*arms.values())
    mu, loglik = b.common()
    se = 1 / np.sqrt(b.slope(np.full(b.x.shape, mu[0]))[1].sum())
    assert printed("0.1216") == mu[0]
    assert printed("0.0996") == se
    assert printed("-0.0735") == mu[0] - 1.959964 * se
    assert printed("0.3167") == mu[0] + 1.959964 * se
    assert printed("-53.6789") == loglik[0]


def test_random_effects(arms):
    res = metaan.glmm("OR", **arms, test="z")
    assert printed("0.1744") == res.estimate
    assert printed("0.1364") == res.se
    assert printed("-0.0929") == res.ci_low
    assert printed("0.4417") == res.ci_high
    assert printed("0.1192") == res.tau2
    assert printed("-52.9901") == res.loglik
