"""Pooling effects whose sampling variances nobody printed: from the sample sizes alone, through PyMARE."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from metaan.errors import ConvergenceError, DataError, Note, OptionError
from metaan.measures.kinds import READY_MADE
from metaan.measures.pymare_api import pymare
from metaan.measures.record import Effects, complete
from metaan.models.pool import fit_normal, pool_spec
from metaan.models.results import PoolResult
from metaan.validate import LIKELIHOOD, MISSING, column, forbid, labels, numbers, same_length

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["pool_by_size"]


def pool_by_size(
    yi: Any,
    n: Any,
    *,
    data: pd.DataFrame | None = None,
    study: Any = None,
    method: str = "REML",
    test: str = "hk",
    level: float = 0.95,
    missing: str = "raise",
) -> PoolResult:
    """Pool effects without sampling variances, which are taken as sigma2/n with one unknown sigma2.

    Parameters
    ----------
    yi : array of shape (k,) or column name
        Effect sizes.
    n : array of shape (k,) or column name
        Sample sizes, > 0 and not all alike.
    data : pandas.DataFrame, optional
        Where column names are looked up.
    study : sequence of k labels or column name, optional
        Study labels; 1 ... k by default.
    method : {"REML", "ML"}
        Likelihood of sigma2 and tau2 together.
    test : {"hk", "hk-adhoc", "t", "z"}
        As in `metaan.pool`, sigma2 taken as known.
    level : float, default 0.95
        Level of the intervals, in (0.5, 1).
    missing : {"raise", "drop"}, default "raise"
        What to do with a study that has a missing value; dropping is noted.

    Returns
    -------
    PoolResult
        Its effects have ``vi`` = sigma2/n; a note says what sigma2 is.

    Raises
    ------
    DataError
        Fewer than 3 studies, sample sizes that are equal or not positive, missing or infinite values.
    ConvergenceError
        The likelihood is highest at sigma2 = 0, where there is no sampling error to tell tau2 from.
    OptionError
        Unknown option; ``test="kr"``.

    Notes
    -----
    y_i ~ N(mu, tau2 + sigma2/n_i), sigma2 and tau2 by PyMARE's ``SampleSizeBasedLikelihoodEstimator``. Only differing
    sample sizes tell the two apart: the fewer and the more alike the studies, the less is known. Prefer variances from
    `metaan.se_from_ci` or `metaan.se_from_pvalue` wherever a paper gives an interval or a p-value.

    References
    ----------
    Sangnawakij P, Böhning D, Niwitpong SA, Adams S, Stanton M, Holling H (2019). Stat Methods Med Res 28:196-210.
    doi:10.1177/0962280217718867

    Examples
    --------
    >>> from metaan import pool_by_size
    >>> res = pool_by_size([0.1, 0.3, 0.2, 0.6, 0.9, 0.25], [200, 150, 100, 20, 10, 400])
    >>> round(res.estimate, 3)
    0.234
    """
    if test == "kr":
        raise OptionError("test='kr' (Kenward-Roger) needs known sampling variances; choose hk, hk-adhoc, t or z.")
    MISSING.check(missing)
    LIKELIHOOD.check(method)
    spec = pool_spec(READY_MADE.default, method, test, level, "t")
    arrays = {name: numbers(column(data, value, name), name) for name, value in (("yi", yi), ("n", n))}
    names = labels(column(data, study, "study"), same_length(arrays))
    arrays, names, rows, notes = complete(arrays, names, data, missing)
    forbid(~(arrays["n"] > 0), names, "n must be positive", [arrays["n"]])
    y, size = arrays["yi"], arrays["n"]
    if len(y) < 3 or np.ptp(size) == 0:
        known = f"{len(y)} studies, n from {size.min():g} to {size.max():g}"
        raise DataError(f"{known}: at least three are needed, not all of one size.")
    tau2, sigma2 = _components(y, size, method)
    text = f"No variances were given: they are taken as {sigma2:.4g}/n, estimated with tau2 and then taken as known"
    note = Note("sizes-alone", f"{text}; Q would only repeat that fit and is left out.")
    eff = Effects(
        yi=y, vi=sigma2 / size, study=names, measure=spec.measure, data=rows, notes=(*notes, note), inputs={"n": size}
    )
    return dataclasses.replace(fit_normal(eff, spec, tau2=tau2), Q=math.nan, Q_pvalue=math.nan)


def _components(y: Any, size: Any, method: str) -> tuple[float, float]:
    """tau2 and sigma2, in units in which PyMARE's stopping rule is fine enough."""
    unit, centre = float(np.std(y)), float(np.mean(y))
    if unit <= 1e-12 * float(np.abs(y).max()):
        raise DataError("All effects are equal: nothing tells how large sampling errors are. Give variances instead.")
    estimator = pymare("estimators").SampleSizeBasedLikelihoodEstimator(
        method=method.lower(), weight_scheme="individual", small_sample_correction="wald", xtol=1e-12
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        # sizes count relative to one another
        estimator.fit(((y - centre) / unit)[:, None], (size / size.mean())[:, None], np.ones((len(y), 1)))
    tau2, sigma2 = (float(np.ravel(estimator.params_[name])[0]) * unit**2 for name in ("tau2", "sigma2"))
    sigma2 *= float(size.mean())
    if not sigma2 / size.mean() > 1e-8 * (tau2 + sigma2 / size.mean()):
        raise ConvergenceError("The likelihood is highest without sampling error (sigma2 = 0): give variances instead.")
    return (tau2 if tau2 > 1e-8 * sigma2 / size.max() else 0.0), sigma2
