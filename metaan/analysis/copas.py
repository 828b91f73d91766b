"""The Copas selection model: how an estimate changes as more of the small studies are taken to be unpublished."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.special import chdtrc, ndtr, ndtri

from metaan.analysis.adjusted import (
    between,
    cautions,
    interval_text,
    measure_line,
    pooled,
    spread_of,
)
from metaan.core.copas import RHO_BOUND, fit, selected
from metaan.core.many import wald
from metaan.errors import InputError, Note, OptionError
from metaan.models.plain import plain
from metaan.models.results import PoolResult
from metaan.models.text import LINES, note_lines, plural, probability
from metaan.validate import FloatArray, Frozen, numbers

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CopasResult", "copas"]

_PUBLISHED: Final = (1.0, 0.9, 0.8, 0.6, 0.4, 0.2, 0.1)
_GRID: Final = 12
_FEWEST: Final = 4  # one more than parameters
_LOWEST: Final = -1.5  # gamma0 of the grid: where a large standard error leaves 7% published
_HIGHEST: Final = 2.0
_CERTAIN: Final = 10.0  # u at which a study is published but for rounding
_NEVER: Final = -30.0  # u below which the likelihood has too few digits
_ROWS: Final = 7
_HEAD: Final = f"{'Published':<11} {'estimate':<40} {'p':>9} {'unpublished':>12} {'p residual':>11}"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CopasResult(Frozen):
    """Result of `metaan.copas`, analysis scale.

    Parameters
    ----------
    rows : dict of str to array of shape (m,)
        Columns of `to_frame`.
    contour : dict of str to array
        Columns of `contours`.
    alpha : float
        Level of the test of residual selection bias.
    most_precise : float
        Probability that the most precise study is published, in every row but the first.
    k : int
    original : PoolResult
        What was given.
    notes : tuple of Note
    """

    rows: dict[str, FloatArray]
    contour: dict[str, FloatArray]
    alpha: float
    most_precise: float
    k: int
    original: PoolResult
    notes: tuple[Note, ...]

    def __post_init__(self) -> None:
        for name in ("rows", "contour"):
            own = {key: np.array(value) for key, value in getattr(self, name).items()}
            for value in own.values():
                value.setflags(write=False)
            object.__setattr__(self, name, own)

    @property
    def adjusted(self) -> dict[str, float] | None:
        """The row with the least selection whose residual bias is not rejected at `alpha`; None if there is none."""
        index = np.flatnonzero(self.rows["residual_pvalue"] >= self.alpha)
        return {name: float(value[index[0]]) for name, value in self.rows.items()} if index.size else None

    def to_frame(self) -> pd.DataFrame:
        """One row for each degree of selection.

        Columns: published (probability that the study with the largest standard error is published), gamma0, gamma1,
        estimate, se, ci_low, ci_high, pvalue, tau2, rho, loglik, unpublished (expected number of unpublished studies),
        residual_statistic and residual_pvalue (likelihood-ratio test that the effects left do not depend on their
        standard errors) and converged.
        """
        return self._frame(self.rows)

    def contours(self) -> pd.DataFrame:
        """One row for each pair of gamma0 and gamma1, to draw contours of the estimate.

        Columns: gamma0, gamma1, published, published_precise (probability of the most precise study), estimate, se,
        tau2, rho, loglik, unpublished, converged.
        """
        return self._frame(self.contour)

    def _frame(self, columns: dict[str, FloatArray]) -> pd.DataFrame:
        import pandas as pd

        frame = pd.DataFrame({name: np.array(value) for name, value in columns.items()}).astype({"converged": bool})
        frame.attrs["notes"] = self.notes
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Dictionary of plain numbers and text: fit for JSON (NaN and infinity become None)."""
        made = {name: getattr(self, name) for name in ("alpha", "most_precise", "k", "rows", "contour")}
        return plain(made) | {"notes": [str(note) for note in self.notes]}

    def __str__(self) -> str:
        res = self.original
        lines = [
            f"Copas selection model of {plural(self.k, 'study')}, maximum likelihood (Copas & Shi 2000)",
            f"{measure_line(res)}; intervals by the normal distribution",
            f"Published: probability of the study with the largest standard error; of the most precise one "
            f"{self.most_precise:g}",
            "",
            _HEAD,
            *(self._line(i) for i in range(min(_ROWS, len(self.rows["published"])))),
            self._adjusted_line(),
        ]
        return "\n".join([*lines, *note_lines(self.notes, LINES - len(lines))])

    def _line(self, i: int) -> str:
        row = {name: float(value[i]) for name, value in self.rows.items()}
        p, rest = (probability(row[name]).removeprefix("= ") for name in ("pvalue", "residual_pvalue"))
        return f"{row['published']:<11g} {self._interval(row):<40} {p:>9} {row['unpublished']:>12.1f} {rest:>11}"

    def _interval(self, row: dict[str, float]) -> str:
        return interval_text(self.original, [row[name] for name in ("estimate", "ci_low", "ci_high")])

    def _adjusted_line(self) -> str:
        row = self.adjusted
        if row is None:
            return f"Residual bias is rejected at {self.alpha:g} in every row: none of them explains the asymmetry."
        text = f"Adjusted    {self._interval(row)}: the least selection with p residual of at least"
        return f"{text} {self.alpha:g}"

    def __repr__(self) -> str:
        values = self.rows["estimate"]
        return f"<CopasResult: {self.k} studies, estimate {values.min():.4g} to {values.max():.4g}>"


def copas(
    res: PoolResult,
    *,
    published: Any = _PUBLISHED,
    most_precise: float = 0.99,
    gamma0: Any = None,
    gamma1: Any = None,
    alpha: float = 0.1,
) -> CopasResult:
    """Sensitivity of a pooled effect to selective publication by the model of Copas & Shi.

    Parameters
    ----------
    res : PoolResult
        From `metaan.pool`; at least four studies whose standard errors differ. The model has its own maximum
        likelihood estimates: of `res` it takes the effects and the level.
    published : sequence of float, optional
        Probabilities that a study with the largest standard error is published, in (0, 1]: one row each, from the
        largest down.
    most_precise : float, default 0.99
        Probability that a study with the smallest standard error is published, in (0, 1); never below that of the row.
    gamma0, gamma1 : sequence of float, optional
        Values of the grid of `CopasResult.contours`; by default twelve of each, gamma0 from -1.5 to 2 and gamma1 from
        0 to where the study with the largest standard error is surely published.
    alpha : float, default 0.1
        Level of the test of residual selection bias that chooses `CopasResult.adjusted`.

    Returns
    -------
    CopasResult
        Its `to_frame` is the sensitivity table, `contours` the grid.

    Raises
    ------
    InputError
        No result of pool, or fewer than four studies; values that are no numbers; selection so strong that a study
        would never be published.
    OptionError
        Probabilities out of range, or a result of another model.
    DataError
        All standard errors are equal.

    Notes
    -----
    A study is published if u + d > 0 with u = gamma0 + gamma1/s, s its standard error, and d standard normal; d has the
    correlation rho with the sampling error, so that for rho > 0 large effects are published more readily. gamma0 and
    gamma1 cannot be estimated: each row of the table fixes them by the two probabilities. mu, tau2 and rho then
    maximise the sum of

    - log N(y; mu, t2) + log Phi(w) - log Phi(u), with t2 = sigma2 + tau2,
    - w = [u + r (y - mu)/sqrt(t2)]/sqrt(1 - r^2), r = rho sqrt(sigma2/t2),

    where sigma2 = s^2/(1 - c2 rho^2) with c2 = h (u + h), h = phi(u)/Phi(u), undoes the narrowing of the sampling
    variance by selection. abs(rho) goes up to 0.9999. Several maxima occur: each fit is the highest of six climbs.
    Standard errors are from the observed information; they treat rho as known where it is at a bound. Residual
    bias is tested by the likelihood ratio, chi2(1), of a mean mu + beta s with rho of the same sign: with
    either sign, opposite selection and slope would make up for each other. The expected number of unpublished studies
    is the sum of (1 - Phi(u))/Phi(u).

    References
    ----------
    Copas J, Shi JQ (2000). Biostatistics 1:247-262. doi:10.1093/biostatistics/1.3.247
    Copas JB, Shi JQ (2001). Stat Methods Med Res 10:251-265. doi:10.1177/096228020101000402

    Examples
    --------
    >>> from metaan import copas, effects, pool
    >>> y, v = [0.10, 0.32, 0.18, 0.20, 0.65, 0.60, 0.85], [0.01, 0.01, 0.02, 0.04, 0.08, 0.10, 0.15]
    >>> made = copas(pool(effects(y, v)), published=[1, 0.5])
    >>> made.to_frame()[["published", "estimate", "unpublished"]].round(3)
       published  estimate  unpublished
    0        1.0     0.254        0.000
    1        0.5     0.227        2.763
    """
    res = pooled(res, "copas", fewest=_FEWEST)
    sei = spread_of(res, "copas")
    p = _probabilities(published)
    most_precise, alpha = between(most_precise, "most_precise", 1.0, "0.99"), between(alpha, "alpha", 0.5, "0.1")
    g0, g1 = _gammas(p, most_precise, sei)
    rows = {"published": p} | _fits(res, g0, g1, sei)
    rows |= wald(rows["estimate"], rows["se"], np.full_like(p, math.inf), res.spec.level)
    rows |= _residual(res, _u(g0, g1, sei), rows)
    contour = _contour(res, gamma0, gamma1, sei)
    order = (
        "published", "gamma0", "gamma1", "estimate", "se", "ci_low", "ci_high", "pvalue", "tau2", "rho", "loglik",
        "unpublished", "residual_statistic", "residual_pvalue", "converged",
    )  # fmt: skip
    return CopasResult(
        rows={name: rows[name] for name in order}, contour=contour, alpha=alpha,
        most_precise=most_precise, k=res.k, original=res, notes=cautions(res, _notes(rows, contour)),
    )  # fmt: skip


def _probabilities(published: Any) -> FloatArray:
    p = numbers(published, "published")
    if p.size == 0 or not ((p > 0) & (p <= 1)).all():
        raise OptionError("published must hold probabilities above 0 and up to 1, such as 0.9 and 0.5.")
    return np.unique(p)[::-1]


def _gammas(p: FloatArray, precise: float, sei: FloatArray) -> tuple[FloatArray, FloatArray]:
    """gamma0 and gamma1 from the probabilities of the largest and of the smallest standard error."""
    low = np.minimum(ndtri(p), _CERTAIN)
    high = np.maximum(ndtri(precise), low)
    gamma1 = (high - low) / (1 / sei.min() - 1 / sei.max())
    return np.where(p < 1, low - gamma1 / sei.max(), math.inf), np.where(p < 1, gamma1, 0.0)


def _u(gamma0: FloatArray, gamma1: FloatArray, sei: FloatArray) -> FloatArray:
    return np.minimum(gamma0 + gamma1 / sei[:, None], _CERTAIN)


def _fits(res: PoolResult, gamma0: FloatArray, gamma1: FloatArray, sei: FloatArray) -> dict[str, FloatArray]:
    """Columns of the fits; the climbs begin at the tau2 of the result."""
    u = _u(gamma0, gamma1, sei)
    if u.min() < _NEVER:
        text = f"leave a study a chance of publication below {ndtr(_NEVER):.0e}"
        raise InputError(f"published, gamma0 and gamma1 must not {text}: that is no model of selection.")
    found = fit(selected(res.effects.yi, res.effects.vi, u), res.tau2)
    seen = ndtr(u)
    return {
        "gamma0": gamma0, "gamma1": gamma1, "estimate": found.mu, "se": found.se, "tau2": found.tau2, "rho": found.rho,
        "loglik": found.loglik, "unpublished": (ndtr(-u) / seen).sum(axis=0),
        "converged": found.converged.astype(np.float64),
    }  # fmt: skip


def _residual(res: PoolResult, u: FloatArray, rows: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """Likelihood-ratio test of a slope of the mean on the standard errors, for selection in the same direction."""
    sign = np.sign(np.nan_to_num(rows["rho"]))
    data = selected(res.effects.yi, res.effects.vi, u, residual=True, sign=sign)
    statistic = np.maximum(2 * (fit(data, res.tau2).loglik - rows["loglik"]), 0.0)
    return {"residual_statistic": statistic, "residual_pvalue": chdtrc(1, statistic)}


def _contour(res: PoolResult, gamma0: Any, gamma1: Any, sei: FloatArray) -> dict[str, FloatArray]:
    """Fits over the grid of gamma0 and gamma1."""
    reach = (float(ndtri(0.99)) - _LOWEST) * float(sei.max())
    values = (
        np.linspace(_LOWEST, _HIGHEST, _GRID) if gamma0 is None else numbers(gamma0, "gamma0"),
        np.linspace(0.0, reach, _GRID) if gamma1 is None else numbers(gamma1, "gamma1"),
    )
    if any(not np.isfinite(v).all() or v.size == 0 for v in values) or (values[1] < 0).any():
        raise InputError("gamma0 and gamma1 must hold finite numbers, and gamma1 none below 0.")
    g0, g1 = (v.ravel() for v in np.meshgrid(*values, indexing="ij"))
    made = _fits(res, g0, g1, sei)
    ends = {"published": ndtr(g0 + g1 / sei.max()), "published_precise": ndtr(g0 + g1 / sei.min())}
    first = {name: made.pop(name) for name in ("gamma0", "gamma1")}
    return first | ends | made


def _notes(rows: dict[str, FloatArray], contour: dict[str, FloatArray]) -> list[Note]:
    notes = []
    bound = np.abs(rows["rho"]) >= RHO_BOUND
    if bound.any():
        where = ", ".join(f"{p:g}" for p in rows["published"][bound])
        text = f"rho is at its bound of {RHO_BOUND} where published is {where}"
        notes.append(Note("rho-bound", f"{text}: the standard errors take it as known and are too small."))
    stopped = int((rows["converged"] == 0).sum() + (contour["converged"] == 0).sum())
    if stopped:
        text = f"{stopped} of {len(rows['rho']) + len(contour['rho'])} fits stopped before they settled"
        notes.append(Note("not-converged", f"{text}: treat them as approximate."))
    if np.isnan(rows["se"]).any() or np.isnan(contour["se"]).any():
        notes.append(Note("no-se", "Some fits have no standard error: their likelihood is flat in some direction."))
    text = "How much selection there is cannot be estimated: each row assumes a degree of it"
    notes.append(Note("assumed", f"{text}, and maximum likelihood takes tau2 smaller than REML does."))
    return notes
