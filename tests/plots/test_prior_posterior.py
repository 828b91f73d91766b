"""Prior and posterior curves are the densities of the result, on either scale."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import seaborn as sns
from helpers.figures import assert_legible, drawn, effects, rates
from scipy import stats
from scipy.integrate import quad

import metaan
from metaan import HalfCauchy, HalfNormal, NormalPrior, Uniform
from metaan.errors import InputError, OptionError
from metaan.plot import alt_text, prior_posterior, prior_posterior_table

ALL = ("mu", "tau", "new")


@pytest.fixture(scope="module")
def res():
    eff = rates(12)
    return metaan.bayes(events=eff.events, total=eff.total, mu_prior=NormalPrior(0.5, 1.5), tau_prior=HalfNormal(0.8))


@pytest.fixture(scope="module")
def ratios():
    rng = np.random.default_rng(3)
    eff = metaan.effects(rng.normal(0.3, 0.5, 8), rng.uniform(0.02, 0.5, 8), measure="OR")
    return metaan.bayes(eff, mu_prior=NormalPrior(0, 2), tau_prior=HalfCauchy(0.4))


def only(ax, label):
    (found,) = drawn(ax, label)
    return found


def part(table, name):
    return table[table["parameter"] == name]


def test_analysis_scale_curves_are_the_densities(res):
    table = prior_posterior_table(res, parameter=ALL, scale="analysis")
    for name in ALL:
        here = part(table, name)
        np.testing.assert_allclose(here["posterior"], res.density(here["x"].to_numpy(), name), rtol=1e-12)
    mu, tau, new = (part(table, name) for name in ALL)
    np.testing.assert_allclose(mu["prior"], stats.norm.pdf(mu["x"], 0.5, 1.5), rtol=1e-10)
    np.testing.assert_allclose(tau["prior"], stats.halfnorm.pdf(tau["x"], scale=0.8), rtol=1e-6)

    def predictive(y):
        return quad(lambda t: stats.halfnorm.pdf(t, scale=0.8) * stats.norm.pdf(y, 0.5, np.hypot(1.5, t)), 0, 8)[0]

    some = new.iloc[::100]
    np.testing.assert_allclose(some["prior"], [predictive(y) for y in some["x"]], rtol=1e-6)


def test_rates_have_the_density_of_the_rate(res):
    here = part(prior_posterior_table(res), "mu")
    x = here["x"].to_numpy()
    y = np.log(x / (1 - x))
    np.testing.assert_allclose(here["posterior"], res.density(y) / (x * (1 - x)), rtol=1e-6)
    np.testing.assert_allclose(here["prior"], stats.norm.pdf(y, 0.5, 1.5) / (x * (1 - x)), rtol=1e-6)
    assert np.trapezoid(here["posterior"], x) == pytest.approx(0.999, abs=0.0015)


def test_ratios_have_the_density_of_the_logarithm(ratios):
    here = part(prior_posterior_table(ratios), "mu")
    np.testing.assert_allclose(here["posterior"], ratios.density(np.log(here["x"].to_numpy())), rtol=1e-10)
    ax = prior_posterior(ratios)
    assert ax.get_xscale() == "log"
    assert only(ax, "_null").get_xdata()[0] == 1
    assert_legible(ax)


@pytest.mark.parametrize(
    ("prior", "law"),
    [
        (HalfCauchy(0.3), stats.halfcauchy(scale=0.3)),
        (Uniform(2.5), stats.uniform(0, 2.5)),
        (lambda tau: 7 * np.exp(-2 * tau), stats.expon(scale=0.5)),
    ],
    ids=["half-Cauchy", "uniform", "own"],
)
def test_every_proper_prior_has_its_curve(prior, law):
    res = metaan.bayes(effects(6), tau_prior=prior)
    given = prior if callable(prior) and not isinstance(prior, type) else None
    here = prior_posterior_table(res, parameter="tau", tau_prior=given)
    inner = here[here["x"] < 2.4]
    np.testing.assert_allclose(inner["prior"], law.pdf(inner["x"]), rtol=1e-6)


def test_a_prior_without_a_curve_is_named_and_not_drawn():
    flat = metaan.bayes(effects(6), tau_prior=Uniform())
    axes = prior_posterior(flat, parameter=ALL)
    for ax in axes:
        assert not drawn(ax, "_prior")
        assert "(not drawn)" in ax.get_legend().get_texts()[-1].get_text().replace("\n", " ")
        assert "has no curve" in alt_text(ax)
    own = metaan.bayes(effects(6), tau_prior=lambda tau: np.exp(-tau))
    assert np.isnan(prior_posterior_table(own, parameter="tau")["prior"]).all()


@pytest.mark.parametrize("scale", ["display", "analysis"])
def test_median_and_interval_are_those_of_the_result(res, scale):
    ax = prior_posterior(res, scale=scale)
    shown = res.back() if scale == "display" else res
    table = prior_posterior_table(res.back(), scale=scale)
    want = [shown.estimate, shown.ci_low, shown.ci_high]
    np.testing.assert_allclose(table.attrs["summary"]["mu"], want, rtol=1e-9)
    (median,) = only(ax, "_median").get_segments()
    assert median[0, 0] == pytest.approx(shown.estimate, rel=1e-12)
    shade = only(ax, "_interval").get_paths()[0].vertices
    np.testing.assert_allclose([shade[:, 0].min(), shade[:, 0].max()], want[1:], rtol=1e-12)
    x, y = only(ax, "_posterior").get_xydata().T
    np.testing.assert_allclose(shade[:, 1].max(), y.max(), rtol=1e-3)
    assert median[1, 1] == pytest.approx(np.interp(shown.estimate, x, y), rel=1e-12)


def test_the_table_gives_the_same_figure(res):
    table = prior_posterior_table(res, parameter=ALL)
    for a, b in zip(prior_posterior(res, parameter=ALL), prior_posterior(table), strict=True):
        for label in ("_prior", "_posterior"):
            np.testing.assert_array_equal(only(a, label).get_xydata(), only(b, label).get_xydata())
        assert alt_text(a) == alt_text(b)
    with pytest.raises(OptionError, match="parameter choose what a table holds"):
        prior_posterior(table, parameter="mu")


@pytest.mark.parametrize("k", [1, 12, 150])
def test_it_can_be_read(k):
    axes = prior_posterior(
        metaan.bayes(effects(k), tau_prior=HalfNormal(0.5), mu_prior=NormalPrior(0, 2)), parameter=ALL
    )
    assert axes.shape == (3,)
    assert_legible(axes[0])
    assert axes[0].figure.get_figwidth() <= 183 / 25.4
    for ax in axes:
        ax.figure.draw_without_rendering()
        assert ax.get_legend().get_window_extent().x1 <= ax.figure.bbox.x1


def test_rates_near_zero_fill_their_axis():
    ax = prior_posterior(metaan.bayes(events=[0, 0, 1], total=[200, 120, 300]), parameter="new")
    assert_legible(ax)
    assert ax.get_xlim()[1] <= 0.2
    assert ax.get_xlabel() == "Rate (%)"


def test_styles_and_themes(res):
    style, before = "print", dict(mpl.rcParams)
    with plt.style.context("dark_background"):
        prior_posterior(res, style=style)
    assert dict(mpl.rcParams) == before
    with mpl.rc_context():
        sns.set_theme("talk", "darkgrid")
        assert_legible(prior_posterior(res, style=style))


def test_it_draws_into_given_axes(res):
    _, (left, right) = plt.subplots(1, 2, layout="constrained")
    axes = prior_posterior(res, parameter=["mu", "tau"], ax=[left, right])
    assert axes.tolist() == [left, right]
    with pytest.raises(OptionError, match="1 Axes for 2 panels"):
        prior_posterior(res, parameter=["mu", "tau"], ax=left)


def test_what_cannot_be_drawn_is_refused(res):
    with pytest.raises(InputError, match=r"Pass what metaan\.bayes returned"):
        prior_posterior(metaan.pool(effects(3)))
    with pytest.raises(OptionError, match="parameter='sigma' is not known"):
        prior_posterior(res, parameter="sigma")
    with pytest.raises(OptionError, match="parameter is empty"):
        prior_posterior(res, parameter=[])
    with pytest.raises(OptionError, match=r"half-normal\(1\) is not the prior behind"):
        prior_posterior(res, parameter="tau", tau_prior=HalfNormal(1))
    shortest = metaan.bayes(events=[3, 4, 9], total=[44, 30, 40], interval="shortest").back()
    with pytest.raises(OptionError, match=r"before back\(\)"):
        prior_posterior(shortest, scale="analysis")
