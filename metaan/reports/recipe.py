"""The code that gives a result again: written from the result, run, and compared with it."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from inspect import signature
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.analysis.subgroup_result import SubgroupResult
from metaan.errors import MetaanError, MetaanWarning
from metaan.evidence.asked import asked
from metaan.evidence.load import load
from metaan.evidence.options import ANY
from metaan.measures.record import Effects
from metaan.models.bayes_result import BayesResult
from metaan.models.clustered_result import ClusteredResult
from metaan.models.multilevel_result import MultilevelResult
from metaan.models.results import Spec
from metaan.reports.steps import Call, Keep, Name, Step, run, written
from metaan.reports.subject import Subject, same_numbers, usual_prior
from metaan.validate import CI, METHOD, PI, TEST, numbered

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Recipe", "recipe_of"]

_CLOSE: Final = 1e-9
_CORRECTIONS: Final = ("only0", "if0all", "all")
_PRIOR: Final = re.compile(r"(half-normal|half-Cauchy|uniform)\((?:0, )?([^)]+)\)(?:, improper)?")
_PRIORS: Final = {
    "half-normal": "metaan.HalfNormal",
    "half-Cauchy": "metaan.HalfCauchy",
    "uniform": "metaan.Uniform",
}


class _UnwrittenError(Exception):
    """What a result does not tell."""


@dataclass(frozen=True)
class Recipe:
    """Code, the variables that hold the results, and why there is none where it cannot be written."""

    code: str = ""
    results: tuple[str, ...] = ()
    from_load: bool = False
    why: str = ""


def recipe_of(subject: Subject) -> Recipe:
    """Write the code of a result, run it, and keep it if the numbers are the same."""
    results = dict(subject.models) or {"res": subject.given}
    steps: list[Step] = []
    targets = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MetaanWarning)
            rows = _Rows.of(subject)
            for i, (name, res) in enumerate(results.items(), start=1):
                target = f"res_{i}" if subject.models else "res"
                own = list(_steps(res, rows, target))
                _compare(run(own, rows.known)[target], res, name)
                steps += [step for step in own if step not in steps]
                targets.append(target)
    except (_UnwrittenError, MetaanError) as problem:
        return Recipe(why=f"the result does not hold all that its call needs: {problem}")
    code = written([*rows.steps, *steps])
    back = {
        target: ".back()" if hasattr(res, "back") else "" for target, res in zip(targets, results.values(), strict=True)
    }
    prints = [f"print({target}{turned})" for target, turned in back.items()]
    return Recipe("\n".join([code, *prints]), tuple(targets), bool(rows.steps))


def _compare(again: Any, res: Any, name: str) -> None:
    one, two = (getattr(each, "overall", each) for each in (again, res))
    if getattr(two, "analysis", None) is None and getattr(two, "scale", "") == "display":
        one = one.back()
    for column in ("estimate", "ci_low", "ci_high"):
        mine, other = (np.ravel(getattr(getattr(each, "analysis", None) or each, column)) for each in (one, two))
        if mine.shape != other.shape or not np.allclose(mine, other, rtol=_CLOSE, atol=_CLOSE, equal_nan=True):
            raise _UnwrittenError(f"{name} was made with options that it does not record.")


@dataclass(frozen=True)
class _Rows:
    """The table that the calls take: loaded again where it came from `metaan.load`, nothing otherwise."""

    steps: tuple[Step, ...] = ()
    frame: Any = None

    @classmethod
    def of(cls, subject: Subject) -> _Rows:
        """Steps that load the rows behind the result, if they are still those of the file."""
        data, record = subject.data, subject.record
        if data is None or record is None:
            return cls()
        selection = record["selection"]
        options = _given(selection)
        steps = [Step("trials", Call("metaan.load", (selection["name"],), options))]
        loaded = run(steps)
        places = [int(place) for place in data["row"]]
        more = []
        if list(loaded["trials"]["row"]) != places:
            more.append(Step("trials", Keep("trials", tuple(places))))
        if "design_effect" in data:
            more.append(Step("trials", Call("metaan.design_effect", (Name("trials"),), _effect(data))))
        frame, steps = run(more, loaded)["trials"], steps + more
        return cls(tuple(steps), frame) if list(frame["row"]) == places else cls()

    @property
    def known(self) -> dict[str, Any]:
        """Variables that the steps leave."""
        return {} if self.frame is None else {"trials": self.frame}

    def values(self, name: str, values: Any) -> Any:
        """A column of the table where it has these values, the values otherwise."""
        if self.frame is not None and name in self.frame:
            column = self.frame[name]
            if isinstance(values, (list, tuple)):
                if list(map(str, column)) == list(map(str, values)):
                    return name
            elif same_numbers(column.to_numpy(dtype=np.float64, na_value=np.nan), values):
                return name
        return list(values)

    def columns(self, eff: Effects, values: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of a call that reads columns: the table if any of them is in it, and each column or its values."""
        found = {name: self.values(name, column) for name, column in values.items() if column is not None}
        if eff.study is not numbered(eff.k):
            found["study"] = self.values("study", eff.study)
        named = any(isinstance(value, str) for value in found.values())
        return ((Name("trials"),) if named else ()), found


def _given(selection: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of load that differ from its defaults, as a user would write them."""
    parameters = signature(load).parameters
    usual = {name: one.default for name, one in parameters.items() if name not in ("name", "outcome")}
    defaults = asked(selection["name"], outcome=selection["outcome"], **usual).to_dict() | {"outcome": None}
    return {
        name: _as_given(selection[name])
        for name in parameters
        if name != "name" and selection.get(name) != defaults.get(name)
    }


def _effect(data: pd.DataFrame) -> dict[str, float]:
    """Arguments of design_effect behind rows that are divided by it."""
    options = {"icc": float(data["icc"].iloc[0])}
    assumed = data.loc[data["cluster_size_assumed"].astype(bool), "cluster_size"]
    return options if assumed.empty else options | {"cluster_size": float(assumed.iloc[0])}


def _as_given(value: Any) -> Any:
    if value is None or value in ([], ""):
        return ANY
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _steps(res: Any, rows: _Rows, target: str) -> Iterator[Step]:
    """Steps that make one result."""
    if isinstance(res, SubgroupResult):
        yield from _subgroups(res, rows, target)
        return
    spec: Spec = res.spec
    if spec.cluster is not None:
        yield from _robust(res, rows, target)
    elif isinstance(res, BayesResult):
        yield from _bayes(res, rows, target)
    elif spec.model in _OF_COUNTS:
        yield Step(target, _of_counts(res, rows))
    elif spec.model in ("normal", "regression", "multilevel"):
        yield from _of_effects(res, rows, target, spec.test)
    else:
        raise _UnwrittenError(f"model {spec.model!r} is not known to reports.")


def _options(spec: Spec, **defaults: Any) -> dict[str, Any]:
    """Options of a specification that differ from their defaults."""
    return {name: getattr(spec, name) for name, default in defaults.items() if getattr(spec, name) != default}


_OF_COUNTS: Final = ("glmm", "beta-binomial", "clustered", "stratified")


def _of_counts(res: Any, rows: _Rows) -> Call:
    """Call of a model that takes counts."""
    spec, eff = res.spec, res.effects
    counts: dict[str, Any] = dict(eff.inputs or {})
    if eff.events is not None:
        counts = {"events": eff.events, "total": eff.total}
    if spec.model == "clustered":
        counts["patients"] = rows.values("n_patients", res.patients)
    given, columns = rows.columns(eff, counts)
    if spec.ci not in CI.choices:  # what counts at one end lead to, whatever was asked for
        spec = replace(spec, ci=CI.default)
    common = {"test": "t", "ci": CI.default, "level": 0.95}
    if spec.model == "glmm":
        rate = spec.likelihood == "binomial" and spec.measure != "PLN"
        own = _options(spec, nodes=None, **common, pi="t") | ({} if spec.formula is None else {"formula": spec.formula})
        if rate and spec.link != "logit":
            own = {"link": spec.link} | own
        if spec.likelihood not in ("binomial", "poisson", "CM.EL") and spec.measure not in ("RR", "RD"):
            own = {"model": spec.likelihood} | own
        return Call("metaan.glmm", ("PLO" if rate else spec.measure, *given), columns | own)
    if spec.model == "beta-binomial":
        return Call("metaan.beta_binomial", given, columns | _options(spec, **common, pi="beta"))
    if spec.model == "clustered":
        return Call("metaan.clustered_binomial", given, columns | _icc(res) | _options(spec, **common, pi="t"))
    level = _options(spec, level=0.95)
    if spec.measure == "PETO":
        return Call("metaan.peto", given, columns | level)
    return Call("metaan.mantel_haenszel", (spec.measure, *given), columns | level)


def _icc(res: ClusteredResult) -> dict[str, float]:
    assumed = any(note.code == "icc-assumed" for note in res.notes)
    return {"icc": res.rho} if assumed and math.isfinite(res.rho) else {}


def _effects(eff: Effects, rows: _Rows, extra: Mapping[str, Any] | None = None) -> list[Step]:
    """Steps that make the effects again: from what they were computed from, as they stand otherwise."""
    for step in _candidates(eff, rows, extra or {}):
        try:
            made = run(step, rows.known)["eff"]
        except MetaanError:
            continue
        same = made.yi.shape == eff.yi.shape and np.allclose(made.yi, eff.yi, rtol=1e-12, atol=0)
        if same and np.allclose(made.vi, eff.vi, rtol=1e-12, atol=0):
            return step
    raise _UnwrittenError(f"effects of measure {eff.measure} cannot be written without how they were computed.")


def _candidates(eff: Effects, rows: _Rows, extra: Mapping[str, Any]) -> Iterator[list[Step]]:
    counts: dict[str, Any] = dict(eff.inputs or {})
    if eff.events is not None:
        counts = {"events": eff.events, "total": eff.total}
    if counts and (rows.steps or not extra):
        given, columns = rows.columns(eff, counts)
        corrected = any(note.code.startswith("zero-cell") for note in eff.notes)
        for correction in (*(() if corrected else (None,)), *_CORRECTIONS):
            own = {} if correction is None else {"correction": correction}
            yield [Step("eff", Call("metaan.effect_size", (eff.measure, *given), columns | own))]
    labels = {} if eff.study is numbered(eff.k) else {"study": list(eff.study)}
    measure = {} if eff.measure == "GEN" else {"measure": eff.measure}
    if extra:
        table = Call("pd.DataFrame", ({"yi": eff.yi, "vi": eff.vi, **labels, **extra},))
        named = {"study": "study"} if labels else {}
        options = named | measure | {"data": Name("data")}
        yield [Step("data", table), Step("eff", Call("metaan.effects", ("yi", "vi"), options))]
    else:
        yield [Step("eff", Call("metaan.effects", (eff.yi, eff.vi), labels | measure))]


def _of_effects(res: Any, rows: _Rows, target: str, test: str, extra: Any = None) -> Iterator[Step]:
    """Steps of a model that takes effects."""
    spec, eff = res.spec, res.effects
    if spec.model == "multilevel":
        if res.vcov is not None:
            raise _UnwrittenError("the covariance of the sampling errors was given as a matrix.")
        extra = (extra or {}) | _levels(res, rows)
        yield from _effects(eff, rows, extra)
        own = _options(spec, formula="~ 1", method="REML") | _test(test, "contain") | _options(spec, level=0.95)
        yield Step(target, Call("metaan.multilevel", (Name("eff"), "/".join(res.levels)), own))
        return
    yield from _effects(eff, rows, extra)
    own = _options(spec, method=METHOD.default) | _test(test, TEST.default) | _options(spec, level=0.95)
    if spec.model == "regression":
        yield Step(target, Call("metaan.regress", (Name("eff"), spec.formula), own))
        return
    own |= _options(spec, pi=PI.default)
    if spec.method == "GENQ":
        own["weights"] = res.weights
    if spec.pi == "bootstrap":
        own |= {"draws": spec.draws, "seed": spec.seed}
    yield Step(target, Call("metaan.pool", (Name("eff"),), own))


def _test(test: str, default: str) -> dict[str, str]:
    return {} if test == default else {"test": test}


def _levels(res: MultilevelResult, rows: _Rows) -> dict[str, Any]:
    """Columns of the levels that a loaded table does not have."""
    return {
        name: _labels(res.effects, name)
        for name in res.levels
        if name not in ("study", "estimate") and (rows.frame is None or name not in rows.frame)
    }


def _labels(eff: Effects, name: str) -> list[Any]:
    if eff.data is None or name not in eff.data:
        raise _UnwrittenError(f"the data have no column {name!r}.")
    return [str(value) for value in eff.data[name]]


def _robust(res: Any, rows: _Rows, target: str) -> Iterator[Step]:
    spec, name = res.spec, res.spec.cluster
    there = name == "study" or (rows.frame is not None and name in rows.frame)
    default = "contain" if spec.model == "multilevel" else TEST.default
    extra = {} if there else {name: _labels(res.effects, name)}
    yield from _of_effects(res, rows, "fit", default, extra)
    kind = {} if spec.test == "CR2" else {"kind": spec.test}
    yield Step(target, Call("metaan.robust", (Name("fit"),), {"cluster": name} | kind))


def _subgroups(sub: SubgroupResult, rows: _Rows, target: str) -> Iterator[Step]:
    spec, eff = sub.spec, sub.overall.effects
    yield from _effects(eff, rows)
    labels = _members(sub)
    by: Any = rows.values(sub.by, labels)
    exact = spec.model == "glmm"
    own = {} if sub.tau2 == "separate" else {"tau2": sub.tau2}
    own |= {"model": "glmm"} if exact else _options(spec, method=METHOD.default)
    own |= _options(spec, test="t" if exact else TEST.default, level=0.95, pi="t")
    yield Step(target, Call("metaan.subgroups", (Name("eff"),), {"by": by} | own))


def _members(sub: SubgroupResult) -> list[str]:
    """Subgroup of every study."""
    eff = sub.overall.effects
    places: dict[Any, list[int]] = {}
    for i, key in enumerate(zip(eff.study, eff.yi.tolist(), eff.vi.tolist(), strict=True)):
        places.setdefault(key, []).append(i)
    labels = [""] * eff.k
    for name, group in sub.groups.items():
        of = group.effects
        for key in zip(of.study, of.yi.tolist(), of.vi.tolist(), strict=True):
            labels[places[key].pop(0)] = name
    return labels


def _bayes(res: BayesResult, rows: _Rows, target: str) -> Iterator[Step]:
    spec, eff = res.spec, res.effects
    own: dict[str, Any] = {} if usual_prior(res) else {"tau_prior": _tau_prior(res.tau_prior)}
    if res.mu_prior != "flat":
        found = re.fullmatch(r"normal\((\S+), sd (\S+)\)", res.mu_prior)
        if found is None:
            raise _UnwrittenError(f"the prior {res.mu_prior!r} of the mean.")
        own["mu_prior"] = Call("metaan.NormalPrior", (float(found[1]), float(found[2])))
    own |= _options(spec, level=0.95) | ({} if spec.ci == "central" else {"interval": spec.ci})
    if spec.likelihood == "binomial":
        given, columns = rows.columns(eff, {"events": eff.events, "total": eff.total})
        yield Step(target, Call("metaan.bayes", given, columns | own))
        return
    yield from _effects(eff, rows)
    yield Step(target, Call("metaan.bayes", (Name("eff"),), own))


def _tau_prior(text: str) -> Call:
    found = _PRIOR.fullmatch(text)
    if found is None:
        raise _UnwrittenError(f"the prior {text!r} of tau is a function.")
    args = () if found[2] == "infinity" else (float(found[2]),)
    return Call(_PRIORS[found[1]], args)
