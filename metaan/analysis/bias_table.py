"""The tests of small-study effects that are valid for the measure of a result, in one table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np

from metaan.analysis.adjusted import between
from metaan.analysis.bias import begg_of, egger_of
from metaan.analysis.bias_counts import harbord, peters
from metaan.analysis.bias_data import ONE_ARM, RATES, Result, Studied, columns_of, sizes, studied
from metaan.analysis.bias_regression import UNEVEN
from metaan.analysis.bias_stable import FEW_EVENTS, fewer_events, pustejovsky_rodgers, thompson_arcsine
from metaan.analysis.bias_table_result import SmallStudyEffects
from metaan.analysis.test_result import TestResult
from metaan.errors import DataError, InputError, Note, OptionError
from metaan.measures.person_time import TIMES
from metaan.measures.two_by_two import ARMS
from metaan.validate import FloatArray

__all__ = ["small_study_effects"]

Pair = tuple[FloatArray, FloatArray]
Tests = Mapping[str, tuple[Callable[[], TestResult], str]]
_RATIOS: Final = ("OR", "RR", "PETO")
_STANDARDISED: Final = ("SMDH", "SMCC", "SMCR", "ROM", "CVR")
_SAYS: Final = {
    "score": "Whether rates depend on the size of the study. Holds its level at any rate; low power if studies differ.",
    "uneven": "With an additive variance, which holds where one study is far larger than the rest: the one to go by.",
    "arcsine": "The same on the double arcsine: agreement with the first is no second piece of evidence.",
    "peters": "The same with more weight on the smallest studies; little power if studies differ much.",
    "arcsine-two": "Whether differences of arcsines depend on size. Holds its level, trials without events included.",
    "arcsine-rma": "The same with an additive variance between trials; cautious where trials do not differ.",
    "peters-two": "Whether ratios depend on 1/N. 7 to 12 % false alarms at 10 %: little power if trials differ.",
    "harbord-two": "Whether scores depend on their standard error. Up to 16 % false alarms at 10 % if events are rare.",
    "smd": "Whether differences depend on size, free of the link of estimate and standard error.",
    "smd-rma": "The same by the model of the result.",
    "egger": "Whether effects depend on their standard error. Not why: bias and true differences look alike.",
    "egger-rma": "The same by the model of the result.",
    "begg": "The same by ranks: robust to one odd study, with the least power of all.",
    "root": "On a scale whose variance does not depend on the effect. Not why: bias and true differences look alike.",
    "size": "Whether effects depend on 1/sqrt(n). The weights still depend on the effect: take it as rough.",
}
"""What each test can and cannot say."""
_WHY: Final = Note(
    "not-why",
    "A small p-value says that small studies differ, not why (selection, quality, patients, chance); a large one does "
    "not rule bias out.",
)


class _Plan(NamedTuple):
    """Tests that are run, the first of which decides, and those that are not, with the reason."""

    run: Tests
    left: Mapping[str, str]
    uneven: Tests = MappingProxyType({})
    """The one that decides where one study governs a weighted regression."""


def small_study_effects(res: Result, *, level: float = 0.10) -> SmallStudyEffects:
    """Test for small-study effects by what is valid for the measure of a result.

    Parameters
    ----------
    res : PoolResult or RegressResult
        As in `metaan.egger`.
    level : float, default 0.10
        p-value below which a test counts as a sign of small-study effects, in (0, 0.5); these tests have little power,
        which is why 0.10 is the custom.

    Returns
    -------
    SmallStudyEffects
        Each test with its statistic, p-value, adjusted estimate and what it can and cannot say; the tests that are not
        valid, with the reason. The first test is the one for the measure: more tests are more chances of a small
        p-value.

    Raises
    ------
    InputError, OptionError
        As `metaan.egger`; `level` out of range.
    DataError
        Fewer than three studies; no test can be computed.

    Notes
    -----
    =====================================  =====================================================================
    rates of one arm, with counts          `harbord`, `thompson_arcsine` (model "lm"; not with rare events), `peters`
    OR, RR, PETO, with counts              `thompson_arcsine` (model "lm"), `peters`, `harbord`
    RD, AS, with counts                    `thompson_arcsine`, models "lm" and "rma"
    SMD, with the sizes of the arms        `pustejovsky_rodgers`, models "lm" and "rma"
    IR, IRLN, IRS, IRFT; IRR, IRD, IRSD    `egger` and `begg` of square roots of rates
    COR, UCOR, ZCOR                        `egger` and `begg` of Fisher's z
    SMDH, SMCC, SMCR, ROM, CVR, with n     `egger` on 1/sqrt(n)
    any other, or without the counts       `egger`, models "lm" and "rma", and `begg`
    =====================================  =====================================================================

    The choice follows from the simulations of docs/small_study.md. Where one study is so large that a weighted
    regression rejects too often if true effects differ, the version with an additive variance (`thompson_arcsine`, or
    model "rma") stands first and decides.

    References
    ----------
    Sterne JAC et al. (2011). BMJ 343:d4002. doi:10.1136/bmj.d4002

    Examples
    --------
    >>> from metaan import glmm, small_study_effects
    >>> res = glmm("PLO", events=[0, 3, 1, 4, 2, 3, 9, 7], total=[20, 44, 28, 30, 51, 30, 40, 40])
    >>> found = small_study_effects(res)
    >>> found.to_frame()[["test", "pvalue"]].dropna().round(3)
                                                   test  pvalue
    0   Score test (after Harbord et al. 2006, one arm)   0.598
    1  Arcsine test (after Rücker et al. 2008, one arm)   0.529
    2  Peters' test (after Peters et al. 2006, one arm)   0.524
    """
    level = between(level, "level", 0.5, "0.10")
    of = studied(res, "small_study_effects")
    plan = _plan(res, of)
    made, failed = _made(plan.run)
    if not made:
        raise DataError(f"No test of small-study effects can be computed. {next(iter(failed.values()))}")
    if plan.uneven and UNEVEN in {note.code for note in next(iter(made.values()))[0].notes}:
        first, lost = _made(plan.uneven)
        made = first | {name: one for name, one in made.items() if name not in plan.uneven}
        failed = lost | {name: why for name, why in failed.items() if name not in plan.uneven}
    tests, says = zip(*made.values(), strict=True)
    return SmallStudyEffects(
        tests=tests, says=says, excluded=(*failed.items(), *plan.left.items()), level=level,
        k=of.eff.k, measure=of.eff.measure, notes=_notes(tests),
    )  # fmt: skip


def _made(run: Tests) -> tuple[dict[str, tuple[TestResult, str]], dict[str, str]]:
    """Tests with what they say, and the reasons of those that cannot be computed."""
    made, failed = {}, {}
    for name, (test, text) in run.items():
        try:
            made[name] = test(), text
        except (DataError, OptionError) as error:
            failed[name] = str(error)
    return made, failed


def _plan(res: Result, of: Studied) -> _Plan:
    measure, known = of.eff.measure, set(of.eff.inputs or {})
    if of.eff.data is not None and len(of.eff.data) == of.eff.k:
        known |= set(of.eff.data.columns)
    if measure in RATES:
        return _of_rates(res, of)
    if measure in (*_RATIOS, "RD", "AS") and known >= set(ARMS):
        return _of_two_arms(res, measure)
    if measure == "SMD" and known >= {"n_t", "n_c"}:
        return _of_differences(res)
    made = _RESTATED.get(measure)
    if made is not None and known >= set(made[1]):
        return _restated(of, *made)
    if measure in _STANDARDISED and _sized(of):
        link = f"the standard error of {measure} depends on the effect"
        run = {"egger": (partial(egger_of, of, predictor="sqrtninv"), _SAYS["size"])}
        return _Plan(run, {"begg": link}, {"egger, rma": _by_rma(of, "sqrtninv")})
    return _plain(of)


def _sized(of: Studied) -> bool:
    try:
        sizes(of.eff)
    except InputError:
        return False
    return True


def _by_rma(of: Studied, predictor: str = "sei") -> tuple[Callable[[], TestResult], str]:
    """With the tau2 of the result; of a result without one by REML and Hartung-Knapp."""
    if of.spec.model not in ("normal", "regression") or of.spec.method in ("CE", "GENQ"):
        model = "regression" if of.spec.model == "regression" else "normal"
        of = of._replace(spec=dataclasses.replace(of.spec, model=model, method="REML", test="hk"))
    return partial(egger_of, of, model="rma", predictor=predictor), _SAYS["uneven"]


def _of_rates(res: Result, of: Studied) -> _Plan:
    measure = of.eff.measure
    run = {
        "harbord": (partial(harbord, res), _SAYS["score"]),
        "thompson_arcsine": (partial(thompson_arcsine, res, model="lm"), _SAYS["arcsine"]),
        "peters": (partial(peters, res), _SAYS["peters"]),
    }
    left = {}
    uneven = {"thompson_arcsine, rma": (partial(thompson_arcsine, res), _SAYS["uneven"])}
    if fewer_events(*columns_of(of.eff, ONE_ARM, "small_study_effects")) < FEW_EVENTS:
        del run["thompson_arcsine"]
        uneven = {}
        left["thompson_arcsine"] = f"below {FEW_EVENTS:g} events (or non-events) a study arcsines depend on n"
    if measure not in ("PAS", "PFT"):
        text = f"the standard error of {measure} follows from the rate: up to 100 % false alarms without any bias"
        left |= dict.fromkeys(("egger", "begg"), text)
    return _Plan(run, left, uneven)


def _of_two_arms(res: Result, measure: str) -> _Plan:
    run: dict[str, tuple[Callable[[], TestResult], str]]
    run = {"thompson_arcsine": (partial(thompson_arcsine, res, model="lm"), _SAYS["arcsine-two"])}
    left = {} if measure in ("AS", "PETO") else dict.fromkeys(
        ("egger", "begg"), f"the standard error of {measure} depends on the effect: up to 29 % false alarms at 10 %"
    )  # fmt: skip
    uneven = {"thompson_arcsine, rma": (partial(thompson_arcsine, res), _SAYS["uneven"])}
    if measure not in _RATIOS:
        run["thompson_arcsine, rma"] = (partial(thompson_arcsine, res), _SAYS["arcsine-rma"])
        return _Plan(run, left, uneven)
    run |= {
        "peters": (partial(peters, res), _SAYS["peters-two"]),
        "harbord": (partial(harbord, res), _SAYS["harbord-two"]),
    }
    left["macaskill"] = "up to 21 % false alarms at 10 %; Peters' test has replaced it"
    left["deeks"] = "made for diagnostic odds ratios; up to 34 % false alarms at 10 % with rare events"
    return _Plan(run, left, uneven)


def _of_differences(res: Result) -> _Plan:
    rma = partial(pustejovsky_rodgers, res, model="rma")
    run = {
        "pustejovsky_rodgers": (partial(pustejovsky_rodgers, res), _SAYS["smd"]),
        "pustejovsky_rodgers, rma": (rma, _SAYS["smd-rma"]),
    }
    left = dict.fromkeys(("egger", "begg"), "the standard error of SMD depends on the effect")
    additive = res.spec.method not in ("CE", "GENQ")
    return _Plan(run, left, {"pustejovsky_rodgers, rma": (rma, _SAYS["uneven"])} if additive else {})


def _plain(of: Studied) -> _Plan:
    run = {
        "egger": (partial(egger_of, of), _SAYS["egger"]),
        "egger, rma": (partial(egger_of, of, model="rma"), _SAYS["egger-rma"]),
        "begg": (partial(begg_of, of), _SAYS["begg"]),
    }
    return _Plan(run, {}, {"egger, rma": _by_rma(of)})


def _root_rate(x: FloatArray, t: FloatArray) -> Pair:
    return np.sqrt(x / t), 1 / (4 * t)


def _root_difference(x1: FloatArray, t1: FloatArray, x2: FloatArray, t2: FloatArray) -> Pair:
    return np.sqrt(x1 / t1) - np.sqrt(x2 / t2), 1 / (4 * t1) + 1 / (4 * t2)


def _fisher(r: FloatArray, n: FloatArray) -> Pair:
    return np.arctanh(r), 1 / (n - 3)


_RESTATED: Final[dict[str, tuple[str, tuple[str, ...], Callable[..., Pair]]]] = {
    **dict.fromkeys(("IR", "IRLN"), ("IRS", ("events", "time"), _root_rate)),
    **dict.fromkeys(("IRR", "IRD"), ("IRSD", TIMES, _root_difference)),
    **dict.fromkeys(("COR", "UCOR"), ("ZCOR", ("r", "n"), _fisher)),
}
"""Measures that are tested on another scale, whose variance does not depend on the effect."""


def _restated(of: Studied, measure: str, columns: tuple[str, ...], formula: Callable[..., Pair]) -> _Plan:
    values = columns_of(of.eff, columns, f"small_study_effects of {of.eff.measure}")
    with np.errstate(divide="ignore", invalid="ignore"):
        y, v = formula(*values)
    if not (np.isfinite(y) & (v > 0)).all():
        raise DataError(f"A study has no effect of measure {measure}, on which {of.eff.measure} is tested.")
    note = Note("restated", f"Tested on the scale of {measure}, whose variance does not depend on the effect.")
    kept = (one for one in of.eff.notes if one.code != "zero-cell")  # a correction that this scale does not need
    made = dataclasses.replace(of.eff, yi=y, vi=v, measure=measure, notes=(note, *kept))
    there = of._replace(eff=made)
    run = {
        "egger": (partial(egger_of, there), _SAYS["root"]),
        "begg": (partial(begg_of, there), _SAYS["begg"]),
    }
    link = f"the standard error of {of.eff.measure} depends on the effect"
    return _Plan(run, {f"egger and begg of {of.eff.measure}": link}, {"egger, rma": _by_rma(there)})


def _notes(tests: tuple[TestResult, ...]) -> tuple[Note, ...]:
    """Each kind of note once, as the first test that has it says it."""
    found: dict[str, Note] = {}
    for note in (note for test in tests for note in test.notes):
        found.setdefault(note.code, note)
    return (_WHY, *found.values())
