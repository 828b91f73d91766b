"""The choices of a multiverse that concern the model, and which of their combinations nobody would defend."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, NamedTuple

from metaan.errors import Note, OptionError, shown
from metaan.models.glmm_spec import LINK
from metaan.models.glmm_spec import PI as GLMM_PI
from metaan.validate import CORRECTION, METHOD, Option, check_level

__all__ = [
    "DATA_CHOICES", "MODEL_CHOICES", "NO_CORRECTION", "Combination", "Models", "combinations", "levels", "models_asked",
    "models_of_effects",
]  # fmt: skip

DATA_CHOICES: Final = ("unit", "overlaps", "counts", "confidence", "denominators", "icc")
MODEL_CHOICES: Final = ("model", "measure", "correction", "method", "test")
NO_CORRECTION: Final = "none"

MODEL: Final = Option(
    "models",
    {
        "glmm": "binomial-normal model, exact likelihood",
        "beta-binomial": "beta-binomial model, exact likelihood",
        "normal": "inverse variance of transformed rates",
    },
    "glmm",
)
MEASURE: Final = Option(
    "measures",
    {"PLO": "logit", "PAS": "arcsine square root", "PFT": "double arcsine", "PR": "raw rate", "PLN": "log"},
    "PLO",
)
TEST: Final = Option(
    "tests",
    {
        "t": "t distribution with k - 1 degrees of freedom, usual standard error",
        "z": "normal distribution",
        "hk": "Hartung-Knapp (inverse variance)",
        "hk-adhoc": "Hartung-Knapp, never below the usual standard error (inverse variance)",
        "kr": "Kenward-Roger (inverse variance, REML)",
        "profile": "profile likelihood (exact likelihoods)",
    },
    "t",
)
_METHOD: Final = Option("methods", {code: text for code, text in METHOD.choices.items() if code != "GENQ"}, "REML")
_LINK: Final = Option("links", LINK.choices, LINK.default)
_CORRECTION: Final = Option("corrections", CORRECTION.choices, CORRECTION.default)
_DEFAULTS: Final[dict[str, tuple[str, ...]]] = {
    "models": tuple(MODEL.choices),
    "measures": ("PLO", "PAS", "PFT", "PR"),
    "links": ("logit", "probit", "cloglog"),
    "methods": ("REML", "ML", "PM", "DL", "SJ"),
    "tests": tuple(TEST.choices),
    "corrections": ("only0", "all"),
}
_OPTIONS: Final = {
    "models": MODEL, "measures": MEASURE, "links": _LINK, "methods": _METHOD, "tests": TEST, "corrections": _CORRECTION,
}  # fmt: skip
_TESTS_OF: Final = {
    "normal": ("z", "t", "hk", "hk-adhoc", "kr"), "glmm": ("z", "t", "profile"), "beta-binomial": ("z", "t", "profile"),
}  # fmt: skip
_SCALE: Final = {"logit": "PLO", "probit": "PROBIT", "cloglog": "CLOGLOG", "log": "PLN"}
_CORRECTED: Final = ("PR", "PLO", "PLN")
_ARTEFACT: Final = "its variance is an artefact of the correction, its weight far too large"
_SAME_AS_PM: Final = ("PM", "EB", "DLIT", "SJIT")


class Combination(NamedTuple):
    """One way to analyse a set of studies, and why it is left out ("" where it is not)."""

    model: str
    measure: str
    correction: str
    method: str
    test: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Models:
    """Checked levels of each choice."""

    models: tuple[str, ...]
    measures: tuple[str, ...]
    links: tuple[str, ...]
    methods: tuple[str, ...]
    tests: tuple[str, ...]
    corrections: tuple[str, ...]
    level: float
    pi: str
    notes: tuple[Note, ...] = ()

    def tests_of(self, model: str) -> tuple[str, ...]:
        """Those that are defined for a model."""
        return tuple(test for test in self.tests if test in _TESTS_OF[model])


def levels(option: Option, value: Any) -> tuple[str, ...]:
    """One level of a choice, or several, each once."""
    given = (value,) if isinstance(value, str) or not isinstance(value, Collection) else tuple(value)
    if not given:
        raise OptionError(f"{option.name} is empty. Choose among {', '.join(option.choices)}.")
    return tuple(dict.fromkeys(option.check(item) for item in given))


def models_asked(*, level: float, pi: str, **given: Any) -> Models:
    """Levels that were asked for; the default ones of a choice that was left out."""
    chosen = {
        name: _DEFAULTS[name] if given[name] is None else levels(option, given[name])
        for name, option in _OPTIONS.items()
    }
    silent = [model for model in chosen["models"] if not set(_TESTS_OF[model]) & set(chosen["tests"])]
    if len(silent) == len(chosen["models"]):
        raise OptionError(f"None of tests={chosen['tests']!r} is defined for {' or '.join(silent)}.")
    if silent and given["models"] is not None:
        own = "; ".join(f"{model} has {', '.join(_TESTS_OF[model])}" for model in silent)
        raise OptionError(f"None of tests={chosen['tests']!r} is defined for {' or '.join(silent)}: {own}.")
    notes: tuple[Note, ...] = ()
    if silent:
        text = f"Left out: {', '.join(silent)}, for which none of the tests asked for is defined."
        notes = (Note("no-test", text),)
    chosen["models"] = tuple(model for model in chosen["models"] if model not in silent)
    return Models(**chosen, level=check_level(level), pi=GLMM_PI.check(pi), notes=notes)


def models_of_effects(measure: str, *, level: float, pi: str, **given: Any) -> Models:
    """The same for effects that are ready made: methods and tests alone."""
    beside = [name for name, value in given.items() if value is not None and name not in ("methods", "tests")]
    if beside:
        text = f"{', '.join(f'{name}=' for name in beside)} are choices for counts"
        raise OptionError(f"{text}; ready-made effects have methods= and tests=. Give the table of counts.")
    tests = tuple(TEST.choices) if given["tests"] is None else levels(TEST, given["tests"])
    own = tuple(test for test in tests if test in _TESTS_OF["normal"])
    if not own or (own != tests and given["tests"] is not None):
        raise OptionError(f"tests={shown(tests)}: effects are pooled with {', '.join(_TESTS_OF['normal'])}.")
    return Models(
        models=("normal",), measures=(measure,), links=(), corrections=(), tests=own,
        methods=_DEFAULTS["methods"] if given["methods"] is None else levels(_METHOD, given["methods"]),
        level=check_level(level), pi=GLMM_PI.check(pi),
    )  # fmt: skip


def combinations(asked: Models, *, none: bool, every: bool) -> Iterator[Combination]:
    """Every combination for a set of studies.

    Parameters
    ----------
    asked : Models
    none, every : bool
        Whether a study has no events, or nothing but events.
    """
    for model in asked.models:
        if model == "normal":
            yield from _normal(asked, none=none, every=every)
            continue
        scales = [_SCALE[link] for link in asked.links] if model == "glmm" else ["PLO"]
        for measure, test in product(scales, asked.tests_of(model)):
            yield Combination(model, measure, NO_CORRECTION, "ML", test)


def _normal(asked: Models, *, none: bool, every: bool) -> Iterator[Combination]:
    for measure in asked.measures:
        needed = (none or every) and measure in _CORRECTED and bool(asked.corrections)  # effects have theirs
        for correction in asked.corrections if needed else (NO_CORRECTION,):
            unfit = _unfit(asked, measure, correction, none=none, every=every) if needed else ""
            for method, test in product(asked.methods, asked.tests_of("normal")):
                reason = unfit or _clash(asked, method, test)
                yield Combination("normal", measure, correction, method, test, reason)


def _unfit(asked: Models, measure: str, correction: str, *, none: bool, every: bool) -> str:
    """Why a transformation with its correction does not suit studies at 0 or n."""
    if measure == "PR":
        return f"raw rates with a study at 0 or n: {_ARTEFACT}"
    if measure == "PLN" and every:
        return f"log rates with a study at n: {_ARTEFACT}"
    if correction == NO_CORRECTION:
        return f"{measure} is undefined at 0 or n without a correction"
    if correction == "if0all" and "all" in asked.corrections:
        return "correction 'if0all' is the same as 'all' where a study is at 0 or n"
    return ""


def _clash(asked: Models, method: str, test: str) -> str:
    """Why a method and a test do not go together."""
    first = next((code for code in asked.methods if code in _SAME_AS_PM), method)
    if method in _SAME_AS_PM and method != first:
        return f"{method} is the same estimate as {first} without moderators"
    if method == "CE" and test in ("hk", "hk-adhoc"):
        return "Hartung-Knapp with a common effect scales the variance by Q/(k - 1), which no model assumes"
    if test == "kr" and method != "REML":
        return "Kenward-Roger is defined for REML only"
    return ""
