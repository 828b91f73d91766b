"""Berkey, Hoaglin, Mosteller & Colditz (1995). A random-effects regression model for meta-analysis. Stat Med
14:395-411. doi:10.1002/sim.4780140406

BCG vaccine, log risk ratios with smoothed variances, on absolute latitude. Printed values as quoted, with the page, in
metafor's tests/testthat/test_analysis_example_berkey1995.r; where that file notes a different figure in the article,
the article's.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from helpers.grid import pairwise, values
from helpers.printed import printed

import metaan


@pytest.fixture(scope="module")
def bcg():
    cell = pairwise()["effects"]["bcg/RR"]
    a, n1, c, n2 = (values(column) for column in cell["columns"].values())
    smoothed = np.mean((n1 - a) / a) / n1 + np.mean((n2 - c) / c) / n2
    latitude = values(pairwise()["regressions"]["bcg_ablat"]["X"][1])
    return metaan.effects(
        values(cell["yi"]), smoothed, measure="RR", data=pd.DataFrame({"from_mean": latitude - 33.46})
    )


def test_random_effects(bcg):
    """Page 408."""
    res = metaan.pool(bcg, method="EB", test="z")
    assert printed("-0.5429") == res.estimate
    assert printed("0.1842") == res.se
    assert printed("0.268") == res.tau2


def test_random_effects_regression(bcg):
    """Page 408: coefficients, tau2, its drop, and the risk ratios at the mean latitude and at 42 degrees."""
    fit = metaan.regress(bcg, "~ from_mean", method="EB", test="z")
    assert printed("-0.6304", units=1, because="-0.63032 is printed as -0.6304") == fit.estimate[0]
    assert printed("-0.0268") == fit.estimate[1]
    assert [printed("0.1591"), printed("0.0110")] == list(fit.se)
    assert printed("0.157") == fit.tau2
    assert printed("41") == fit.R2
    rates = fit.predict([{"from_mean": 0.0}, {"from_mean": 42 - 33.46}], scale="display")
    assert [printed("0.53"), printed("0.42")] == list(rates["estimate"])


def test_fixed_effects_regression(bcg):
    """Page 408."""
    fit = metaan.regress(bcg, "~ from_mean", method="CE", test="z")
    assert printed("-0.5950", units=1, because="-0.59493 is printed as -0.5950") == fit.estimate[0]
    assert printed("-0.0282") == fit.estimate[1]
    assert printed("0.0696") == fit.se[0]
    assert printed("0.0039", units=1, because="0.00399 is cut, not rounded") == fit.se[1]
    assert printed("0.55") == math.exp(fit.estimate[0])
    assert printed("0.43") == math.exp(fit.contrast([1.0, 42 - 33.46])["estimate"][0])
