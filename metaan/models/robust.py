"""Cluster-robust inference on a fitted model, through PyMARE."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from metaan.core.clusters import Clusters, by_size
from metaan.core.coefficients import Covariance
from metaan.errors import InputError, Note, OptionError, listed
from metaan.measures.pymare_api import pymare
from metaan.models.multilevel import cluster_labels, clusters
from metaan.models.multilevel_result import MultilevelResult
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult, Spec
from metaan.models.wald import coefficient_fields, moderator_fields
from metaan.validate import ROBUST, FloatArray, check_level

__all__ = ["robust"]

Fitted = TypeVar("Fitted", PoolResult, RegressResult)
_FEW: Final = 4.0
_LOST: Final = 1e-10  # smallest eigenvalue of what a cluster leaves of the orthonormal design


class _White(NamedTuple):
    """A fit in units in which its model has independent errors of variance 1, its design orthonormal: x = q r."""

    y: FloatArray
    q: FloatArray
    r: FloatArray
    gamma: FloatArray
    """r times the coefficients."""
    codes: npt.NDArray[np.intp]

    @classmethod
    def of(cls, y: FloatArray, x: FloatArray, beta: FloatArray, codes: npt.NDArray[np.intp]) -> _White:
        q, r = np.linalg.qr(x)
        return cls(y, q, r, r @ beta, codes)


def robust(res: Fitted, cluster: Any, *, kind: str = "CR2", level: float | None = None) -> Fitted:
    """Standard errors that stay right when estimates of one cluster depend on each other in an unknown way.

    Parameters
    ----------
    res : PoolResult, RegressResult or MultilevelResult
        From `metaan.pool`, `metaan.regress` or `metaan.multilevel`, whose estimates and variances stay as they are.
    cluster : str or sequence of k labels
        Column of the data behind the effects (``"study"`` also means the labels), or the cluster of each estimate.
    kind : {"CR2", "CR1", "CR1p", "CR0"}
        Small-sample correction. CR2 (default) uses the working model and Satterthwaite's degrees of freedom; the others
        multiply by m/(m - 1), m/(m - p) or 1, with m - p degrees of freedom for m clusters.
    level : float, optional
        Level of the intervals; that of `res` by default.

    Returns
    -------
    PoolResult, RegressResult or MultilevelResult
        A copy with new se, df, statistic, p-values and confidence limits (and, with moderators, cov and QM; contrasts,
        tests and predictions follow). The prediction interval of a pooled effect stays that of the model.

    Raises
    ------
    OptionError
        Unknown kind; a result that is no inverse-variance model; not more clusters than coefficients; clusters across
        the outermost groups of a multilevel model.
    InputError
        Unknown column, a wrong number of labels, a result on the display scale.

    Notes
    -----
    cov = M (sum over clusters of X_j' W_j A_j e_j e_j' A_j' W_j X_j) M, M = (X'WX)^-1. CR2 takes
    A_j = (I - H_j)^(-1/2) after whitening by the working model, so that the covariance is unbiased under it; R's
    clubSandwich closes the same condition with another symmetric root. For `pool` and `regress` both are equal where
    the weights are equal within clusters and differ by up to 1.6 % of a standard error elsewhere; for `multilevel` by
    up to 4 %; by more where fewer than 4 degrees of freedom are left, which is noted. Several coefficients are tested
    together by Hotelling's T2 with the degrees of freedom of Pustejovsky & Tipton ("HTZ"). CR1p is the default of
    metafor's ``robust``.

    References
    ----------
    Hedges LV, Tipton E, Johnson MC (2010). Res Synth Methods 1:39-65. doi:10.1002/jrsm.5
    Pustejovsky JE, Tipton E (2018). J Bus Econ Stat 36:672-683. doi:10.1080/07350015.2016.1247004

    Examples
    --------
    >>> from metaan import effects, pool, robust
    >>> study = ["A", "A", "B", "C", "C", "D", "E", "F"]
    >>> eff = effects([0.1, 0.2, 0.5, 0.3, 0.4, 0.0, 0.6, 0.2], [0.01] * 8, study=study)
    >>> res = robust(pool(eff), "study")
    >>> round(res.se, 4), round(res.df, 2)
    (0.0779, 4.37)
    """
    ROBUST.check(kind)
    _check(res)
    names = cluster_labels(res.effects, cluster)
    white = _whiten(res, clusters(res.effects, names))
    m, p = int(white.codes.max()) + 1, white.q.shape[1]
    if m <= p:
        raise OptionError(f"{m} clusters cannot give standard errors to {p} coefficients.")
    named = cluster if isinstance(cluster, str) else "the clusters given"
    level = res.spec.level if level is None else check_level(level)
    spec = dataclasses.replace(res.spec, test=kind, level=level, cluster=named)
    of = _covariance(white, kind, m)
    if isinstance(res, PoolResult):
        return _pooled(res, spec, of, _notes(white, names, named, of))
    return _regression(res, spec, of, _notes(white, names, named, of))


def _check(res: Any) -> None:
    if not isinstance(res, (PoolResult, RegressResult)):
        raise InputError(f"robust takes a fitted model, not {type(res).__name__}.")
    if isinstance(res, PoolResult) and (res.spec.model != "normal" or res.scale != "analysis"):
        what = "a result on the display scale" if res.scale != "analysis" else f"model {res.spec.model!r}"
        raise OptionError(f"robust is for the results of pool, regress and multilevel as they are fitted, not {what}.")
    if res.spec.method == "GENQ":
        raise OptionError("robust takes its weights from the model; those of method='GENQ' are the caller's.")
    if res.spec.test in ROBUST.choices:
        raise OptionError(f"The result is cluster-robust already ({res.spec.test}): take the one before.")


def _whiten(res: PoolResult | RegressResult, codes: npt.NDArray[np.intp]) -> _White:
    eff = res.effects
    if isinstance(res, PoolResult):
        root = np.sqrt(res.weights)  # any multiple of the weights gives the same covariance
        return _White.of(root * eff.yi, root[:, None], np.array([res.estimate]), codes)
    x = res.moderators.matrix
    if not isinstance(res, MultilevelResult):
        root = 1 / np.sqrt(eff.vi + res.tau2)
        return _White.of(root * eff.yi, root[:, None] * x, res.estimate, codes)
    return _whiten_nested(res, codes)


def _whiten_nested(res: MultilevelResult, codes: npt.NDArray[np.intp]) -> _White:
    eff, outer = res.effects, res.codes[0]
    first = np.unique(outer, return_index=True)[1]
    if (codes != codes[first][outer]).any():
        text = f"Each {res.levels[0]} must lie in one cluster: the model lets its estimates depend on each other"
        raise OptionError(f"{text}. Use cluster={res.levels[0]!r} or a coarser one.")
    y, x = np.empty_like(eff.yi), np.empty_like(res.moderators.matrix)
    for rows in by_size(outer):
        size = rows.shape[1]
        block = eff.vi[rows, None] * np.eye(size) if res.vcov is None else res.vcov[rows[:, :, None], rows[:, None]]
        for code, sigma2 in zip(res.codes, res.sigma2, strict=True):
            block += sigma2 * (code[rows][:, :, None] == code[rows][:, None])
        lower = np.linalg.cholesky(block)
        y[rows] = np.linalg.solve(lower, eff.yi[rows][..., None])[..., 0]
        x[rows] = np.linalg.solve(lower, res.moderators.matrix[rows])
    return _White.of(y, x, res.estimate, codes)


def _covariance(white: _White, kind: str, m: int) -> Covariance:
    p = white.q.shape[1]
    one = np.ones((len(white.y), 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few clusters: noted in the result
        found = pymare("stats").cluster_robust_cov(
            white.y[:, None], one, white.q, white.gamma[:, None], white.codes, tau2=0.0, small_sample=kind == "CR1p",
            model_cov=np.eye(p)[:, :, None], w=one, method="CR2" if kind == "CR2" else "CR0",
        )  # fmt: skip
    inner = np.array(found[:, :, 0]) * (m / (m - 1) if kind == "CR1" else 1.0)
    if kind == "CR2":
        return Covariance(inner, white.r, math.nan, clusters=Clusters.of_design(white.q, white.codes), robust=True)
    return Covariance(inner, white.r, float(m - p), robust=True)


def _full_leverage(white: _White) -> list[int]:
    """Clusters without whose rows the design would lose a column."""
    outer = np.zeros((int(white.codes.max()) + 1, white.q.shape[1], white.q.shape[1]))
    np.add.at(outer, white.codes, white.q[:, :, None] * white.q[:, None, :])
    left = np.linalg.eigvalsh(np.eye(outer.shape[1]) - outer)[:, 0]
    return [int(j) for j in np.flatnonzero(left < _LOST)]


def _notes(white: _White, cluster: Sequence[str], by: str, of: Covariance) -> tuple[Note, ...]:
    m = int(white.codes.max()) + 1
    sizes = np.bincount(white.codes)
    each = f"{sizes.min()}" if sizes.min() == sizes.max() else f"{sizes.min()} to {sizes.max()}"
    notes = [Note("clusters", f"Standard errors are robust by {by}: {m} clusters of {each} estimates.")]
    df = min(of.contrast_df(row) for row in np.eye(white.q.shape[1]))
    if df < _FEW:
        text = f"{m} clusters leave {df:.2g} degrees of freedom, too few for trustworthy p-values"
        notes.append(Note("robust-few", f"{text} (Tipton 2015 asks for at least 4)."))
    alone = _full_leverage(white)
    if alone:
        labels = listed(cluster[int(np.flatnonzero(white.codes == j)[0])] for j in alone)
        text = f"Cluster {labels} alone tells of a coefficient, whose robust standard error is too small, or none"
        notes.append(Note("full-leverage", f"{text}: do not trust it."))
    if m == len(white.y):
        notes.append(Note("robust-single", "Each cluster has one estimate: robust against wrong variances alone."))
    return tuple(notes)


def _pooled(res: PoolResult, spec: Spec, of: Covariance, notes: tuple[Note, ...]) -> PoolResult:
    made = coefficient_fields(np.array([res.estimate]), of, spec.level)
    own: dict[str, Any] = {name: float(value[0]) for name, value in made.items()}
    shrink = res.tau2 / (res.tau2 + res.effects.vi)
    spread = np.sqrt(shrink * res.effects.vi + (1 - shrink) ** 2 * own["se"] ** 2)
    return dataclasses.replace(res, **own, spec=spec, notes=_kept(res.notes) + notes, blup_se=spread)


def _regression(res: RegressResult, spec: Spec, of: Covariance, notes: tuple[Note, ...]) -> RegressResult:
    fields = coefficient_fields(res.estimate, of, spec.level)
    fields |= moderator_fields(res.estimate, of, res.moderators.intercept)
    return dataclasses.replace(res, **fields, cov=of.cov, inference=of, spec=spec, notes=_kept(res.notes) + notes)


def _kept(notes: tuple[Note, ...]) -> tuple[Note, ...]:
    """Notes that are true of the robust result too."""
    return tuple(note for note in notes if note.code not in _OF_THE_MODEL)


_OF_THE_MODEL: Final = (
    "independent-errors",
    "hk-narrow",
    "hk-common",
    "identical",
    "df-raised",
    "pi-narrow",
    "repeated-studies",
)
