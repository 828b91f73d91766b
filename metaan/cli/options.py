"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import click

from metaan.errors import OptionError
from metaan.validate import CI, CORRECTION, METHOD, MISSING, PI, TEST, Option

__all__ = ["COLUMNS", "MODEL", "READING", "SELECTION", "Sections", "analysis_options", "given", "json_option"]

MODEL: Final = Option(
    "model",
    {
        "glmm": "counts by their exact likelihood, no continuity correction (metaan.glmm)",
        "normal": "effect sizes and their variances (metaan.pool)",
        "beta_binomial": "one rate, its mean over studies by exact likelihood (metaan.beta_binomial)",
        "mantel_haenszel": "two arms, a common effect (metaan.mantel_haenszel)",
        "peto": "two arms, a common odds ratio by one step (metaan.peto)",
    },
    "glmm",
)

_Command = TypeVar("_Command", bound=Callable[..., Any])

# What is read from a file: option of the command line and its help.
COLUMNS: Final = {
    "events": "Events of one arm.",
    "total": "Patients or lesions of one arm.",
    "events_t": "Events of the treated arm.",
    "total_t": "Patients or lesions of the treated arm.",
    "events_c": "Events of the control arm.",
    "total_c": "Patients or lesions of the control arm.",
    "yi": "Effect sizes on the analysis scale (log odds ratios ...).",
    "vi": "Their sampling variances.",
    "sei": "Their standard errors.",
}
# What chooses among the rows of the evidence base: arguments of metaan.load.
SELECTION: Final = {
    "unit": "What is counted: lesion, patient.",
    "overlaps": "Studies that share patients: raise (default), prefer_largest, prefer_primary, keep.",
    "therapy": "Treatment of the arm.",
    "site": "What was treated: cutaneous_metastases, primary_skin_cancer ...",
    "scope": "Whose response: treated_lesions (default), whole_patient, untreated_lesions.",
    "primary_tumour": "breast, melanoma ...",
    "design": "rct, prospective_single_arm ...",
    "agent": "Part of the name of the drug.",
    "role": "Role of the arm: intended (default), experimental, control, single, any.",
    "counts": "Least certain counts: printed, derived (default), any.",
    "confidence": "Least confidence in the reading: high, medium (default), any.",
    "arms": "whole (default), subgroup, any.",
}
_SEVERAL: Final = ("therapy", "site", "scope", "primary_tumour", "design", "role")
# How a file is read: arguments of metaan.read.
READING: Final = {
    "sheet": "Sheet of a workbook: title, or number from 1.",
    "header": "Row with the names of the columns, from 1; two where groups stand above.",
    "decimal": "Decimal mark: . or ,",
    "comparison": "Comparison of a RevMan file: number or name.",
}


class _Option(click.Option):
    """An option that stands in a section of the help."""

    def __init__(self, *args: Any, section: str, **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self.section = section


class Sections(click.Command):
    """A command whose help lists its options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section, those without one last."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)) is not None:
                sections.setdefault(getattr(param, "section", "Output"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records, col_max=24)


def given(options: dict[str, Any], names: Any) -> dict[str, Any]:
    """Those of some options that stand on the command line."""
    return {name: options[name] for name in names if options.get(name) not in (None, ())}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def json_option(command: _Command) -> _Command:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")(command)


def analysis_options(command: _Command) -> _Command:
    """Where the trials are, which columns are meant and how they are pooled."""
    for option in reversed([click.argument("file", required=False, type=click.Path()), *_source(), *_model()]):
        command = option(command)
    return command


def _add(section: str, name: str, help: str, **attrs: Any) -> Callable[[_Command], _Command]:
    return click.option(_flag(name), cls=_Option, section=section, help=help, **attrs)


def _choice(option: Option, help: str, default: str | None = None) -> Callable[[_Command], _Command]:
    """An option that metaan.validate describes; an unknown value is wrong usage."""

    def checked(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
        try:
            return None if value is None else option.check(value)
        except OptionError as error:
            raise click.BadParameter(str(error), ctx, param) from error

    text = f"{help}: {', '.join(option.choices)}. Default: {default or option.default}."
    return _add("Model", option.name, text, callback=checked, metavar=option.name.upper())


def _source() -> Iterator[Callable[[_Command], _Command]]:
    evidence = "Trials of the evidence base, instead of FILE"
    yield _add(evidence, "evidence", "Set of trials; metaan studies lists them.", metavar="NAME")
    yield _add(evidence, "outcome", "complete_response, objective_response ... (also: outcome of a RevMan file).")
    for name, text in SELECTION.items():
        several = name in _SEVERAL
        yield _add(evidence, name, text + (" May be repeated." if several else ""), multiple=several)
    for name, text in READING.items():
        many = {"type": int, "multiple": True} if name == "header" else {}
        yield _add("How FILE is read", name, text, **many)
    for name, text in COLUMNS.items():
        yield _add("Columns of FILE, where they do not have these names", name, text, metavar="COL")
    yield _add("Columns of FILE, where they do not have these names", "study", "Labels of the studies.", metavar="COL")


def _model() -> Iterator[Callable[[_Command], _Command]]:
    measure = "PLO, PFT, OR, RR, RD, SMD ... Default: OR for two arms, PLO for one, GEN for yi."
    yield _add("Model", "by", "Column of subgroups, each to be pooled, and compared.", metavar="COL")
    yield _add("Model", "measure", measure)
    yield _choice(MODEL, "How the trials are pooled", "glmm where it can honour the measure, else normal")
    yield _choice(METHOD, "Estimator of tau2, of the model normal")
    yield _choice(CORRECTION, "Which studies get 0.5 added, of the model normal", "only0, with a warning")
    yield _choice(TEST, "Test and interval of the pooled effect", "hk for the model normal, else t")
    yield _choice(CI, "Interval of glmm and beta_binomial")
    yield _choice(PI, "Prediction interval")
    yield _add("Model", "level", "Level of the intervals. Default: 0.95.", type=float)
    yield _choice(MISSING, "What to do with a study that lacks a number")
