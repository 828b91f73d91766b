"""The paragraph on methods: what was done and by whose method, written from what the result records."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import numpy as np

from metaan.measures.effect_size import effect_size
from metaan.measures.intervals import INTERVAL
from metaan.measures.kinds import KINDS
from metaan.models.bayes_result import BayesResult
from metaan.models.clustered_result import ClusteredResult
from metaan.models.multilevel_result import MultilevelResult
from metaan.models.results import Spec
from metaan.models.text import prediction
from metaan.plot.wording import plural_of
from metaan.reports.blocks import Block, Cell, Cite, Line, Paragraph, Run, Section, Table, heads, line
from metaan.reports.subject import Subject, subject_of, usual_prior
from metaan.reports.words import counted_of, outcome_of, units_of
from metaan.validate import CI, METHOD, NESTED_TEST, PI, ROBUST, TEST

__all__ = ["methods_section"]

_LINKS: Final = {
    "logit": "logit", "probit": "probit", "cloglog": "complementary log-log", "log": "logarithmic",
}  # fmt: skip
_TESTS: Final[dict[str, tuple[Run, ...]]] = {
    "hk": ("by the method of Hartung and Knapp", Cite(("hartung",))),
    "hk-adhoc": ("by the method of Hartung and Knapp, never below the usual standard error", Cite(("hartung",))),
}


def methods_section(subject: Subject, made: Collection[str]) -> Section:
    """What was done; `made` are the names of the sections that apply."""
    paragraphs = [_data(subject), _model(subject), _limits(subject), *_others(subject)]
    paragraphs += [_spread(subject, made), _checks(subject, made)]
    blocks: list[Block] = [Paragraph(runs=one) for one in paragraphs if one]
    blocks.append(Paragraph(runs=line("What was chosen, and what the default is:")))
    return Section(name="methods", title="Methods", blocks=(*blocks, _choices(subject)))


def _others(subject: Subject) -> Iterator[Line]:
    """Model and intervals of the other results, where several are compared."""
    for name, fit in list(subject.models.items())[1:]:
        other = subject_of(fit, None)
        yield line(f"{name}, for comparison. ", *_model(other), " ", *_limits(other))


def _data(subject: Subject) -> Line:
    """Where the counts come from."""
    k = counted_of(subject)
    if not subject.record:
        return line(f"The data of {k} were given by the authors of this report.")
    selection = subject.selection
    text = f"The counts of {k} come from the table {selection['name']!r} of the evidence base of metaan"
    what = f" (outcome: {outcome_of(subject)}; counted: {units_of(subject)})"
    return line(f"{text}{what}; the selection, and what it left out, stand under Data and sources.")


def _model(subject: Subject) -> Line:
    """The model in a sentence or two."""
    spec, fit = subject.spec, subject.fit
    if isinstance(fit, BayesResult):
        return _bayes(fit)
    if spec.model == "glmm":
        return _glmm(subject)
    if isinstance(fit, ClusteredResult):
        return _clustered(fit)
    if spec.model == "beta-binomial":
        text = "The count of each study was taken as binomial and the true rates as beta distributed between studies"
        return line(
            text, " (beta-binomial model)", Cite(("young",)), f", {_LIKELIHOOD} No continuity correction is made."
        )
    if spec.model == "stratified":
        return _stratified(subject)
    return _inverse_variance(subject)


_LIKELIHOOD: Final = "fitted by maximum likelihood."


def _glmm(subject: Subject) -> Line:
    spec = subject.spec
    nodes = getattr(getattr(subject.fit, "convergence", None), "nodes", None)
    how = " The likelihood was integrated numerically"
    if not nodes and getattr(subject.fit, "tau2", math.nan) == 0:
        how = " With τ² at 0 the likelihood has a closed form."
    elif spec.nodes is not None:
        how += f" by adaptive Gauss–Hermite quadrature with {spec.nodes} nodes."
    else:
        how += f" with {nodes} nodes a study, as many as it takes." if nodes else ", as exactly as it takes."
    arms = "The counts of both arms enter as they are, without a continuity correction."
    if spec.likelihood == "binomial":
        link = _LINKS.get(spec.link or "logit", spec.link)
        text = (
            f"The count of each study was taken as binomial, and the true rate as normal between studies on the {link} "
            "scale (binomial-normal model, a generalised linear mixed model with a random intercept)"
        )
        return line(text, Cite(("stijnen",)), f", {_LIKELIHOOD}{how} No continuity correction is made.")
    if spec.likelihood == "poisson":
        text = "The events of each study were taken as Poisson, and the log of the true rate as normal between studies"
        return line(text, Cite(("stijnen",)), f", {_LIKELIHOOD}{how}")
    names = {
        "CM.EL": "conditional on the events of both arms together, by the exact likelihood",
        "CM.AL": "conditional on the events of both arms together, by the binomial approximation for rare events",
        "UM.FS": "by the unconditional likelihood of both arms with a fixed effect for each study",
        "UM.RS": "by the unconditional likelihood of both arms with a random effect for each study",
    }
    text = f"The {subject.noun} was pooled {names[spec.likelihood or 'CM.EL']} ({spec.likelihood})"
    return line(text, Cite(("stijnen", "houwelingen")), f", with normal random effects, {_LIKELIHOOD} {arms}")


def _clustered(fit: ClusteredResult) -> Line:
    rho = "estimated from the data" if fit.rho_estimated else "assumed"
    text = (
        "The lesions of one patient were allowed to respond alike (beta-binomial within a study), and the true rate "
        "was taken as normal between studies on the logit scale, "
    )
    return line(f"{text}{_LIKELIHOOD} The correlation within patients was {rho}.")


def _stratified(subject: Subject) -> Line:
    spec = subject.spec
    if spec.method == "Peto":
        how: tuple[Run, ...] = ("Peto's one-step method", Cite(("yusuf", "greenland")))
    else:
        how = ("the method of Mantel and Haenszel",)
    text = f"The {subject.noun} common to all trials was estimated by "
    return line(text, *how, ", without a continuity correction and without random effects.")


def _inverse_variance(subject: Subject) -> Line:
    spec, what = subject.spec, plural_of(subject.effects.measure)
    turned = ""
    if KINDS[spec.measure].transformed:
        turned = f" Results were turned back into {'rates' if subject.of_rates else f'{subject.noun}s'}."
    zero = [str(note) for note in subject.effects.notes if note.code.startswith("zero-cell")]
    corrected = f" Continuity correction: {' '.join(zero)}" if zero else ""
    corrected = _standardised(subject) + corrected
    scale: tuple[Run, ...] = (Cite(("freeman",)),) if spec.measure == "PFT" else ()
    before = f"The {what}"
    if isinstance(subject.fit, MultilevelResult):
        levels = " within ".join(reversed(subject.fit.levels))
        text = (
            f" were pooled by a multilevel model, estimates of {levels}, with a variance at each level by {spec.method}"
        )
        return line(before, *scale, text, Cite(("konstantopoulos", "cheung")), f".{turned}{corrected}", *_robust(spec))
    if spec.method == "CE":
        text = " were pooled with inverse-variance weights as estimates of one common effect"
        return line(before, *scale, f"{text}.{turned}{corrected}", *_robust(spec))
    text = " were pooled with inverse-variance weights and random effects; the variance between studies, τ², was "
    how = METHOD.choices[spec.method]
    named = f"estimated by {spec.method} ({how})"
    return line(before, *scale, text + named, Cite(("viechtbauer2005",)), f".{turned}{corrected}", *_robust(spec))


def _standardised(subject: Subject) -> str:
    """Which standardised mean difference it is, where the means and standard deviations are there to tell."""
    eff = subject.effects
    if eff.measure != "SMD" or not eff.inputs:
        return ""
    counts: dict[str, Any] = dict(eff.inputs)
    usual = effect_size("SMD", **counts)
    if not np.array_equal(usual.yi, eff.yi):
        return ""
    same = np.array_equal(usual.vi, eff.vi)
    variance = ", with the large-sample variance" if same else ""
    return f" They are Hedges' g: differences over the pooled SD, with the exact small-sample correction{variance}."


def _robust(spec: Spec) -> tuple[Run, ...]:
    if spec.cluster is None:
        return ()
    keys = ("hedges", "pustejovsky") if spec.test == "CR2" else ("hedges",)
    text = f" Standard errors are robust against dependence within {spec.cluster}: {ROBUST.choices[spec.test]}"
    return (text, Cite(keys), ".")


def _bayes(fit: BayesResult) -> Line:
    model = "normal effects with known sampling variances"
    if fit.spec.likelihood == "binomial":
        model = "binomial counts with normal true effects on the logit scale"
    text = f"A Bayesian random-effects model ({model}) was integrated numerically"
    cited: tuple[Run, ...] = (", the default of the measure", Cite(("rover2021",))) if usual_prior(fit) else ()
    priors = (f" The prior of τ was {fit.tau_prior}", *cited, f"; that of the mean {fit.mu_prior}")
    return line(text, Cite(("rover",)), ".", *priors, ". Estimates are posterior medians.")


def _limits(subject: Subject) -> Line:
    """Intervals: of the pooled effect, of a new study, of each study."""
    spec = subject.spec
    level = f"{100 * spec.level:g}%"
    runs: list[Run] = [f"{level} confidence intervals are "]
    if isinstance(subject.fit, BayesResult):
        ends = "equal tails" if spec.ci == "central" else "ends of equal density"
        runs = [f"{level} credible intervals have {ends}"]
    elif spec.ci == "profile":
        runs.append("by profile likelihood")
    elif spec.ci == "likelihood-ratio":
        runs.append("by the likelihood ratio")
    elif subject.main.k == 1:
        runs.append("normal, as of one study")
    else:
        runs += _TESTS.get(spec.test, (f"by the {_reference(spec.test)}",))
    runs.append(".")
    if spec.pi not in ("none", "posterior") and subject.shown.pi_low == subject.shown.pi_low:
        cited: tuple[Run, ...] = (Cite(("veroniki",)),) if spec.pi == "t" and spec.model != "multilevel" else ()
        how = prediction(spec).replace(" - ", " − ").replace(" (Veroniki 2019)", "" if cited else " (Veroniki 2019)")
        runs += [f" The prediction interval of a new study: {how}", *cited, "."]
    if subject.effects.events is not None:
        runs += [f" Intervals of single studies: {INTERVAL.choices['clopper-pearson']}", Cite(("clopper",)), "."]
    else:
        runs.append(" Intervals of single studies are normal, from their own variances.")
    if spec.model in ("glmm", "beta-binomial", "clustered"):
        runs.append(" Weights are shown for orientation: the model itself uses the counts.")
    return line(*runs)


def _reference(test: str) -> str:
    """Reference distribution of a test, its name in words."""
    return {**TEST.choices, **NESTED_TEST.choices, **ROBUST.choices, "t": TEST.choices["t"]}[test].replace(" - ", " − ")


def _spread(subject: Subject, made: Collection[str]) -> Line:
    """How differences between studies and between subgroups were measured."""
    if "heterogeneity" not in made:
        return ()
    runs: list[Run] = []
    if not isinstance(subject.fit, BayesResult) and subject.spec.model != "stratified":
        ratio = _ratio_test(subject)
        what = f"Heterogeneity is described by τ², by I²{',' if ratio else ', and'} by the test of Cochran's Q"
        runs += [what, Cite(("higgins2002",)), f"{ratio}."]
        if subject.spec.model == "glmm":
            what = "rates" if subject.of_rates else "effects"
            runs.append(f" I² and Q are those of the empirical {what}: a model of counts has no sampling variances.")
            runs.append(" The interval of τ² is by profile likelihood.")
        if subject.spec.model in ("normal", "regression") and subject.spec.cluster is None:
            runs += [" The interval of τ² is that of the Q-profile method", Cite(("viechtbauer2007",)), "."]
    sub = subject.subgroups
    if sub is not None:
        own = "each with a τ² of its own" if sub.tau2 == "separate" else "with one τ² for all of them"
        keys = ("borenstein", "welch") if sub.Q_df2 != float("inf") and sub.tau2 == "separate" else ("borenstein",)
        runs += [f" Studies were pooled by {sub.by} as well, {own}, and the subgroups compared", Cite(keys), "."]
    return line(*runs)


def _ratio_test(subject: Subject) -> str:
    """The second test of heterogeneity, of models with a likelihood."""
    if not math.isfinite(getattr(subject.fit, "lrt", math.nan)):
        return ""
    what = "ρ" if subject.spec.model == "beta-binomial" else "τ²"
    mixture = "against an equal mixture of 0 and χ² with 1 degree of freedom"
    return f", and by the likelihood-ratio test of {what} = 0, {mixture}"


def _checks(subject: Subject, made: Collection[str]) -> Line:
    """Which checks were made."""
    runs: list[Run] = []
    if "sensitivity" in made:
        text = "Each study was left out in turn, and the influence of each measured by deletion diagnostics where they"
        runs += [text, " are defined", Cite(("influence",)), "."]
    if "small_study" in made:
        keys = ("sterne", "hunter") if subject.of_rates else ("sterne",)
        runs += [" Small-study effects were tested by tests that are valid for the measure", Cite(keys), "."]
    if "multiverse" in made:
        every = "choices that can be defended" if subject.of_rates else "estimator of τ² and of test that is defined"
        text = f" The question was answered again by every combination of {every} (multiverse)"
        runs += [text, Cite(("steegen", "simonsohn")), "."]
    return line(*runs)


_USUAL: Final[dict[str, dict[str, object]]] = {
    "glmm": {"test": "t", "ci": "wald", "level": 0.95, "pi": "t", "nodes": None},
    "beta-binomial": {"test": "t", "ci": "wald", "level": 0.95, "pi": "beta"},
    "clustered": {"test": "t", "ci": "wald", "level": 0.95, "pi": "t"},
    "normal": {"method": "REML", "test": "hk", "level": 0.95, "pi": "t"},
    "regression": {"method": "REML", "test": "hk", "level": 0.95},
    "multilevel": {"method": "REML", "test": "contain", "level": 0.95},
    "stratified": {"level": 0.95},
    "bayes": {"ci": "central", "level": 0.95},
}
_NAMES: Final = {
    "method": "estimator of τ²", "test": "reference distribution", "ci": "confidence interval", "level": "level",
    "pi": "prediction interval", "nodes": "quadrature nodes",
}  # fmt: skip


def _choices(subject: Subject) -> Table:
    """Every option of the model with its default."""
    spec = subject.spec
    rows = [("measure", "measure", spec.measure, "–", KINDS[spec.measure].label)]
    if spec.likelihood is not None:
        rows.append(("likelihood", "model", spec.likelihood, "–", ""))
    for name, default in _USUAL.get(spec.model, {}).items():
        value = getattr(spec, name)
        rows.append((_NAMES[name], name, _said(value), _said(default), _unused(subject, name) or _meaning(name, value)))
    if isinstance(subject.fit, BayesResult):
        rows.append(("prior of τ", "tau_prior", subject.fit.tau_prior, "by the measure", ""))
        rows.append(("prior of the mean", "mu_prior", subject.fit.mu_prior, "flat", ""))
    cells = tuple(tuple(Cell(runs=line(text)) for text in row) for row in rows)
    columns = heads("Choice", "Argument", "Here", "Default", "What it means here")
    return Table(name="choices", caption="Options of the model.", columns=columns, rows=cells, sortable=False)


def _unused(subject: Subject, name: str) -> str:
    """Why an option plays no part in these data; nothing where it does."""
    if name == "test" and subject.main.k == 1:
        return "not used: the interval of one study is normal"
    if name == "test" and subject.spec.ci == "likelihood-ratio":
        return "not used: there is no standard error"
    if name == "ci" and subject.spec.ci == "likelihood-ratio":
        return "by the likelihood ratio of all counts taken together"
    if name == "pi" and subject.spec.pi != "none" and math.isnan(subject.shown.pi_low):
        return "not used: there is no prediction interval"
    return ""


_MEANINGS: Final[dict[str, Mapping[str, str]]] = {
    "test": {**NESTED_TEST.choices, **ROBUST.choices, **TEST.choices}, "method": METHOD.choices, "ci": CI.choices,
    "pi": {**PI.choices, "beta": "quantiles of the fitted beta distribution, estimates taken as known"},
}  # fmt: skip


def _meaning(name: str, value: object) -> str:
    return _MEANINGS.get(name, {}).get(str(value), "").replace(" - ", " − ")


def _said(value: object) -> str:
    return "as many as needed" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
