"""Pooled results that reviews printed: targets to reproduce, never inputs."""

from __future__ import annotations

import pandas as pd

from metaan.evidence.store import table
from metaan.validate import Option

__all__ = ["published"]


def published(review: str | None = None) -> pd.DataFrame:
    """Pooled results as reviews printed them.

    Parameters
    ----------
    review : str, optional
        Key of one review, e.g. ``"spratt2014"``; all of them by default.

    Returns
    -------
    pandas.DataFrame
        One row for each printed result: review_id, citation, doi, therapy, population, unit ("" where the
        review does not say), outcome, k, n_patients, n_lesions (Int64), pooled_pct, ci_low, ci_high (per
        cent, NaN where not printed), model, source, url, notes.

    Raises
    ------
    OptionError
        Unknown review.

    Examples
    --------
    >>> float(published("spratt2014").set_index("outcome")["pooled_pct"]["complete_response"])
    35.5
    """
    rows = table("published")
    if review is None:
        return rows
    citations = dict(zip(rows["review_id"], rows["citation"], strict=True))
    chosen = Option("review", citations, "spratt2014").check(review)
    return rows[rows["review_id"] == chosen].reset_index(drop=True)
