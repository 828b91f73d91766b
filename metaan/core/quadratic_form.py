"""Exact distribution of the generalised Q under the random-effects model, in O(k).

Q = sum a (y - mu_a)^2 is a sum of independent chi2(1) variables with weights lambda_j, the eigenvalues of a
diagonal matrix less one of rank 1. Its Laplace transform is prod_j (1 + 2 s lambda_j)^(-1/2). The determinant lemma
gives the product without the eigenvalues: with s_i = a_i (v_i + tau2) and p_i = a_i/sum a,

    prod_j (1 + 2 s lambda_j) = prod_i (1 + 2 s s_i) * sum_i p_i/(1 + 2 s s_i).

The transform divided by s is inverted by the trapezoidal rule on a Talbot contour laid through the saddle point,
the path of steepest descent when all lambda are equal. Imhof's integral and Farebrother's series, the usual ways,
slow down for few or unequal weights.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from metaan.core.roots import bracketed_root
from metaan.core.wls import Data, FloatArray, dot

__all__ = ["q_cdf", "tau2_at_q_quantile"]

_NODES: Final = 80  # on half the contour
_WIDTH: Final = 9.0  # standard deviations of the integrand that are kept when it is narrow
_FAR: Final = -20.0
_SADDLE_STEPS: Final = 8  # the contour need only pass near the saddle


class _Cumulants(NamedTuple):
    g: FloatArray
    """Minus the first derivative of the log transform: sum lambda/(1 + 2 s lambda)."""
    slope: FloatArray
    """Minus the derivative of g: 2 sum (lambda/(1 + 2 s lambda))^2."""


def _cumulants(sigma: FloatArray, share: FloatArray, s: FloatArray) -> _Cumulants:
    x = sigma / (1 + 2 * s * sigma)
    p = share / (1 + 2 * s * sigma)
    f0 = p.sum(axis=0)
    f1 = dot(p, x) / f0
    return _Cumulants(x.sum(axis=0) - f1, 2 * dot(x, x) - 4 * dot(p * x, x) / f0 + 2 * f1 * f1)


def _vertex(sigma: FloatArray, share: FloatArray, q: FloatArray) -> tuple[FloatArray, _Cumulants]:
    """Where the contour crosses the real axis: near the saddle point g(s) = q, but clear of the pole at 0.

    Below the mean of Q the saddle lies right of the pole; above it, left of the pole, where the contour gives the
    upper tail. It passes there only when that tail is below 1e-9: right of the pole it keeps clear of branch points.
    """
    zero = np.zeros_like(q)
    at = _cumulants(sigma, share, zero)
    clear = 2 / (np.sqrt(at.slope) + np.abs(q - at.g))
    lowest = -(1 - 1e-3) / (2 * sigma.max(axis=0))  # right of the branch point at -1/(2 lambda_max)
    # Newton on 1/g, which climbs to the saddle from the left; above the mean from where a single lambda would put it
    s = np.where(q > at.g, np.maximum((at.g / q - 1) * at.g / at.slope, lowest), zero)
    for _ in range(_SADDLE_STEPS):
        now = _cumulants(sigma, share, s)
        s = np.maximum(s + now.g * (now.g - q) / (q * now.slope), lowest)
    with np.errstate(divide="ignore"):
        height = s * q + _log_transform(sigma, share, s) - np.log(np.abs(s))
    s = np.where((s < -clear) & (height < _FAR), s, np.maximum(s, clear))
    return s, _cumulants(sigma, share, s)


def q_cdf(data: Data, a: FloatArray, tau2: FloatArray, q: FloatArray) -> FloatArray:
    """P(Q <= q) at tau2, to about 1e-12.

    Parameters
    ----------
    data : Data
        Arrays of shape (k, n), k >= 2 studies present.
    a : array of shape (k, n)
        Weights of the generalised Q, 0 for absent studies.
    tau2, q : array of shape (n,)
        Between-study variance and the value of Q, >= 0.

    Returns
    -------
    array of shape (n,)
    """
    share = a / a.sum(axis=0)
    sigma = a * (data.v0 + tau2)
    positive = np.where(q > 0, q, 1.0)
    vertex, at = _vertex(sigma, share, positive)
    radius = at.g / at.slope
    reach = np.minimum(np.pi, _WIDTH / (radius * np.sqrt(at.slope)))
    total = np.zeros_like(positive)
    for j in range(_NODES):
        theta = reach * ((j + 0.5) / _NODES)
        total += _integrand(sigma, share, positive, vertex, radius, theta)
    step = reach / _NODES
    missed = _pole_share(vertex / radius, step)
    value = total * step / np.pi + np.where(vertex > 0, missed, 1 - missed)
    return np.where(q > 0, np.clip(value, 0.0, 1.0), 0.0)


def _pole_share(distance: FloatArray, step: FloatArray) -> FloatArray:
    """What the midpoint rule misses because of the pole at s = 0, which may lie close to the contour.

    The pole sits at theta = i eta with x/(exp(x) - 1) = 1 - distance, x = 2 eta. A simple pole of residue 1 at that
    height makes the rule fall short by exactly 1/(1 + exp(2 pi |eta|/step)), and exceed by as much on the other side.
    """
    b = np.maximum(1 - distance, 1e-300)
    x = np.where(np.abs(distance) > 1e-9, 2 * distance, 2e-9)
    for _ in range(6):  # Newton from the left on a convex falling function
        e = np.expm1(x)
        x = np.minimum(x + (x / e - b) / ((x * (e + 1) / e - 1) / e), 50.0)
    return np.asarray(1 / (1 + np.exp(np.minimum(np.pi * np.abs(x) / step, 700.0))))


def _integrand(
    sigma: FloatArray, share: FloatArray, q: FloatArray, vertex: FloatArray, radius: FloatArray, theta: FloatArray
) -> FloatArray:
    """Imaginary part of exp(s q) transform(s)/s ds/dtheta at s = vertex + radius (theta cot theta - 1 + i theta)."""
    cot = 1 / np.tan(theta)
    s = np.asarray(vertex + radius * (theta * cot - 1 + 1j * theta), dtype=np.complex128)
    slope = radius * (cot - theta / np.sin(theta) ** 2 + 1j)
    return np.asarray((np.exp(s * q + _log_transform(sigma, share, s)) / s * slope).imag)


def _log_transform(sigma: FloatArray, share: FloatArray, s: Any) -> Any:
    """Logarithm of the Laplace transform of Q at s, real or complex."""
    factor = 1 + 2 * s * sigma
    return -(np.log(factor).sum(axis=0) + np.log((share / factor).sum(axis=0))) / 2


def tau2_at_q_quantile(data: Data, a: FloatArray, q: FloatArray, probability: FloatArray) -> FloatArray:
    """Solve P(Q <= q; tau2) = probability for tau2 >= 0; 0 where even tau2 = 0 gives less than the probability.

    The distribution function falls as tau2 grows, so that the root is unique; it is found on the scale of
    log(1 + tau2/v), every problem of the batch at once, and the upper bracket grows without a cap.

    Parameters
    ----------
    data : Data
        Arrays of shape (k, n).
    a : array of shape (k, n)
        Weights of the generalised Q.
    q, probability : array of shape (n,)
        Observed Q and its wanted distribution function.

    Returns
    -------
    array of shape (n,)
    """
    scale = data.k / (1 / data.v).sum(axis=0)

    def excess(x: FloatArray) -> FloatArray:
        return q_cdf(data, a, scale * np.expm1(x), q) - probability

    low, high = np.zeros_like(q), np.full_like(q, 1.0)
    at_zero = excess(low)
    f_low, f_high = at_zero, excess(high)
    while ((f_high > 0) & (at_zero > 0)).any():
        grow = (f_high > 0) & (at_zero > 0)
        low, f_low = np.where(grow, high, low), np.where(grow, f_high, f_low)
        high = np.where(grow, 2 * high, high)
        f_high = np.where(grow, excess(high), f_high)
    root = bracketed_root(excess, low, high, f_low, f_high)
    return np.where(at_zero <= 0, 0.0, scale * np.expm1(root))
