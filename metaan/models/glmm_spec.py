"""What may be asked of `metaan.glmm`: measures, their likelihoods and links, options."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from metaan.errors import OptionError, shown
from metaan.models.results import Spec
from metaan.validate import CI, Option, check_level

__all__ = ["LINK", "MEASURE", "MODEL", "PI", "TEST", "Asked", "make_spec"]

MEASURE: Final = Option(
    "measure",
    {
        "PLO": "logit of a proportion, or another link",
        "PLN": "log of a proportion",
        "IRLN": "log incidence rate",
        "OR": "log odds ratio",
        "RR": "log risk ratio",
        "RD": "risk difference",
        "IRR": "log incidence rate ratio",
    },
    "PLO",
)
MODEL: Final = Option(
    "model",
    {
        "CM.EL": "conditional on the events of both arms: hypergeometric (OR) or binomial (IRR)",
        "CM.AL": "the binomial approximation of the conditional model for rare events (OR)",
        "UM.FS": "unconditional, fixed study effects",
        "UM.RS": "unconditional, random study effects (OR, IRR)",
    },
    "CM.EL",
)
LINK: Final = Option(
    "link",
    {
        "logit": "log of the odds",
        "probit": "normal quantile of the rate",
        "cloglog": "log of -log(1 - rate)",
        "log": "log of the rate",
    },
    "logit",
)
TEST: Final = Option("test", {"z": "normal distribution", "t": "t distribution with k - 1 degrees of freedom"}, "t")
PI: Final = Option(
    "pi",
    {
        "t": "t distribution with k - 1 degrees of freedom",
        "hts": "t distribution with k - 2 degrees of freedom",
        "z": "normal distribution, uncertainty of the mean included",
        "simple": "normal distribution, uncertainty of the mean ignored",
        "none": "no prediction interval",
    },
    "t",
)

_LIKELIHOODS: Final[dict[str, tuple[str, ...]]] = {
    "OR": ("CM.EL", "CM.AL", "UM.FS", "UM.RS"),
    "IRR": ("CM.EL", "UM.FS", "UM.RS"),
    "RR": ("UM.FS",),
    "RD": ("UM.FS",),
}
"""Likelihoods of two arms, the default first."""
_MEASURE_OF: Final = {"logit": "PLO", "probit": "PROBIT", "cloglog": "CLOGLOG", "log": "PLN"}
_FIXED_LINK: Final = {"PLN": "log", "RR": "log", "RD": "identity", "OR": "logit", "IRR": "poisson", "IRLN": "poisson"}


class Asked(NamedTuple):
    """Options of `metaan.glmm`, as given."""

    measure: str
    model: str | None
    link: str | None
    nodes: Any
    test: str
    ci: str
    level: float
    pi: str
    formula: str | None


def make_spec(asked: Asked) -> Spec:
    """Check the options and what they mean together."""
    measure = MEASURE.check(asked.measure)
    likelihood = _likelihood(measure, asked.model)
    link = _link(measure, asked.link)
    nodes = _nodes(asked.nodes, asked.ci)
    return Spec(
        model="glmm", measure=_MEASURE_OF[link] if measure == "PLO" else measure, method="ML",
        test=TEST.check(asked.test), level=check_level(asked.level), pi=PI.check(asked.pi), ci=CI.check(asked.ci),
        nodes=nodes, likelihood=likelihood, link=link, formula=asked.formula,
    )  # fmt: skip


def _likelihood(measure: str, model: str | None) -> str:
    allowed = _LIKELIHOODS.get(measure, ())
    if model is None:
        return allowed[0] if allowed else "poisson" if measure == "IRLN" else "binomial"
    MODEL.check(model)
    if model not in allowed:
        told = f"it has {' or '.join(map(repr, allowed))}" if allowed else "a rate of one arm has one likelihood"
        raise OptionError(f"model={model!r} does not exist for measure={measure!r}: {told}.")
    return model


def _link(measure: str, link: str | None) -> str:
    if link is None:
        return _FIXED_LINK.get(measure, LINK.default)
    LINK.check(link)
    if measure != "PLO" and link != _FIXED_LINK[measure]:
        raise OptionError(f"link={shown(link)} is for measure='PLO'; measure={measure!r} has a link of its own.")
    return link


def _nodes(nodes: Any, ci: str) -> int | None:
    if nodes is None:
        return None
    if isinstance(nodes, bool) or not isinstance(nodes, (int, np.integer)) or not 1 <= nodes <= 100:
        raise OptionError(f"nodes={shown(nodes)} must be a whole number from 1 to 100, or None for as many as needed.")
    if ci == "profile":
        raise OptionError("ci='profile' uses the exact likelihood and not a fixed number of nodes; leave nodes=None.")
    return int(nodes)
