"""Independent computations, slow and plain, that the package's fast ones are held against."""

from __future__ import annotations

import math

import numpy as np
from scipy.integrate import quad
from scipy.special import gammaln


def binomial_normal_loglik(events, total, mu: float, tau2: float) -> float:
    """Marginal log-likelihood of the binomial-normal model with all binomial constants, each integral by adaptive
    Gauss-Kronrod.

    The integrand is scaled by its maximum and cut where it has fallen by exp(-45), so that quad sees only the peak.
    """
    return math.fsum(_study(float(x), float(n), mu, tau2) for x, n in zip(events, total, strict=True))


def _study(x: float, n: float, mu: float, tau2: float) -> float:
    constant = float(gammaln(n + 1) - gammaln(x + 1) - gammaln(n - x + 1))
    if tau2 == 0:
        return constant + x * mu - n * float(np.logaddexp(0, mu))
    tau = math.sqrt(tau2)

    def exponent(u: float) -> float:
        eta = mu + tau * u
        return x * eta - n * float(np.logaddexp(0, eta)) - u * u / 2

    def slope(u: float) -> float:
        return tau * (x - n / (1 + math.exp(-(mu + tau * u)))) - u

    low, high = -60.0, 60.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    mode = (low + high) / 2
    peak = exponent(mode)
    ends = []
    for direction in (-1.0, 1.0):
        step = 1e-3
        while exponent(mode + direction * step) > peak - 45:
            step *= 1.3
        ends.append(mode + direction * step)
    area = sum(
        quad(lambda u: math.exp(exponent(u) - peak), a, b, epsabs=0, epsrel=1e-12, limit=200)[0]
        for a, b in ((ends[0], mode), (mode, ends[1]))
    )
    return constant + peak + math.log(area) - math.log(2 * math.pi) / 2


def derivatives(f, point, steps):
    """Gradient and Hessian of a function of two arguments by central differences with one Richardson step."""

    def at(h):
        h = np.asarray(h)
        values = {(i, j): f(*(np.asarray(point) + h * (i, j))) for i in (-1, 0, 1) for j in (-1, 0, 1)}
        gradient = np.array([(values[1, 0] - values[-1, 0]) / (2 * h[0]), (values[0, 1] - values[0, -1]) / (2 * h[1])])
        cross = (values[1, 1] - values[1, -1] - values[-1, 1] + values[-1, -1]) / (4 * h[0] * h[1])
        hessian = np.array([
            [(values[1, 0] - 2 * values[0, 0] + values[-1, 0]) / h[0] ** 2, cross],
            [cross, (values[0, 1] - 2 * values[0, 0] + values[0, -1]) / h[1] ** 2],
        ])  # fmt: skip
        return gradient, hessian

    coarse, fine = at(steps), at(np.asarray(steps) / 2)
    return tuple((4 * b - a) / 3 for a, b in zip(coarse, fine, strict=True))


def quadratic_form_tail(q: float, eigenvalues) -> float:
    """P(sum lambda_j X_j > q), X_j independent chi2 with one degree of freedom.

    Bromwich integral of exp(-sq) prod (1 - 2 lambda_j s)^(-1/2)/s along a parabola that crosses the real axis
    between the pole at 0 and the first branch point and opens to the right. The trapezoidal rule, in steps that
    widen outwards, converges geometrically there.
    """
    lam = np.asarray(eigenvalues, dtype=float)
    crossing = min(1 / (4 * lam.max()), len(lam) / (2 * q))
    u, step = np.linspace(-1, 1, 4001, retstep=True)
    u, step = (a * math.asinh(math.sqrt(45 / (q * crossing) + 1)) for a in (u, step))
    t = np.sinh(u)
    s = crossing * (1 + t**2 + 2j * t)
    ds = crossing * (2 * t + 2j) * np.cosh(u)
    log_value = -s * q - 0.5 * np.log(1 - 2 * np.outer(s, lam)).sum(axis=1)
    return float((np.exp(log_value) / s * ds).sum().imag * step / (2 * math.pi))


def generalised_q_eigenvalues(vi, weights, tau2: float):
    """Weights of the chi2 variables in the generalised Q with the given weights, by a dense eigenproblem."""
    v, a = np.asarray(vi, dtype=float), np.asarray(weights, dtype=float)
    matrix = np.diag(a) - np.outer(a, a) / a.sum()
    root = np.sqrt(v + tau2)
    return np.linalg.eigvalsh(root[:, None] * matrix * root)[1:]
