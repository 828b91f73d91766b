"""The result of a multiverse: every analysis, what they agree on and which choice matters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.analysis.multiverse_choices import DATA_CHOICES, MODEL_CHOICES
from metaan.analysis.multiverse_importance import shares, shift
from metaan.errors import DataError, Note, OptionError, shown
from metaan.models.text import LINES, note_lines, number, plural
from metaan.validate import Frozen

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MultiverseResult"]

_WORD: Final = {"rate": "Rate", "ratio": "Ratio", "incidence": "Rate"}
_THRESHOLD: Final = {"rate": 0.5, "ratio": 1.0, "difference": 0.0}
_REST: Final = "interactions"
_IMPORTANCE: Final = ("choice", "levels", "share_estimate", "share_width", "shift")
_NAMED: Final = 3  # choices that the text names


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MultiverseResult(Frozen):
    """Result of `metaan.multiverse`: one row for each analysis.

    Parameters
    ----------
    table : pandas.DataFrame
        See `to_frame`, which gives a copy.
    excluded : pandas.DataFrame
        Combinations that were left out: the choices and `reason`.
    scale : {"rate", "ratio", "difference", "incidence"}
        What estimates and limits are.
    level : float
        Level of the intervals.
    pi : str
        Prediction interval of the inverse-variance models and the GLMM.
    twins : tuple of (dict, dict)
        Choices of the data that lead to the same rows as others, and these.
    notes : tuple of Note
        Every automatic decision.
    """

    table: pd.DataFrame
    excluded: pd.DataFrame
    scale: str
    level: float
    pi: str
    twins: tuple[tuple[dict[str, str], dict[str, str]], ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def analyses(self) -> int:
        """Number of analyses, those without an answer included."""
        return len(self.table)

    @property
    def choices(self) -> dict[str, tuple[str, ...]]:
        """Levels of every choice in the order in which they were asked for."""
        return {
            name: tuple(dict.fromkeys(map(str, self.table[name])))
            for name in (*DATA_CHOICES, *MODEL_CHOICES)
            if name in self.table.columns
        }

    @property
    def varied(self) -> tuple[str, ...]:
        """Choices with two levels or more, the unit apart."""
        return tuple(name for name, found in self.choices.items() if len(found) > 1 and name != "unit")

    def to_frame(self) -> pd.DataFrame:
        """One row for each analysis.

        Returns
        -------
        pandas.DataFrame
            The choices (`choices`), k, n (sum of the totals), estimate, ci_low, ci_high, pi_low, pi_high on the display
            scale, tau2 and I2 (analysis scale of the row), converged, notes (codes) and reason: why an analysis has no
            answer and its numbers are NaN, "" otherwise.
        """
        return self.table.copy()

    def summary(self, threshold: float | None = None, *, mixed: bool = False) -> pd.DataFrame:
        """Range, quartiles and share above a threshold of the estimates.

        Parameters
        ----------
        threshold : float, optional
            On the display scale; 0.5 for rates, 1 for ratios and 0 for differences by default.
        mixed : bool, default False
            One row for all analyses; by default one for each unit, since lesions and patients are different questions.

        Returns
        -------
        pandas.DataFrame
            unit (where there is one), analyses, failed, lowest, q25, median, q75, highest of the estimates, threshold,
            share_above (of the estimates), share_ci_above and share_ci_below (whole interval above, below).

        Raises
        ------
        OptionError
            `threshold` is no finite number, or the scale has none by default.
        """
        import pandas as pd

        at = self._threshold(threshold)
        lines = []
        for unit, part in self._groups(mixed):
            known = part[part["reason"] == ""]
            y = known["estimate"].to_numpy(dtype=np.float64)
            low, q25, median, q75, high = np.quantile(y, [0, 0.25, 0.5, 0.75, 1]) if y.size else [math.nan] * 5
            share = {
                "share_above": _share(y > at),
                "share_ci_above": _share(known["ci_low"].to_numpy() > at),
                "share_ci_below": _share(known["ci_high"].to_numpy() < at),
            }
            numbers = {"lowest": low, "q25": q25, "median": median, "q75": q75, "highest": high, "threshold": at}
            lines.append(unit | {"analyses": len(part), "failed": len(part) - len(known)} | numbers | share)
        return pd.DataFrame(lines)

    def importance(self, *, mixed: bool = False) -> pd.DataFrame:
        """Which choice the estimates and the widths of the intervals hang on.

        Parameters
        ----------
        mixed : bool, default False
            All analyses together, the unit one more choice; by default each unit by itself.

        Returns
        -------
        pandas.DataFrame
            unit (where there is one), choice, levels (how many), share_estimate and share_width: per cent of the
            variance of the estimates, and of the widths of their confidence intervals, that the choice is behind;
            shift: largest mean difference between the estimates at two of its levels, of analyses that are alike in
            every other choice (of two models or measures, whatever the correction); NaN where none are. The line
            "interactions" is what the choices explain only together. Largest share of the estimates first.

        Notes
        -----
        Lindeman, Merenda and Gold's decomposition (the Shapley value) of R2 of a linear model with a main effect of
        each choice: the gain in R2, averaged over every order in which the choices can enter. Rows to which several
        choices of the data lead are one analysis, but stand here at each of these choices: else a policy that changes
        little would be credited with whatever else sets the few analyses apart in which it changes something. Where
        choices go together, as model and scale do, each gets a half of what they share, so that the interval, which
        moves no estimate, can have a small share. The shares describe this multiverse and no population of analyses:
        more levels of a choice give it more weight.

        References
        ----------
        Grömping U (2007). Am Stat 61:139-147. doi:10.1198/000313007X188252
        """
        import pandas as pd

        return pd.concat([self._importance(unit, part) for unit, part in self._groups(mixed)], ignore_index=True)

    def _importance(self, unit: dict[str, str], part: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd

        known = part[(part["reason"] == "") & np.isfinite(part["estimate"])]
        names = [name for name in self.choices if name not in unit and known[name].nunique() > 1]
        known = self._with_twins(known, names) if names else known
        codes = [pd.factorize(known[name])[0].astype(np.intp) for name in names]
        y = known["estimate"].to_numpy(dtype=np.float64)
        width = (known["ci_high"] - known["ci_low"]).to_numpy(dtype=np.float64)
        closed = np.isfinite(width)
        of_estimate = shares(y, codes) if names else np.empty(0)
        of_width = shares(width[closed], [code[closed] for code in codes]) if names else np.empty(0)
        lines = []
        for name, code, a, b in zip(names, codes, of_estimate, of_width, strict=True):
            moved = shift(y, code, _cells(known, names, name))
            lines.append(
                unit | dict(zip(_IMPORTANCE, (name, int(code.max()) + 1, 100 * a, 100 * b, moved), strict=True))
            )
        frame = pd.DataFrame(lines, columns=[*unit, *_IMPORTANCE])
        frame = frame.sort_values("share_estimate", ascending=False, kind="stable")
        if not lines:
            return frame
        rest = {
            "choice": _REST, "share_estimate": 100 - 100 * of_estimate.sum(), "share_width": 100 - 100 * of_width.sum(),
        }  # fmt: skip
        return pd.concat([frame, pd.DataFrame([unit | rest])]).astype({"levels": "Int64"})

    def _with_twins(self, known: pd.DataFrame, names: list[str]) -> pd.DataFrame:
        """Analyses at every choice of the data that leads to their rows."""
        import pandas as pd

        parts = [known]
        for choices, other in self.twins:
            same = np.logical_and.reduce([known[name] == value for name, value in other.items()])
            parts.append(known[same].assign(**choices))
        return pd.concat(parts, ignore_index=True).drop_duplicates(names, ignore_index=True)

    def curve(self, *, mixed: bool = False) -> pd.DataFrame:
        """Table of the specification curve: the analyses that have an answer, lowest estimate first.

        Parameters
        ----------
        mixed : bool, default False
            One curve for all; by default one for each unit.

        Returns
        -------
        pandas.DataFrame
            rank (1, 2 ...; anew in each unit), estimate, ci_low, ci_high and the level of every choice.
        """
        import pandas as pd

        parts = []
        for _, part in self._groups(mixed):
            known = part[part["reason"] == ""].sort_values(["estimate", "ci_low"], kind="stable")
            parts.append(known.assign(rank=range(1, len(known) + 1)))
        frame = pd.concat(parts, ignore_index=True)[["rank", "estimate", "ci_low", "ci_high", *self.choices]]
        frame.attrs |= {"scale": self.scale, "level": self.level}
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and text: fit for JSON (NaN and infinity become None)."""
        return {
            "scale": self.scale,
            "level": self.level,
            "pi": self.pi,
            "choices": {name: list(found) for name, found in self.choices.items()},
            "analyses": _records(self.table),
            "excluded": _records(self.excluded),
            "notes": [str(note) for note in self.notes],
        }

    def _threshold(self, threshold: float | None) -> float:
        found = _THRESHOLD.get(self.scale) if threshold is None else threshold
        if found is None:
            raise OptionError(f"threshold= is needed: {self.scale} has no usual one.")
        if isinstance(found, bool) or not isinstance(found, (int, float, np.number)) or not math.isfinite(found):
            raise OptionError(f"threshold={shown(threshold)} must be a finite number on the scale of the estimates.")
        return float(found)

    def _groups(self, mixed: bool) -> list[tuple[dict[str, str], pd.DataFrame]]:
        """Analyses of each unit, or all of them."""
        if mixed or "unit" not in self.table.columns:
            return [({}, self.table)]
        return [({"unit": str(unit)}, part) for unit, part in self.table.groupby("unit", sort=False)]

    def __str__(self) -> str:
        head = f"Multiverse of {plural(self.analyses, 'analysis')}"
        lines = [f"{head}: every combination of the choices that can be defended"]
        varied = ", ".join(f"{name} ({len(self.choices[name])})" for name in self.varied)
        lines.append(f"Choices     {varied or 'none'}")
        lines += ["", *self._range_lines(), *self._importance_lines()]
        if len(self.excluded):
            reasons = self.excluded["reason"].nunique()
            text = f"{len(self.excluded)} combinations for {plural(reasons, 'reason')}, listed in .excluded"
            lines.append(f"Left out    {text}")
        return "\n".join([*lines, *note_lines(self.notes, LINES - len(lines))])

    def _range_lines(self) -> list[str]:
        lines = []
        percent = f"{100 * self.level:g}%"
        for row in self.summary(None if self.scale in _THRESHOLD else 0.0).to_dict("records"):
            counted = f" per {row['unit']}" if "unit" in row else ""
            name = _WORD.get(self.scale, "Effect") + counted
            if row["failed"] == row["analyses"]:
                lines.append(f"{name}: no analysis has an answer")
                continue
            ends = f"{number(row['lowest'], 3)} to {number(row['highest'], 3)}"
            half = f"{number(row['q25'], 3)} to {number(row['q75'], 3)}"
            lines.append(f"{name}: {ends} in {plural(row['analyses'] - row['failed'], 'analysis')}")
            lines.append(f"            median {number(row['median'], 3)}, middle half {half}")
            if self.scale in _THRESHOLD:
                lines.append(
                    f"            above {row['threshold']:g}: {100 * row['share_above']:.0f}% of the estimates, "
                    f"{100 * row['share_ci_above']:.0f}% with the whole {percent} CI; "
                    f"whole CI below: {100 * row['share_ci_below']:.0f}%"
                )
            if row["failed"]:
                lines.append(f"            no answer: {plural(row['failed'], 'analysis')}")
        if self.scale in _THRESHOLD:
            lines.append(
                "Shares of analyses are no probabilities: analyses are neither independent nor drawn at random."
            )
        return lines

    def _importance_lines(self) -> list[str]:
        lines = []
        for unit, part in self._groups(False):
            found = self._importance(unit, part)
            if found.empty or found["share_estimate"].isna().all():
                continue
            rest = found["choice"] == _REST
            told = ", ".join(
                f"{row.choice} {row.share_estimate:.0f}%"
                for row in (*found[~rest].head(_NAMED).itertuples(), *found[rest].itertuples())
            )
            where = f" per {unit['unit']}" if unit else ""
            lines.append(f"Variance of the estimates{where} by choice (Shapley shares): {told}")
        return lines

    def __repr__(self) -> str:
        return f"<MultiverseResult: {plural(self.analyses, 'analysis')}>"


def check_answers(table: pd.DataFrame) -> None:
    """Refuse a multiverse in which no analysis has an answer."""
    if (table["reason"] != "").all():
        raise DataError(f"No analysis has an answer. The first said: {table['reason'].iloc[0]}")


def _cells(known: pd.DataFrame, names: list[str], name: str) -> Any:
    """Number of the combination of other choices that each analysis has; a correction is a part of its measure."""
    apart = {name, "correction"} if name in ("model", "measure") else {name}
    others = [other for other in names if other not in apart]
    if not others:
        return np.zeros(len(known), dtype=np.intp)
    return known.groupby(others, sort=False).ngroup().to_numpy(dtype=np.intp)


def _share(true: Any) -> float:
    return float(np.mean(true)) if len(true) else math.nan


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values."""
    return [
        {
            str(name): None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in row.items()
        }
        for row in frame.to_dict("records")
    ]
