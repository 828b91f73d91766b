"""The model that the command line asks for."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import click

from metaan.cli.groups import grouped
from metaan.cli.options import flag, given
from metaan.cli.trials import Asked, asked, table
from metaan.errors import OptionError

if TYPE_CHECKING:
    import pandas as pd

    from metaan.measures.record import Effects
    from metaan.validate import Option

__all__ = ["fitted"]

# Options that each model takes.
_TAKES: Final = {
    "glmm": ("test", "ci", "pi", "level", "missing"),
    "normal": ("method", "correction", "test", "pi", "level", "missing"),
    "beta_binomial": ("test", "ci", "pi", "level", "missing"),
    "mantel_haenszel": ("level", "missing"),
    "peto": ("level", "missing"),
}
# Measures that each model of counts takes; glmm has a list of its own.
_MEASURES: Final = {
    "beta_binomial": ("PLO",),
    "mantel_haenszel": ("OR", "RR", "RD", "IRR", "IRD"),
    "peto": ("OR", "PETO"),
}
_GROUPED: Final = ("normal", "glmm")
_OPTIONS: Final = ("method", "correction", "test", "ci", "pi", "level", "missing")


def fitted(file: str | None, options: dict[str, Any]) -> Any:
    """Result of the model of the command line, of subgroups where it names them."""
    if options["model"] is not None:
        _check(options["model"], options)
    frame, by = table(file, options)
    of = asked(frame, options)
    model = _model(of, options)
    _check(model, options)
    _only(model, of.measure)
    chosen = given(options, _OPTIONS)
    return _pooled(model, of, frame, chosen) if by is None else _subgroups(model, of, frame, by, chosen)


def _check(model: str, options: dict[str, Any]) -> None:
    """Refuse options that a model does not take."""
    by = options["by"] is not None
    if by and model not in _GROUPED:
        raise click.UsageError(f"--by is for --model {' and '.join(_GROUPED)}, not {model}.")
    takes = set(_TAKES[model]) - ({"ci"} if by else set())
    if odd := [name for name in given(options, _OPTIONS) if name not in takes]:
        raise click.UsageError(f"{flag(odd[0])} does not apply to --model {model}{' with --by' if by else ''}.")
    for option in _narrower(model):
        _applies(option, options[option.name], model)
    if options["measure"] is not None:
        _only(model, options["measure"])


def _narrower(model: str) -> tuple[Option, ...]:
    """Options of which a model takes fewer values than the help lists."""
    if model == "glmm":
        from metaan.models import glmm_spec

        return glmm_spec.TEST, glmm_spec.PI
    if model == "beta_binomial":
        from metaan.models import beta_binomial

        return beta_binomial.TEST, beta_binomial.PI
    return ()


def _applies(option: Option, value: str | None, model: str) -> None:
    """Refuse a value that other models take."""
    if value is not None and value not in option.choices:
        takes = ", ".join(option.choices)
        raise OptionError(f"--{option.name} {value} does not apply to --model {model}. Choose one of {takes}.")


def _only(model: str, measure: str) -> None:
    """Refuse a measure that a model of counts does not take."""
    if model != "normal" and measure not in (takes := _measures(model)):
        raise click.UsageError(f"--model {model} is for measure {' or '.join(takes)}, not {measure}.")


def _measures(model: str) -> tuple[str, ...]:
    """Measures of a model of counts."""
    if model == "glmm":
        from metaan.models.glmm_spec import MEASURE

        return tuple(MEASURE.choices)
    return _MEASURES[model]


def _model(of: Asked, options: dict[str, Any]) -> str:
    """The model that was named; else the exact one where there are counts for it and no estimator of tau2 is named."""
    ready = "yi" in of.columns
    if options["model"] is None:
        exact = not ready and options["method"] is None and of.measure in _measures("glmm")
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
        return metaan.beta_binomial(frame, **columns, **chosen)
    if model == "peto":
        return metaan.peto(frame, **columns, **chosen)
    pooled = metaan.glmm if model == "glmm" else metaan.mantel_haenszel
    return pooled(of.measure, frame, **columns, **chosen)


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

    frame, notes = grouped(frame, by, chosen.get("missing"))
    if model == "glmm":  # which pools counts: effects of single studies are for show, and a note says what was added
        chosen = {**chosen, "correction": "only0"}
    eff = _effects(of, frame, chosen)
    eff = dataclasses.replace(eff, notes=eff.notes + notes)
    return metaan.subgroups(eff, by, model=model, **given(chosen, ("method", "test", "pi", "level")))
