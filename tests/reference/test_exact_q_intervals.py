"""Biggerstaff-Jackson and Jackson limits of tau2 against the exact law of the generalised Q, computed another way.

metafor 3.8-1 has these intervals, confint(type = "GENQ"), only with the R package CompQuadForm, which Debian does
not have.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers.grid import cells
from helpers.witness import generalised_q_eigenvalues, quadratic_form_tail
from scipy.special import chdtri

import metaan

pytestmark = pytest.mark.filterwarnings("ignore::metaan.errors.MetaanWarning")

CELLS = [name for name in cells() if name.split("/")[1] in ("PLO", "PAS", "GEN") and not name.startswith("identical")]
WEIGHTS = {"BJ": lambda v: 1 / v, "J": lambda v: 1 / np.sqrt(v)}


def test_witness_equals_chi2_for_equal_eigenvalues():
    for df in (1, 2, 7, 49):
        for tail in (1e-6, 0.025, 0.5, 0.975, 0.9999):
            assert quadratic_form_tail(2 * chdtri(df, tail), np.full(df, 2.0)) == pytest.approx(tail, abs=1e-11)


def test_witness_equals_imhof():
    """Imhof 1961, eq. 3.2, by Gauss-Legendre quadrature piece by piece."""
    lam, q, end = np.array([0.3, 1.0, 2.5, 0.05, 4.0]), 9.0, 2e4
    remainder = 1 / (math.pi * lam.size / 2 * end ** (lam.size / 2) * math.sqrt(lam.prod()))  # eq. 3.3
    assert remainder < 1e-11
    node, weight = np.polynomial.legendre.leggauss(12)
    width = math.pi / q  # a quarter of an oscillation
    u = width / 2 * (node[:, None] + 1 + 2 * np.arange(math.ceil(end / width)))
    theta = sum(np.arctan(a * u) for a in lam) / 2 - q * u / 2
    rho = np.prod([(1 + (a * u) ** 2) ** 0.25 for a in lam], axis=0)
    expected = 0.5 + (weight @ (np.sin(theta) / (u * rho))).sum() * width / 2 / math.pi
    assert quadratic_form_tail(q, lam) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("method", ["BJ", "J"])
@pytest.mark.parametrize("name", CELLS)
def test_tail_probabilities_at_the_limits(name, method):
    """At the lower limit Q is exceeded with probability 0.025, at the upper with 0.975, or the limit is 0."""
    y, v = np.array(cells()[name]["yi"]), np.array(cells()[name]["vi"])
    a = WEIGHTS[method](v)
    q = float(a @ (y - a @ y / a.sum()) ** 2)
    low, high = metaan.tau2_interval(metaan.pool(metaan.effects(y, v), method="DL", test="z"), method=method)
    assert 0 <= low <= high < math.inf
    for limit, tail in ((low, 0.025), (high, 0.975)):
        reached = quadratic_form_tail(q, generalised_q_eigenvalues(v, a, limit))
        if limit > 0:
            assert reached == pytest.approx(tail, abs=1e-9)
        else:
            assert reached >= tail
