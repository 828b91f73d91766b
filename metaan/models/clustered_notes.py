"""What a fit of the clustered binomial model has to say about itself."""

from __future__ import annotations

import math
from typing import Final

from metaan.core.binomial_fit import TAU_HELD
from metaan.core.clustered import Clusters
from metaan.core.clustered_profile import ClusteredFit
from metaan.errors import Note
from metaan.models.results import Spec

__all__ = ["fit_notes"]

_WIDE: Final = 0.4  # of the range of rho, 0 to 1: an interval beyond it says that the data hardly tell
_HIGH: Final = 0.8
_OF_ONE: Final = {"wald": "normal (Wald)", "profile": "likelihood-ratio"}


def fit_notes(
    data: Clusters, spec: Spec, found: ClusteredFit, summed: bool,
    rho: tuple[float, float], limits: tuple[float, float], pi_low: float,
) -> list[Note]:  # fmt: skip
    """Notes on a fit, the limits of its correlation and its mean, and its prediction interval."""
    notes = [*_study_notes(data, spec, found), *_rho_notes(found, rho, summed)]
    if found.maxima > 1:
        notes.append(Note("two-maxima", f"The likelihood has {found.maxima} local maxima; the highest was taken."))
    if not found.converged:
        notes.append(Note("not-converged", "The search stopped before the estimate settled; treat it as approximate."))
    if spec.ci == "profile" and not all(map(math.isfinite, limits)):
        text = "The profile likelihood never falls far enough on one side: the interval is open there."
        notes.append(Note("profile-open", text))
    if spec.pi != "none" and math.isnan(pi_low):
        unknown = found.held or found.separated
        why = "tau2 is not known" if unknown else f"it needs at least 3 studies, here {data.x.size}"
        notes.append(Note("no-pi", f"No prediction interval: {why}."))
    return notes


def _study_notes(data: Clusters, spec: Spec, found: ClusteredFit) -> list[Note]:
    if found.separated:
        what = "No events in any study: the rate is 0" if found.theta[0] < 0 else "Nothing but events: the rate is 1"
        units = (
            f"{data.patients.sum():g} patients, whose lesions may respond alike (ICC = 1, the widest)"
            if found.estimated
            else f"{data.N.sum():g} lesions with ICC {found.theta[2]:g}"
        )
        return [Note("separated", f"{what} and tau2 is set to 0; the interval is the likelihood-ratio one of {units}.")]
    if data.x.size == 1:
        kind = {"wald": "normal (Wald)", "profile": "likelihood-ratio"}[spec.ci]
        return [
            Note("one-study", f"One study: tau2 cannot be estimated and is set to 0; the interval is the {kind} one.")
        ]
    if found.held:
        text = (
            "Every study is at 0 or n: the likelihood is highest, a limit, as tau grows, so tau has no finite estimate "
            f"and is held at {TAU_HELD:g}, and nothing tells the ICC, held at {found.theta[2]:g}. These data do not "
            "determine the rate in the median study."
        )
        return [Note("tau2-unbounded", text)]
    if found.theta[1] == 0:
        return [Note("tau2-zero", "tau2 is estimated as 0: the estimate is a rate common to all studies.")]
    return []


def _rho_notes(found: ClusteredFit, limits: tuple[float, float], summed: bool) -> list[Note]:
    if not found.estimated or found.separated:
        return []
    notes = []
    if found.theta[2] == 0:
        notes.append(Note("icc-zero", "The ICC is estimated as 0: lesions are as if independent, given their study."))
    if found.theta[2] == 1:
        notes.append(
            Note("icc-one", "The ICC is estimated as 1: patients, whose lesions respond alike, are the units.")
        )
    if summed and found.theta[2] > _HIGH:
        text = (
            "So high an ICC rests on the assumption of equally many lesions: near 1 the events must be sums of whole "
            "patients of such sizes. Do not rely on it; assume values over a range with icc=."
        )
        notes.append(Note("icc-of-sizes", text))
    if limits[1] - limits[0] > _WIDE:
        why = "one row for each study tells it from tau2 only by differences in patient numbers; " if summed else ""
        text = (
            f"These data hardly tell the ICC (profile interval {limits[0]:.2f} to {limits[1]:.2f}): {why}assume values "
            "over a range with icc= and show them all."
        )
        notes.append(Note("icc-weak", text))
    return notes
