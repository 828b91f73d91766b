"""RegressResult.permuted: the batch equals single fits, and its exact p-values are metafor's."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest

import metaan
from metaan.errors import InputError, OptionError

# Raudenbush 1985, the first seven studies of metadat's dat.raudenbush1985.
ROWS = pd.DataFrame(
    {
        "yi": [0.03, 0.12, -0.14, 1.18, 0.26, -0.06, -0.02],
        "vi": [0.0156, 0.0216, 0.0279, 0.1391, 0.1362, 0.0106, 0.0106],
        "weeks": [2, 21, 19, 0, 0, 3, 17],
        "group": list("aabbbab"),
    }
)
EFFECTS = metaan.effects("yi", "vi", data=ROWS)
EVERY = np.array(list(itertools.permutations(range(7))))


@pytest.mark.parametrize(
    ("method", "test", "expected"),
    [
        ("REML", "z", [0.101984126984127, 0.386111111111111]),
        ("DL", "z", [0.143253968253968, 0.345238095238095]),
        ("DL", "hk", [0.140476190476190, 0.341269841269841]),
    ],
)
def test_exact_p_values(method, test, expected):
    """metafor 3.8-1: permutest(rma(yi, vi, mods = ~ weeks, method, test), exact = TRUE), test "knha" for hk."""
    fit = metaan.regress(EFFECTS, "~ weeks", method=method, test=test)
    found = fit.permuted(EVERY)
    np.testing.assert_allclose((np.abs(found.statistic) >= np.abs(fit.statistic) - 1e-7).mean(axis=0), expected)
    assert (found.QM >= fit.QM - 1e-7).mean() == pytest.approx(expected[1])
    assert len(EVERY) == math.factorial(7)


@pytest.mark.parametrize("test", ["z", "t", "hk", "hk-adhoc"])
@pytest.mark.parametrize("method", ["REML", "ML", "DL", "PM", "HE", "SJ", "CE"])
def test_each_row_is_the_fit_of_the_rearranged_moderators(method, test):
    fit = metaan.regress(EFFECTS, "~ weeks + group", method=method, test=test)
    orders = np.array([np.random.default_rng(seed).permutation(7) for seed in range(4)])
    found = fit.permuted(orders)
    for i, order in enumerate(orders):
        rows = ROWS.assign(weeks=ROWS["weeks"].to_numpy()[order], group=ROWS["group"].to_numpy()[order])
        one = metaan.regress(metaan.effects("yi", "vi", data=rows), "~ weeks + group", method=method, test=test)
        columns = [one.names.index(name) for name in fit.names]
        np.testing.assert_allclose(np.abs(found.QM[i]), one.QM, rtol=1e-9)
        np.testing.assert_allclose(found.tau2[i], one.tau2, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.statistic[i], one.statistic[columns], rtol=1e-8)


def test_what_cannot_be_rearranged_is_refused():
    fit = metaan.regress(EFFECTS, "~ weeks")
    with pytest.raises(InputError, match="every position from 0 to 6"):
        fit.permuted([[0, 1, 2, 3, 4, 5, 5]])
    with pytest.raises(InputError, match="one row of 7 positions"):
        fit.permuted([[0, 1, 2]])
    with pytest.raises(InputError, match="whole numbers"):
        fit.permuted(EVERY[:2] / 1)
    with pytest.raises(OptionError, match="test='kr'"):
        metaan.regress(EFFECTS, "~ weeks", test="kr").permuted(EVERY[:2])
    with pytest.raises(OptionError, match="test='CR2'"):
        metaan.robust(fit, [1, 1, 2, 3, 4, 5, 6]).permuted(EVERY[:2])
    with pytest.raises(OptionError, match="multilevel"):
        metaan.multilevel(EFFECTS, "group/estimate").permuted(EVERY[:2])
