"""What is said about a new study: the distribution of its responders, two-stage designs, sizes for a precision."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.core.next_trial import FINEST, two_stage
from metaan.core.rate_laws import Law, frozen, quantile
from metaan.errors import InputError, Note, shown
from metaan.models.plain import plain, plain_value
from metaan.models.text import number, plural
from metaan.records import Shown
from metaan.validate import FloatArray, Frozen, Option, check_level, whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["UNCERTAINTY", "PrecisionResult", "PredictiveResult", "TwoStageResult", "check_share"]

UNCERTAINTY: Final = Option(
    "uncertainty",
    {
        "profile": "tau weighted by its profile likelihood, the mean given tau by its likelihood",
        "integrated": "tau weighted by the likelihood integrated over the mean, the mean given tau by its likelihood",
        "plugin": "the mean and tau taken as known, at their estimates",
        "bayes": "the posterior of metaan.bayes",
    },
    "profile",
)
MOST: Final = FINEST
_LINES: Final = 20


def check_share(name: str, value: Any) -> float:
    """A rate in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating, np.integer)):
        raise InputError(f"{name}={shown(value)} is not a number. A rate lies between 0 and 1: 0.5.")
    if not 0 <= value < 1:
        hint = f" Did you mean {value / 100:g}?" if 1 <= value < 100 else ""
        raise InputError(f"{name}={shown(value)} must be a rate, at least 0 and below 1.{hint}")
    return float(value)


@dataclass(frozen=True, kw_only=True)
class TwoStageResult(Shown):
    """A two-stage design in a new study; from `PredictiveResult.simon`.

    Parameters
    ----------
    r1, n1, r, n : int
        Stop after n1 observations with at most r1 responders; promising with more than r responders among n.
    pass_stage1, early_stop : float
        Probability to go on after the first stage, and to stop there; they sum to 1.
    promising : float
        Probability to go on and to end with more than r responders.
    expected_n : float
        Expected number of observations.
    """

    r1: int
    n1: int
    r: int
    n: int
    pass_stage1: float
    promising: float
    early_stop: float
    expected_n: float

    def to_dict(self) -> dict[str, Any]:
        """Flat dictionary of plain numbers: fit for JSON."""
        return dataclasses.asdict(self)

    def to_frame(self) -> pd.DataFrame:
        """One row."""
        import pandas as pd

        return pd.DataFrame([self.to_dict()])

    def __str__(self) -> str:
        return (
            f"Two-stage design {self.r1}/{self.n1}, {self.r}/{self.n}: passes stage 1 with probability "
            f"{self.pass_stage1:.3f}, is promising at the end with {self.promising:.3f}; stops early with "
            f"{self.early_stop:.3f}, {self.expected_n:.1f} observations expected"
        )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PredictiveResult(Frozen):
    """Result of `metaan.predictive`: what to expect of a new study of n.

    Parameters
    ----------
    n : int
        Size of the new study.
    probability : array of shape (n + 1,)
        Probabilities of 0 ... n responders.
    mean, sd : float
        Of the number of responders.
    median, low, high : int
        Median and prediction limits of the number of responders; see `interval`.
    rate, rate_median, rate_low, rate_high : float
        Mean, median and central limits of the new study's true rate.
    level : float
        Level of the limits.
    target : float or None
        Rate to exceed, for the text.
    measure, model, uncertainty : str
        Scale of the true effects, model in words, and what was done about mu and tau.
    k : int
        Studies behind it.
    tau2 : float
        Estimate of the fit; NaN where the model has none.
    unit : str
        What is counted: "patient", "lesion", or "observation" where the data do not say.
    law : NormalMixture, BetaMixture or DensityTable
        Law of the true rate, from which everything follows.
    notes : tuple of Note
    """

    n: int
    probability: FloatArray
    mean: float
    sd: float
    median: int
    low: int
    high: int
    rate: float
    rate_median: float
    rate_low: float
    rate_high: float
    level: float
    target: float | None
    measure: str
    model: str
    uncertainty: str
    k: int
    tau2: float
    unit: str
    law: Law
    notes: tuple[Note, ...]

    def __post_init__(self) -> None:
        own = np.array(self.probability, dtype=np.float64)
        own.setflags(write=False)
        object.__setattr__(self, "probability", own)
        object.__setattr__(self, "law", frozen(self.law))

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        object.__setattr__(self, "law", frozen(self.law))

    def interval(self, level: float | None = None) -> tuple[int, int]:
        """Central prediction limits of the number of responders.

        Parameters
        ----------
        level : float, optional
            That of the result by default.

        Returns
        -------
        low, high : int
            Fewer than `low`, and more than `high`, each have a probability of at most (1 - level)/2; no narrower
            limits have this property. Since counts are discrete, `low` to `high` has at least the probability `level`.
        """
        return central(self.probability, self.level if level is None else check_level(level))

    def prob_at_least(self, r: int) -> float:
        """Probability of r or more responders among n, r in 0 ... n + 1."""
        return float(self.probability[whole("r", r, 0, self.n + 1) :].sum())

    def prob_exceeds(self, rate: float) -> float:
        """Probability that the observed share r/n exceeds `rate`, in [0, 1)."""
        share = np.arange(self.n + 1) - check_share("rate", rate) * self.n
        return float(self.probability[share > 1e-9 * self.n].sum())

    def true_rate_exceeds(self, target: float) -> float:
        """Probability that the new study's true rate exceeds `target`, in [0, 1)."""
        return self.law.above(check_share("target", target))

    def true_rate_interval(self, level: float | None = None) -> tuple[float, float]:
        """Central limits of the new study's true rate."""
        at = self.level if level is None else check_level(level)
        low, high = quantile(self.law, np.array([(1 - at) / 2, (1 + at) / 2]))
        return float(low), float(high)

    def simon(self, r1: int, n1: int, r: int, n: int) -> TwoStageResult:
        """Probability that a new study passes a two-stage boundary.

        Parameters
        ----------
        r1, n1 : int
            First stage: stop with at most r1 responders among n1.
        r, n : int
            Both stages: not promising with at most r responders among n, n1 < n. This n is that of the design and
            need not be that of the result.

        Returns
        -------
        TwoStageResult

        Raises
        ------
        InputError
            Not 0 <= r1 < n1 < n, or not r1 <= r < n.

        Notes
        -----
        Given the true rate p of the new study, P(promising) = sum over x1 > r1 of Bin(x1; n1, p) P(X2 > r - x1) with
        X2 ~ Bin(n - n1, p) (Simon 1989), averaged over the law of p. Both stages have one and the same true rate: a
        good first stage also says that the rate is high, which independent predictions for the stages would miss.

        References
        ----------
        Simon R (1989). Control Clin Trials 10:1-10. doi:10.1016/0197-2456(89)90015-9
        """
        n = whole("n", n, 2, MOST)
        n1 = whole("n1", n1, 1, n - 1)
        r1 = whole("r1", r1, 0, n1 - 1)
        r = whole("r", r, r1, n - 1)
        found = two_stage(self.law.rates(n), r1, n1, r, n)
        return TwoStageResult(
            r1=r1, n1=n1, r=r, n=n, pass_stage1=1 - found.early_stop, promising=found.promising,
            early_stop=found.early_stop, expected_n=found.expected_n,
        )  # fmt: skip

    def to_frame(self) -> pd.DataFrame:
        """One row for each number of responders.

        Returns
        -------
        pandas.DataFrame
            Columns responders, rate (responders/n), probability, at_most, at_least (cumulative from either side).
        """
        import pandas as pd

        r = np.arange(self.n + 1)
        p = self.probability
        return pd.DataFrame(
            {
                "responders": r, "rate": r / self.n, "probability": p,
                "at_most": np.minimum(np.cumsum(p), 1.0), "at_least": np.minimum(np.cumsum(p[::-1])[::-1], 1.0),
            }
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Flat dictionary of plain numbers and text: fit for JSON (NaN and infinity become None)."""
        skipped = ("probability", "law", "notes")
        names = [field.name for field in dataclasses.fields(self) if field.name not in skipped]
        return {
            **plain({name: getattr(self, name) for name in names}),
            "probability": plain_value(self.probability),
            "notes": [str(note) for note in self.notes],
        }

    def __str__(self) -> str:
        lines = _text(self)
        notes = [f"- {note}" for note in self.notes]
        room = _LINES - len(lines) - 1
        if len(notes) > room:
            notes = [*notes[: room - 1], " ".join(notes[room - 1 :])]
        return "\n".join([*lines, "Notes", *notes] if notes else lines)

    def __repr__(self) -> str:
        return f"<PredictiveResult: {self.low} to {self.high} of {self.n}, mean {self.mean:.4g}>"


def central(probability: FloatArray, level: float) -> tuple[int, int]:
    """Largest low and smallest high whose outer tails are at most (1 - level)/2 each."""
    tail = (1 - level) / 2 * (1 + 1e-12)
    below, above = np.cumsum(probability), np.cumsum(probability[::-1])
    low = int(np.searchsorted(below, tail, side="right"))  # the first count that takes the tail beyond its share
    high = probability.size - 1 - int(np.searchsorted(above, tail, side="right"))
    return low, high


def _text(res: PredictiveResult) -> list[str]:
    percent, share = f"{100 * res.level:g}%", 100 * res.rate
    of = plural(res.n, res.unit)
    lines = [
        f"Next trial, from {plural(res.k, 'study')} ({res.model})",
        f"Uncertainty of the mean and of tau: {res.uncertainty} ({UNCERTAINTY.choices[res.uncertainty]})",
        "",
        f"A new study of {of}: expected {_count(res.mean)} responders ({share:.3g}%), "
        f"{percent} prediction {res.low} to {res.high}",
        f"Its true rate: median {number(res.rate_median, 3)}, {percent} prediction {number(res.rate_low, 3)} to "
        f"{number(res.rate_high, 3)}",
    ]
    if res.target is not None:
        at = f"{100 * res.target:g}%"
        lines.append(
            f"P(true rate > {at}) = {res.true_rate_exceeds(res.target):.3f}; "
            f"P(more than {at} of the {res.n} respond) = {res.prob_exceeds(res.target):.3f}"
        )
    if math.isfinite(res.tau2):
        lines.append(f"tau2 of the fit {number(res.tau2)}")
    return lines


def _count(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


@dataclass(frozen=True, kw_only=True)
class PrecisionResult(Shown):
    """Result of `metaan.precision_n`: the size that gives a new study's own interval the wished width.

    Parameters
    ----------
    n : int
        Smallest size that meets the aim, as do the larger ones.
    width : float
        Wished full width of the confidence interval.
    expected_width : float
        Mean width at n over the predictive distribution.
    prob_within : float
        Probability that the width at n is at most `width`.
    assurance : float or None
        Wished probability; None when the expected width was the aim.
    interval : str
        Kind of interval.
    level : float
        Its confidence level.
    uncertainty : str
        What was done about mu and tau.
    notes : tuple of Note
    """

    n: int
    width: float
    expected_width: float
    prob_within: float
    assurance: float | None
    interval: str
    level: float
    uncertainty: str
    notes: tuple[Note, ...]

    def to_dict(self) -> dict[str, Any]:
        """Flat dictionary of plain numbers and text: fit for JSON."""
        return {**dataclasses.asdict(self), "notes": [str(note) for note in self.notes]}

    def to_frame(self) -> pd.DataFrame:
        """One row: the size, with the width and the probability that it gives."""
        import pandas as pd

        return pd.DataFrame([{name: value for name, value in self.to_dict().items() if name != "notes"}])

    def __str__(self) -> str:
        aim = (
            "expected width at most"
            if self.assurance is None
            else f"width, with probability {self.assurance:g}, at most"
        )
        return "\n".join(
            [
                f"n = {self.n}: {100 * self.level:g}% {self.interval} interval with {aim} {self.width:g}",
                f"At this n the expected width is {self.expected_width:.4f}, and the width is at most {self.width:g} "
                f"with probability {self.prob_within:.3f}",
                f"True rate predicted by {self.uncertainty}: {UNCERTAINTY.choices[self.uncertainty]}",
                *(f"- {note}" for note in self.notes),
            ]
        )
