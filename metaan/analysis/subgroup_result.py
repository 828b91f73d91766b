"""The result of a subgroup analysis, and contrasts of its subgroups."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.core.inference import log_pvalue, quantile
from metaan.errors import InputError, Note, listed, shown
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult, Spec
from metaan.models.text import exact_model, number, probability, reference
from metaan.records import Shown, Table
from metaan.validate import METHOD, FloatArray, Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Contrasts", "SubgroupResult"]

ADJUST: Final = Option(
    "adjust",
    {
        "holm": "Holm 1979", "bonferroni": "Bonferroni", "sidak": "Sidak", "holm-sidak": "Holm with Sidak's level",
        "simes-hochberg": "Hochberg 1988", "hommel": "Hommel 1988", "fdr_bh": "Benjamini & Hochberg 1995",
        "fdr_by": "Benjamini & Yekutieli 2001", "none": "no adjustment",
    },
    "holm",
)  # fmt: skip
_LINES: Final = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Contrasts(Table):
    """Differences between subgroups, two at a time.

    Parameters
    ----------
    table : pandas.DataFrame
        One row for each pair; see `SubgroupResult.contrasts`.
    notes : tuple of Note
        What a reader of the table must know.
    """

    table: pd.DataFrame
    notes: tuple[Note, ...]

    def _headline(self) -> str:
        return "Differences between subgroups, two at a time"

    def __str__(self) -> str:
        shown = self.table.dropna(axis=1, how="all").drop(columns=["statistic"], errors="ignore")
        text = shown.to_string(index=False, float_format=number)
        return "\n".join([text, *(f"- {note}" for note in self.notes)])


@dataclass(frozen=True, kw_only=True, eq=False)
class SubgroupResult(Shown):
    """Result of `metaan.subgroups`.

    Parameters
    ----------
    by : str
        What the subgroups are.
    tau2 : {"separate", "common"}
    groups : dict of str to PoolResult
        The pooled effect of each subgroup.
    overall : PoolResult
        All studies together.
    k : int
        Studies.
    Q_between, Q_df, Q_df2, Q_pvalue : float
        Test that the subgroups are equal: chi2 with Q_df (Q_df2 = inf), or F with Q_df and Q_df2 (Welch's F where tau2
        is separate).
    spec : Spec
    effects : Effects
    notes : tuple of Note
    regression : RegressResult or None
        The regression behind a common tau2.
    """

    by: str
    tau2: str
    groups: dict[str, PoolResult]
    overall: PoolResult
    k: int
    Q_between: float
    Q_df: int
    Q_df2: float
    Q_pvalue: float
    spec: Spec
    effects: Effects
    notes: tuple[Note, ...]
    regression: RegressResult | None = None

    def contrasts(self, *, reference: str | None = None, adjust: str = "holm") -> Contrasts:
        """Every pair of subgroups, or each against one, on the display scale.

        Parameters
        ----------
        reference : str, optional
            Subgroup that the others are compared with; all pairs by default.
        adjust : str, default "holm"
            Adjustment of the p-values for their number: holm; by statsmodels' ``multipletests`` bonferroni, sidak,
            holm-sidak, simes-hochberg, hommel, fdr_bh, fdr_by, or none.

        Returns
        -------
        Contrasts
            Its `table` has group_a, group_b, difference (a less b) and ratio (a over b) of what the measure shows, each
            with limits low and high; statistic, df and pvalue of the difference on the analysis scale, and
            pvalue_adjusted. The limits are those of one comparison, not adjusted.

        Raises
        ------
        InputError
            An unknown subgroup, or a result on the display scale.
        OptionError
            An unknown adjustment.

        Notes
        -----
        Differences and ratios of rates have limits recovered from those of the two rates (MOVER; Zou & Donner 2008,
        Donner & Zou 2012), which lie within what is possible. Ratio measures have ratios of ratios, from the analysis
        scale; differences the usual interval. Degrees of freedom are Welch's for separate tau2.

        References
        ----------
        Zou GY, Donner A (2008). Stat Med 27:1693-1702. doi:10.1002/sim.3095
        Donner A, Zou GY (2012). Stat Methods Med Res 21:347-359. doi:10.1177/0962280210383082
        """
        import pandas as pd

        ADJUST.check(adjust)
        if any(g.scale != "analysis" for g in self.groups.values()):
            raise InputError("contrasts are made from the result before back(); they are on the display scale anyhow.")
        if reference is not None and (not isinstance(reference, str) or reference not in self.groups):
            raise InputError(f"reference={shown(reference)} is not a subgroup. Subgroups: {', '.join(self.groups)}.")
        names = list(self.groups)
        pairs = (
            list(itertools.combinations(names, 2))
            if reference is None
            else [(name, reference) for name in names if name != reference]
        )
        table = pd.DataFrame([{"group_a": a, "group_b": b} | self._pair(a, b) for a, b in pairs])
        p = table["pvalue"].to_numpy(dtype=np.float64)
        known = np.isfinite(p)
        adjusted = p.copy()
        if adjust != "none" and known.any():
            adjusted[known] = _holm(p[known]) if adjust == "holm" else _adjusted(p[known], adjust)
        table["pvalue_adjusted"] = adjusted
        return Contrasts(table=table, notes=self._contrast_notes(len(pairs), adjust))

    def _contrast_notes(self, n: int, adjust: str) -> tuple[Note, ...]:
        adjusted = f"p-values adjusted by {ADJUST.choices[adjust]}; intervals are not"
        how = "Not adjusted" if adjust == "none" else adjusted
        text = f"{n} comparison{'s' if n > 1 else ''}, {100 * self.spec.level:g}% intervals. {how}."
        notes = [Note("multiplicity", text)]
        if KINDS[self.effects.measure].scale in ("rate", "incidence"):
            text = "p-values are from the analysis scale (Welch), limits from those of the two rates (MOVER)"
            notes.append(Note("two-scales", f"{text}, which are wider where studies are few: they can disagree."))
        single = [name for name, g in self.groups.items() if g.k == 1]
        if single and self.spec.model == "glmm":
            text = f"One study has no tau2, and a comparison with it no interval and no test: {listed(single)}."
            notes.append(Note("single-study-group", text))
        return (*notes, *(note for note in self.notes if note.code == "not-randomised"))

    def _pair(self, a: str, b: str) -> dict[str, float]:
        one, two = self.groups[a], self.groups[b]
        gap, variance = one.estimate - two.estimate, one.se**2 + two.se**2
        df = one.df
        if self.regression is not None:
            df = self.regression.inference.contrast_df(np.array([float(n == a) - float(n == b) for n in self.groups]))
        else:
            pieces = sum(g.se**4 / g.df for g in (one, two) if math.isfinite(g.df))
            df = variance**2 / pieces if pieces > 0 else math.inf
        alone = self.spec.model == "glmm" and 1 in (one.k, two.k)  # whose tau2 is not known
        usable = math.isfinite(gap) and variance > 0 and math.isfinite(variance) and not alone
        statistic = gap / math.sqrt(variance) if usable else math.nan
        half = float(quantile(df, self.spec.level)) * math.sqrt(variance) if usable else math.nan
        test = {"statistic": statistic, "df": df, "pvalue": float(np.exp(log_pvalue(statistic, df)))}
        kind = KINDS[self.effects.measure]
        none = (math.nan, math.nan, math.nan)
        difference = ratio = none
        if kind.scale == "ratio":
            ratio = (math.exp(gap), math.exp(gap - half), math.exp(gap + half))
        elif not kind.transformed and kind.scale == "difference":
            difference = (gap, gap - half, gap + half)
        else:
            limits = [(g.estimate, g.ci_low, g.ci_high) for g in (one.back(), two.back())]
            if alone:
                limits = [(estimate, math.nan, math.nan) for estimate, _, _ in limits]
            difference = _difference(*limits)
            ratio = _ratio(*limits) if kind.scale in ("rate", "incidence") else none
        named = zip(("difference", "ratio"), (difference, ratio), strict=True)
        return {
            f"{name}{end}": v for name, of in named for end, v in zip(("", "_low", "_high"), of, strict=True)
        } | test

    def _all(self, name: str) -> str:
        """Name of the row of all studies, which no subgroup has."""
        while name in self.groups:
            name += " studies"
        return name

    def to_frame(self) -> pd.DataFrame:
        """One row for each subgroup and one for all studies, named "all"."""
        import pandas as pd

        rows = {**self.groups, self._all("all"): self.overall}
        return pd.concat([g.to_frame().assign(group=name) for name, g in rows.items()]).set_index("group").reset_index()

    def studies(self) -> pd.DataFrame:
        """One row for each study, with its subgroup, weights those within it."""
        import pandas as pd

        return pd.concat([g.studies().assign(group=name) for name, g in self.groups.items()], ignore_index=True)

    def back(self) -> SubgroupResult:
        """The same record with every pooled effect on the display scale."""
        groups = {name: g.back() for name, g in self.groups.items()}
        turned = tuple(
            dataclasses.replace(note, text=f"{name}: {note.text}")
            for name, group in groups.items()
            for note in group.notes
            if note.code in ("ft-n", "cut") and group.scale != self.groups[name].scale
        )
        return dataclasses.replace(self, groups=groups, overall=self.overall.back(), notes=self.notes + turned)

    def to_dict(self) -> dict[str, Any]:
        """Dictionary of plain numbers and text: fit for JSON."""
        numbers = {name: getattr(self, name) for name in ("k", "Q_between", "Q_df", "Q_df2", "Q_pvalue")}
        plain = {name: v if math.isfinite(v) else None for name, v in numbers.items()}
        return plain | {
            "by": self.by, "tau2": self.tau2, "groups": {name: g.to_dict() for name, g in self.groups.items()},
            "overall": self.overall.to_dict(), "notes": [str(note) for note in self.notes],
        }  # fmt: skip

    def __str__(self) -> str:
        spec, kind = self.spec, KINDS[self.effects.measure]
        shown = {name: g.back() for name, g in [*self.groups.items(), (self._all("all studies"), self.overall)]}
        model = (
            exact_model(spec.likelihood) if spec.model == "glmm" else f"{spec.method} ({METHOD.choices[spec.method]})"
        )
        used = reference_of(spec.test, moderators=self.regression is not None)
        head = [
            f"{len(self.groups)} subgroups of {self.k} studies by {self.by}, {self._spread()}",
            f"Measure: {spec.measure} ({kind.label}), shown as {kind.shown.lower()}",
            f"{'Model' if spec.model == 'glmm' else 'tau2'}: {model}; intervals: test={spec.test} ({used})",
            "",
        ]
        tail = [self._test_line(), *(f"- {note}" for note in self.back().notes)]
        lines = _rows(shown, spec)
        room = max(_LINES - len(head) - len(tail), 3)
        if len(lines) > room:
            lines = [*lines[: room - 2], f"... and {len(lines) - room + 1} more subgroups: see to_frame()", lines[-1]]
        text = [*head, *lines, *tail]
        return "\n".join([*text[: _LINES - 1], " ".join(text[_LINES - 1 :])] if len(text) > _LINES else text)

    def _spread(self) -> str:
        return "common effects" if self.spec.method == "CE" else f"{self.tau2} tau2"

    def _test_line(self) -> str:
        if math.isnan(self.Q_between):
            return "Between     no test"
        p = probability(self.Q_pvalue)
        used = f"standard errors of test={self.spec.test}"
        if math.isinf(self.Q_df2):
            return f"Between     Q = {self.Q_between:.2f}, df = {self.Q_df}, p {p} ({used})"
        kind = f" (Welch, {used})" if self.regression is None else ""
        return f"Between     F = {self.Q_between:.2f}, df = {self.Q_df} and {self.Q_df2:.4g}, p {p}{kind}"

    def __repr__(self) -> str:
        return f"<SubgroupResult: {self.effects.measure} of {self.k} studies by {self.by}: {listed(self.groups)}>"


reference_of = reference  # the argument of `contrasts` has the same name


def _rows(shown: dict[str, PoolResult], spec: Spec) -> list[str]:
    width, percent = max(map(len, shown)), f"{100 * spec.level:g}%"
    lines = []
    for name, g in shown.items():
        interval = "" if math.isnan(g.pi_low) else f", PI {number(g.pi_low)} to {number(g.pi_high)}"
        spread = "" if spec.method == "CE" else f", tau2 {number(g.tau2)}"
        lines.append(
            f"{name:<{width}}  k {g.k:>3}  {number(g.estimate)}, {percent} CI {number(g.ci_low)} to "
            f"{number(g.ci_high)}{interval}{spread}"
        )
    return lines


Limits = tuple[float, float, float]


def _holm(p: FloatArray) -> FloatArray:
    """P-values adjusted by Holm 1979; statsmodels collects all garbage of the process for this one."""
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)), 1.0)
    return adjusted


def _adjusted(p: FloatArray, adjust: str) -> FloatArray:
    from statsmodels.stats.multitest import multipletests

    return np.asarray(multipletests(p, method=adjust)[1], dtype=np.float64)


def _difference(one: Limits, two: Limits) -> Limits:
    """MOVER: limits of a difference from those of its terms (Zou & Donner 2008)."""
    (a, a_low, a_high), (b, b_low, b_high) = one, two
    gap = a - b
    return gap, gap - math.hypot(a - a_low, b_high - b), gap + math.hypot(a_high - a, b - b_low)


def _ratio(one: Limits, two: Limits) -> Limits:
    """MOVER: limits of a ratio of positive quantities (Donner & Zou 2012, independent estimates)."""
    (a, a_low, a_high), (b, b_low, b_high) = one, two
    if not b > 0:
        return math.nan, math.nan, math.nan
    if not all(map(math.isfinite, (a_low, a_high, b_low, b_high))):
        return a / b, math.nan, math.nan
    below = a_low * b_high * (2 * a - a_low) * (2 * b - b_high)
    spread_high = (a * b) ** 2 - a_high * b_low * (2 * a - a_high) * (2 * b - b_low)
    above = b_low * (2 * b - b_low)
    # the usual form, ab less the root over b_high (2b - b_high), is 0/0 where b_high = 2b
    root = a * b + math.sqrt(max((a * b) ** 2 - below, 0.0))
    low = a_low * (2 * a - a_low) / root if root > 0 else 0.0
    high = (a * b + math.sqrt(max(spread_high, 0.0))) / above if above > 0 else math.inf
    return a / b, low, high
