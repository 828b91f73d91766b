"""Tests that read counts against weighted least squares by statsmodels, with the formulas of their papers."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import metaan
from metaan.errors import DataError, InputError, OptionError

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

X = np.array([0, 3, 1, 4, 2, 3, 9, 7, 30, 18.0])
N = np.array([20, 44, 28, 30, 51, 30, 40, 40, 160, 90.0])
A, N1 = np.array([4, 6, 2, 20, 0, 11, 0, 3.0]), np.array([20, 30, 15, 90, 12, 66, 25, 14.0])
C, N2 = np.array([8, 9, 7, 24, 3, 17, 0, 1.0]), np.array([20, 31, 16, 88, 11, 61, 26, 13.0])
B, D, TOTAL, E = N1 - A, N2 - C, N1 + N2, A + C
F = TOTAL - E
SAYS = E > 0
ARMS = {"events_t": A, "total_t": N1, "events_c": C, "total_c": N2}
MEANS = {"mean_t": [0.9, 0.7, 0.3, 0.2], "sd_t": [1.1, 1, 1, 1], "n_t": [9, 14, 40, 80], "mean_c": [0.0, 0.1, 0, 0],
         "sd_c": [1, 1.2, 1, 1], "n_c": [10, 14, 38, 82]}  # fmt: skip


def one_arm(measure="PLO"):
    return metaan.pool(metaan.effect_size(measure, events=X, total=N))


def two_arms(measure="OR"):
    return metaan.pool(metaan.effect_size(measure, **ARMS))


def same(ours, y, w, x, scale=lambda limits: limits):
    """A test against statsmodels: t, p, slope, and the limit with its interval."""
    fit = sm.WLS(y, sm.add_constant(x), weights=w).fit()
    assert ours.statistic == pytest.approx(fit.tvalues[1], rel=1e-8)
    assert ours.pvalue == pytest.approx(fit.pvalues[1], rel=1e-8)
    assert ours.values["slope"] == pytest.approx(fit.params[1], rel=1e-8)
    assert (ours.df, ours.k) == (fit.df_resid, len(y))
    if "limit" in ours.values:
        limits = [ours.values[name] for name in ("limit", "limit_low", "limit_high")]
        np.testing.assert_allclose(limits, scale(np.array([fit.params[0], *fit.conf_int()[0]])), rtol=1e-8, atol=1e-15)


def cut(rate):
    return np.clip(rate, 0, 1)


@pytest.mark.parametrize("measure", ["PLO", "PLN", "PR", "PAS", "PFT"])
def test_one_arm(measure):
    res = one_arm(measure)
    same(metaan.peters(res), X / N, N, 1 / N, cut)
    same(metaan.harbord(res), X / N, N, N**-0.5, cut)
    y = (np.arcsin(np.sqrt(X / (N + 1))) + np.arcsin(np.sqrt((X + 1) / (N + 1)))) / 2
    v = 1 / (4 * N + 2)
    arcsine = metaan.thompson_arcsine(res, model="lm")
    same(arcsine, y, 1 / v, np.sqrt(v), lambda limits: np.sin(np.clip(limits, 0, np.pi / 2)) ** 2)


def test_the_score_of_one_arm_is_the_same_test():
    rate = X.sum() / N.sum()
    score, information = X - N * rate, N * rate * (1 - rate)
    fit = sm.WLS(score / information, sm.add_constant(information**-0.5), weights=information).fit()
    assert metaan.harbord(one_arm()).statistic == pytest.approx(fit.tvalues[1], rel=1e-9)


@pytest.mark.parametrize("function", [metaan.peters, metaan.harbord, metaan.thompson_arcsine])
def test_every_model_of_the_same_counts_gives_the_same_test(function):
    found = {
        function(res).statistic
        for res in (
            one_arm(), one_arm("PR"), metaan.glmm("PLO", events=X, total=N),
            metaan.glmm("PLO", events=X, total=N, link="probit"), metaan.beta_binomial(events=X, total=N),
            metaan.glmm("PLN", events=X, total=N), one_arm().back(),
        )
    }  # fmt: skip
    assert len(found) == 1


def test_two_arms():
    y = two_arms().effects.yi
    margin = E * F / TOTAL
    ours = metaan.peters(two_arms())
    same(ours, y[SAYS], margin[SAYS], 1 / TOTAL[SAYS])
    assert next(note for note in ours.notes if note.code == "no-information").studies == ("7",)
    same(metaan.peters(two_arms("RR")), two_arms("RR").effects.yi[SAYS], margin[SAYS], 1 / TOTAL[SAYS])
    same(metaan.macaskill(two_arms()), y[SAYS], margin[SAYS], TOTAL[SAYS])
    inverse = metaan.macaskill(two_arms(), weights="inverse")
    same(inverse, y[SAYS], 1 / two_arms().effects.vi[SAYS], TOTAL[SAYS])
    size = 4 * N1 * N2 / TOTAL
    same(metaan.deeks(two_arms()), y, size, size**-0.5)
    arcsine, v = np.arcsin(np.sqrt(A / N1)) - np.arcsin(np.sqrt(C / N2)), 1 / (4 * N1) + 1 / (4 * N2)
    for measure in ("OR", "RR", "RD", "AS"):
        same(metaan.thompson_arcsine(two_arms(measure), model="lm"), arcsine, 1 / v, np.sqrt(v))


def test_arcsine_with_an_additive_variance_is_a_regression():
    arcsine = metaan.effect_size("AS", **ARMS)
    rows = pd.DataFrame({"se": np.sqrt(arcsine.vi)})
    for method, test in (("DL", "t"), ("REML", "hk"), ("REML", "kr")):
        fit = metaan.regress(metaan.effects(arcsine.yi, arcsine.vi, data=rows), "~ se", method=method, test=test)
        ours = metaan.thompson_arcsine(two_arms(), method=method, test=test)
        assert (ours.statistic, ours.df) == (pytest.approx(fit.statistic[1]), pytest.approx(fit.df[1]))
        assert ours.values["tau2"] == pytest.approx(fit.tau2, rel=1e-9)
    usual = metaan.thompson_arcsine(two_arms())
    assert usual.to_dict() == metaan.thompson_arcsine(two_arms(), method="DL", test="t").to_dict()


def test_harbord_is_egger_of_peto():
    ours = metaan.harbord(two_arms())
    counts = {name: value[SAYS] for name, value in ARMS.items()}
    peto = metaan.egger(metaan.pool(metaan.effect_size("PETO", **counts)))
    assert ours.statistic == pytest.approx(peto.statistic, rel=1e-9)
    assert ours.values["limit"] == pytest.approx(peto.values["limit"], rel=1e-9)


def log_likelihood(theta, eta, x, c, i):
    """Of trial i with log risks eta and eta + theta, up to a constant; x and c may be expected counts."""
    p, q = np.exp(eta + theta), np.exp(eta)
    return x * np.log(p) + (N1[i] - x) * np.log1p(-p) + c * np.log(q) + (N2[i] - c) * np.log1p(-q)


def test_score_and_information_of_a_risk_ratio():
    z, v = np.empty(SAYS.sum()), np.empty(SAYS.sum())
    for row, i in enumerate(np.flatnonzero(SAYS)):
        eta, h = np.log(E[i] / TOTAL[i]), 1e-4
        at = lambda t, u, x, c: log_likelihood(t, eta + u, x, c, i)  # noqa: B023, E731
        z[row] = (at(h, 0, A[i], C[i]) - at(-h, 0, A[i], C[i])) / (2 * h)
        expected = N1[i] * E[i] / TOTAL[i], N2[i] * E[i] / TOTAL[i]
        f = lambda t, u: at(t, u, *expected)  # noqa: B023, E731
        tt, uu = (f(*(h * d)) - 2 * f(0, 0) + f(*(-h * d)) for d in np.eye(2))
        tu = (f(h, h) - f(h, -h) - f(-h, h) + f(-h, -h)) / 4
        v[row] = -(tt - tu**2 / uu) / h**2
    fit = sm.WLS(z / v, sm.add_constant(v**-0.5), weights=v).fit()
    assert metaan.harbord(two_arms("RR")).statistic == pytest.approx(fit.tvalues[1], rel=1e-4)


def test_standardised_differences():
    res = metaan.pool(metaan.effect_size("SMD", **MEANS))
    v = 1 / np.array(MEANS["n_t"]) + 1 / np.array(MEANS["n_c"])
    same(metaan.pustejovsky_rodgers(res), res.effects.yi, 1 / v, np.sqrt(v))
    rows = pd.DataFrame({"se": np.sqrt(v)})
    fit = metaan.regress(metaan.effects(res.effects.yi, v, data=rows), "~ se")
    assert metaan.pustejovsky_rodgers(res, model="rma").statistic == pytest.approx(fit.statistic[1], rel=1e-9)


@pytest.mark.parametrize(
    ("measure", "columns", "functions", "said"),
    [
        ("OR", ARMS | {"total_t": np.where(N1 == 90, 0, N1), "events_t": np.where(N1 == 90, 0, A)},
         (metaan.harbord, metaan.deeks, metaan.thompson_arcsine, metaan.small_study_effects), "total_t"),
        ("PLO", {"events": 0 * A, "total": np.where(N1 == 90, 0, N1)},
         (metaan.peters, metaan.harbord, metaan.small_study_effects), "total"),
        ("SMD", {"n_t": np.where(N1 == 90, 0, N1), "n_c": N2}, (metaan.pustejovsky_rodgers,), "n_t"),
    ],
)  # fmt: skip
def test_sizes_of_zero_in_the_data_are_refused(measure, columns, functions, said):
    eff = metaan.effects(np.arange(8.0), np.arange(1, 9.0), measure=measure, data=pd.DataFrame(columns))
    for function in functions:
        with pytest.raises(DataError, match=f"{said} is missing, negative or 0: study '4'"):
            function(metaan.pool(eff))


def test_moderators_of_a_regression_stay_in():
    z = np.array([1.0, 4, 2, 5, 3, 3, 1, 2, 6, 2])
    rows = pd.DataFrame({"x": X, "n": N, "z": z})
    res = metaan.regress(metaan.effect_size("PLO", rows, events="x", total="n"), "~ z")
    ours = metaan.harbord(res)
    fit = sm.WLS(X / N, np.column_stack([np.ones(10), z, N**-0.5]), weights=N).fit()
    assert ours.statistic == pytest.approx(fit.tvalues[2], rel=1e-9)
    assert "moderators ~ z" in str(ours)


def test_mantel_haenszel_has_its_informative_trials():
    ours = metaan.peters(metaan.mantel_haenszel("OR", **ARMS))
    assert ours.statistic == pytest.approx(metaan.peters(two_arms()).statistic)
    assert metaan.harbord(metaan.glmm("OR", **ARMS)).statistic == metaan.harbord(two_arms()).statistic


def test_counts_from_the_data_behind_ready_made_effects():
    eff = two_arms().effects
    rows = pd.DataFrame(ARMS)
    ready = metaan.pool(metaan.effects(eff.yi, eff.vi, measure="OR", data=rows))
    assert metaan.peters(ready).statistic == pytest.approx(metaan.peters(two_arms()).statistic)
    bare = metaan.pool(metaan.effects(eff.yi, eff.vi, measure="OR"))
    with pytest.raises(InputError, match="needs events_t, total_t, events_c, total_c"):
        metaan.peters(bare)
    wrong = metaan.pool(metaan.effects(eff.yi, eff.vi, measure="OR", data=rows.assign(events_c=99)))
    with pytest.raises(DataError, match="events_c exceeds the total"):
        metaan.peters(wrong)
    gap = metaan.pool(metaan.effects(eff.yi, eff.vi, measure="OR", data=rows.assign(total_t=np.nan)))
    with pytest.raises(DataError, match="total_t is missing, negative or 0"):
        metaan.harbord(gap)


@pytest.mark.parametrize(
    ("function", "measure", "hint"),
    [
        (metaan.deeks, "PLO", "use harbord, peters or thompson_arcsine"),
        (metaan.macaskill, "PLO", "use harbord, peters or thompson_arcsine"),
        (metaan.harbord, "RD", "use thompson_arcsine"),
        (metaan.peters, "SMD", "use pustejovsky_rodgers"),
        (metaan.thompson_arcsine, "SMD", "use pustejovsky_rodgers"),
        (metaan.pustejovsky_rodgers, "OR", "use harbord"),
    ],
)
def test_a_measure_without_the_test(function, measure, hint):
    res = metaan.pool(metaan.effect_size("SMD", **MEANS)) if measure == "SMD" else None
    res = res or (one_arm() if measure == "PLO" else two_arms(measure))
    with pytest.raises(OptionError, match=hint):
        function(res)


def test_unknown_options():
    with pytest.raises(OptionError, match="pooled, inverse"):
        metaan.macaskill(two_arms(), weights="equal")
    with pytest.raises(OptionError, match="lm, rma"):
        metaan.thompson_arcsine(two_arms(), model="glm")
    with pytest.raises(OptionError, match="use model='lm'"):
        metaan.thompson_arcsine(two_arms(), method="GENQ")
    with pytest.raises(OptionError, match="REML"):
        metaan.thompson_arcsine(two_arms(), method="DL", test="kr")
    with pytest.raises(OptionError, match="Did you mean 'REML'"):
        metaan.thompson_arcsine(two_arms(), method="REM")


def test_nothing_to_test():
    equal = metaan.pool(metaan.effect_size("PLO", events=[1, 2, 3, 2], total=[20] * 4))
    none = metaan.glmm("PLO", events=[0, 0, 0, 0], total=[20, 30, 40, 50])
    every = metaan.glmm("PLO", events=[20, 30, 40, 50], total=[20, 30, 40, 50])
    for function in (metaan.peters, metaan.harbord, metaan.thompson_arcsine):
        with pytest.raises(DataError, match="same in every study"):
            function(equal)
    for res in (none, every):
        for function in (metaan.peters, metaan.harbord):
            with pytest.raises(DataError, match="exactly on a line"):
                function(res)
    empty = ARMS | {"events_t": 0 * A, "events_c": np.where(np.arange(8) < 2, C, 0)}
    with pytest.raises(DataError, match="Too few trials are left, 2 of 8"):
        metaan.harbord(metaan.pool(metaan.effect_size("OR", **empty)))


def test_a_correction_that_is_not_used_is_not_noted():
    assert "zero-cell" not in {note.code for note in metaan.harbord(one_arm()).notes}
    assert "zero-cell" in {note.code for note in metaan.peters(two_arms()).notes}


def test_nothing_is_missing():
    rng, runs, k = np.random.default_rng(5), 400, 20
    false = {"harbord": 0, "egger": 0}
    for _ in range(runs):
        n = np.round(np.exp(rng.uniform(np.log(10), np.log(100), k)))
        p = 1 / (1 + np.exp(-np.log(0.05 / 0.95) - 0.5 * rng.standard_normal(k)))
        res = metaan.pool(
            metaan.effect_size("PLO", events=rng.binomial(n.astype(int), p), total=n), method="DL", pi="none"
        )
        false["harbord"] += metaan.harbord(res).pvalue < 0.1
        false["egger"] += metaan.egger(res, force=True).pvalue < 0.1
    assert abs(false["harbord"] / runs - 0.1) < 3 * np.sqrt(0.09 / runs)
    assert false["egger"] / runs > 0.9
