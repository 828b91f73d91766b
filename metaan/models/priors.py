"""Prior distributions of a Bayesian meta-analysis."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

import numpy as np

from metaan.core.posterior import HEAVIEST, slope, support, tau_posterior, tau_range
from metaan.errors import OptionError, shown
from metaan.validate import FloatArray

__all__ = ["DEFAULTS", "HalfCauchy", "HalfNormal", "NormalPrior", "TauPrior", "Uniform", "UserPrior", "prior_of_tau"]

_FAR: Final = 138.0  # log tau at which the power of a tail is read: about 1e60
_POLE: Final = -0.8


class TauPrior(Protocol):
    """What a prior of tau has."""

    @property
    def power(self) -> float:
        """Power of tau that the density follows far out; -inf where it falls faster than any."""

    @property
    def ends(self) -> tuple[float, float]:
        """Ends of its support."""

    @property
    def proper(self) -> bool:
        """Whether it has an integral of 1."""

    def log_density(self, tau: FloatArray) -> FloatArray:
        """Log density."""


def _positive(name: str, value: object) -> None:
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not (float(value) > 0 and math.isfinite(value)):  # type: ignore[arg-type]
        raise OptionError(f"{name}={shown(value)} must be a positive number.")


@dataclass(frozen=True)
class HalfNormal:
    """Half-normal prior of tau: the absolute value of a normal variable about 0.

    Parameters
    ----------
    scale : float
        Standard deviation of that variable, on the analysis scale; the prior median of tau is 0.674 times it, and
        tau exceeds 1.96 times it with probability 5 %.

    Raises
    ------
    OptionError
        A scale that is no positive number.
    """

    scale: float
    power: ClassVar[float] = -math.inf
    ends: ClassVar[tuple[float, float]] = (0.0, math.inf)
    proper: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _positive("scale", self.scale)

    def log_density(self, tau: FloatArray) -> FloatArray:
        """log of sqrt(2/pi)/s exp(-tau2/(2 s2))."""
        return np.asarray(math.log(2 / math.pi) / 2 - math.log(self.scale) - (tau / self.scale) ** 2 / 2)

    def __str__(self) -> str:
        return f"half-normal({self.scale:g})"


@dataclass(frozen=True)
class HalfCauchy:
    """Half-Cauchy prior of tau: as a half-normal one, with a heavy tail.

    Parameters
    ----------
    scale : float
        The prior median of tau, on the analysis scale.

    Raises
    ------
    OptionError
        A scale that is no positive number.
    """

    scale: float
    power: ClassVar[float] = -2.0
    ends: ClassVar[tuple[float, float]] = (0.0, math.inf)
    proper: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _positive("scale", self.scale)

    def log_density(self, tau: FloatArray) -> FloatArray:
        """log of 2/(pi s (1 + tau2/s2))."""
        return np.asarray(math.log(2 / math.pi) - math.log(self.scale) - np.log1p((tau / self.scale) ** 2))

    def __str__(self) -> str:
        return f"half-Cauchy({self.scale:g})"


@dataclass(frozen=True)
class Uniform:
    """Uniform prior of tau from 0 to `upper`.

    Parameters
    ----------
    upper : float, default inf
        Without a bound the prior is improper: it needs three studies (two with a normal prior of mu) and gives no
        Bayes factor.

    Raises
    ------
    OptionError
        A bound that is not positive.
    """

    upper: float = math.inf

    def __post_init__(self) -> None:
        if self.upper != math.inf:
            _positive("upper", self.upper)

    @property
    def power(self) -> float:
        """0, or -inf with a bound."""
        return -math.inf if self.proper else 0.0

    @property
    def ends(self) -> tuple[float, float]:
        """0 and the bound."""
        return 0.0, float(self.upper)

    @property
    def proper(self) -> bool:
        """Whether there is a bound."""
        return math.isfinite(self.upper)

    def log_density(self, tau: FloatArray) -> FloatArray:
        """-log upper up to the bound; 0 without one."""
        height = -math.log(self.upper) if self.proper else 0.0
        return np.where(tau <= self.upper * (1 + 1e-9), height, -math.inf)

    def __str__(self) -> str:
        return f"uniform(0, {self.upper:g})" if self.proper else "uniform(0, infinity), improper"


class UserPrior:
    """A prior of tau from a density function; normalised where its integral is finite."""

    def __init__(self, density: Callable[[Any], Any]) -> None:
        self._density = density
        self._log_scale = 0.0
        self._clip = (0.0, math.inf)
        low, high = support(self.log_density)
        if not high > low:
            raise OptionError(f"tau_prior={self}: the density is 0 everywhere.")
        self._clip = self.ends = (low, high)
        if slope(self.log_density, -_FAR, -_FAR - 4) < _POLE and low == 0:
            raise OptionError(f"tau_prior={self}: the density is not integrable at tau = 0.")
        self.power = -math.inf if math.isfinite(high) else slope(self.log_density, _FAR, _FAR + 4)
        self.proper = self.power < HEAVIEST
        if self.proper:
            where = tau_range(self.log_density, 1.0, self.ends, self.power)
            self._log_scale = -tau_posterior(self.log_density, where).log_total

    @property
    def integral(self) -> float:
        """Integral of the function as it was given; infinite for an improper prior."""
        return math.exp(-self._log_scale) if self.proper else math.inf

    def log_density(self, tau: FloatArray) -> FloatArray:
        """Logarithm of the function, normalised."""
        tau = np.clip(np.asarray(tau, dtype=np.float64), *self._clip)
        with np.errstate(all="ignore"):
            try:
                one = float(tau.ravel()[0]) if tau.size == 1 else None  # math.exp takes no arrays, except those of one
                value = np.asarray(self._density(tau if one is None else one), dtype=np.float64)
            except (TypeError, ValueError):
                value = np.array([float(self._density(float(t))) for t in tau.ravel()]).reshape(tau.shape)
            value = np.broadcast_to(value, tau.shape)
            if np.isnan(value).any() or (value < 0).any():
                raise OptionError(f"tau_prior={self} must be a density: numbers of 0 or more for every tau > 0.")
            return np.asarray(np.log(value) + self._log_scale)

    def __str__(self) -> str:
        return getattr(self._density, "__name__", type(self._density).__name__).replace("<lambda>", "user's density")


@dataclass(frozen=True)
class NormalPrior:
    """Normal prior of mu.

    Parameters
    ----------
    mean, sd : float
        On the analysis scale: log odds for rates, logarithms for ratios.

    Raises
    ------
    OptionError
        A mean that is not finite, or an sd that is no positive number.
    """

    mean: float
    sd: float

    def __post_init__(self) -> None:
        _positive("sd", self.sd)
        if not isinstance(self.mean, (int, float, np.integer, np.floating)) or not math.isfinite(self.mean):
            raise OptionError(f"mean={self.mean!r} must be a finite number.")

    def __str__(self) -> str:
        return f"normal({self.mean:g}, sd {self.sd:g})"


DEFAULTS: Final[dict[str, HalfNormal]] = {
    "PLO": HalfNormal(1.0),
    **dict.fromkeys(("OR", "PETO", "RR", "HR", "IRR"), HalfNormal(0.5)),
}
"""Priors for measures without a unit, on which experience exists: Rover et al. 2021 for log ratios; rates of single
arms differ more between studies."""


def prior_of_tau(given: Any, measure: str) -> TauPrior:
    """The prior asked for, or the default of the measure where it has one."""
    if given is None:
        if measure in DEFAULTS:
            return DEFAULTS[measure]
        raise OptionError(
            f"measure={measure!r} has no default prior of tau: its scale depends on the unit. Give tau_prior=, e.g. "
            "HalfNormal(s) with s about the largest plausible difference between studies divided by 4."
        )
    if isinstance(given, (HalfNormal, HalfCauchy, Uniform, UserPrior)):
        return given
    if callable(given) and not isinstance(given, type):
        return UserPrior(given)
    raise OptionError(
        f"tau_prior={shown(given)} is not known. Give HalfNormal(scale), HalfCauchy(scale), Uniform(upper) or a "
        "function that returns the density of tau."
    )
