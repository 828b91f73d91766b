"""Multilevel models: several estimates of one study, studies of one group, groups of one country ..."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc

from metaan.core.coefficients import Covariance
from metaan.core.many_nested import told_apart
from metaan.core.nested import Nested, apply_inverse, blocks, fits, solve, within_trace
from metaan.core.nested_search import maximise, profile_limits
from metaan.errors import DataError, InputError, Note, OptionError, listed, shown
from metaan.measures.correction import as_data
from metaan.measures.record import Effects
from metaan.models.cautions import data_notes
from metaan.models.design import Moderators, group_values, moderators
from metaan.models.multilevel_result import MultilevelResult
from metaan.models.precision import double_precision
from metaan.models.results import Spec
from metaan.models.wald import coefficient_fields, moderator_fields
from metaan.validate import LIKELIHOOD, NESTED_TEST, FloatArray, check_level

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["multilevel", "sampling_covariance", "sigma2_interval"]

IntArray = npt.NDArray[np.intp]


def multilevel(
    eff: Effects,
    random: str,
    *,
    formula: str = "~ 1",
    method: str = "REML",
    test: str = "contain",
    level: float = 0.95,
    vcov: Any = None,
    missing: str = "raise",
) -> MultilevelResult:
    """Pool estimates that are nested in groups: one variance component for each level.

    Parameters
    ----------
    eff : Effects
        k estimates, several of a study where it gives several.
    random : str
        Columns of the data from the outermost level inwards, such as ``"district/school"``. ``study`` are the study
        labels where no column has that name; ``estimate`` is each estimate by itself: ``"study/estimate"``.
    formula : str, default "~ 1"
        Moderators, as in `metaan.regress`.
    method : {"REML", "ML"}
        Likelihood.
    test : {"contain", "t", "z"}
        Reference distribution: t whose degrees of freedom are the number of groups, of the smallest level within whose
        groups the moderator is constant, less p (default); t with k - p; normal.
    level : float, default 0.95
        Level of the intervals, in (0.5, 1).
    vcov : array of shape (k, k), optional
        Covariance of the sampling errors, such as `metaan.sampling_covariance` makes; independent errors by default.
    missing : {"raise", "drop"}, default "raise"
        What to do with an estimate whose moderators or groups are not known; dropping is noted.

    Returns
    -------
    MultilevelResult
        As `RegressResult`, arrays of shape (p,), and `sigma2` of each level.

    Raises
    ------
    InputError
        `eff` is no Effects record; a column is not there.
    OptionError
        Unknown option; a `vcov` that is no covariance matrix, does not have the variances of `eff` or links groups.
    DataError
        A missing group, as many outermost groups as one, dependent moderators.

    Notes
    -----
    y ~ N(X beta, V + sum of sigma2_l D_l) with D_l one for two estimates of the same group at level l; `tau2` is the
    sum of the components. The maximum is searched from every peak of a scan with exact first and second derivatives.
    QE is the generalised residual sum of squares at sigma2 = 0. I2 of a level is sigma2_l over the sum of all sigma2
    and the typical sampling variance (k - p)/tr P (Nakagawa & Santos 2012). Agrees with metafor's ``rma.mv``.

    References
    ----------
    Konstantopoulos S (2011). Res Synth Methods 2:61-76. doi:10.1002/jrsm.35
    Cheung MWL (2014). Psychol Methods 19:211-229. doi:10.1037/a0032968

    Examples
    --------
    >>> from metaan import effects, multilevel
    >>> eff = effects([0.1, 0.3, 0.5, 0.4, 0.2, 0.0], [0.01] * 6, study=["A", "A", "B", "B", "C", "C"])
    >>> fit = multilevel(eff, "study/estimate")
    >>> [round(float(s), 4) for s in fit.sigma2]
    [0.025, 0.005]
    """
    if not isinstance(eff, Effects):
        raise InputError(f"multilevel takes an Effects record, not {type(eff).__name__}: make one with effect_size.")
    spec = Spec(
        model="multilevel", measure=eff.measure, method=LIKELIHOOD.check(method), test=NESTED_TEST.check(test),
        level=check_level(level), pi="t", formula=formula,
    )  # fmt: skip
    names = _levels(random)
    full = eff.k
    eff, design = moderators(_with_rows(as_data(eff), names), formula, missing, also=names)
    codes = _codes(eff, names)
    v = _sampling(vcov, full, design.rows, eff, codes[0])
    with double_precision("The effects and their sampling variances"):
        data = blocks(eff.yi, design.matrix, eff.vi if v is None else v, codes)
        _check_identified(names, codes, data)
        sigma2, converged = maximise(data, restricted=method == "REML")
        return _result(eff, spec, design, (names, codes, v), data, sigma2[0], bool(converged[0]))


def _levels(random: Any) -> tuple[str, ...]:
    names = tuple(part.strip() for part in random.split("/")) if isinstance(random, str) else ()
    if not names or not all(names) or len(set(names)) != len(names):
        raise OptionError(f"random={shown(random)} must name different levels, outermost first: 'district/school'.")
    return names


def _with_rows(eff: Effects, names: tuple[str, ...]) -> Effects:
    """The effects with a column for every level: `study` and `estimate` are made where they are not there."""
    import dataclasses

    import pandas as pd

    aligned = eff.data is not None and len(eff.data) == eff.k
    if aligned and eff.data is not None and all(name in eff.data.columns for name in names):
        return eff
    rows = eff.data.copy() if aligned and eff.data is not None else pd.DataFrame(index=range(eff.k))
    for name, values in (("study", list(eff.study)), ("estimate", list(range(1, eff.k + 1)))):
        if name in names and name not in rows.columns:
            rows[name] = values
    absent = [name for name in names if name not in rows.columns]
    if absent:
        known = ", ".join(map(str, rows.columns))
        raise InputError(f"random names {listed(absent)}, not among the columns of the data: {known}.")
    return dataclasses.replace(eff, data=rows)


def _codes(eff: Effects, names: tuple[str, ...]) -> tuple[IntArray, ...]:
    """Group of each estimate at each level; a school is one within its district only."""
    import pandas as pd

    assert eff.data is not None
    codes: list[IntArray] = []
    for name in names:
        code = pd.factorize(eff.data[name].to_numpy())[0].astype(np.intp)
        codes.append(pd.factorize(codes[-1] * (code.max() + 1) + code)[0].astype(np.intp) if codes else code)
    counts = [int(code.max()) + 1 for code in codes]
    if counts[0] < 2:
        raise DataError(f"All estimates are of one {names[0]}: its variance cannot be estimated.")
    for i in range(1, len(names)):
        if counts[i] == counts[i - 1]:
            raise DataError(f"Each {names[i - 1]} has one {names[i]}: the two levels are the same. Leave one out.")
    return tuple(codes)


def _check_identified(names: tuple[str, ...], codes: tuple[IntArray, ...], data: Nested) -> None:
    """Refuse a level whose groups the moderators tell apart: nothing is left from which to know its variance."""
    for name, code in zip(names, codes, strict=True):
        if told_apart(data.q[0], code):
            text = f"The moderators tell every {name} apart: its variance cannot be estimated"
            raise DataError(f"{text}. Take {name} out of random=, or a moderator out of the formula.")


def _sampling(vcov: Any, full: int, rows: IntArray, eff: Effects, outer: IntArray) -> FloatArray | None:
    """The covariance of the sampling errors of the estimates in use, checked."""
    if vcov is None:
        return None
    try:
        v = np.array(vcov)
        if v.dtype.kind not in "fiu":
            raise TypeError(v.dtype)
        v = v.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise OptionError(f"vcov must be a matrix of numbers, not {type(vcov).__name__}.") from error
    if v.shape != (full, full):
        raise OptionError(f"vcov has shape {v.shape}; {full} estimates need ({full}, {full}).")
    v = v[np.ix_(rows, rows)]
    if not np.allclose(v, v.T, rtol=1e-10, atol=0) or not np.allclose(np.diagonal(v), eff.vi, rtol=1e-8, atol=0):
        raise OptionError("vcov must be symmetric, with the sampling variances of the effects on its diagonal.")
    linked = (v != 0) & (outer[:, None] != outer[None, :])
    if linked.any():
        i, j = np.argwhere(linked)[0]
        raise OptionError(
            f"vcov links estimates of two outermost groups: those of study {eff.study[i]!r} and {eff.study[j]!r}."
        )
    if np.linalg.eigvalsh(v)[0] <= 0:
        raise OptionError("vcov is not positive definite.")
    return np.asarray((v + v.T) / 2, dtype=np.float64)


def sampling_covariance(eff: Effects, cluster: Any, *, correlation: float) -> FloatArray:
    """Covariance of sampling errors from one assumed correlation of the estimates of a cluster.

    Parameters
    ----------
    eff : Effects
        k estimates.
    cluster : str or sequence of k labels
        Column of the data (``"study"`` also means the labels), or the cluster of each estimate.
    correlation : float
        Of the sampling errors of two estimates of one cluster, in (-1, 1).

    Returns
    -------
    array of shape (k, k)
        correlation sqrt(v_i v_j) within clusters, v_i on the diagonal, 0 elsewhere.

    Raises
    ------
    OptionError
        A correlation out of range, or so negative that clusters of this size cannot have it.
    InputError
        An unknown column or a wrong number of labels.

    References
    ----------
    Pustejovsky JE, Tipton E (2022). Prev Sci 23:425-438. doi:10.1007/s11121-021-01246-3

    Examples
    --------
    >>> from metaan import effects, sampling_covariance
    >>> eff = effects([0.1, 0.3, 0.5], [0.04, 0.04, 0.09], study=["A", "A", "B"])
    >>> sampling_covariance(eff, "study", correlation=0.5).round(3).tolist()
    [[0.04, 0.02, 0.0], [0.02, 0.04, 0.0], [0.0, 0.0, 0.09]]
    """
    if not isinstance(eff, Effects):
        raise InputError(f"sampling_covariance takes an Effects record, not {type(eff).__name__}.")
    known = isinstance(correlation, (int, float, np.floating)) and not isinstance(correlation, bool)
    if not known or not -1 < correlation < 1:
        raise OptionError(f"correlation={shown(correlation)} must be a number between -1 and 1.")
    of = clusters(eff, cluster)
    largest = int(np.bincount(of).max())
    if correlation < 0 and correlation * (largest - 1) <= -1:
        raise OptionError(f"correlation={correlation:g} is impossible among {largest} estimates of one cluster.")
    root = np.sqrt(eff.vi)
    v = np.where(of[:, None] == of[None, :], correlation * np.outer(root, root), 0.0)
    np.fill_diagonal(v, eff.vi)
    return v


def cluster_labels(eff: Effects, cluster: Any) -> list[Any]:
    """Label of the cluster of each estimate: a column of the data, the study labels, or as given."""
    if isinstance(cluster, str):
        known = eff.data is not None and cluster in eff.data.columns and len(eff.data) == eff.k
        if known and eff.data is not None:
            return group_values(eff, eff.data[cluster], "cluster")
        if cluster != "study":
            raise InputError(f"cluster={shown(cluster)} is not a column of the data behind the effects.")
        return list(eff.study)
    return group_values(eff, cluster, "cluster")


def clusters(eff: Effects, cluster: Any) -> IntArray:
    """Number of the cluster of each estimate, 0 ..., by first appearance."""
    number: dict[Any, int] = {}
    return np.array([number.setdefault(label, len(number)) for label in cluster_labels(eff, cluster)], dtype=np.intp)


def sigma2_interval(fit: MultilevelResult, *, level: float | None = None) -> pd.DataFrame:
    """Profile-likelihood intervals of the variance components.

    Parameters
    ----------
    fit : MultilevelResult
    level : float, optional
        Confidence level; that of the fit by default.

    Returns
    -------
    pandas.DataFrame
        One row for each level: level, sigma2, low, high (inf where the likelihood never falls far enough).

    Raises
    ------
    InputError
        `fit` comes from another function.

    Examples
    --------
    >>> from metaan import effects, multilevel, sigma2_interval
    >>> eff = effects([0.1, 0.3, 0.5, 0.4, 0.2, 0.0], [0.01] * 6, study=["A", "A", "B", "B", "C", "C"])
    >>> sigma2_interval(multilevel(eff, "study/estimate")).round(3)["low"].tolist()
    [0.0, 0.0]
    """
    import pandas as pd

    if not isinstance(fit, MultilevelResult):
        raise InputError(f"sigma2_interval takes the result of multilevel, not {type(fit).__name__}.")
    confidence = fit.spec.level if level is None else check_level(level)
    eff, restricted = fit.effects, fit.spec.method == "REML"
    with double_precision("The effects and their sampling variances"):
        data = blocks(eff.yi, fit.moderators.matrix, eff.vi if fit.vcov is None else fit.vcov, fit.codes)
        best = solve(data, fit.sigma2, restricted=restricted)
        limits = [profile_limits(data, best, i, confidence, restricted=restricted) for i in range(len(fit.levels))]
    return pd.DataFrame(
        {
            "level": fit.levels, "sigma2": fit.sigma2,
            "low": [low for low, _ in limits], "high": [high for _, high in limits],
        }
    )  # fmt: skip


def _df(spec: Spec, design: Moderators, codes: tuple[IntArray, ...]) -> FloatArray:
    """Degrees of freedom of each coefficient (metafor's containment rule), before they are raised to 1."""
    k, p = design.matrix.shape
    counts = np.full(p, k)
    for code in codes if spec.test == "contain" else ():
        first = np.unique(code, return_index=True)[1]
        constant = (design.matrix == design.matrix[first][code]).all(axis=0)
        counts = np.where(constant, np.minimum(counts, len(first)), counts)
    return np.asarray(counts - p, dtype=np.float64)


def _result(
    eff: Effects, spec: Spec, design: Moderators,
    parts: tuple[tuple[str, ...], tuple[IntArray, ...], FloatArray | None],
    data: Nested, sigma2: FloatArray, converged: bool,
) -> MultilevelResult:  # fmt: skip
    names, codes, v = parts
    p, total = len(design.names), float(sigma2.sum())
    best, zero = fits(data, None, np.array([sigma2, 0 * sigma2]), restricted=spec.method == "REML").each()
    beta = np.linalg.inv(data.r[0]) @ best.gamma
    df = None if spec.test == "z" else _df(spec, design, codes)
    of = Covariance(best.cov, data.r[0], math.inf, each=None if df is None else np.maximum(df, 1.0))
    typical, q_df = (eff.k - p) / float(within_trace(data, zero.cov[None])[0]), eff.k - p
    fitted = design.matrix @ beta
    u, even, *weighed = apply_inverse(data, sigma2, np.column_stack([eff.yi - fitted, np.ones(eff.k), data.q[0]])).T
    own = eff.vi * u if v is None else v @ u
    shares = 100 * sigma2 / (total + typical)
    return MultilevelResult(
        estimate=beta, **coefficient_fields(beta, of, spec.level), names=design.names, cov=of.cov,
        **moderator_fields(beta, of, design.intercept),
        R2=math.nan, QE=float(zero.Q), QE_df=q_df, QE_pvalue=float(chdtrc(q_df, zero.Q)),
        k=eff.k, tau2=total, tau=math.sqrt(total), I2=float(shares.sum()), H2=(total + typical) / typical,
        loglik=float(best.loglik), fitted=fitted, blup=eff.yi - own,
        weights=100 * even / even.sum(), leverage=(data.q[0] @ best.cov * np.column_stack(weighed)).sum(axis=1),
        moderators=design, inference=of, spec=spec, effects=eff,
        notes=eff.notes + data_notes(eff.data) + _notes(names, codes, sigma2, converged, v) + _raised(design, df),
        sigma2=sigma2, levels=names, groups=tuple(int(code.max()) + 1 for code in codes), I2_levels=shares,
        codes=codes, vcov=v,
    )  # fmt: skip


def _raised(design: Moderators, df: FloatArray | None) -> tuple[Note, ...]:
    if df is None or (df >= 1).all():
        return ()
    few = listed(name for name, value in zip(design.names, df, strict=True) if value < 1)
    text = f"The groups leave no degrees of freedom for {few}; 1 is used, and its interval is a rough guide"
    return (Note("df-raised", f"{text} at best."),)


def _notes(
    names: tuple[str, ...], codes: tuple[IntArray, ...], sigma2: FloatArray, converged: bool, v: FloatArray | None
) -> tuple[Note, ...]:
    notes = []
    zero = [name for name, s in zip(names, sigma2, strict=True) if s == 0]
    if zero:
        notes.append(Note("sigma2-zero", f"The variance between {listed(zero)} is estimated as 0."))
    if codes[-1].max() + 1 < len(codes[-1]):
        text = f"Several estimates share a {names[-1]}, whose true effects are taken as equal"
        notes.append(Note("no-estimate-level", f"{text}; add /estimate to random= to let them differ."))
    if v is not None and (v != np.diag(np.diagonal(v))).any():
        notes.append(Note("vcov", "Sampling errors are correlated as vcov= says."))
    if v is None and codes[0].max() + 1 < len(codes[0]):
        text = "Sampling errors are taken as independent; estimates of the same patients are not"
        notes.append(Note("independent-errors", f"{text}: give vcov= or use metaan.robust."))
    groups = int(codes[0].max()) + 1
    if groups < 10:
        notes.append(Note("few-groups", f"{groups} groups at the level of {names[0]}: its variance is hardly known."))
    if not converged:
        notes.append(Note("not-converged", "The search of the variances stopped before they settled."))
    return tuple(notes)
