"""Why two results differ: one choice after the other, refitted."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metaan.errors import InputError, Note, OptionError
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.glmm import glmm_of
from metaan.models.glmm_spec import MODEL
from metaan.models.pool import fit_normal
from metaan.models.results import PoolResult, Spec
from metaan.models.stratified import mantel_haenszel, peto
from metaan.models.text import number
from metaan.records import Table
from metaan.validate import ROBUST

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Difference", "explain_difference"]

_TOGETHER = {"pi": ("pi", "draws", "seed"), "nodes": ("nodes", "ci")}
_STILL = 1e-9  # of the interval's width: rounding


@dataclass(frozen=True, kw_only=True, eq=False)
class Difference(Table):
    """What each choice does to a pooled effect.

    Parameters
    ----------
    table : pandas.DataFrame
        One row for `a`, one for each choice in which `b` differs, in the order in which they are switched: choice, a,
        b (the settings), estimate, ci_low, ci_high, pi_low, pi_high, tau2 after the switch, moved (the change of the
        estimate by it), wider (the change of the interval's width) and alone (the change of the estimate if only it is
        switched).
    notes : tuple of Note
    """

    table: pd.DataFrame
    notes: tuple[Note, ...]

    def _headline(self) -> str:
        return "What each choice does to the pooled effect, taken over one by one"

    def __str__(self) -> str:
        text = self.table.to_string(index=False, float_format=number, na_rep="")
        key = "moved, wider: by this step, estimate and width of the confidence interval; alone: estimate, by it alone"
        return "\n".join([text, f"({key})", *(f"- {note}" for note in self.notes)])


def explain_difference(a: PoolResult, b: PoolResult) -> Difference:
    """Say which choices make two pooled effects differ, and by how much.

    Parameters
    ----------
    a, b : PoolResult
        From `metaan.pool`, `metaan.glmm`, `metaan.mantel_haenszel`, `metaan.peto` or `metaan.reproduce`.

    Returns
    -------
    Difference
        Numbers on the display scale (rates, ratios), so that measures of one kind can be compared.

    Raises
    ------
    InputError
        Not two pooled effects, or of measures that show different things (a rate and a ratio).
    OptionError
        Two results between which no path of refits leads (weights of the caller).

    Notes
    -----
    Starting from `a`, the choices of `b` are taken over one by one: model (with its estimator and interval), effects
    (measure, corrections, studies), estimator of tau2, standard error and reference distribution, level, prediction
    interval. The steps add up to the whole difference. Where choices interact the order matters; the column `alone`
    shows each by itself.

    Examples
    --------
    >>> from metaan import effects, explain_difference, pool
    >>> eff = effects([0.1, 0.3, 0.5, 0.2], [0.01, 0.02, 0.02, 0.01])
    >>> why = explain_difference(pool(eff), pool(eff, method="DL", test="z"))
    >>> why.table["choice"].tolist()
    ['start', 'method', 'test']
    """
    import pandas as pd

    for res in (a, b):
        if not isinstance(res, PoolResult):
            raise InputError(f"explain_difference takes two pooled effects, not {type(res).__name__}.")
        if res.spec.method == "GENQ":
            raise OptionError("explain_difference does not refit method='GENQ', whose weights are the caller's.")
        if res.spec.test in ROBUST.choices:
            raise OptionError(
                "explain_difference does not refit cluster-robust results: compare those before robust()."
            )
        if any(note.code == "sizes-alone" for note in res.notes):
            raise OptionError("explain_difference does not refit pool_by_size, which estimates the variances too.")
    kinds = [KINDS[res.spec.measure] for res in (a, b)]
    if kinds[0].shown != kinds[1].shown:
        raise InputError(
            f"{a.spec.measure} and {b.spec.measure} show different things: {kinds[0].shown} and {kinds[1].shown}."
        )
    states = _State(a.effects, a.spec), _State(b.effects, b.spec)
    start = at = a.back()
    rows = [_row("start", ("", ""), start, (math.nan, math.nan, math.nan))]
    state = states[0]
    for choice in _choices(*states):
        state = _switch(state, states[1], choice)
        after, single = _refit(state).back(), _refit(_switch(states[0], states[1], choice)).back()
        moved, wider = after.estimate - at.estimate, (after.ci_high - after.ci_low) - (at.ci_high - at.ci_low)
        settings = _setting(states[0], choice), _setting(states[1], choice)
        rows.append(_row(choice, settings, after, (moved, wider, single.estimate - start.estimate)))
        at = after
    return Difference(table=pd.DataFrame(rows), notes=_notes(a.back(), b.back(), at, rows))


@dataclass(frozen=True)
class _State:
    effects: Effects
    spec: Spec


def _choices(a: _State, b: _State) -> list[str]:
    """Choices that differ, in the order in which they are switched; estimator and test belong to a change of model."""
    one_model = a.spec.model == b.spec.model
    chosen = [] if one_model else ["model"]
    if not _own_measure(a, b) and _other_effects(a.effects, b.effects, counts=b.spec.model != "normal"):
        chosen.append("effects")
    within = ("method", "likelihood", "nodes", "ci", "test", "level", "pi") if one_model else ("level",)
    chosen += [choice for choice in within if _settings(a.spec, choice) != _settings(b.spec, choice)]
    return [choice for choice in chosen if choice != "ci" or "nodes" not in chosen]  # which is switched with them


def _own_measure(a: _State, b: _State) -> bool:
    """Whether a change of model brings its measure along: counts are modelled as logits or log ratios alone."""
    return a.spec.model != b.spec.model and a.effects.measure != b.effects.measure


def _settings(spec: Spec, choice: str) -> tuple[Any, ...]:
    """What belongs to a choice: a bootstrap interval has draws and a seed."""
    return tuple(getattr(spec, name) for name in _TOGETHER.get(choice, (choice,)))


def _other_effects(a: Effects, b: Effects, *, counts: bool) -> bool:
    """Whether two sets of effects differ; for a model of the counts, whether these do."""
    if counts:
        one, other = (e.to_frame().drop(columns=["yi", "vi"]) for e in (a, b))
        return not one.equals(other)
    return a.k != b.k or not (np.array_equal(a.yi, b.yi) and np.array_equal(a.vi, b.vi))


def _setting(state: _State, choice: str) -> str:
    if choice == "effects":
        corrected = sum(len(note.studies) for note in state.effects.notes if note.code == "zero-cell")
        return f"{state.effects.measure}, k = {state.effects.k}" + (f", {corrected} corrected" if corrected else "")
    if choice == "model":
        return {"normal": state.spec.method, "glmm": "GLMM"}.get(state.spec.model, state.spec.method)
    return str(getattr(state.spec, choice))


def _switch(state: _State, to: _State, choice: str) -> _State:
    if choice == "effects":
        return _State(to.effects, dataclasses.replace(state.spec, measure=to.effects.measure))
    if choice == "model":
        effects = to.effects if _own_measure(state, to) else state.effects
        return _State(effects, dataclasses.replace(to.spec, level=state.spec.level))
    taken = {name: getattr(to.spec, name) for name in _TOGETHER.get(choice, (choice,))}
    return _State(state.effects, dataclasses.replace(state.spec, **taken))


def _refit(state: _State) -> PoolResult:
    spec, eff = state.spec, state.effects
    if spec.model == "normal":
        return fit_normal(eff, dataclasses.replace(spec, measure=eff.measure))
    if spec.model == "stratified":
        return _tables(eff, spec)
    likelihood = spec.likelihood if spec.likelihood in MODEL.choices else None
    ci = "wald" if spec.ci == "likelihood-ratio" else spec.ci  # what the fit itself chose where there is no maximum
    return glmm_of(eff, model=likelihood, nodes=spec.nodes, test=spec.test, ci=ci, level=spec.level, pi=spec.pi)


def _tables(eff: Effects, spec: Spec) -> PoolResult:
    columns: dict[str, Any] = dict(eff.inputs or {})
    if not columns:
        raise OptionError(f"The effects have no counts behind them: {spec.method} cannot be fitted to them.")
    if spec.method == "Peto":
        return peto(**columns, study=eff.study, level=spec.level)
    return mantel_haenszel(
        "OR" if spec.measure == "PETO" else spec.measure, study=eff.study, level=spec.level, **columns
    )


def _row(choice: str, settings: tuple[str, str], res: PoolResult, moves: tuple[float, float, float]) -> dict[str, Any]:
    numbers = {name: getattr(res, name) for name in ("estimate", "ci_low", "ci_high", "pi_low", "pi_high", "tau2")}
    changes = dict(zip(("moved", "wider", "alone"), moves, strict=True))
    return {"choice": choice, "a": settings[0], "b": settings[1], **numbers, **changes}


def _notes(a: PoolResult, b: PoolResult, reached: PoolResult, rows: list[dict[str, Any]]) -> tuple[Note, ...]:
    moves = [row for row in rows[1:] if math.isfinite(row["moved"])]
    if not moves:
        return (Note("same", "The two results rest on the same choices."),)
    largest = max(moves, key=lambda row: abs(row["moved"]))
    widest = max(moves, key=lambda row: abs(row["wider"]))
    still = _STILL * (a.ci_high - a.ci_low)
    text = "The estimate does not move"
    if abs(largest["moved"]) > still:
        text = f"The estimate moves by {number(b.estimate - a.estimate)}, most of all through {largest['choice']}"
    width = "the confidence interval does not change"
    if abs(widest["wider"]) > still:
        width = f"the width of the confidence interval changes most through {widest['choice']}"
    moved = not np.allclose((a.pi_low, a.pi_high), (b.pi_low, b.pi_high), rtol=1e-9, atol=0, equal_nan=True)
    beyond = "; the prediction interval does" if moved and "does not" in width else ""
    notes = [Note("summary", f"{text}; {width}{beyond}.")]
    if not np.isclose(reached.estimate, b.estimate, rtol=1e-8, atol=1e-12):
        notes.append(Note("unexplained", f"{number(b.estimate - reached.estimate)} is left: not from these choices."))
    return tuple(notes)
