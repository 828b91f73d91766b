"""p_uniform_star against a likelihood written again, by adaptive quadrature and a general optimiser."""

import copy
import json
import math
import pickle

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import log_ndtr
from scipy.stats import chi2, norm

from metaan import effect_size, effects, p_uniform_star, pool, selection_model
from metaan.core.p_uniform import Truncated, fit_p_uniform, log_likelihood
from metaan.errors import DataError, InputError, OptionError
from metaan.names import COLUMNS

C = norm.isf(0.025)


def data(seed, k, mean=0.3, tau2=0.05):
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.01, 0.2, k)
    return rng.normal(mean, np.sqrt(v + tau2)), v


def codes(made):
    return {note.code for note in made.notes}


def loglik(y, v, mean, tau2, alpha=0.05):
    """Log-likelihood conditional on which studies are significant, favoured above 0; of arrays, element by element."""
    mean, tau2 = np.broadcast_arrays(np.asarray(mean, dtype=float), tau2)
    y, v = (a.reshape(-1, *[1] * mean.ndim) for a in (y, v))
    cut, s = norm.isf(alpha / 2) * np.sqrt(v), np.sqrt(v + tau2)
    z = (mean - cut) / s
    inside = np.where(y > cut, log_ndtr(z), log_ndtr(-z))
    return (-((y - mean) ** 2) / (2 * s**2) - np.log(s * math.sqrt(2 * math.pi)) - inside).sum(axis=0)


def highest(y, v, mean=None, tau2=None):
    """Its highest value on a grid, refined by a simplex, and where; mean and tau2 can be held."""
    m = np.linspace(-4, 4, 81) if mean is None else np.array([mean])
    t = np.append(0.0, np.geomspace(1e-7, 100, 80)) if tau2 is None else np.array([tau2])
    values = loglik(y, v, m[:, None], t[None, :])
    i, j = np.unravel_index(np.argmax(values), values.shape)

    def both(x):
        return (x[0] if mean is None else mean), (abs(x[-1]) if tau2 is None else tau2)

    start = [m[i]] * (mean is None) + [t[j]] * (tau2 is None)
    simplex = np.array([start] + [np.add(start, 0.05 * row) for row in np.eye(len(start))])
    how = {"initial_simplex": simplex, "xatol": 1e-9, "fatol": 1e-13, "maxiter": 4000, "maxfev": 4000}
    best = minimize(lambda x: -float(loglik(y, v, *both(x))), start, method="Nelder-Mead", options=how)
    return -best.fun, *both(best.x)


CASES = [data(1, 20), data(2, 12), data(3, 40, 0.1, 0.02), data(4, 6, 0.5, 0.0), data(7, 25, -0.2, 0.3)]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_maximum_and_tests(case):
    y, v = CASES[case]
    made = p_uniform_star(effects(y, v), alternative="greater")
    top, mean, tau2 = highest(y, v)
    assert made.loglik == pytest.approx(loglik(y, v, made.estimate, made.tau2), abs=1e-10)
    assert made.loglik >= top - 1e-10
    assert made.loglik == pytest.approx(top, abs=1e-7)
    assert made.estimate == pytest.approx(mean, abs=1e-5)
    assert made.tau2 == pytest.approx(tau2, abs=2e-5)
    lower = highest(y, v, mean=0.0)[0], highest(y, v, tau2=0.0)[0]
    assert (made.LRT, made.LRT_tau2) == pytest.approx((2 * (top - lower[0]), 2 * (top - lower[1])), abs=1e-6)
    assert made.LRT_pvalue == pytest.approx(chi2.sf(made.LRT, 1))
    assert made.LRT_tau2_pvalue == pytest.approx(1 if made.tau2 == 0 else chi2.sf(made.LRT_tau2, 1) / 2)
    pm = pool(effects(y, v), method="PM", test="z")
    assert (made.unadjusted, made.tau2_unadjusted) == pytest.approx((pm.estimate, pm.tau2), rel=1e-9)
    assert made.LRT_bias == pytest.approx(2 * (made.loglik - loglik(y, v, pm.estimate, pm.tau2)), abs=1e-9)
    assert made.LRT_bias_pvalue == pytest.approx(chi2.sf(made.LRT_bias, 2))


@pytest.mark.parametrize("case", range(3))
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_profile_intervals(case, level):
    y, v = CASES[case]
    made = p_uniform_star(effects(y, v), alternative="greater", level=level)
    drop = chi2.ppf(level, 1) / 2
    for limit in (made.ci_low, made.ci_high):
        assert made.loglik - highest(y, v, mean=limit)[0] == pytest.approx(drop, abs=1e-6)
    assert made.ci_low < made.estimate < made.ci_high
    for limit in (made.tau2_low, made.tau2_high):
        fall = made.loglik - highest(y, v, tau2=limit)[0]
        assert (limit == 0 and fall <= drop) or fall == pytest.approx(drop, abs=1e-6)
    assert made.tau2_low <= made.tau2 < made.tau2_high


@pytest.mark.parametrize("mean", [-3.0, 0.0, 0.4, 2.0])
@pytest.mark.parametrize("tau2", [0.0, 0.05, 2.0])
def test_likelihood_by_quadrature(mean, tau2):
    """The constant of each study is the integral of its normal density over its side of the critical value."""
    y, v = CASES[1]
    cut = C * np.sqrt(v)
    total = 0.0
    for yi, vi, ci in zip(y, v, cut, strict=True):
        s = math.sqrt(vi + tau2)
        away = ci + 60 * s if yi > ci else ci - 60 * s
        peak = norm.pdf(ci, mean, s) if (ci - mean) * (1 if yi > ci else -1) > 0 else norm.pdf(mean, mean, s)
        points = sorted(p for p in (mean, mean + 4 * s, mean - 4 * s) if min(ci, away) < p < max(ci, away))
        how = {"points": points or None, "epsabs": 1e-14, "epsrel": 1e-11, "limit": 500}
        density = lambda x, s=s, peak=peak: norm.pdf(x, mean, s) / peak  # noqa: E731
        area = quad(density, min(ci, away), max(ci, away), **how)[0]
        total += norm.logpdf(yi, mean, s) - math.log(area) - math.log(peak)
    of = Truncated(y, v, cut, np.where(y > cut, 1.0, -1.0))
    assert log_likelihood(of, mean, tau2) == pytest.approx(total, rel=1e-9)


def test_derivatives_and_far_means():
    """By differences; and where Phi underflows, against its asymptotic series."""
    from metaan.core.p_uniform import _evaluate

    y, v = CASES[0]
    of = Truncated(y, v, C * np.sqrt(v), np.where(y > C * np.sqrt(v), 1.0, -1.0))
    for mean, tau2 in ((0.2, 0.1), (-2.0, 0.03), (4.0, 1.0), (9.0, 0.01)):
        at = _evaluate(of, np.array([mean]), np.array([tau2]))
        h = 1e-5
        up, down = log_likelihood(of, mean + h, tau2), log_likelihood(of, mean - h, tau2)
        assert at.slope[0] == pytest.approx((up - down) / (2 * h), rel=1e-6, abs=1e-6)
        slopes = [_evaluate(of, np.array([mean + d]), np.array([tau2])).slope[0] for d in (h, -h)]
        assert at.curvature[0] == pytest.approx((slopes[0] - slopes[1]) / (2 * h), rel=1e-5)
        up, down = log_likelihood(of, mean, tau2 + h / 10), log_likelihood(of, mean, tau2 - h / 10)
        assert at.by_tau2[0] == pytest.approx((up - down) / (2 * h / 10), rel=1e-5, abs=1e-5)
    one = Truncated(np.array([0.5]), np.array([0.04]), np.array([0.4]), np.array([1.0]))
    rate = (1e4 + 0.4) / 0.04  # a normal tail far out is exponential
    assert log_likelihood(one, -1e4, 0.0) == pytest.approx(math.log(rate) - rate * 0.1 - 0.1**2 / 0.08, rel=1e-9)


def test_ridge():
    """Effects spread beyond their critical values wider than an exponential distribution: there is no maximum."""
    v = np.array([0.02, 0.025, 0.03, 0.02, 0.03])
    y = C * np.sqrt(v) + np.array([0.02, 0.01, 0.03, 0.5, 0.02])
    made = p_uniform_star(effects(y, v), alternative="greater")
    assert (made.estimate, made.ci_low, made.tau2, made.tau2_high) == (-math.inf, -math.inf, math.inf, math.inf)
    beyond = (y - C * np.sqrt(v)).mean()
    assert made.loglik == pytest.approx(5 * (-math.log(beyond) - 1))
    assert {"no-maximum", "one-kind"} <= codes(made)
    grid = loglik(y, v, -np.geomspace(0.01, 3000, 200)[:, None], np.geomspace(1e-4, 3000, 200))
    assert made.loglik - 0.05 < grid.max() < made.loglik
    assert made.loglik - highest(y, v, mean=made.ci_high)[0] == pytest.approx(chi2.ppf(0.95, 1) / 2, abs=1e-6)
    assert json.loads(json.dumps(made.to_dict(), allow_nan=False))["estimate"] is None
    assert len(str(made).splitlines()) <= 20


def test_ridge_without_significant_studies():
    v = np.full(5, 0.04)
    y = (C - np.array([0.05, 0.1, 0.02, 3.0, 0.03])) * 0.2
    made = p_uniform_star(effects(y, v), alternative="greater")
    assert (made.estimate, made.ci_high) == (math.inf, math.inf)
    assert math.isfinite(made.ci_low)
    turned = p_uniform_star(effects(-y, v), alternative="less")
    assert (turned.estimate, turned.ci_high) == (-math.inf, pytest.approx(-made.ci_low))


@pytest.mark.parametrize("case", [0, 2, 4])
def test_part_of_a_step_selection_model(case):
    """Its likelihood is the conditional one times that of the groups in which the studies were seen."""
    y, v = CASES[case]
    sel = selection_model(effects(y, v))
    s = np.sqrt(v + sel.tau2)
    above = norm.sf(C * np.sqrt(v), sel.estimate, s)
    group = np.where(y > C * np.sqrt(v), above, sel.delta[0] * (1 - above)) / (above + sel.delta[0] * (1 - above))
    of = Truncated(y, v, C * np.sqrt(v), np.where(y > C * np.sqrt(v), 1.0, -1.0))
    assert sel.loglik == pytest.approx(log_likelihood(of, sel.estimate, sel.tau2) + np.log(group).sum(), abs=1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1e7])
def test_units_do_not_matter(scale):
    y, v = CASES[0]
    a, b = (p_uniform_star(effects(y * s, v * s**2)) for s in (1.0, scale))
    for name in ("estimate", "ci_low", "ci_high"):
        assert getattr(b, name) == pytest.approx(getattr(a, name) * scale, rel=1e-7)
    for name in ("tau2", "tau2_low", "tau2_high"):
        assert getattr(b, name) == pytest.approx(getattr(a, name) * scale**2, rel=1e-7)
    assert (b.LRT, b.LRT_tau2, b.LRT_bias) == pytest.approx((a.LRT, a.LRT_tau2, a.LRT_bias), abs=1e-8)


def test_less_is_greater_turned():
    y, v = CASES[2]
    turn = np.random.default_rng(1).permutation(y.size)
    a, b = p_uniform_star(effects(y, v), alternative="greater"), p_uniform_star(effects(-y[turn], v[turn]))
    assert b.alternative == "less"
    assert "side-of-estimate" in codes(b)
    assert "side-of-estimate" not in codes(a)
    assert (b.estimate, b.ci_low, b.ci_high) == pytest.approx((-a.estimate, -a.ci_high, -a.ci_low), rel=1e-8)
    assert (b.LRT_bias, b.significant) == (pytest.approx(a.LRT_bias, abs=1e-9), a.significant)
    assert b.studies().significant.sum() == a.significant


def test_takes_results_and_shows_ratios():
    y, v = CASES[0]
    eff = effects(y, v, measure="OR")
    a, b = p_uniform_star(eff), p_uniform_star(pool(eff).back())
    assert a.to_dict() == b.to_dict()
    assert f"Odds ratio  {math.exp(a.estimate):.3f}" in str(a)
    for frame in (a.to_frame(), a.studies()):
        assert set(frame.columns) <= set(COLUMNS)
    for other in (pickle.loads(pickle.dumps(a)), copy.deepcopy(a)):
        assert str(other) == str(a)
        with pytest.raises(ValueError, match="read-only"):
            other.cut[0] = 1
    assert a.tau == math.sqrt(a.tau2)
    assert repr(a).startswith("<PUniformResult: 20 studies")


def test_alpha_moves_the_cut():
    y, v = CASES[0]
    made = p_uniform_star(effects(y, v), alpha=0.1)
    assert made.cut == pytest.approx(norm.isf(0.05) * np.sqrt(v))
    assert made.loglik == pytest.approx(loglik(y, v, made.estimate, made.tau2, alpha=0.1), abs=1e-10)


def test_two_studies_and_identical_effects():
    made = p_uniform_star(effects([0.5, 0.2], [0.02, 0.03]))
    assert made.ci_low < made.estimate < made.ci_high
    assert "few-studies" in codes(made)
    same = p_uniform_star(effects([0.3, 0.3, 0.3, 0.3], [0.02, 0.03, 0.01, 0.1]))
    assert same.tau2 == 0
    assert (same.LRT_tau2, same.LRT_tau2_pvalue) == (0, 1)
    assert "tau2-zero" in codes(same)


def test_refusals():
    with pytest.raises(DataError, match="at least two"):
        p_uniform_star(effects([0.4], [0.01]))
    with pytest.raises(OptionError, match="a rate of 50%"):
        p_uniform_star(effect_size("PLO", events=[3, 4, 6], total=[20, 30, 40]))
    with pytest.raises(OptionError, match="alternative"):
        p_uniform_star(effects([0.4, 0.5], [0.01, 0.01]), alternative="two-sided")
    with pytest.raises(OptionError, match="alpha"):
        p_uniform_star(effects([0.4, 0.5], [0.01, 0.01]), alpha=0)
    with pytest.raises(InputError, match="p_uniform_star takes results"):
        p_uniform_star([0.1, 0.2])
    v = np.array([0.01, 0.04])
    with pytest.raises(DataError, match="exactly at its critical value"):
        p_uniform_star(effects(C * np.sqrt(v), v), alternative="greater")


@pytest.mark.slow
@pytest.mark.parametrize("tau2", [0.0, 0.06])
def test_under_selection(tau2):
    """A fifth of what is not significant is published: the estimate is unbiased, and intervals hold their level."""
    rng = np.random.default_rng(9)
    n, means, covered, rejected = 120, [], 0, 0
    for _ in range(n):
        v = 1 / rng.uniform(8, 60, 600)
        y = rng.normal(0.2, np.sqrt(v + tau2))
        seen = np.flatnonzero((y > C * np.sqrt(v)) | (rng.random(600) < 0.2))[:60]
        made = p_uniform_star(effects(y[seen], v[seen]), alternative="greater")
        means.append(made.estimate)
        covered += made.ci_low <= 0.2 <= made.ci_high
        rejected += made.LRT_bias_pvalue < 0.05
    assert abs(np.median(means) - 0.2) < 0.02
    assert abs(covered / n - 0.95) < 3.5 * math.sqrt(0.05 * 0.95 / n)
    assert rejected / n > 0.3


def test_all_local_maxima_are_compared():
    """Where the profile of tau2 has two maxima, the higher one is taken."""
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        k = 8
        v = np.where(np.arange(k) < 4, 1e-3, 1.0)
        y = np.where(np.arange(k) < 4, rng.normal(0, 0.4), 0) + rng.normal(0, np.sqrt(v) * rng.choice([1, 6]))
        cut = C * np.sqrt(v)
        fit = fit_p_uniform(Truncated(y, v, cut, np.where(y > cut, 1.0, -1.0)))
        grid = loglik(y, v, np.linspace(-4, 4, 161)[:, None], np.geomspace(1e-6, 100, 60)).max(axis=0)
        found += int((np.diff(np.sign(np.diff(grid))) < 0).sum() > 1)
        assert fit.loglik >= grid.max()
    assert found > 0
