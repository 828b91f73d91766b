"""PET-PEESE against statsmodels' weighted least squares and against regress."""

import copy
import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import t as student

import metaan
from metaan.errors import DataError, InputError, OptionError
from metaan.names import COLUMNS

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

RNG = np.random.default_rng(11)
V = RNG.uniform(0.005, 0.3, 25)
Y = 0.4 + 0.8 * np.sqrt(V) + RNG.normal(0, np.sqrt(V + 0.02))
X, N = [0, 3, 1, 4, 2, 3, 9, 7], [20, 44, 28, 30, 51, 30, 40, 40]


@pytest.fixture
def res():
    return metaan.pool(metaan.effects(Y, V))


@pytest.mark.parametrize(("name", "x"), [("pet", np.sqrt(V)), ("peese", V)])
def test_as_statsmodels(res, name, x):
    ours = getattr(metaan.pet_peese(res), name)
    theirs = sm.WLS(Y, sm.add_constant(x), weights=1 / V).fit()
    low, high = theirs.conf_int(alpha=0.05)[0]
    for got, expected in (
        (ours.estimate, theirs.params[0]), (ours.slope, theirs.params[1]), (ours.se, theirs.bse[0]),
        (ours.slope_se, theirs.bse[1]), (ours.statistic, theirs.tvalues[0]), (ours.pvalue, theirs.pvalues[0]),
        (ours.slope_pvalue, theirs.pvalues[1]), (ours.df, theirs.df_resid), (ours.factor, theirs.mse_resid),
        (ours.ci_low, low), (ours.ci_high, high),
    ):  # fmt: skip
        assert got == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("method", "test"), [("REML", "hk"), ("DL", "z"), ("ML", "t"), ("PM", "hk-adhoc"), ("REML", "kr")]
)
def test_random_effects_as_regress(method, test):
    rows = pd.DataFrame({"y": Y, "v": V, "s": np.sqrt(V)})
    eff = metaan.effects("y", "v", data=rows)
    made = metaan.pet_peese(metaan.pool(eff, method=method, test=test), model="random")
    for one, formula in ((made.pet, "~ s"), (made.peese, "~ v")):
        fit = metaan.regress(eff, formula, method=method, test=test)
        assert one.tau2 == pytest.approx(fit.tau2, rel=1e-10)
        for name in ("estimate", "se", "ci_low", "ci_high", "pvalue", "df"):
            assert getattr(one, name) == pytest.approx(getattr(fit, name)[0], rel=1e-10)
        assert (one.slope, one.slope_se) == pytest.approx((fit.estimate[1], fit.se[1]), rel=1e-10)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("shift", [-0.4, 0.0, 0.2])
@pytest.mark.parametrize("rule", ["one-sided", "two-sided"])
def test_rule(sign, shift, rule):
    made = metaan.pet_peese(metaan.pool(metaan.effects(sign * (Y + shift), V)), rule=rule)
    towards = math.copysign(1.0, made.original.estimate) * made.pet.statistic
    upper = float(student.sf(towards, 23))
    expected = upper if rule == "one-sided" else 2 * min(upper, 1 - upper)
    assert made.rule_pvalue == pytest.approx(expected, rel=1e-10)
    assert made.conditional == ("PEESE" if expected < 0.05 else "PET")
    assert made.chosen is (made.peese if expected < 0.05 else made.pet)


def test_both_outcomes_of_the_rule_occur():
    chosen = {metaan.pet_peese(metaan.pool(metaan.effects(Y + shift, V))).conditional for shift in (-0.4, 0.2)}
    assert chosen == {"PET", "PEESE"}


def test_no_factor_of_kenward_and_roger():
    res = metaan.pool(metaan.effects(Y, V), test="kr")
    assert math.isnan(metaan.pet_peese(res, model="random").pet.factor)


def test_curve(res):
    made = metaan.pet_peese(res)
    curve = made.curve(points=5)
    for points in (1, 2.5, True, "many"):
        with pytest.raises(OptionError, match="points"):
            made.curve(points=points)
    assert curve.se.iloc[0] == 0
    assert curve.se.iloc[-1] == pytest.approx(math.sqrt(V.max()))
    assert (curve.pet.iloc[0], curve.peese.iloc[0]) == (made.pet.estimate, made.peese.estimate)
    assert curve.peese.iloc[-1] == pytest.approx(made.peese.estimate + made.peese.slope * V.max())


def test_no_rule_for_rates():
    """Zero on the logit scale is a rate of one half, which nobody tests."""
    made = metaan.pet_peese(metaan.pool(metaan.effect_size("PLO", events=X, total=N)))
    assert made.conditional is None
    assert made.chosen is None
    assert math.isnan(made.rule_pvalue)
    codes = [note.code for note in made.notes]
    assert codes[0] == "linked-variance"
    assert "no-null" in codes
    assert "rate" in str(made)
    assert "linked-variance" not in {
        note.code for note in metaan.pet_peese(metaan.pool(metaan.effect_size("PAS", events=X, total=N))).notes
    }


def test_effects_on_a_line():
    made = metaan.pet_peese(metaan.pool(metaan.effects(0.2 + np.sqrt(V), V), test="z"))
    assert made.pet.estimate == pytest.approx(0.2)
    assert made.pet.se == 0
    assert "exact-line" in {note.code for note in made.notes}
    assert made.chosen is None  # there is nothing to test with
    assert math.isnan(made.rule_pvalue)


def test_notes():
    few = metaan.pet_peese(metaan.pool(metaan.effects(Y[:6], V[:6])))
    assert "few-studies" in {note.code for note in few.notes}
    spread = metaan.pet_peese(metaan.pool(metaan.effects(10 * Y, V)))
    assert "heterogeneous" in {note.code for note in spread.notes}
    assert "extrapolated" not in {note.code for note in spread.notes}
    alike = metaan.pet_peese(metaan.pool(metaan.effects(Y, 0.1 + V / 10)))
    assert "extrapolated" in {note.code for note in alike.notes}


def test_views(res):
    made = metaan.pet_peese(res)
    frame = made.to_frame()
    assert list(frame.regression) == ["PET", "PEESE"]
    assert frame.conditional.sum() == 1
    assert set(frame.columns) | set(made.curve().columns) <= set(COLUMNS)
    assert len(str(made).splitlines()) <= 20
    json.dumps(made.to_dict(), allow_nan=False)
    for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert str(again) == str(made)


def test_what_is_refused(res):
    with pytest.raises(OptionError, match="effect sizes with sampling variances"):
        metaan.pet_peese(metaan.glmm("PLO", events=X, total=N))
    with pytest.raises(OptionError, match="robust"):
        metaan.pet_peese(metaan.robust(metaan.pool(metaan.effects(Y, V)), cluster=list(range(len(Y)))))
    with pytest.raises(DataError, match="standard errors are equal"):
        metaan.pet_peese(metaan.pool(metaan.effects([0.1, 0.2, 0.5], [0.1, 0.1, 0.1])))
    with pytest.raises(InputError, match="at least 3"):
        metaan.pet_peese(metaan.pool(metaan.effects([0.1, 0.2], [0.1, 0.2])))
    for option in ({"model": "ols"}, {"rule": "both"}, {"alpha": 0}, {"alpha": "x"}, {"alpha": True}):
        with pytest.raises(OptionError):
            metaan.pet_peese(res, **option)
    genq = metaan.pool(metaan.effects(Y, V), method="GENQ", weights=np.ones(25))
    assert metaan.pet_peese(genq).pet.estimate == metaan.pet_peese(res).pet.estimate
    with pytest.raises(OptionError, match="GENQ"):
        metaan.pet_peese(genq, model="random")
