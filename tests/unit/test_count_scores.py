"""Normal scores of beta-binomial counts against sums of their terms and against limits."""

import numpy as np
import pytest
from scipy.special import betainc, betaln, expit
from scipy.stats import binom, norm

from metaan.core.count_scores import beta_scores


def predictive(x, n, rho, mu, sd):
    """Normal score of a beta-binomial count whose logit of the mean is normal, on a dense grid of the mean."""
    u = np.linspace(-12, 12, 4001)
    m, j, size = expit(mu + sd * u)[:, None], np.arange(n + 1), (1 - rho) / max(rho, 1e-300)
    law = binom.logpmf(j, n, m) if rho == 0 else -np.log(n + 1) - betaln(j + 1, n - j + 1)
    if rho > 0:
        law = law + betaln(m * size + j, (1 - m) * size + n - j) - betaln(m * size, (1 - m) * size)
    p = (norm.pdf(u) * (u[1] - u[0])) @ np.exp(law)
    low, high = p[:x].sum() + p[x] / 2, p[x + 1 :].sum() + p[x] / 2
    return norm.ppf(low) if low < high else -norm.ppf(high)


@pytest.mark.parametrize(
    ("x", "n", "rho", "mu", "sd"),
    [
        (0, 30, 0.2, -1, 0.5),
        (30, 30, 0.2, 1, 0.5),
        (2, 5, 0.3, 0.5, 3),
        (90, 200, 1e-4, 0, 0.3),
        (1, 2, 0.9, 4, 0.1),
        (90, 200, 0, 0, 0.3),
        (150, 200, 0.01, -1, 0.2),
    ],
)
def test_beta_scores(x, n, rho, mu, sd):
    got = beta_scores(*(np.array([float(value)]) for value in (x, n, rho, mu, sd)))[0]
    mirrored = beta_scores(*(np.array([float(value)]) for value in (n - x, n, rho, -mu, sd)))[0]
    assert got == pytest.approx(predictive(x, n, rho, mu, sd), abs=1e-8)
    assert got == pytest.approx(-mirrored, abs=1e-9)


def test_beta_scores_of_effective_counts():
    """Tails of a fraction as binomial tails, continued by the beta function, over the Beta density of the rate."""
    x, n, rho, mu, sd = 10.45, 18.2, 0.15, -0.8, 0.4
    u, eta, size = np.linspace(-9, 9, 301), np.linspace(-60, 60, 6001), (1 - rho) / rho
    m, p = expit(mu + sd * u)[:, None], expit(eta)
    law = m * size * np.log(p) + (1 - m) * size * np.log(expit(-eta)) - betaln(m * size, (1 - m) * size)
    density = (norm.pdf(u) * (u[1] - u[0])) @ np.exp(law) * (eta[1] - eta[0])
    itself = np.exp(-np.log(n + 1) - betaln(x + 1, n - x + 1) + x * np.log(p) + (n - x) * np.log(expit(-eta))) / 2
    above = density @ (betainc(x + 1, n - x, p) + itself)
    got = beta_scores(*(np.array([value]) for value in (x, n, rho, mu, sd)))[0]
    assert got == pytest.approx(-norm.ppf(above), abs=1e-9)


def test_beta_scores_of_large_counts():
    """So many that the count tells the rate: the tail is that of the rate itself."""
    rho, mu, sd = 0.02, -1.9, 0.2
    u, size = np.linspace(-9, 9, 301), (1 - rho) / rho
    m = expit(mu + sd * u)
    below = (norm.pdf(u) * (u[1] - u[0])) @ (1 - betainc(m * size, (1 - m) * size, 0.1))
    got = beta_scores(*(np.array([value]) for value in (4e5, 4e6, rho, mu, sd)))[0]
    assert got == pytest.approx(norm.ppf(1 - below), abs=1e-5)


def test_beta_scores_of_yes_or_no():
    score = beta_scores(np.array([10.0]), np.array([10.0]), np.array([1.0]), np.array([-1.0]), np.array([1e-9]))
    assert score[0] == pytest.approx(-norm.ppf(expit(-1) / 2), abs=1e-6)
