"""Raudenbush & Bryk (1985). Empirical Bayes meta-analysis. J Educ Stat 10:75-98. doi:10.3102/10769986010002075

Teacher expectancy (metadat dat.raudenbush1985), on weeks of prior contact, 3 for 3 and more. Printed values as quoted,
with the pages, in metafor's tests/testthat/test_analysis_example_raudenbush1985.r; where that file notes a different
figure in the paper, the paper's.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.grid import pairwise, values
from helpers.printed import column, printed

import metaan


@pytest.fixture(scope="module")
def experiments():
    cell = pairwise()["regressions"]["raudenbush1985"]
    rows = pd.DataFrame({"weeks": np.minimum(values(cell["X"][1]), 3)})
    return metaan.effects(values(cell["yi"]), values(cell["vi"]), data=rows)


def test_random_effects(experiments):
    """Pages 83, 85 and 86, in the text."""
    res = metaan.pool(experiments, test="z")
    assert [printed("0.019"), printed("0.084"), printed("1.62")] == [res.tau2, res.estimate, res.statistic]
    assert printed("35.85", units=2.1, because="the effects are printed with two decimals") == res.Q


def test_empirical_bayes_estimates(experiments):
    """Figure 2, digits by metafor."""
    expected = column(
        "0.0543 0.1006 -0.0064 0.2144 0.1051 -0.0082 0.0174 -0.0293 0.1604 0.2485 0.1618 0.1102 0.0646 0.1105 -0.0288 "
        "0.0258 0.1905 0.0744 0.0248"
    )
    # at its default control metafor leaves tau2 1e-4 off
    np.testing.assert_allclose(metaan.pool(experiments, test="z").blup, expected, atol=7e-5)


def test_mixed_model(experiments):
    """Pages 90 and 92, in the text."""
    fit = metaan.regress(experiments, "~ weeks", test="z")
    assert fit.tau2 < 1e-5
    assert [printed("0.407"), printed("-0.157")] == list(fit.estimate)
    assert [printed("4.678"), printed("-4.388")] == list(fit.statistic)
    assert printed("16.58", units=1, because="the effects are printed with two decimals") == fit.QE
