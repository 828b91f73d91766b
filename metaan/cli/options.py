"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import click

from metaan.cli.spoken import spoken
from metaan.errors import OptionError
from metaan.readers.needs import MEASURE
from metaan.validate import CI, CORRECTION, METHOD, MISSING, PI, TEST, Option, check_level

__all__ = ["COLUMNS", "MODEL", "READING", "SELECTION", "Sections", "analysis_options", "flag", "given", "json_option"]

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

# Columns of a file by metaan's name, an option each: its help. The common ones.
COMMON: Final = {
    "study": "Labels of the studies.",
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
# Those of other measures.
OTHER: Final = {
    "mean_t": "Mean of the treated arm (MD, SMD, SMDH, ROM, CVR).",
    "sd_t": "Its standard deviation.",
    "n_t": "Patients behind it.",
    "mean_c": "Mean of the control arm.",
    "sd_c": "Its standard deviation.",
    "n_c": "Patients behind it.",
    "mean": "Mean of one arm (MN).",
    "sd": "Its standard deviation.",
    "n": "Patients behind a mean, a change or a correlation.",
    "mean_post": "Mean after a treatment (MC, SMCC, SMCR).",
    "mean_pre": "Mean before it.",
    "sd_post": "Standard deviation after it.",
    "sd_pre": "Standard deviation before it.",
    "r": "Correlation (COR, UCOR, ZCOR), or that of before with after.",
    "time": "Time under observation (IR, IRLN, IRS, IRFT), with --events.",
    "time_t": "That of the treated arm (IRR, IRD, IRSD), with --events-t.",
    "time_c": "That of the control arm, with --events-c.",
    "nonevents": "Those without an event, in place of --events or --total.",
    "nonevents_t": "Those of the treated arm.",
    "nonevents_c": "Those of the control arm.",
    "o_e": "Observed less expected events (HR).",
    "o_e_variance": "Its variance.",
    "year": "Year of publication.",
}
COLUMNS: Final = {**COMMON, **OTHER}
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
    "header": "Row with the names of the columns, from 1. Given twice where groups stand in a row above.",
    "decimal": "Decimal mark: '.' or ','. Needed only where the file does not tell.",
    "comparison": "Comparison of a RevMan file: number or name.",
}
_MARKS: Final = (".", ",")
# Estimators of tau2, without that whose weights a caller of metaan.pool gives.
_METHOD: Final = replace(METHOD, choices={name: text for name, text in METHOD.choices.items() if name != "GENQ"})
_FILE: Final = "Columns of FILE, where they do not have these names"
_EVIDENCE: Final = "Trials of the evidence base, instead of FILE"
_READ: Final = "How FILE is read"
_MORE: Final = "Columns of other measures"
_OUTPUT: Final = "Output"
_ORDER: Final = (_FILE, "Model", _OUTPUT, _READ, _EVIDENCE, _MORE)
_METAVARS: Final = {"sheet": "SHEET", "header": "ROW", "decimal": "MARK"}


class _Option(click.Option):
    """An option that stands in a section of the help, and the values that it takes where they can be listed."""

    def __init__(self, *args: Any, section: str, choices: Collection[str] = (), **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self.section = section
        self.choices = choices


class Sections(click.Command):
    """A command whose help shows examples, and lists its options under headings."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self.examples = examples

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the command does, and examples."""
        super().format_help_text(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {example}\n" for example in self.examples))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {heading: [] for heading in _ORDER}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)) is not None:
                sections[getattr(param, "section", _OUTPUT)].append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records, col_max=24)


def given(options: dict[str, Any], names: Any) -> dict[str, Any]:
    """Those of some options that stand on the command line."""
    return {name: options[name] for name in names if options.get(name) not in (None, ())}


def flag(name: str) -> str:
    """The option of an argument."""
    return f"--{name.replace('_', '-')}"


def json_option(command: _Command) -> _Command:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")(command)


def analysis_options(command: _Command) -> _Command:
    """Where the trials are, which columns are meant and how they are pooled."""
    source = (*_columns(_FILE, COMMON), *_model(), *_reading(), *_evidence(), *_columns(_MORE, OTHER))
    for option in reversed([click.argument("file", required=False, type=click.Path(allow_dash=True)), *source]):
        command = option(command)
    return command


def _add(section: str, name: str, help: str, **attrs: Any) -> Callable[[_Command], _Command]:
    return click.option(flag(name), cls=_Option, section=section, help=help, **attrs)


def _checked(check: Callable[[Any], Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Callback of an option whose value can be checked before anything is read."""

    def callback(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        return None if value is None else check(value)

    return callback


def _choice(option: Option, help: str, default: str | None = None) -> Callable[[_Command], _Command]:
    """An option that metaan.validate describes; an unknown value is wrong usage."""

    def checked(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
        try:
            return None if value is None else option.check(value)
        except OptionError as error:
            raise click.UsageError(spoken(str(error), ctx.command), ctx) from error

    text = f"{help}: {', '.join(option.choices)}. Default: {default or option.default}."
    attrs = {"callback": checked, "metavar": option.name.upper(), "choices": tuple(option.choices)}
    return _add("Model", option.name, text, **attrs)


def _heading(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A heading as it is given; that of an empty shell variable is a slip."""
    if value is not None and not value.strip():
        raise click.UsageError(f"{param.opts[0]} is empty. Name a column, or leave the option out.", ctx)
    return value


def _decimal(mark: str) -> str:
    if mark not in _MARKS:
        raise OptionError(f"--decimal {mark!r} is no decimal mark. Choose '.' or ','.")
    return mark


def _header(rows: tuple[int, ...]) -> tuple[int, ...]:
    if len(rows) > 2:
        raise click.UsageError(f"--header is given {len(rows)} times. Two rows are the most that are read as names.")
    return rows


def _columns(section: str, names: Mapping[str, str]) -> Iterator[Callable[[_Command], _Command]]:
    for name, text in names.items():
        yield _add(section, name, text, metavar="COL", callback=_heading)


def _reading() -> Iterator[Callable[[_Command], _Command]]:
    more: dict[str, dict[str, Any]] = {
        "header": {"type": click.IntRange(min=1), "multiple": True, "callback": _checked(_header)},
        "decimal": {"callback": _checked(_decimal)},
    }
    for name, text in READING.items():
        yield _add(_READ, name, text, metavar=_METAVARS.get(name), **more.get(name, {}))


def _evidence() -> Iterator[Callable[[_Command], _Command]]:
    yield _add(_EVIDENCE, "evidence", "Set of trials; metaan studies lists them.", metavar="NAME")
    outcome = "complete_response, objective_response ... (of a RevMan FILE too: number or name of an outcome)."
    yield _add(_EVIDENCE, "outcome", outcome)
    for name, text in SELECTION.items():
        several = name in _SEVERAL
        yield _add(_EVIDENCE, name, text + (" May be repeated." if several else ""), multiple=several)


def _model() -> Iterator[Callable[[_Command], _Command]]:
    by = "Column of subgroups, by its heading: each is pooled, and they are compared."
    yield _add("Model", "by", by, metavar="COL", callback=_heading)
    measure = f"Effect measure: {', '.join(MEASURE.choices)}. Default: OR for two arms, PLO for one, GEN for yi."
    yield _add("Model", "measure", measure, metavar="MEASURE", callback=_checked(MEASURE.check))
    yield _choice(MODEL, "How the trials are pooled", "glmm where it can honour the measure, else normal")
    yield _choice(_METHOD, "Estimator of tau2, of the model normal")
    yield _choice(CORRECTION, "Which studies get 0.5 added, of the model normal", "only0, with a warning")
    yield _choice(TEST, "Test and interval of the pooled effect", "hk for the model normal, else t")
    yield _choice(CI, "Interval of glmm and beta_binomial")
    yield _choice(PI, "Prediction interval")
    yield _add("Model", "level", "Level of the intervals. Default: 0.95.", type=float, callback=_checked(check_level))
    yield _choice(MISSING, "What to do with a study that lacks a number, or its subgroup")
