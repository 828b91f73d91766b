"""Lesions within patients: what a correlation between them leaves of the information in a trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from metaan.errors import DataError, InputError, OptionError, listed, shown
from metaan.validate import FloatArray, labels, number, numbers, require_columns, single_columns

__all__ = ["design_effect"]

_NEEDED: Final = ("events", "total", "n_patients", "n_lesions")
_MEDIAN: Final = "median"


def design_effect(
    trials: pd.DataFrame, *, icc: float | Sequence[float] | FloatArray, cluster_size: float | str | None = None
) -> pd.DataFrame:
    """Effective events and totals of lesions within patients, for an assumed intracluster correlation.

    Parameters
    ----------
    trials : pandas.DataFrame
        Rows that count lesions, with columns events, total, n_patients, n_lesions and, for messages, study: from
        `metaan.load`.
    icc : float or sequence of float
        Intracluster correlation of the response of two lesions of one patient, in [0, 1]: 0, lesions are independent;
        1, a patient's lesions respond alike. Several values give the rows once for each, one below the other.
    cluster_size : float or "median", optional
        Lesions per patient, >= 1, to assume where a study does not give both numbers, or gives more patients than
        lesions (those of the whole trial and not of the arm); "median" takes the median of the studies that do.
        By default such a study is refused.

    Returns
    -------
    pandas.DataFrame
        The rows with `events` and `total` divided by their design effect (float64; rates are unchanged), the numbers as
        counted in `events_observed` and `total_observed`, and `cluster_size`, `cluster_size_assumed` (whether it is
        the argument's), `icc`, `design_effect`. `metaan.glmm` and `metaan.effect_size` take such a frame and note the
        assumption.

    Raises
    ------
    InputError
        A column is missing, or the counts are effective already.
    OptionError
        `icc` or `cluster_size` out of range.
    DataError
        Rows that count patients; studies of unknown cluster size.

    Notes
    -----
    With m lesions per patient the variance of a rate is D = 1 + (m - 1) ICC times that of as many independent lesions,
    so that events/D of total/D carry the same rate and the same information. m is the mean, n_lesions/n_patients: where
    few patients have most of the lesions, D is larger than this. One ICC is assumed for every study; none of the
    trials prints its own, so show several.

    References
    ----------
    Kish L (1965). Survey Sampling. Wiley, New York.
    Donner A, Klar N (2000). Design and Analysis of Cluster Randomization Trials in Health Research. Arnold, London.

    Examples
    --------
    >>> import pandas as pd
    >>> one = pd.DataFrame({"study": ["Ames"], "events": [30], "total": [60], "n_patients": [12], "n_lesions": [60]})
    >>> design_effect(one, icc=0.25)[["events", "total", "design_effect"]].to_numpy().tolist()
    [[15.0, 30.0, 2.0]]
    """
    _check(trials)
    values, several = _correlations(icc)
    size, assumed = _sizes(trials, cluster_size)
    frames = []
    for value in values:
        effect = 1 + (size - 1) * value
        events, total = (numbers(trials[name], name) for name in ("events", "total"))
        frame = trials.assign(
            events=events / effect, total=total / effect, events_observed=trials["events"],
            total_observed=trials["total"], cluster_size=size, cluster_size_assumed=assumed, icc=value,
            design_effect=effect,
        )  # fmt: skip
        frames.append(frame)
    result = pd.concat(frames, ignore_index=True) if several else frames[0]
    result.attrs = dict(trials.attrs)
    return result


def _check(trials: pd.DataFrame) -> None:
    require_columns(trials, _NEEDED)
    single_columns(trials, ["study", "unit"], "trials")
    if "design_effect" in trials.columns:
        raise InputError("The counts are effective already: apply design_effect to the frame as it was loaded.")
    if "unit" in trials.columns and (trials["unit"] != "lesion").any():
        who = listed(_names(trials)[(trials["unit"] != "lesion").to_numpy()])
        raise DataError(f"{who}: patients are counted, one to a patient; a design effect is for rows of lesions.")


def _names(trials: pd.DataFrame) -> np.ndarray[Any, Any]:
    names = trials["study"] if "study" in trials.columns else trials.index
    return np.array(labels(names, len(trials)))


def _correlations(icc: float | Sequence[float] | FloatArray) -> tuple[list[float], bool]:
    """Values of the intracluster correlation, and whether there are several."""
    try:
        given = np.asarray(icc)
        if given.dtype.kind not in "fiub":
            raise TypeError(given.dtype)
        values = given.astype(np.float64)
    except Exception as error:  # ragged lists, and whatever an object does when it is asked for its values
        raise OptionError(f"icc={shown(icc)} must be a number in [0, 1], or several.") from error
    truth = given.dtype.kind == "b"
    if values.size == 0 or values.ndim > 1 or truth or not ((values >= 0) & (values <= 1)).all():
        raise OptionError(
            f"icc={shown(icc)} must lie in [0, 1]: 0, independent lesions; 1, a patient's lesions are alike."
        )
    return np.atleast_1d(values).tolist(), values.ndim == 1


def _sizes(trials: pd.DataFrame, cluster_size: float | str | None) -> tuple[FloatArray, np.ndarray[Any, Any]]:
    """Mean lesions per patient of each row, and whether it is an assumption."""
    lesions, patients = (numbers(trials[name], name) for name in ("n_lesions", "n_patients"))
    with np.errstate(divide="ignore", invalid="ignore"):
        size = lesions / patients
    unknown = ~(np.isfinite(size) & (size >= 1))
    if not unknown.any():
        return size, unknown
    names = _names(trials)[unknown]
    if cluster_size is None:
        raise DataError(
            f"{len(names)} rows do not tell how many lesions a patient has: {listed(names)}. Give cluster_size=, a "
            f"number or {_MEDIAN!r} (the median of the other rows), or leave them out."
        )
    return np.where(unknown, _assumed(cluster_size, size[~unknown]), size), unknown


def _assumed(cluster_size: float | str, known: FloatArray) -> float:
    if isinstance(cluster_size, str) and cluster_size == _MEDIAN and known.size:
        return float(np.median(known))
    size = number(cluster_size)
    if size is not None and 1 <= size < np.inf:
        return size
    raise OptionError(
        f"cluster_size={shown(cluster_size)} must be a number of lesions per patient, 1 or more, or {_MEDIAN!r} where "
        "other rows have one."
    )
