"""selection_model: what it takes, refuses, decides and says."""

import copy
import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest

from metaan.analysis.selection import selection_model
from metaan.errors import DataError, InputError, OptionError
from metaan.measures.effect_size import effect_size
from metaan.measures.record import effects
from metaan.models.pool import pool
from metaan.models.regress import regress
from metaan.models.robust import robust
from metaan.names import COLUMNS

RNG = np.random.default_rng(4)
V = RNG.uniform(0.01, 0.2, 40)
Y = RNG.normal(0.25, np.sqrt(V + 0.05))
ROWS = pd.DataFrame({"x": RNG.normal(2000, 8, 40), "group": ["a", "b"] * 20})
EFF = effects(Y, V, data=ROWS)
CONTINUOUS = ("beta", "halfnorm", "negexp", "logistic", "power")


def codes(sel):
    return {note.code for note in sel.notes}


@pytest.mark.parametrize("kind", ["step", *CONTINUOUS])
@pytest.mark.parametrize("scale", [1e-6, 1e7])
def test_units_do_not_matter(kind, scale):
    a, b = selection_model(EFF, kind=kind), selection_model(effects(Y * scale, V * scale**2), kind=kind)
    assert b.estimate == pytest.approx(a.estimate * scale, rel=1e-6)
    assert b.tau2 == pytest.approx(a.tau2 * scale**2, rel=1e-6)
    assert b.delta == pytest.approx(a.delta, rel=1e-6)
    assert b.loglik == pytest.approx(a.loglik - 40 * math.log(scale), abs=1e-8)


@pytest.mark.parametrize("kind", ["step", *CONTINUOUS])
def test_less_is_greater_turned(kind):
    a, b = selection_model(EFF, kind=kind), selection_model(effects(-Y, V), kind=kind, alternative="less")
    assert b.estimate == pytest.approx(-a.estimate, rel=1e-8)
    assert b.delta == pytest.approx(a.delta, rel=1e-8)
    assert b.loglik == pytest.approx(a.loglik, abs=1e-10)


def test_order_of_studies_does_not_matter():
    turn = RNG.permutation(40)
    a, b = selection_model(EFF), selection_model(effects(Y[turn], V[turn]))
    assert (b.estimate, b.LRT) == pytest.approx((a.estimate, a.LRT), rel=1e-8)


def test_a_null_is_a_shift():
    a = selection_model(EFF, null=0.3)
    b = selection_model(effects(Y - 0.3, V))
    assert a.estimate == pytest.approx(b.estimate + 0.3, abs=1e-8)
    assert a.pvalues == pytest.approx(b.pvalues, abs=1e-12)


def test_fields_follow_from_each_other():
    sel = selection_model(EFF, steps=[0.025, 0.5], level=0.9)
    assert sel.aic == pytest.approx(2 * 4 - 2 * sel.loglik)
    assert pytest.approx(2 * (sel.loglik - sel.loglik_null)) == sel.LRT
    assert sel.LRT_df == 2
    assert sel.LRT_pvalue == pytest.approx(math.exp(-sel.LRT / 2))
    assert sel.ci_high - sel.ci_low == pytest.approx(2 * 1.6448536 * sel.se, rel=1e-6)
    assert sel.se == pytest.approx(math.sqrt(sel.cov[0, 0]))
    assert sel.delta_se == pytest.approx(np.sqrt(np.diag(sel.cov)[2:]))
    plain = pool(EFF, method="ML")
    assert (sel.unadjusted, sel.tau2_unadjusted) == pytest.approx((plain.estimate, plain.tau2), abs=1e-9)


def test_moderators():
    sel = selection_model(EFF, formula="~ x")
    assert sel.names == ("Intercept", "x")
    assert sel.estimate.shape == (2,)
    shifted = effects(Y, V, data=ROWS.assign(x=ROWS.x - 2000))
    other = selection_model(regress(shifted, "~ x", method="ML"))
    assert other.loglik == pytest.approx(sel.loglik, abs=1e-9)
    assert other.estimate[1] == pytest.approx(sel.estimate[1], rel=1e-6)
    assert "refitted" not in codes(other)
    assert "x " in str(sel)


def test_results_are_taken():
    a, b = selection_model(EFF), selection_model(pool(EFF))
    assert a.estimate == b.estimate
    assert "refitted" in codes(b)
    with pytest.raises(InputError, match="not dict"):
        selection_model({})


def test_rates_are_refused():
    eff = effect_size("PLO", events=[3, 4, 5, 9, 20], total=[20, 30, 40, 50, 40])
    with pytest.raises(OptionError, match="a rate of 50 %"):
        selection_model(eff)
    forced = selection_model(eff, force=True, alternative="less")
    assert forced.null == 0
    assert selection_model(eff, null=-1.0).null == -1
    with pytest.raises(OptionError, match="0 on the analysis scale"):
        selection_model(effect_size("IRLN", events=[3, 4, 5], time=[20, 30, 40]))


def test_known_weights():
    steps, weights = [0.025, 0.5], [2.0, 1.0, 0.4]
    sel = selection_model(EFF, steps=steps, weights=weights)
    assert sel.delta == pytest.approx([0.5, 0.2])
    assert math.isnan(sel.LRT)
    assert math.isnan(sel.LRT_pvalue)
    assert "fixed-weights" in codes(sel)
    assert sel.parameters == 2
    even = selection_model(EFF, steps=steps, weights=[1, 1, 1])
    assert even.estimate == pytest.approx(pool(EFF, method="ML").estimate, abs=1e-8)
    free = selection_model(EFF, steps=[0.025])
    held = selection_model(EFF, steps=[0.025], weights=[1.0, float(free.delta[0])])
    assert held.estimate == pytest.approx(free.estimate, abs=1e-7)
    assert held.se < free.se
    steep = selection_model(EFF, weights=[0.001, 1.0])
    assert steep.delta == pytest.approx([1000])  # beyond what would be estimated
    assert steep.estimate > free.estimate


def test_an_interval_without_studies():
    eff = effects([0.5, 0.6, 0.7, 0.5], [0.01] * 4)
    with pytest.raises(DataError, match=r"No study has a p-value in 0.025 to 1 \(4 studies\)"):
        selection_model(eff)
    assert selection_model(eff, weights=[1, 0.5]).estimate < 0.6


def test_common_effect():
    sel = selection_model(EFF, method="CE")
    assert sel.tau2 == 0
    assert math.isnan(sel.LRT_tau2)
    assert "tau2-zero" not in codes(sel)
    assert "Spread" not in str(sel)


def test_where_tau2_is_zero():
    sel = selection_model(effects([0.2, 0.22, 0.18, 0.25, 0.21, 0.1], [0.02, 0.03, 0.005, 0.04, 0.03, 0.02]))
    assert sel.tau2 == 0
    assert sel.LRT_tau2 == 0
    assert sel.LRT_tau2_pvalue == 1
    assert {"tau2-zero", "few-studies", "few-in-interval"} <= codes(sel)


def test_delta_at_its_bound():
    """No selection: the likelihood is highest for delta = 0, and the test says so."""
    rng = np.random.default_rng(11)
    v = rng.uniform(0.01, 0.2, 60)
    eff = effects(-np.abs(rng.normal(0, np.sqrt(v))), v)
    sel = selection_model(eff, kind="negexp")
    assert sel.delta[0] == 0
    assert math.isnan(sel.delta_se[0])
    assert (sel.LRT, sel.LRT_pvalue) == (0, 1)
    assert sel.estimate == pytest.approx(pool(eff, method="ML").estimate, abs=1e-7)
    assert "delta-bound" in codes(sel)


def test_precision_by_sample_size():
    rng = np.random.default_rng(5)
    n = rng.integers(20, 200, 30)
    eff = effect_size(
        "SMD", mean_t=rng.normal(0.4, 0.2, 30), sd_t=[1.0] * 30, n_t=n, mean_c=[0.0] * 30, sd_c=[1.0] * 30, n_c=n
    )
    by_n = selection_model(eff, kind="negexp", prec="ninv")
    assert by_n.prec == "ninv"
    assert by_n.loglik >= by_n.loglik_null - 1e-9
    with pytest.raises(OptionError, match="need sample sizes"):
        selection_model(EFF, kind="negexp", prec="ninv")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "steps"}, "Did you mean 'step'"),
        ({"alternative": "up"}, "alternative='up' is not known"),
        ({"method": "REML"}, "method='REML' is not known"),
        ({"steps": 2.5}, "must lie between 0 and 1"),
        ({"steps": 1.0}, "at least one cut point"),
        ({"kind": "beta", "steps": 0.05}, "has no steps"),
        ({"kind": "power", "steps": [0.05, 0.1]}, "takes one step"),
        ({"prec": "sei"}, "prec is not for kind='step'"),
        ({"kind": "beta", "weights": [1, 1]}, "kind='step'"),
        ({"null": math.inf}, "finite effect"),
        ({"ci": "bayes"}, "ci='bayes' is not known"),
        ({"level": 95}, "Did you mean level=0.95"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(OptionError, match=message):
        selection_model(EFF, **options)


@pytest.mark.parametrize("weights", [[1, 2], [1, 0, 1], [1, math.nan, 1]])
def test_weights_are_checked(weights):
    with pytest.raises(InputError, match="weights"):
        selection_model(EFF, steps=[0.025, 0.5], weights=weights)


def test_too_few_studies():
    with pytest.raises(DataError, match="at least 3 studies"):
        selection_model(effects([0.1, 0.2], [0.1, 0.1]))


def test_tables():
    sel = selection_model(EFF, steps=[0.025, 0.5])
    table = sel.weights_frame()
    assert list(table.p_to) == [0.025, 0.5, 1.0]
    assert table.delta[0] == 1
    assert table.studies.sum() == 40
    curve = sel.weight_function()
    assert curve.chance[curve.p <= 0.025].unique().tolist() == [1.0]
    assert curve.chance.iloc[-1] == pytest.approx(sel.delta[1])
    assert (curve.low <= curve.chance).all()
    assert (curve.chance <= curve.high).all()
    power = selection_model(EFF, kind="power").weight_function()
    assert power.chance[0] == pytest.approx(1, abs=1e-3)
    frame = sel.to_frame()
    assert {*table, *curve, *frame} <= set(COLUMNS)
    assert frame.term.tolist() == ["Intercept"]
    assert frame.attrs["notes"] == [str(note) for note in sel.notes]


@pytest.mark.parametrize("kind", ["step", *CONTINUOUS])
def test_views(kind):
    sel = selection_model(EFF, kind=kind, ci="profile")
    text = str(sel)
    assert len(text.splitlines()) <= 20
    for part in ("40 studies", "GEN", "profile likelihood", "test of no selection"):
        assert part in text
    assert json.loads(json.dumps(sel.to_dict(), allow_nan=False))["k"] == 40
    for twin in (pickle.loads(pickle.dumps(sel)), copy.deepcopy(sel)):
        assert str(twin) == text
        assert not twin.delta.flags.writeable
    assert kind in repr(sel)
    assert "<pre>" in sel._repr_html_()


def test_selection_is_undone():
    """2,000 studies of which 30 % of those that are not significant are seen."""
    rng = np.random.default_rng(2)
    v = rng.uniform(0.01, 0.1, 2000)
    y = rng.normal(0.2, np.sqrt(v + 0.05))
    seen = (y / np.sqrt(v) > 1.959964) | (rng.random(2000) < 0.3)
    sel = selection_model(effects(y[seen], v[seen]))
    assert abs(sel.estimate - 0.2) < 2 * sel.se
    assert abs(sel.delta[0] - 0.3) < 2 * sel.delta_se[0]
    assert sel.unadjusted > 0.3


@pytest.mark.parametrize("null", [[], [0, 1], math.nan])
def test_the_null_is_one_number(null):
    with pytest.raises(OptionError, match="one finite effect"):
        selection_model(EFF, null=null)


def test_weights_that_leave_nothing_to_compute():
    with pytest.raises(InputError, match="factor of 1e\\+100"):
        selection_model(EFF, weights=[1, 1e-150])


def test_robust_results_are_named():
    with pytest.raises(OptionError, match="not robust results"):
        selection_model(robust(pool(EFF), cluster=["a", "b", "c", "d"] * 10))


def test_a_delta_that_would_rise_for_ever():
    sel = selection_model(effects([0.2] * 10, [0.01] * 10), kind="negexp")
    assert sel.delta[0] == pytest.approx(100)
    assert any("depend on that bound" in note.text for note in sel.notes)
