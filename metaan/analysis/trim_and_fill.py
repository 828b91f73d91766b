"""Trim and fill: studies that an asymmetric funnel seems to lack, imputed, and the result with them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.analysis.adjusted import cautions, interval_text, measure_line, pooled, spread_of
from metaan.analysis.bias_regression import How, line
from metaan.core.linear import Design
from metaan.core.trim_and_fill import trim
from metaan.core.wls import Data
from metaan.errors import ConvergenceError, DataError, Note
from metaan.measures.record import Effects
from metaan.models.cautions import data_notes
from metaan.models.plain import plain
from metaan.models.pool import fit_normal
from metaan.models.results import PoolResult
from metaan.models.text import LINES, interval_words, note_lines, number, plural, probability
from metaan.validate import FloatArray, Frozen, Option, whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TrimFillResult", "trim_and_fill"]

ESTIMATOR: Final = Option(
    "estimator",
    {
        "L0": "linear in the ranks (Duval & Tweedie 2000)", "R0": "length of the run at the far end, with a test",
        "Q0": "quadratic in the ranks",
    },
    "L0",
)  # fmt: skip
SIDE: Final = Option("side", {"left": "small effects are missing", "right": "large effects are missing"}, "left")
_SIZES: Final = ("n", "time", "n_t", "n_c", "total_t", "total_c", "time_t", "time_c")
_FIELDS: Final = ("estimator", "side", "k0", "se_k0", "pvalue", "iterations", "centre")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TrimFillResult(Frozen):
    """Result of `metaan.trim_and_fill`.

    Parameters
    ----------
    k0 : int
        Studies that seem to be missing.
    se_k0 : float
        Standard error of their number before it was rounded; NaN where the formula has none.
    pvalue : float
        Test that none is missing, for R0; NaN otherwise.
    side : {"left", "right"}
        Where they are missing: small effects or large ones.
    estimator : {"L0", "R0", "Q0"}
    centre : float
        Mean of the studies that are left after trimming, about which the others are mirrored; analysis scale.
    iterations : int
    original : PoolResult
        What was given, on the analysis scale.
    pooled : PoolResult
        The same model of the observed and the filled studies, which are called ``"Filled: <study>"``.
    notes : tuple of Note
    """

    k0: int
    se_k0: float
    pvalue: float
    side: str
    estimator: str
    centre: float
    iterations: int
    original: PoolResult
    pooled: PoolResult
    notes: tuple[Note, ...]

    @property
    def filled(self) -> pd.DataFrame:
        """The imputed studies: study (label), mirror_of (whose mirror image it is), yi and vi."""
        import pandas as pd

        k, eff = self.original.k, self.pooled.effects
        labels = list(eff.study[k:])
        mirrored = [label.removeprefix("Filled: ") for label in labels]
        frame = pd.DataFrame({"study": labels, "mirror_of": mirrored, "yi": eff.yi[k:], "vi": eff.vi[k:]})
        frame.attrs["notes"] = self.notes
        return frame

    def to_frame(self) -> pd.DataFrame:
        """Two rows: the result as observed and with the filled studies, analysis scale."""
        import pandas as pd

        rows = [one.to_frame().assign(studies=name) for one, name in self._named()]
        frame = pd.concat(rows, ignore_index=True)
        frame.insert(0, "studies", frame.pop("studies"))
        frame.attrs["notes"] = self.notes
        return frame

    def _named(self) -> tuple[tuple[PoolResult, str], tuple[PoolResult, str]]:
        return (self.original, "observed"), (self.pooled, "filled")

    def to_dict(self) -> dict[str, Any]:
        """Dictionary of plain numbers and text: fit for JSON (NaN becomes None)."""
        made = {name: getattr(self, name) for name in _FIELDS}
        both = {name: one.to_dict() for one, name in self._named()}
        return plain(made) | both | {"notes": [str(note) for note in self.notes]}

    def __str__(self) -> str:
        spec = self.original.spec
        extra = "" if math.isnan(self.se_k0) else f" (SE {number(self.se_k0)})"
        test = "" if math.isnan(self.pvalue) else f"; test of none missing: p {probability(self.pvalue)}"
        lines = [
            f"Trim and fill of {plural(self.original.k, 'study')}, estimator {self.estimator}",
            measure_line(self.original),
            f"tau2: {spec.method}; interval: {interval_words(self.original)}",
            "",
            f"Missing     {plural(self.k0, 'study')} on the {self.side}{extra}{test}",
            *(f"{name.capitalize():<11} {_line(one)}" for one, name in self._named()),
            _imputed(self.k0) if self.k0 else "No study is filled in: the result is unchanged.",
        ]
        return "\n".join([*lines, *note_lines(self.notes, LINES - len(lines))])

    def __repr__(self) -> str:
        was, now = self.original.estimate, self.pooled.estimate
        return f"<TrimFillResult: {self.k0} filled on the {self.side}, estimate {was:.4g} -> {now:.4g}>"


def _imputed(k0: int) -> str:
    what = (
        "is imputed, the mirror image of an observed one" if k0 == 1 else "are imputed, mirror images of observed ones"
    )
    return f"{plural(k0, 'filled study')} {what}, and no data."


def _line(res: PoolResult) -> str:
    spread = "" if res.spec.method == "CE" else f", tau2 {number(res.tau2)}"
    return f"{interval_text(res, (res.estimate, res.ci_low, res.ci_high))}, k {res.k}{spread}"


def trim_and_fill(
    res: PoolResult, *, side: str | None = None, estimator: str = "L0", max_iterations: int = 100
) -> TrimFillResult:
    """Impute the studies that an asymmetric funnel seems to lack and fit the model again (Duval & Tweedie 2000).

    Parameters
    ----------
    res : PoolResult
        From `metaan.pool`, of any method and test; at least three studies.
    side : {"left", "right"}, optional
        Where studies are missing: small effects ("left") or large ones ("right"). By default "left" unless the slope of
        the effects on their standard errors is negative.
    estimator : {"L0", "R0", "Q0"}
        Of the number of missing studies.
    max_iterations : int, default 100
        Rounds of trimming, after which there is a ConvergenceError.

    Returns
    -------
    TrimFillResult
        With `k0`, the `filled` studies and the `pooled` result with them.

    Raises
    ------
    InputError
        No result of pool, or fewer than three studies.
    OptionError
        An unknown option, or a result of another model: a GLMM has no effect sizes to mirror.
    DataError
        All standard errors are equal, so that `side` must be given; Q0 does not exist for these ranks.
    ConvergenceError
        The number of missing studies goes in circles.

    Notes
    -----
    With effects sorted so that the missing ones are small, the k0 largest are trimmed, the others pooled, and k0
    estimated again from the ranks of abs(y - mu) with the signs of y - mu, until it stays: with S the sum of the ranks
    of positive deviations and g the largest rank of a negative one,

    - L0 = [4 S - k (k + 1)]/(2k - 1)
    - R0 = k - g - 1, whose p-value for no missing study is 2^-(k0 + 1)
    - Q0 = k - 1/2 - sqrt(2 k^2 - 4 S + 1/4)

    rounded and not below 0. The k0 largest effects are then mirrored about mu with their variances. The slope behind
    `side` is that of a meta-regression on the standard errors with the same estimator of tau2. Filled studies narrow
    the interval as if they had been observed, and the method is known to adjust where there is only heterogeneity:
    it is a sensitivity analysis (Peters et al. 2007).

    References
    ----------
    Duval S, Tweedie R (2000a). Biometrics 56:455-463. doi:10.1111/j.0006-341X.2000.00455.x
    Duval S, Tweedie R (2000b). J Am Stat Assoc 95:89-98. doi:10.1080/01621459.2000.10473905
    Peters JL et al. (2007). Stat Med 26:4544-4562. doi:10.1002/sim.2889

    Examples
    --------
    >>> from metaan import effects, pool, trim_and_fill
    >>> y, v = [0.10, 0.12, 0.18, 0.30, 0.45, 0.60, 0.85], [0.01, 0.01, 0.02, 0.04, 0.08, 0.10, 0.15]
    >>> made = trim_and_fill(pool(effects(y, v), method="DL", test="z"))
    >>> made.k0, made.side, round(made.original.estimate, 3), round(made.pooled.estimate, 3)
    (3, 'left', 0.2, 0.151)
    """
    res = pooled(res, "trim_and_fill")
    ESTIMATOR.check(estimator)
    max_iterations = whole("max_iterations", max_iterations, 1)
    where = _side(res) if side is None else SIDE.check(side)
    sign = -1.0 if where == "right" else 1.0
    a = res.weights if res.spec.method == "GENQ" else None
    eff = res.effects
    found = trim(
        Data.of_one(sign * eff.yi, eff.vi).column(), method=res.spec.method, estimator=estimator,
        weights=None if a is None else a[:, None], max_iterations=max_iterations,
    )  # fmt: skip
    if not found.converged[0]:
        _complain(found.iterations[0] == max_iterations, estimator, max_iterations)
    k0, centre = int(found.k0[0]), sign * float(found.mu[0])
    far = np.sort(found.order[eff.k - k0 :, 0])
    return TrimFillResult(
        k0=k0, se_k0=float(found.se[0]), pvalue=0.5 ** (k0 + 1) if estimator == "R0" else math.nan, side=where,
        estimator=estimator, centre=centre, iterations=int(found.iterations[0]), original=res,
        pooled=_filled(res, far, centre, a), notes=cautions(res, [_chosen(where)] if side is None else []),
    )  # fmt: skip


def _complain(circles: bool, estimator: str, rounds: int) -> None:
    others = ", ".join(repr(name) for name in ESTIMATOR.choices if name != estimator)
    if circles:
        text = f"The number of missing studies did not settle in {rounds} rounds with estimator={estimator!r}"
        raise ConvergenceError(f"{text}. Choose another: {others}.")
    raise DataError(
        f"Q0 does not exist: the ranks on one side are too many for it. Choose another estimator: {others}."
    )


def _side(res: PoolResult) -> str:
    """Right where effects fall as their standard errors grow, by a meta-regression; left otherwise."""
    sei = spread_of(res, "trim_and_fill cannot choose a side, give side=")
    eff, x = res.effects, np.column_stack([np.ones(res.k), sei])
    by_weights = res.spec.method == "GENQ"  # whose weights give the slope, whatever tau2
    v, how = (1 / res.weights, How("CE", "z")) if by_weights else (eff.vi, How(res.spec.method, "z"))
    return "right" if line(Design(eff.yi, v, x), how).fit.beta[1] < 0 else "left"


def _filled(res: PoolResult, far: Any, centre: float, weights: FloatArray | None) -> PoolResult:
    """The model of `res` for its studies and the mirror images of the studies `far`."""
    if len(far) == 0:
        return res
    eff = res.effects
    labels = tuple(f"Filled: {eff.study[i]}" for i in far)

    def more(values: FloatArray) -> FloatArray:
        return np.concatenate([values, values[far]])

    made = Effects(
        yi=np.concatenate([eff.yi, 2 * centre - eff.yi[far]]), vi=more(eff.vi), study=(*eff.study, *labels),
        measure=eff.measure, total=None if eff.total is None else more(eff.total),
        inputs={name: more(v) for name, v in (eff.inputs or {}).items() if name in _SIZES} or None,
        notes=(Note("filled", _imputed(len(labels)), labels), *eff.notes, *data_notes(eff.data)),
    )  # fmt: skip
    return fit_normal(made, res.spec, a=None if weights is None else more(weights))


def _chosen(side: str) -> Note:
    slope = "rise" if side == "left" else "fall"
    return Note("side", f"Side chosen by the slope of the effects, which {slope} with their standard errors: {side}.")
