"""The model that the command line asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from metaan.cli.options import given
from metaan.cli.trials import Asked, asked, table

if TYPE_CHECKING:
    import pandas as pd

    from metaan.measures.record import Effects

__all__ = ["fitted"]

# Options that each model takes.
_TAKES: Final = {
    "glmm": ("test", "ci", "pi", "level", "missing"),
    "normal": ("method", "correction", "test", "pi", "level", "missing"),
    "beta_binomial": ("test", "ci", "pi", "level", "missing"),
    "mantel_haenszel": ("level", "missing"),
    "peto": ("level", "missing"),
}
_OPTIONS: Final = ("method", "correction", "test", "ci", "pi", "level", "missing")


def fitted(file: str | None, options: dict[str, Any]) -> Any:
    """Result of the model of the command line, of subgroups where it names them."""
    frame = table(file, options)
    of = asked(frame, options)
    model = _model(of, options)
    chosen = given(options, _OPTIONS)
    takes = set(_TAKES[model]) - ({"ci"} if options["by"] else set())
    if odd := [name for name in chosen if name not in takes]:
        what = f"--model {model}" + (" with --by" if options["by"] else "")
        raise click.UsageError(f"--{odd[0]} does not apply to {what}.")
    return _subgroups(model, of, frame, options["by"], chosen) if options["by"] else _pooled(model, of, frame, chosen)


def _model(of: Asked, options: dict[str, Any]) -> str:
    """The model that was named; else the exact one where there are counts for it and no estimator of tau2 is named."""
    from metaan.models.glmm_spec import MEASURE

    ready = "yi" in of.columns
    if options["model"] is None:
        exact = not ready and options["method"] is None and of.measure in MEASURE.choices
        return "glmm" if exact else "normal"
    if ready and options["model"] != "normal":
        raise click.UsageError(f"--model {options['model']} takes counts, not yi and vi.")
    return str(options["model"])


def _pooled(model: str, of: Asked, frame: pd.DataFrame, chosen: dict[str, Any]) -> Any:
    import metaan

    columns: dict[str, Any] = {**of.columns, "study": of.study}
    if model == "normal":
        return metaan.pool(_effects(of, frame, chosen), **given(chosen, ("method", "test", "pi", "level")))
    if model == "beta_binomial":
        _only(model, of, ("PLO",))
        return metaan.beta_binomial(frame, **columns, **chosen)
    if model == "peto":
        _only(model, of, ("OR", "PETO"))
        return metaan.peto(frame, **columns, **chosen)
    pooled = metaan.glmm if model == "glmm" else metaan.mantel_haenszel
    return pooled(of.measure, frame, **columns, **chosen)


def _only(model: str, of: Asked, measures: tuple[str, ...]) -> None:
    if of.measure not in measures:
        raise click.UsageError(f"--model {model} is for measure {' or '.join(measures)}, not {of.measure}.")


def _effects(of: Asked, frame: pd.DataFrame, chosen: dict[str, Any]) -> Effects:
    import metaan

    asked_for: dict[str, Any] = {**of.columns, "study": of.study, "data": frame}
    asked_for |= given(chosen, ("missing", "correction"))
    if "yi" in of.columns:
        if "correction" in chosen:
            raise click.UsageError("--correction is for counts, not yi and vi.")
        return metaan.effects(measure=of.measure, **asked_for)
    return metaan.effect_size(of.measure, **asked_for)


def _subgroups(model: str, of: Asked, frame: pd.DataFrame, by: str, chosen: dict[str, Any]) -> Any:
    import metaan

    if model not in ("normal", "glmm"):
        raise click.UsageError(f"--by is for --model normal and glmm, not {model}.")
    if model == "glmm":  # which pools counts: effects of single studies are for show, and a note says what was added
        chosen = {**chosen, "correction": "only0"}
    return metaan.subgroups(
        _effects(of, frame, chosen), by, model=model, **given(chosen, ("method", "test", "pi", "level"))
    )
