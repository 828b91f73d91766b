"""From counts to the likelihood that `metaan.glmm` maximises, and to the empirical effects that tables show."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from metaan.core.binomial import Family
from metaan.core.links import LINKS, Poisson, family_of
from metaan.core.two_arms import Arms
from metaan.measures.columns import require
from metaan.measures.correction import for_display
from metaan.measures.effect_size import effect_size
from metaan.measures.person_time import TIMES
from metaan.measures.proportion import Counts, counts
from metaan.measures.record import Effects
from metaan.measures.two_by_two import ARMS
from metaan.models.conditional import conditional, read_arms
from metaan.models.results import Spec
from metaan.validate import FloatArray, forbid

__all__ = ["TWO_ARMS", "empirical_rates", "likelihood", "read"]

TWO_ARMS: Final = ("OR", "RR", "RD", "IRR")
_LARGEST: Final = 5e6  # beyond it rounding of the log-likelihood hides its curvature


def read(spec: Spec, columns: dict[str, Any], *, data: Any, study: Any, missing: str) -> Effects:
    """Checked counts as empirical effects on the scale of the model."""
    if spec.measure in TWO_ARMS:
        return read_arms(spec, columns, data=data, study=study, missing=missing)
    if spec.measure == "IRLN":
        return _incidence(columns, data=data, study=study, missing=missing)
    require("PLO", ("events", "total"), columns)
    found = counts(data, columns["events"], columns["total"], study, missing)
    forbid(
        found.total > _LARGEST, found.study, "glmm takes totals up to 5 million; pool the logits instead", [found.total]
    )
    return _rates(found, spec.link or "logit", spec.measure)


def _rates(found: Counts, link: str, measure: str) -> Effects:
    """Empirical effects of rates for tables and plots, 0.5 added at 0 and n; the model itself uses the counts."""
    yi, vi = empirical_rates(found.events, found.total, link)
    return Effects(
        yi=yi, vi=vi, study=found.study, measure=measure,
        events=found.events, total=found.total, data=found.data, notes=found.notes,
    )  # fmt: skip


def empirical_rates(events: FloatArray, total: FloatArray, link: str) -> tuple[FloatArray, FloatArray]:
    """Effects of counts under a link and their variances, 0.5 added to both counts at 0 and n."""
    add = np.where((events == 0) | (events == total), 0.5, 0.0)
    hit, miss = events + add, total - events + add
    if link == "logit":
        return np.log(hit / miss), 1 / hit + 1 / miss
    p, n = hit / (hit + miss), hit + miss
    return LINKS[link].of_rate(p), LINKS[link].derivative(p) ** 2 * p * (1 - p) / n


def _incidence(columns: dict[str, Any], *, data: Any, study: Any, missing: str) -> Effects:
    """Empirical log rates, 0.5 added where there are no events; a note says that this is for display."""
    require("IRLN", ("events", "time"), columns)
    eff = effect_size("IRLN", data, study=study, missing=missing, correction="only0", **columns)
    return for_display(eff, "studies", "rate")


def likelihood(spec: Spec, eff: Effects) -> Family | Arms:
    """Likelihood of the counts behind `eff`: a family of one count a study, or both arms."""
    if spec.measure == "IRLN":
        given = eff.inputs or {}
        return Poisson.from_counts(given["events"][:, None], given["time"][:, None])
    if spec.measure not in TWO_ARMS:
        events, total = np.asarray(eff.events), np.asarray(eff.total)
        return family_of(events[:, None], total[:, None], spec.link or "logit")
    if spec.likelihood in ("CM.EL", "CM.AL"):
        return conditional(spec, eff.inputs or {}, eff.study)
    names = TIMES if spec.measure == "IRR" else ARMS
    a, size_t, c, size_c = (np.asarray((eff.inputs or {})[name], dtype=np.float64) for name in names)
    x, size = np.column_stack([a, c]), np.column_stack([size_t, size_c])
    return Arms(x, size if spec.measure == "IRR" else size - x, spec.link or "logit")
