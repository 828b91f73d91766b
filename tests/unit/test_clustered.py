"""The clustered binomial model: its likelihood is the sum and the integral it says it is, and it always answers."""

import math
from itertools import pairwise

import mpmath
import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import betaln, comb, expit
from scipy.stats import betabinom, chi2

import metaan
from metaan.core.clustered import Clusters
from metaan.core.clustered_fit import evaluate

STUDIES = {"events": [30, 4, 9, 12, 2], "total": [61, 9, 12, 40, 17], "patients": [12, 9, 4, 10, 6]}
PATIENTS = pd.DataFrame(
    [("Ames", x, m) for x, m in ((3, 4), (0, 2), (5, 5), (1, 3), (2, 2))]
    + [("Bo", x, m) for x, m in ((0, 6), (0, 3), (2, 4), (1, 1))]
    + [("Clark", x, m) for x, m in ((4, 4), (7, 8), (2, 2))]
    + [("Dun", x, m) for x, m in ((0, 1), (3, 3), (0, 3), (1, 4), (2, 5), (0, 2))],
    columns=["study", "events", "total"],
)
COUNTS = {"events": "events", "total": "total", "study": "study"}


def pmf(m, p, rho):
    y = np.arange(m + 1)
    if rho == 0:
        return comb(m, y) * p**y * (1 - p) ** (m - y)
    a, b = p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho
    return comb(m, y) * np.exp(betaln(y + a, m - y + b) - betaln(a, b))


def sizes(N, P):
    return [N // P + (j < N % P) for j in range(P)]


def summed(x, N, P, eta, rho):
    """Log probability of the sum by plain convolution."""
    f = np.ones(1)
    for m in sizes(N, P):
        f = np.convolve(f, pmf(m, expit(eta), rho))
    return math.log(f[x])


def known(rows, eta, rho):
    return sum(math.log(pmf(m, expit(eta), rho)[x]) for x, m in rows)


def log_likelihood(of, mu, tau):
    """Logarithm of the integral over the normal log odds, by adaptive quadrature."""
    grid = np.linspace(-8, 8, 161)
    heights = np.array([of(mu + tau * u) - u * u / 2 for u in grid])
    top, at = heights.max(), grid[heights.argmax()]
    points = sorted({-8.0, 8.0, *np.clip([at - 1, at, at + 1], -8, 8)})
    f = lambda u: math.exp(of(mu + tau * u) - u * u / 2 - top)  # noqa: E731
    parts = [quad(f, a, b, epsabs=0, epsrel=1e-11, limit=300)[0] for a, b in pairwise(points)]
    return top + math.log(sum(parts) / math.sqrt(2 * math.pi))


def single(x, N, P):
    return Clusters.from_totals(*(np.array([float(n)]) for n in (x, N, P)))


def of_patients(frame):
    code = pd.factorize(frame["study"])[0]
    return Clusters.from_patients(frame["events"].to_numpy(float), frame["total"].to_numpy(float), code)


def conditional(data, eta, rho):
    (block,) = data.blocks
    return block.log_likelihood(np.zeros(1, dtype=np.intp), np.array([eta]), np.array([rho]), slopes=True)


def test_one_patient_is_beta_binomial():
    p = expit(0.7)
    for x, m in ((0, 5), (3, 7), (6, 6)):
        scipys = betabinom.logpmf(x, m, p * 0.7 / 0.3, (1 - p) * 0.7 / 0.3)
        assert conditional(single(x, m, 1), 0.7, 0.3).value[0] == pytest.approx(scipys, abs=1e-11)


@pytest.mark.parametrize(
    ("x", "N", "P"),
    [(7, 20, 6), (1, 20, 6), (19, 20, 6), (3, 7, 1), (0, 9, 4), (9, 9, 4), (3, 7, 7), (55, 103, 20), (100, 400, 3)],
)
def test_probability_of_the_sum_is_the_convolution(x, N, P):
    for eta in (-3.0, 0.3, 2.0):
        for rho in (0.0, 0.01, 0.3, 0.9):
            assert conditional(single(x, N, P), eta, rho).value[0] == pytest.approx(
                summed(x, N, P, eta, rho), abs=1e-10
            )


def test_probability_of_the_sum_in_high_precision():
    # far in the tail, where a transform without tilting has no digit left
    mpmath.mp.dps = 60
    x, N, P, rho, p = 3, 60, 12, mpmath.mpf("0.25"), 1 / (1 + mpmath.exp(-mpmath.mpf(6)))
    a, b = p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho
    one = [mpmath.binomial(5, y) * mpmath.beta(y + a, 5 - y + b) / mpmath.beta(a, b) for y in range(6)]
    f = [mpmath.mpf(1)]
    for _ in range(P):
        f = [sum(f[i - y] * one[y] for y in range(6) if 0 <= i - y < len(f)) for i in range(len(f) + 5)]
    assert conditional(single(x, N, P), 6.0, 0.25).value[0] == pytest.approx(float(mpmath.log(f[x])), abs=1e-10)


@pytest.mark.parametrize("eta", [-60.0, -25.0, 25.0, 60.0])
def test_probability_far_out_is_that_of_the_fewest_patients(eta):
    # 10 of 20 with 4 patients of 5: as p -> 0 two or more patients must have all the events, each costing a factor p
    near, far = (conditional(single(10, 20, 4), eta * factor, 0.4).value[0] for factor in (1, 1.5))
    assert far - near == pytest.approx(-2 * abs(eta) * 0.5, abs=1e-6)


@pytest.mark.parametrize("data", [single(7, 20, 6), of_patients(PATIENTS[PATIENTS["study"] == "Ames"])])
def test_derivatives_in_rho(data):
    h = 1e-5
    low, at, high = (conditional(data, 0.4, 0.3 + side) for side in (-h, 0, h))
    assert at.first[0] == pytest.approx((high.value - low.value)[0] / (2 * h), abs=1e-6)
    assert at.second[0] == pytest.approx((high.first - low.first)[0] / (2 * h), abs=1e-5)


@pytest.mark.parametrize(("mu", "tau", "rho"), [(-0.5, 0.7, 0.3), (0.4, 0.2, 0.05), (0.0, 3.0, 0.8)])
def test_likelihood_is_the_integral(mu, tau, rho):
    theta = np.array([[mu], [tau], [rho]])
    rows = [list(zip(g["events"], g["total"], strict=True)) for _, g in PATIENTS.groupby("study")]
    brute = sum(log_likelihood(lambda eta, r=r: known(r, eta, rho), mu, tau) for r in rows)
    assert evaluate(of_patients(PATIENTS), theta).loglik[0] == pytest.approx(brute, abs=1e-8)
    data = Clusters.from_totals(*(np.array(STUDIES[name], float) for name in ("events", "total", "patients")))
    counts = zip(*STUDIES.values(), strict=True)
    brute = sum(log_likelihood(lambda eta, c=c: summed(*c, eta, rho), mu, tau) for c in counts)
    assert evaluate(data, theta).loglik[0] == pytest.approx(brute, abs=1e-8)


@pytest.mark.parametrize("theta", [(-0.3, 0.8, 0.3), (0.2, 0.0, 0.4)])
@pytest.mark.parametrize("kind", ["patients", "totals"])
def test_derivatives_of_the_marginal_likelihood(theta, kind):
    totals = Clusters.from_totals(*(np.array(STUDIES[name], float) for name in ("events", "total", "patients")))
    data, h = of_patients(PATIENTS) if kind == "patients" else totals, 1e-5
    at = evaluate(data, np.array(theta)[:, None])
    for j in (0, 1, 2) if theta[1] > 0 else (0, 2):
        move = np.zeros((3, 1))
        move[j] = h
        low, high = (evaluate(data, np.array(theta)[:, None] + side * move) for side in (-1, 1))
        assert at.gradient[0, j] == pytest.approx((high.loglik - low.loglik)[0] / (2 * h), abs=1e-6)
        assert at.hessian[0, j] == pytest.approx((high.gradient - low.gradient)[0] / (2 * h), abs=1e-5)


def test_score_of_spread_where_there_is_none():
    data = of_patients(PATIENTS)
    edge, near = (evaluate(data, np.array([[0.2], [tau], [0.3]])) for tau in (0.0, 0.01))
    assert edge.spread[0] == pytest.approx((near.loglik - edge.loglik)[0] / 0.01**2, rel=1e-3)


def test_maximum_is_that_of_a_general_optimiser():
    data = of_patients(PATIENTS)
    res = metaan.clustered_binomial(PATIENTS, **COUNTS)
    f = lambda t: -evaluate(data, np.array([[t[0]], [math.exp(t[1])], [expit(t[2])]]), slopes=False).loglik[0]  # noqa: E731
    best = minimize(
        f, [0.0, -0.5, -1.0], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12, "maxiter": 4000}
    )
    assert res.loglik == pytest.approx(-best.fun, abs=1e-9)
    assert [res.estimate, res.tau, res.rho] == pytest.approx(
        [best.x[0], math.exp(best.x[1]), expit(best.x[2])], abs=1e-5
    )
    information = -evaluate(data, np.array([[res.estimate], [res.tau], [res.rho]])).hessian[0]
    assert res.se == pytest.approx(math.sqrt(np.linalg.inv(information)[0, 0]), rel=1e-8)


@pytest.mark.parametrize("ci", ["wald", "profile"])
def test_no_correlation_is_the_glmm(ci):
    options = {"events": STUDIES["events"], "total": STUDIES["total"], "ci": ci}
    plain = metaan.glmm("PLO", **options)
    res = metaan.clustered_binomial(**options, patients=STUDIES["patients"], icc=0)
    for name in ("estimate", "se", "tau2", "loglik", "lrt", "ci_low", "ci_high", "pi_low", "statistic", "aic", "bic"):
        assert getattr(res, name) == pytest.approx(getattr(plain, name), abs=1e-8), name
    assert res.blup == pytest.approx(plain.blup, abs=1e-8)
    # the model's own likelihood at rho = 0, which the fit does not use
    data = Clusters.from_totals(*(np.array(STUDIES[name], float) for name in ("events", "total", "patients")))
    at = evaluate(data, np.array([[plain.estimate], [plain.tau], [0.0]]))
    assert at.loglik[0] == pytest.approx(plain.loglik, abs=1e-9)
    assert at.gradient[0, :2] == pytest.approx([0, 0], abs=1e-8)


def constants(frame):
    return sum(math.log(math.comb(n, x)) for x, n in zip(frame["events"], frame["total"], strict=True))


def test_patients_without_correlation_are_their_sums():
    sums = PATIENTS.groupby("study", as_index=False)[["events", "total"]].sum()
    plain = metaan.glmm("PLO", sums, **COUNTS)
    res = metaan.clustered_binomial(PATIENTS, **COUNTS, icc=0)
    assert res.estimate == pytest.approx(plain.estimate, abs=1e-10)
    assert res.tau2 == pytest.approx(plain.tau2, abs=1e-10)
    assert res.loglik - constants(PATIENTS) == pytest.approx(plain.loglik - constants(sums), abs=1e-9)


def test_one_lesion_to_a_patient_is_the_glmm():
    counts = {"events": STUDIES["events"], "total": STUDIES["total"]}
    plain, res = metaan.glmm("PLO", **counts), metaan.clustered_binomial(**counts, patients=counts["total"])
    assert [res.estimate, res.se, res.tau2, res.loglik] == pytest.approx(
        [plain.estimate, plain.se, plain.tau2, plain.loglik], abs=1e-10
    )
    assert "icc-not-identified" in {note.code for note in res.notes}
    assert res.rho == 0


def test_one_patient_to_a_study_is_known():
    columns = [np.array([3.0, 0, 5]), np.array([4.0, 2, 5])]
    theta = np.array([[0.1], [0.5], [0.3]])
    totals = Clusters.from_totals(*columns, np.ones(3))
    patients = Clusters.from_patients(*columns, np.arange(3))
    assert evaluate(totals, theta).loglik[0] == pytest.approx(evaluate(patients, theta).loglik[0], abs=1e-12)


@pytest.mark.parametrize("kind", ["patients", "totals"])
def test_profile_limits(kind):
    given = {"data": PATIENTS, **COUNTS} if kind == "patients" else STUDIES
    res = metaan.clustered_binomial(**given, ci="profile")
    target = res.loglik - chi2.ppf(0.95, 1) / 2
    for limit in (res.rho_low, res.rho_high):
        if 0 < limit < 1:
            assert metaan.clustered_binomial(**given, icc=limit).loglik == pytest.approx(target, abs=1e-5)
        else:
            edge = metaan.clustered_binomial(**given, icc=min(limit, 1 - 1e-9))
            assert edge.loglik > target
    assert res.rho_low <= res.rho <= res.rho_high
    assert res.ci_low < res.estimate < res.ci_high


def simulated(seed, k=40, patients=15, mu=0.2, tau=0.8, rho=0.35):
    rng = np.random.default_rng(seed)
    study = np.repeat(np.arange(k), patients)
    p = expit(mu + tau * rng.standard_normal(k))[study]
    m = rng.integers(1, 9, study.size)
    return pd.DataFrame(
        {
            "study": study,
            "events": rng.binomial(m, rng.beta(p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho)),
            "total": m,
        }
    )


def test_known_parameters_are_recovered():
    # within 3 standard errors of a mean of so many fits, by the standard errors that the fits themselves give
    fits = [metaan.clustered_binomial(simulated(seed), **COUNTS) for seed in range(8)]
    errors = np.sqrt([np.diag(res.cov) for res in fits])
    for j, (name, true) in enumerate((("estimate", 0.2), ("tau", 0.8), ("rho", 0.35))):
        bias = np.mean([getattr(res, name) for res in fits]) - true
        assert abs(bias) < 3 * math.sqrt((errors[:, j] ** 2).mean() / len(fits)), name
    assert sum(res.rho_low <= 0.35 <= res.rho_high for res in fits) >= 6
    assert all(res.lrt_rho_pvalue < 1e-6 for res in fits)
