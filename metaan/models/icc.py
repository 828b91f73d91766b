"""The pooled rate under several intracluster correlations, in one fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from metaan.core.binomial import Binomial
from metaan.core.binomial_fit import fit
from metaan.core.inference import quantile
from metaan.errors import DataError, listed
from metaan.measures.proportion import counts
from metaan.models.glmm_spec import TEST
from metaan.validate import check_level

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["icc_sensitivity"]


def icc_sensitivity(
    trials: pd.DataFrame,
    *,
    icc: float | Sequence[float] = (0.0, 0.1, 0.3, 0.5),
    cluster_size: float | str | None = None,
    test: str = "t",
    level: float = 0.95,
) -> pd.DataFrame:
    """Pooled response rate of lesions for several assumed correlations of lesions within a patient.

    Parameters
    ----------
    trials : pandas.DataFrame
        Rows that count lesions, e.g. from `metaan.load`: events, total, n_patients, n_lesions and study.
    icc : float or sequence of float, default (0, 0.1, 0.3, 0.5)
        Intracluster correlations, each in [0, 1].
    cluster_size : float or "median", optional
        As in `metaan.design_effect`: lesions per patient where a study does not tell.
    test : {"t", "z"}
        As in `metaan.glmm`.
    level : float, default 0.95
        Level of the confidence and prediction intervals, in (0.5, 1).

    Returns
    -------
    pandas.DataFrame
        One row for each correlation: icc, k, total (effective number of lesions), estimate, ci_low, ci_high, pi_low,
        pi_high (rates), tau2 (logit scale), converged. The prediction interval is that of t with k - 1 degrees of
        freedom; NaN with fewer than 3 studies. ``attrs["notes"]`` says what was assumed, as text.

    Raises
    ------
    InputError, OptionError, DataError
        As `metaan.design_effect`; also where no study has an event, or every study nothing but events, since no pooled
        logit exists.

    Notes
    -----
    Every correlation is a meta-analysis of its own in one batch of the binomial-normal model; the rows are those of
    `metaan.glmm` of `metaan.design_effect`, one correlation at a time. As the correlation rises, the studies weigh less
    and more alike, and tau2 falls: part of what looks like difference between studies is chance in few patients.

    Examples
    --------
    >>> import metaan
    >>> trials = metaan.load("photodynamic", outcome="complete_response", unit="lesion", overlaps="prefer_largest")
    >>> table = icc_sensitivity(trials, icc=[0, 0.5], cluster_size="median")
    >>> bool(table["total"].is_monotonic_decreasing)
    True
    """
    import pandas as pd

    from metaan.evidence.units import design_effect

    TEST.check(test)
    level = check_level(level)
    frame = design_effect(trials, icc=np.atleast_1d(icc), cluster_size=cluster_size)
    k = len(trials)
    counts(trials, "events", "total", "study" if "study" in trials.columns else None, "raise")
    arrays = (frame[name].to_numpy(dtype=np.float64) for name in ("events", "total"))
    events, total = (np.ascontiguousarray(array.reshape(-1, k).T) for array in arrays)
    values = frame["icc"].to_numpy()[::k]
    found = fit(Binomial.from_counts(events, total))
    if found.separated.any() or found.held.any():
        raise DataError("Every study has no event, or nothing but events: no rate of the median study to vary.")
    se = np.sqrt(found.cov[:, 0, 0])
    t = float(quantile(np.inf if test == "z" or k == 1 else k - 1.0, level))
    spread = np.hypot(found.tau, se) if k > 2 else np.full(len(values), np.nan)
    wide = float(quantile(max(k - 1.0, 1.0), level))
    limits: dict[str, Any] = {
        "ci_low": -t * se, "ci_high": t * se, "pi_low": -wide * spread, "pi_high": wide * spread,
    }  # fmt: skip
    table = pd.DataFrame(
        {"icc": values, "k": k, "total": total.sum(axis=0), "estimate": expit(found.mu)}
        | {name: expit(found.mu + shift) for name, shift in limits.items()}
        | {"tau2": found.tau**2, "converged": found.converged}
    )
    table.attrs["notes"] = [_assumed(frame.iloc[:k])]
    return table


def _assumed(frame: pd.DataFrame) -> str:
    names = frame["study"] if "study" in frame.columns else frame.index.to_series()
    guessed = names[frame["cluster_size_assumed"].to_numpy(dtype=bool)]
    text = "One correlation is assumed for every study; lesions per patient are the lesions over the patients"
    if not len(guessed):
        return f"{text}."
    size = frame.loc[frame["cluster_size_assumed"].to_numpy(dtype=bool), "cluster_size"].iloc[0]
    return f"{text}, but {size:.3g} is assumed for {listed(guessed)}, where these are not known or do not fit."
