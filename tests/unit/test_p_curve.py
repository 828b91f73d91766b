"""p_curve against noncentral chi2 distributions, and what it takes, refuses and says."""

import copy
import json
import math
import pickle

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom, ncx2, norm

import metaan
from metaan import effect_size, effects, p_curve, pool
from metaan.core.p_curve import critical, deviates, shift_of, stouffer_shift, tail
from metaan.errors import DataError, InputError, OptionError
from metaan.names import COLUMNS

RNG = np.random.default_rng(20)
V = RNG.uniform(0.01, 0.2, 30)
Y = RNG.normal(0.45, np.sqrt(V + 0.02))
EFF = effects(Y, V, measure="SMD")
Z = Y / np.sqrt(V)


def codes(made):
    return {note.code for note in made.notes}


def conditional(x, power, alpha, at):
    """P(|Z| < x) among tests with p < alpha, for tests whose power at level `at` is as given, by chi2(1, ncp)."""
    if power is None:
        return 1 - 2 * norm.sf(x) / alpha
    ncp = brentq(lambda n: ncx2.sf(norm.isf(at / 2) ** 2, 1, n) - power, 1e-12, 200, xtol=1e-14)
    inside = ncx2.sf(norm.isf(alpha / 2) ** 2, 1, ncp)
    return 1 - ncx2.sf(x**2, 1, ncp) / inside


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.01])
def test_against_noncentral_chi2(alpha):
    made = p_curve(z=Z, alpha=alpha)
    x = np.abs(Z[2 * norm.sf(np.abs(Z)) < alpha])
    half = x[2 * norm.sf(x) < alpha / 2]
    n, m = x.size, half.size
    assert (made.k, made.significant, made.half) == (30, n, m)
    assert made.skew == pytest.approx(-norm.ppf(conditional(x, None, alpha, alpha)).sum() / math.sqrt(n), rel=1e-8)
    assert made.skew_half == pytest.approx(
        -norm.ppf(conditional(half, None, alpha / 2, alpha)).sum() / math.sqrt(m), rel=1e-8
    )
    assert made.flat == pytest.approx(norm.ppf(conditional(x, 1 / 3, alpha, alpha)).sum() / math.sqrt(n), rel=1e-8)
    assert made.flat_half == pytest.approx(
        norm.ppf(conditional(half, 1 / 3, alpha / 2, alpha)).sum() / math.sqrt(m), rel=1e-8
    )
    for name in ("skew", "skew_half", "flat", "flat_half"):
        assert getattr(made, f"{name}_pvalue") == pytest.approx(norm.cdf(getattr(made, name)), rel=1e-12)
    share = 1 - conditional(norm.isf(alpha / 4), 1 / 3, alpha, alpha)
    assert made.skew_binomial_pvalue == pytest.approx(binom.sf(m - 1, n, 0.5), rel=1e-10)
    assert made.flat_binomial_pvalue == pytest.approx(binom.cdf(m, n, share), rel=1e-10)


def test_power():
    x = np.abs(Z[np.abs(Z) > norm.isf(0.025)])
    made = p_curve(z=Z, level=0.8)
    for power, tail_area in ((made.power, 0.5), (made.power_low, 0.9), (made.power_high, 0.1)):
        z = norm.ppf(conditional(x, power, 0.05, 0.05)).sum() / math.sqrt(x.size)
        assert norm.cdf(z) == pytest.approx(tail_area, abs=1e-8)


def test_deviates_on_the_log_scale():
    """Far tails, whose probabilities underflow, by Mills' ratio; and next to the critical value."""
    cut = critical(0.05)
    x = np.array([45.0, 300.0])
    pp = -(x**2) / 2 - np.log(x * math.sqrt(2 * math.pi)) + np.log1p(-1 / x**2 + 3 / x**4) - math.log(0.025)
    assert norm.logsf(deviates(x, 0.0, cut)) == pytest.approx(pp, rel=1e-9)
    assert deviates(np.array([2.0, 50.0]), 90.0, cut) == pytest.approx([-88, -40], abs=1e-3)
    near = deviates(np.array([cut + 1e-9]), 0.0, cut)[0]
    assert norm.cdf(near) == pytest.approx(2 * norm.pdf(cut) * 1e-9 / 0.05, rel=1e-5)


@pytest.mark.parametrize("power", [0.0500001, 0.2, 0.5, 0.9, 0.99999])
def test_shift_of(power):
    cut = critical(0.05)
    shift = shift_of(power, cut)
    assert tail(cut, shift) == pytest.approx(power, rel=1e-10)
    assert norm.sf(cut - shift) + norm.cdf(-cut - shift) == pytest.approx(power, rel=1e-10)


def test_no_steeper_than_without_effects():
    made = p_curve(pvalues=[0.049, 0.048, 0.045, 0.04])
    assert (made.power, made.power_low) == (0.05, 0.05)
    assert stouffer_shift(made.z, critical(0.05), np.zeros(1)) == 0
    assert {"power-at-alpha", "few-significant"} <= codes(made)
    assert made.inadequate
    assert not made.evidential
    assert (made.half, made.skew_binomial_pvalue) == (0, 1)
    assert math.isnan(made.skew_half)
    assert "none" in str(made)


def test_verdict():
    strong = p_curve(z=[4, 5, 3.5, 6, 4.2, 3.3])
    assert strong.evidential
    assert not strong.inadequate
    assert "right-skewed: not all effects are 0" in str(strong)
    assert "not flatter" in str(strong)


def test_result_effects_z_and_pvalues_agree():
    made = p_curve(EFF)
    for other in (p_curve(pool(EFF)), p_curve(z=Z), p_curve(pvalues=2 * norm.sf(np.abs(Z))), p_curve(z=-Z)):
        assert other.skew == pytest.approx(made.skew, rel=1e-9)
        assert other.power_low == pytest.approx(made.power_low, rel=1e-9)
    assert p_curve(pool(effects(Y, V, measure="OR")).back()).skew == pytest.approx(made.skew)


def test_alternative():
    z = [2.5, 3.1, -2.2, 1.0, -4.0]
    both = p_curve(z=z)
    assert "both-directions" in codes(both)
    above, below = p_curve(z=z, alternative="greater"), p_curve(z=z, alternative="less")
    assert (both.significant, above.significant, below.significant) == (4, 2, 2)
    assert above.skew == p_curve(z=z[:2]).skew
    assert below.skew == pytest.approx(p_curve(z=[2.2, 4.0]).skew)
    assert list(below.studies().in_curve) == [False, False, True, False, True]
    assert below.curve().studies.sum() == 2


def test_curve():
    p = np.array([0.001, 0.004, 0.0099, 0.013, 0.02000001, 0.031, 0.049, 0.2])
    curve = p_curve(pvalues=p).curve()
    assert list(curve.studies) == [3, 1, 1, 1, 1]
    assert curve.share.sum() == pytest.approx(1)
    assert curve.share_null.to_numpy() == pytest.approx([0.2] * 5)
    ends = norm.isf(np.arange(1, 6) / 200)
    below = 1 - conditional(ends, 1 / 3, 0.05, 0.05)
    assert curve.share_low.to_numpy() == pytest.approx(np.diff(np.append(0, below)), abs=1e-9)
    assert curve.share_fitted.sum() == pytest.approx(1)
    assert p_curve(pvalues=p).power < 1 / 3
    assert 0.2 < curve.share_fitted.iloc[0] < curve.share_low.iloc[0]


def test_columns_are_in_the_vocabulary():
    made = p_curve(EFF)
    for frame in (made.to_frame(), made.curve(), made.studies()):
        assert set(frame.columns) <= set(COLUMNS)
    assert list(made.to_frame().pvalue[:3]) == [made.skew_pvalue, made.skew_half_pvalue, made.skew_binomial_pvalue]


def test_records():
    made = p_curve(EFF)
    for other in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert str(other) == str(made)
        with pytest.raises(ValueError, match="read-only"):
            other.z[0] = 1
    again = json.loads(json.dumps(made.to_dict(), allow_nan=False))
    assert again["power"] == made.power
    assert json.loads(json.dumps(p_curve(pvalues=[0.04]).to_dict(), allow_nan=False))["skew_half"] is None
    assert len(str(made).splitlines()) <= 20
    assert str(made).splitlines()[0] in made._repr_html_()
    assert repr(made).startswith("<PCurveResult: ")


def test_refusals():
    with pytest.raises(OptionError, match="a rate of 50%"):
        p_curve(pool(effect_size("PLO", events=[3, 4, 6], total=[20, 30, 40])))
    with pytest.raises(OptionError, match="small_study_effects"):
        p_curve(effect_size("PR", events=[3, 4, 6], total=[20, 30, 40]))
    with pytest.raises(DataError, match="none of 3 is significant"):
        p_curve(z=[1, 0.5, 1.9])
    with pytest.raises(DataError, match="significant and less"):
        p_curve(z=[4.0, 5.0], alternative="less")
    with pytest.raises(InputError, match="one of them"):
        p_curve()
    with pytest.raises(InputError, match="one of them"):
        p_curve(EFF, z=Z)
    with pytest.raises(InputError, match="labels of their own"):
        p_curve(EFF, study=range(30))
    with pytest.raises(InputError, match="sign of the effects"):
        p_curve(pvalues=[0.01], alternative="less")
    with pytest.raises(DataError, match=r"\(0, 1\].*'b'"):
        p_curve(pvalues=[0.01, 0.0], study=["a", "b"])
    with pytest.raises(DataError, match="missing or infinite"):
        p_curve(z=[2, math.nan])
    with pytest.raises(InputError, match="empty"):
        p_curve(z=[])
    with pytest.raises(OptionError, match="alternative"):
        p_curve(EFF, alternative="up")
    with pytest.raises(OptionError, match="alpha"):
        p_curve(EFF, alpha=5)
    with pytest.raises(OptionError, match="level"):
        p_curve(EFF, level=90)
    with pytest.raises(InputError, match="p_curve takes results"):
        p_curve([1, 2, 3])


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 1.5, 3.0])
def test_size_and_power(shift):
    """Without effects the tests hold their level; with a common shift the interval of the power covers it."""
    rng = np.random.default_rng(5)
    power, hit, covered, n = float(tail(critical(0.05), shift)), 0, 0, 1000
    for _ in range(n):
        z = rng.normal(shift, 1, 4000)
        z = z[np.abs(z) > critical(0.05)][:15]
        made = metaan.p_curve(z=z)
        hit += made.skew_pvalue < 0.05
        covered += made.power_low <= power * (1 + 1e-9) and power <= made.power_high
    se = math.sqrt(0.05 * 0.95 / n)
    if shift == 0:
        assert abs(hit / n - 0.05) < 3.5 * se
        assert covered / n > 0.9  # the lower limit is alpha itself half of the time and more
    else:
        assert hit / n > 0.3
        assert abs(covered / n - 0.9) < 3.5 * math.sqrt(0.9 * 0.1 / n)
