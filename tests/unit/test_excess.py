"""excess_significance: power, p-values and limit estimates by brute force, and what is refused."""

from __future__ import annotations

import copy
import itertools
import json
import math
import pickle

import numpy as np
import pytest
from scipy import integrate, stats

import metaan
from metaan.core.excess import TESTS, number_significant, power
from metaan.errors import InputError, OptionError

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

Y, V = np.array([0.5, 0.6, 0.7, 0.65, 0.1]), np.array([0.06, 0.07, 0.09, 0.08, 0.005])


@pytest.fixture(scope="module")
def res():
    return metaan.pool(metaan.effects(Y, V, measure="SMD"), method="CE", test="z")


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("theta", [0.0, 0.4, -1.2])
def test_power_is_that_at_a_true_effect_over_its_distribution(alternative, theta):
    tau, v, alpha = 0.3, 0.04, 0.05
    s = math.sqrt(v)
    edge = stats.norm.isf(alpha / 2 if alternative == "two-sided" else alpha)

    def at(effect):
        up, down = stats.norm.sf(edge - effect / s), stats.norm.sf(edge + effect / s)
        return {"two-sided": up + down, "greater": up, "less": down}[alternative]

    def weighted(u):
        return at(theta + tau * u) * stats.norm.pdf(u)

    by_hand = integrate.quad(weighted, -12, 12, epsabs=1e-13, limit=300)[0]
    made = power(np.array([theta]), np.array([v]), tau**2, alpha, alternative)
    assert made[0] == pytest.approx(by_hand, rel=1e-9)


def test_number_significant_by_enumeration():
    p = np.array([0.1, 0.35, 0.8, 0.5, 0.99])
    expected = np.zeros(6)
    for chosen in itertools.product([0, 1], repeat=5):
        expected[sum(chosen)] += np.prod(np.where(chosen, p, 1 - p))
    np.testing.assert_allclose(number_significant(p), expected, rtol=1e-13)


@pytest.mark.parametrize("direction", ["greater", "less", "two-sided"])
def test_binomial_is_that_of_scipy_and_exact_with_equal_powers(direction):
    p = np.full(9, 0.37)
    for observed in range(10):
        theirs = stats.binomtest(observed, 9, 0.37, alternative=direction).pvalue
        assert TESTS["binomial"](observed, p, direction) == pytest.approx(theirs, rel=1e-10)
        assert TESTS["exact"](observed, p, direction) == pytest.approx(theirs, rel=1e-10)


@pytest.mark.parametrize("test", ["exact", "binomial", "chi2"])
def test_directions_complement_each_other(test):
    p = np.array([0.2, 0.4, 0.3, 0.8])
    for observed in range(4):
        more, fewer = TESTS[test](observed + 1, p, "greater"), TESTS[test](observed, p, "less")
        if test == "chi2":
            more = TESTS[test](observed, p, "greater")
        assert more + fewer == pytest.approx(1, abs=1e-12)


def test_chi2_is_the_statistic_of_the_paper(res):
    made = metaan.excess_significance(res, test="chi2", direction="two-sided")
    o, e = made.values["O"], made.values["E"]
    statistic = (o - e) ** 2 / e + (o - e) ** 2 / (5 - e)
    assert made.statistic == pytest.approx(statistic, rel=1e-12)
    assert made.pvalue == pytest.approx(stats.chi2.sf(statistic, 1), rel=1e-10)
    assert made.df == 1


@pytest.mark.parametrize("test", ["exact", "binomial", "chi2"])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_limit_estimate_has_the_p_value_of_the_limit(test, sign):
    res = metaan.pool(metaan.effects(sign * Y, V), method="CE", test="z")
    made = metaan.excess_significance(res, test=test)
    limit = made.values["theta_lim"]
    assert sign * limit > sign * made.values["theta"], "an excess: the effect must be larger to explain it"
    assert metaan.excess_significance(res, test=test, theta=limit).pvalue == pytest.approx(0.10, rel=1e-9)


def test_a_mirror_image_gives_the_same(res):
    other = metaan.pool(metaan.effects(-Y, V), method="CE", test="z")
    made, turned = metaan.excess_significance(res), metaan.excess_significance(other)
    assert turned.pvalue == pytest.approx(made.pvalue, rel=1e-12)
    assert turned.values["theta_lim"] == pytest.approx(-made.values["theta_lim"], rel=1e-9)
    one, two = (
        metaan.excess_significance(of, alternative=side) for of, side in ((res, "greater"), (other, "less"))
    )  # fmt: skip
    assert two.values["theta_lim"] == pytest.approx(-one.values["theta_lim"], rel=1e-9)


def test_a_null_elsewhere_is_a_shift(res):
    shifted = metaan.pool(metaan.effects(Y + 1, V), method="CE", test="z")
    made, other = metaan.excess_significance(res), metaan.excess_significance(shifted, null=1)
    assert other.pvalue == pytest.approx(made.pvalue, rel=1e-10)
    assert other.values["theta_lim"] == pytest.approx(made.values["theta_lim"] + 1, rel=1e-9)


def test_uses_the_tau2_of_the_result():
    res = metaan.pool(metaan.effects([0.1, 0.9, -0.2, 0.6], [0.01] * 4), method="DL")
    made = metaan.excess_significance(res)
    assert made.values["tau2"] == res.tau2 > 0
    np.testing.assert_allclose(made.power, power(np.array([res.estimate]), res.effects.vi, res.tau2, 0.05, "two-sided"))
    assert "heterogeneity" in {note.code for note in made.notes}


def test_no_limit_without_significant_studies():
    res = metaan.pool(metaan.effects([0.1, 0.05, 0.2], [0.04] * 3), method="CE", test="z")
    made = metaan.excess_significance(res)
    assert made.pvalue == 1
    assert math.isnan(made.values["theta_lim"])
    assert {"no-limit", "low-power"} <= {note.code for note in made.notes}
    assert metaan.excess_significance(res, direction="less").pvalue < 1


@pytest.mark.parametrize("y", [[0.5], [0.0], [0.5, 0.5], [9.0, 9.0, 9.0]])
@pytest.mark.parametrize("test", ["exact", "binomial", "chi2"])
@pytest.mark.parametrize("direction", ["greater", "less", "two-sided"])
def test_few_identical_and_overwhelming_studies(y, test, direction):
    res = metaan.pool(metaan.effects(y, [0.04] * len(y)))
    made = metaan.excess_significance(res, test=test, direction=direction)
    assert 0 <= made.pvalue <= 1
    assert len(str(made).splitlines()) <= 20


def test_refuses_rates_and_what_is_no_result():
    with pytest.raises(OptionError, match="single-arm studies are not selected"):
        metaan.excess_significance(metaan.glmm("PLO", events=[3, 4, 9], total=[20, 30, 40]))
    with pytest.raises(InputError):
        metaan.excess_significance(Y)


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"test": "chi"}, "Did you mean 'chi2'"), ({"alternative": "up"}, "alternative"), ({"alpha": 0}, "alpha=0"),
        ({"direction": "more"}, "direction"), ({"theta": math.nan}, "finite"), ({"null": "x"}, "null='x'"),
        ({"limit_alpha": 0.9}, "limit_alpha"),
    ],
)  # fmt: skip
def test_options_out_of_range(res, more, match):
    with pytest.raises(OptionError, match=match):
        metaan.excess_significance(res, **more)


def test_the_record_is_frozen_and_survives(res):
    made = metaan.excess_significance(res)
    for one in (made, copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert one.pvalue == made.pvalue
        with pytest.raises(ValueError, match="read-only"):
            one.power[0] = 1
    table = made.studies()
    assert table.power.sum() == pytest.approx(made.values["E"])
    assert table.significant.sum() == made.values["O"]
    back = json.loads(json.dumps(made.to_dict(), allow_nan=False))
    assert back["null"].startswith("as many")
    assert len(back["power"]) == 5
    assert made.to_frame().E[0] == made.values["E"]
