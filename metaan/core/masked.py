"""Some of the studies of one meta-analysis at a time, for any family of counts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metaan.core.binomial import Family, Index, Terms
from metaan.core.conditional import common_effect
from metaan.core.many import BoolArray
from metaan.core.wls import FloatArray

__all__ = ["Masked"]


class Masked(NamedTuple):
    """The studies `here`, shape (k, n), of a meta-analysis that stands in every column of `base`.

    An absent study has x = N = 0 and a log-likelihood of exactly 0, whatever its effect.
    """

    base: Family
    here: BoolArray
    constant: FloatArray
    """Of the studies that are here, summed, (n,)."""
    alone: BoolArray
    """Whether the studies that are here are alike, (n,)."""

    @property
    def alike(self) -> bool:
        """Whether they are in every column; a fit wants columns that agree in it."""
        return bool(self.alone.all())

    @property
    def x(self) -> FloatArray:
        """Counts."""
        return np.where(self.here, self.base.x, 0.0)

    @property
    def N(self) -> FloatArray:
        """Largest possible counts."""
        return np.where(self.here, self.base.N, 0.0)

    @property
    def logit(self) -> FloatArray:
        """Empirical effects."""
        return np.where(self.here, self.base.logit, 0.0)

    @property
    def variance(self) -> FloatArray:
        """Their sampling variances, infinite where absent."""
        return np.where(self.here, self.base.variance, np.inf)

    @property
    def top(self) -> float:
        """That of the family."""
        return self.base.top

    def take(self, index: Index) -> Masked:
        """The columns of `index`."""
        return Masked(self.base.take(index), self.here[:, index], self.constant[index], self.alone[index])

    def terms(self, eta: FloatArray) -> Terms:
        """Those of the family, 0 for an absent study."""
        here = self.here if eta.ndim == 2 else self.here[:, None]
        value, score, information, second = self.base.terms(eta)
        value, score, information = (np.where(here, part, 0.0) for part in (value, score, information))
        return Terms(value, score, information, None if second is None else np.where(here, second, 0.0))

    def slope(self, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Those of the family, 0 for an absent study."""
        score, information = self.base.slope(eta)
        return np.where(self.here, score, 0.0), np.where(self.here, information, 0.0)

    def common(self) -> tuple[FloatArray, FloatArray]:
        """Effect and log-likelihood with tau2 = 0."""
        return common_effect(self)
