"""The result of a multilevel model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from metaan.core.inference import quantile
from metaan.core.nested import apply_inverse, blocks, solve
from metaan.errors import OptionError
from metaan.models.regress_result import RegressResult
from metaan.models.regress_text import component_lines, describe
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MultilevelResult"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MultilevelResult(RegressResult):
    """Result of `metaan.multilevel`.

    As `RegressResult` (`tau2` is the sum of the variance components, I2 that of the levels; no R2), and:

    Parameters
    ----------
    sigma2 : array of shape (levels,)
        Variance component of each level, outermost first.
    levels : tuple of str
        Names of the levels.
    groups : tuple of int
        Number of groups of each level.
    I2_levels : array of shape (levels,)
        Per cent of the total variance that lies at each level.
    codes : tuple of int arrays of shape (k,)
        Group of each estimate at each level.
    vcov : array of shape (k, k) or None
        Covariance of the sampling errors; None where they are independent.
    """

    sigma2: FloatArray
    levels: tuple[str, ...]
    groups: tuple[int, ...]
    I2_levels: FloatArray
    codes: tuple[npt.NDArray[np.intp], ...]
    vcov: FloatArray | None

    def __post_init__(self) -> None:
        super().__post_init__()
        for code in self.codes:
            code.setflags(write=False)

    def components(self) -> pd.DataFrame:
        """Variance components.

        Returns
        -------
        pandas.DataFrame
            One row for each level: level, groups, sigma2, sigma, I2 (%).
        """
        import pandas as pd

        return pd.DataFrame(
            {
                "level": self.levels, "groups": self.groups, "sigma2": self.sigma2, "sigma": np.sqrt(self.sigma2),
                "I2": self.I2_levels,
            }
        )  # fmt: skip

    def random_effects(self) -> pd.DataFrame:
        """Predicted random effects (BLUPs), each level's deviation of its groups.

        Returns
        -------
        pandas.DataFrame
            Columns level, group (labels from the outermost level inwards, joined by "/"), estimate, se: of the
            prediction error, variance components taken as known.
        """
        import pandas as pd

        eff = self.effects
        data = blocks(eff.yi, self.moderators.matrix, eff.vi if self.vcov is None else self.vcov, self.codes)
        u = apply_inverse(data, self.sigma2, (eff.yi - self.fitted)[:, None])[:, 0]
        weighed = apply_inverse(data, self.sigma2, data.q[0])
        inner = solve(data, self.sigma2, restricted=True).cov
        parts = []
        for i, code in enumerate(self.codes):
            n, s2 = self.groups[i], float(self.sigma2[i])
            members = np.zeros((eff.k, n))
            members[np.arange(eff.k), code] = 1.0
            own = (members * apply_inverse(data, self.sigma2, members)).sum(axis=0)
            through = members.T @ weighed
            spread = s2 - s2**2 * (own - np.einsum("gp,pq,gq->g", through, inner, through))
            first = [int(np.flatnonzero(code == g)[0]) for g in range(n)]
            labels = ["/".join(self._labels(row, i)) for row in first]
            parts.append(
                pd.DataFrame(
                    {
                        "level": self.levels[i], "group": labels, "estimate": s2 * (members.T @ u),
                        "se": np.sqrt(np.maximum(spread, 0.0)),
                    }
                )
            )  # fmt: skip
        return pd.concat(parts, ignore_index=True)

    def _labels(self, row: int, level: int) -> list[str]:
        assert self.effects.data is not None
        return [str(self.effects.data[name].iloc[row]) for name in self.levels[: level + 1]]

    def _prediction(self, kind: str, x: FloatArray) -> FloatArray:
        """True effect of an estimate in a new outermost group: every component and the error of the mean."""
        if kind not in ("t", "hts", "z", "simple", "none"):
            raise OptionError(f"pi={kind!r} is not defined for a multilevel model; choose t, hts, z, simple or none.")
        if kind == "none":
            return np.full(x.shape[0], np.nan)
        free = self.groups[0] - len(self.names) - (1 if kind == "hts" else 0)
        df = {"t": free, "hts": free}.get(kind, np.inf)
        if df <= 0:
            return np.full(x.shape[0], np.nan)
        mean = 0 if kind == "simple" else self.inference.spread(x)
        return np.asarray(float(quantile(df, self.spec.level)) * np.sqrt(self.tau2 + mean + np.zeros(x.shape[0])))

    def __str__(self) -> str:
        nested = " > ".join(f"{name} ({n})" for n, name in zip(self.groups, self.levels, strict=True))
        return describe(self, f"Multilevel model of {self.k} estimates in {nested}", component_lines(self))

    def __repr__(self) -> str:
        inside = "/".join(self.levels)
        return f"<MultilevelResult: {self.spec.measure} of {self.k} estimates in {inside}, on {self.spec.formula!r}>"

    def to_dict(self) -> dict[str, Any]:
        """Flat dictionary of plain numbers and text: fit for JSON."""
        return super().to_dict() | {"levels": list(self.levels), "groups": list(self.groups)}
