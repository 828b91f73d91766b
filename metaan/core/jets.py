"""Numbers that carry their derivatives: value, gradient and Hessian in three variables, element by element.

Likelihoods whose closed-form second derivatives fill a page are written once, as a formula, and differentiated by the
rules of sums, products and chains.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from metaan.core.wls import FloatArray

__all__ = ["PAIRS", "Jet", "affine", "apply", "divide", "plus", "times", "variable"]

PAIRS: Final = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""Variables of the six second derivatives."""


class Jet(NamedTuple):
    """A function of three variables at many points."""

    value: FloatArray
    """(...)"""
    gradient: FloatArray
    """(3, ...)"""
    hessian: FloatArray
    """(6, ...), in the order of `PAIRS`."""


def variable(value: FloatArray, which: int) -> Jet:
    """One of the variables itself."""
    gradient = np.zeros((3, *value.shape))
    gradient[which] = 1.0
    return Jet(value, gradient, np.zeros((6, *value.shape)))


def affine(a: Jet, scale: FloatArray | float, shift: FloatArray | float = 0.0) -> Jet:
    """Scale a + shift, for numbers that depend on none of the variables."""
    return Jet(scale * a.value + shift, scale * a.gradient, scale * a.hessian)


def plus(a: Jet, b: Jet, scale: float = 1.0) -> Jet:
    """a + scale b."""
    return Jet(a.value + scale * b.value, a.gradient + scale * b.gradient, a.hessian + scale * b.hessian)


def times(a: Jet, b: Jet) -> Jet:
    """a b."""
    hessian = a.value * b.hessian
    hessian += b.value * a.hessian
    for pair, (i, j) in enumerate(PAIRS):
        hessian[pair] += a.gradient[i] * b.gradient[j]
        hessian[pair] += a.gradient[j] * b.gradient[i]
    return Jet(a.value * b.value, a.value * b.gradient + b.value * a.gradient, hessian)


def divide(a: Jet, b: Jet) -> Jet:
    """a / b."""
    return times(a, apply(b, 1 / b.value, -1 / b.value**2, 2 / b.value**3))


def apply(a: Jet, value: FloatArray, first: FloatArray, second: FloatArray) -> Jet:
    """A function of `a`, given its value and derivatives there."""
    hessian = first * a.hessian
    for pair, (i, j) in enumerate(PAIRS):
        hessian[pair] += second * a.gradient[i] * a.gradient[j]
    return Jet(value, first * a.gradient, hessian)
