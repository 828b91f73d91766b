"""A summary of findings: what a certainty table (GRADE) reads off the results, with the questions that they raise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from metaan.analysis.adjusted import between
from metaan.analysis.bias_table_result import SmallStudyEffects
from metaan.analysis.grade_result import GradeRow, GradeTable
from metaan.analysis.test_result import TestResult
from metaan.core.many import BoolArray
from metaan.errors import InputError, Note
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.results import PoolResult
from metaan.models.text import exact_model, interval_words, probability
from metaan.validate import METHOD

__all__ = ["grade_table"]

_FEW: Final = 10
_BENEFIT, _HARM = 0.75, 1.25  # ratios that count as appreciable (Guyatt et al. 2011)
_WIDER: Final = 2.0
_SIGN: Final = 0.1  # p-value of a test of small-study effects, of low power, that counts as a sign
_SIZES: Final = (("n_t", "n_c"), ("total_t", "total_c"), ("n",))
_CARRIED: Final = ("lesions", "overlap", "repeated-studies", "filled", "separated", "linked-variance")
_ALONE: Final = "Result"


def grade_table(
    results: PoolResult | Mapping[str, PoolResult],
    *,
    small_study: Any = None,
    risk_of_bias: Any = None,
    certainty: Any = None,
    wide: float = 0.2,
) -> GradeTable:
    """Summary of findings of one or more pooled results, with the reasons that the numbers suggest for doubt.

    Parameters
    ----------
    results : result, or mapping of outcome to result
        Of pool, glmm, beta_binomial, mantel_haenszel, peto ..., each one pooled effect.
    small_study : TestResult, SmallStudyEffects, str, or mapping of outcome to one of them, optional
        Test of small-study effects of each outcome. Outcomes without one are "not assessed".
    risk_of_bias, certainty : str, or mapping of outcome to str, optional
        The caller's judgements, shown as given and blank where there are none: no number decides them.
    wide : float, default 0.2
        Width of the confidence interval of a rate from which imprecision is asked about, in (0, 1).

    Returns
    -------
    GradeTable
        Its exports are `to_frame`, `to_markdown` and `to_html`.

    Raises
    ------
    InputError
        What is no pooled result; no results; judgements of outcomes that are not there; a test of another number of
        studies than its result.
    OptionError
        `wide` out of range.

    Notes
    -----
    Effects and intervals stand on the display scale. Prompts are questions, one for each of:

    - imprecision: the interval of a rate is at least `wide`; that of a ratio reaches from 0.75 or less to 1.25 or more
      (appreciable benefit and harm, Guyatt et al. 2011); that of an incidence rate has ends that differ by a factor of
      two; an interval includes no effect;
    - inconsistency: the prediction interval includes no effect where the confidence interval does not, or, where
      tau2 is not 0, is at least twice as wide; there is no prediction interval;
    - publication bias: the test of small-study effects has p < 0.1, or there are fewer than ten studies to test.

    Certainty also rests on risk of bias and indirectness, which are no matter of arithmetic: the table judges nothing.

    References
    ----------
    Guyatt GH et al. (2011). J Clin Epidemiol 64:1283-1293. doi:10.1016/j.jclinepi.2011.01.012

    Examples
    --------
    >>> from metaan import glmm, grade_table
    >>> res = glmm("PLO", events=[0, 3, 1, 4, 2, 3, 9, 7], total=[20, 44, 28, 30, 51, 30, 40, 40])
    >>> table = grade_table({"Complete response": res}, risk_of_bias="serious")
    >>> table.to_frame()[["outcome", "k", "n", "small_study"]]
                 outcome  k      n           small_study
    0  Complete response  8  283.0  not assessed: k < 10
    """
    named = _named(results)
    wide = between(wide, "wide", 1.0, "0.2, the width of an interval of a rate")
    tests = _by_outcome("small_study", small_study, named)
    said = {
        name: _by_outcome(name, given, named)
        for name, given in (("risk_of_bias", risk_of_bias), ("certainty", certainty))
    }
    for name, values in said.items():
        if not all(isinstance(value, str) for value in values.values()):
            raise InputError(f"{name} must be text, or a mapping of outcomes to text.")
    rows = tuple(
        _row(outcome, res, tests.get(outcome), {name: values.get(outcome, "") for name, values in said.items()}, wide)
        for outcome, res in named.items()
    )
    return GradeTable(rows=rows, notes=_notes(named))


def _named(results: Any) -> dict[str, PoolResult]:
    named = dict(results) if isinstance(results, Mapping) else {_ALONE: results}
    if len({str(outcome) for outcome in named}) < len(named):
        raise InputError(f"Two outcomes have the same name: {', '.join(map(str, named))}.")
    if not named:
        raise InputError("grade_table needs at least one result.")
    for outcome, res in named.items():
        if not isinstance(res, PoolResult):
            text = f"grade_table takes pooled results; that of {str(outcome)!r} is {type(res).__name__}"
            raise InputError(f"{text}. Of subgroups give groups, of a regression its predictions in words.")
    return {str(outcome): res for outcome, res in named.items()}


def _by_outcome(name: str, given: Any, named: Mapping[str, PoolResult]) -> dict[str, Any]:
    """What was given for each outcome: the same for all, or by outcome."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        if isinstance(given, (TestResult, SmallStudyEffects)) and len(named) > 1:
            raise InputError(f"{name} is one test for {len(named)} outcomes: give a mapping of outcomes to tests.")
        return dict.fromkeys(named, given)
    unknown = [str(outcome) for outcome in given if str(outcome) not in named]
    if unknown:
        raise InputError(f"{name} speaks of {', '.join(unknown[:5])}. Outcomes: {', '.join(named)}.")
    return {str(outcome): value for outcome, value in given.items()}


def _row(outcome: str, res: PoolResult, test: Any, said: Mapping[str, str], wide: float) -> GradeRow:
    shown, kind = res.back(), KINDS[res.spec.measure]
    common = res.spec.method == "CE" or res.spec.model == "stratified" or res.k == 1
    seen = _observed(res.effects)
    n, unit = _observations(res.effects, seen)
    k = int(seen.sum())
    first = _first(outcome, k, test)
    prompts = [*_imprecision(shown, kind.scale, kind.null, wide), *_inconsistency(shown, kind.null)]
    prompts += _small_study_prompts(k, first)
    return GradeRow(
        outcome=outcome, measure=res.spec.measure, model=_model(res), k=k, n=n, unit=unit,
        estimate=shown.estimate, ci_low=shown.ci_low, ci_high=shown.ci_high, pi_low=shown.pi_low,
        pi_high=shown.pi_high, level=res.spec.level, tau2=math.nan if common else res.tau2,
        I2=math.nan if res.k == 1 else res.I2, small_study=_small_study(k, first), prompts=tuple(prompts),
        risk_of_bias=said["risk_of_bias"], certainty=said["certainty"],
    )  # fmt: skip


def _model(res: PoolResult) -> str:
    spec = res.spec
    if spec.model == "glmm":
        assumed = exact_model(spec.likelihood, spec.link)
    elif spec.model == "stratified":
        assumed = f"Common effect, {spec.method} method"
    elif spec.model != "normal":
        assumed = f"{spec.model.capitalize()} model"
    elif spec.method == "CE":
        assumed = "Common effect"
    else:
        assumed = f"Random effects, tau2 by {METHOD.choices[spec.method]}"
    median = "; the value shown is that of the median study" if res.of_median else ""
    return f"{assumed}; {interval_words(res)}{median}"


def _observed(eff: Effects) -> BoolArray:
    """Which studies are data, not imputed by trim and fill."""
    filled = {study for note in eff.notes if note.code == "filled" for study in note.studies}
    return np.array([study not in filled for study in eff.study])


def _observations(eff: Effects, seen: BoolArray) -> tuple[float, str]:
    """Patients or lesions of the studies that were seen; NaN where they are not known."""
    unit = "observations"
    if eff.data is not None and "unit" in eff.data.columns:
        units = {str(value) for value in eff.data["unit"]}
        unit = f"{units.pop()}s" if len(units) == 1 else unit
    if eff.total is not None:
        return float(eff.total[seen].sum()), unit
    inputs = eff.inputs or {}
    for names in _SIZES:
        if all(name in inputs for name in names):
            return float(sum(inputs[name][seen].sum() for name in names)), unit
    return math.nan, unit


def _first(outcome: str, k: int, test: Any) -> TestResult | str | None:
    """The test to go by, or what the caller says of it."""
    found = test.tests[0] if isinstance(test, SmallStudyEffects) else test
    if found is not None and not isinstance(found, (TestResult, str)):
        raise InputError(f"small_study of {outcome!r} must be a test result or text, not {type(found).__name__}.")
    if isinstance(found, TestResult) and found.k != k:
        raise InputError(f"small_study of {outcome!r} is a test of {found.k} studies; the result has {k}.")
    return found


def _small_study(k: int, test: TestResult | str | None) -> str:
    if test is None:
        return f"not assessed: k < {_FEW}" if k < _FEW else "not assessed"
    return test if isinstance(test, str) else f"{test.test}: p {probability(test.pvalue)}"


def _imprecision(shown: PoolResult, scale: str, null: float | None, wide: float) -> list[str]:
    low, high = shown.ci_low, shown.ci_high
    if math.isnan(low) or math.isnan(high):
        return ["Imprecision? There is no confidence interval."]
    asked = []
    if scale == "rate" and high - low >= wide:
        asked.append(f"Imprecision? The interval spans {100 * (high - low):.0f} percentage points.")
    if scale == "ratio" and low <= _BENEFIT and high >= _HARM:
        asked.append(f"Imprecision? The interval reaches from {_BENEFIT} or less to {_HARM} or more.")
    if scale == "incidence" and high >= 2 * low:
        asked.append("Imprecision? The upper limit is at least twice the lower one.")
    if null is not None and low <= null <= high:
        asked.append("Imprecision? The interval includes no effect.")
    return asked


def _inconsistency(shown: PoolResult, null: float | None) -> list[str]:
    low, high = shown.pi_low, shown.pi_high
    if math.isnan(low):
        return ["Inconsistency? There is no prediction interval to tell."]
    if null is not None and low <= null <= high and not shown.ci_low <= null <= shown.ci_high:
        return ["Inconsistency? The prediction interval includes no effect, the confidence interval does not."]
    width = shown.ci_high - shown.ci_low
    if shown.tau2 > 0 and width > 0 and high - low >= _WIDER * width:
        ratio = f"{(high - low) / width:.1f} times as wide as the confidence interval"
        return [f"Inconsistency? The prediction interval is {ratio}."]
    return []


def _small_study_prompts(k: int, test: TestResult | str | None) -> list[str]:
    if isinstance(test, TestResult) and test.pvalue < _SIGN:
        return [f"Publication bias? {test.test} has p {probability(test.pvalue)}."]
    return [f"Publication bias? {k} studies are too few to test for it."] if k < _FEW else []


def _notes(named: Mapping[str, PoolResult]) -> tuple[Note, ...]:
    text = "Prompts are questions that the numbers raise, not judgements; risk of bias and indirectness are not in them"
    notes = [Note("prompts", f"{text}, and certainty is blank where nobody judged it.")]
    for outcome, res in named.items():
        lead = f"{outcome}: " if len(named) > 1 else ""
        notes.append(Note("model", f"{lead}{_model(res)}."))
        notes += [Note(note.code, f"{lead}{note.text}", note.studies) for note in res.notes if note.code in _CARRIED]
    return tuple(notes)
