"""Lesions within patients within studies: beta-binomial within a study, normal between studies."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.special import expit, ndtr

from metaan.core.clustered import Clusters
from metaan.core.clustered_profile import ClusteredFit, fit, mu_limits, rho_limits, separated_limit
from metaan.core.heterogeneity import cochran, i2_h2
from metaan.core.inference import log_pvalue, quantile
from metaan.core.wls import Data
from metaan.errors import DataError, InputError, Note, OptionError, listed, shown
from metaan.measures.proportion import Counts, counts
from metaan.measures.record import Effects, complete
from metaan.models.cautions import data_notes
from metaan.models.clustered_notes import fit_notes
from metaan.models.clustered_result import ClusteredResult
from metaan.models.glmm_spec import PI, TEST
from metaan.models.results import Convergence, Spec
from metaan.models.text import plural
from metaan.validate import CI, MISSING, FloatArray, check_level, column, forbid, labels, numbers, same_length

__all__ = ["clustered_binomial"]

_MOST_LESIONS: Final = 5_000  # of a patient: the sum over patients needs a transform of that length at every node
_LARGEST: Final = 1e6
_PI_LOSS: Final = {"t": 1.0, "hts": 2.0}


def clustered_binomial(
    data: Any = None,
    *,
    events: Any,
    total: Any,
    patients: Any = None,
    study: Any = None,
    icc: float | None = None,
    test: str = "t",
    ci: str = "wald",
    level: float = 0.95,
    pi: str = "t",
    missing: str = "raise",
) -> ClusteredResult:
    """Pool response rates of lesions, several to a patient, with the correlation within patients in the model.

    Parameters
    ----------
    data : pandas.DataFrame, optional
        Where column names are looked up: one row for each study, or one for each patient.
    events, total : array or column name
        Lesions with the event and lesions observed, whole numbers with 0 <= events <= total: of a study, or of a
        patient where labels of `study` repeat.
    patients : array of shape (k,) or column name, optional
        Patients of each study, 1 <= patients <= total, for rows that are studies.
    study : sequence of labels or column name, optional
        Study labels; 1 ... k by default. Without `patients` they are needed, and rows with one label are the patients
        of one study.
    icc : float, optional
        Intracluster correlation of the response of two lesions of one patient, in [0, 1), the same in every study.
        Estimated by default.
    test : {"t", "z"}
        Reference distribution of the Wald interval: t with k - 1 degrees of freedom or normal.
    ci : {"wald", "profile"}
        Wald interval on the logit scale, or profile likelihood.
    level : float, default 0.95
        Level of all intervals, in (0.5, 1).
    pi : {"t", "hts", "z", "simple", "none"}
        Prediction interval for the true rate of a new study, as in `metaan.glmm`.
    missing : {"raise", "drop"}, default "raise"
        What to do with a row that has a missing count; dropping is noted.

    Returns
    -------
    ClusteredResult
        On the logit scale; `ClusteredResult.back` gives rates. A rate is that of the median study.

    Raises
    ------
    InputError
        Neither `patients` nor labels that repeat, or both; lengths differ.
    OptionError
        Unknown option; `icc` outside [0, 1).
    DataError
        Counts that are impossible, more patients than lesions, effective counts of `metaan.design_effect`.

    Notes
    -----
    Lesions of patient j of study i: x_ij ~ BetaBinomial(m_ij, p_i, rho), with mean m p_i and correlation rho of two
    lesions; logit p_i ~ N(mu, tau2). Maximum likelihood over mu, tau2 >= 0 and 0 <= rho <= 1, standard errors from the
    observed information of what lies inside its range. Rows that are patients give each m_ij. Rows that are studies
    give sums: patients are then taken to have equally many lesions, as far as whole numbers allow, and the likelihood
    is that of the sum, exact, without normal approximation. With rho = 0 or one lesion to a patient the model is that
    of `metaan.glmm`.

    With one row for each study, rho and tau2 both are overdispersion of study totals, and only differences between
    studies in the number of patients tell them apart. See `rho_low` and `rho_high`, always given by profile likelihood
    where rho is estimated; where they lie far apart, assume values of `icc` over a range and show them all. An estimate
    near 1 rests on the assumed sizes: it asks whether totals are sums of whole patients, all lesions or none of each.

    Weights are a convention, as in `metaan.glmm`, with variances times the design effect 1 + (m - 1) rho, m the mean
    size of a lesion's cluster; so are Q, I2 and H2. The tests of tau2 = 0 and rho = 0 refer to the mixture of chi2(0)
    and chi2(1) in equal parts. No events at all, or nothing but events, leave no finite logit: the rate is 0 or 1 with
    a likelihood-ratio interval; where rho is not assumed it is that of the patients, the widest over rho.

    References
    ----------
    Williams DA (1975). Biometrics 31:949-952.
    Donner A, Klar N (2000). Design and Analysis of Cluster Randomization Trials in Health Research. Arnold, London.

    Examples
    --------
    >>> from metaan import clustered_binomial
    >>> lesions = {"events": [30, 4, 9, 12], "total": [60, 9, 12, 40], "patients": [12, 9, 4, 10]}
    >>> res = clustered_binomial(**lesions, icc=0.3)
    >>> print(f"{res.back().estimate:.3f} ({res.back().ci_low:.3f} to {res.back().ci_high:.3f})")
    0.457 (0.263 to 0.666)
    """
    spec = Spec(
        model="clustered", measure="PLO", method="ML", test=TEST.check(test), level=check_level(level),
        pi=PI.check(pi), ci=CI.check(ci), likelihood="beta-binomial",
    )  # fmt: skip
    rho = _correlation(icc)
    read = _read(data, {"events": events, "total": total, "patients": patients}, study, missing)
    told, notes = _identified(read, rho)
    found = fit(read.clusters, told)
    if found.held or found.separated:
        spec = dataclasses.replace(spec, ci="likelihood-ratio" if found.separated else "wald")
    return _result(read, spec, found, rho, [*read.eff.notes, *data_notes(read.eff.data), *read.notes, *notes])


class _Input(NamedTuple):
    eff: Effects
    clusters: Clusters
    summed: bool
    """Whether rows are studies, of which the sum over patients is known."""
    notes: tuple[Note, ...]


def _correlation(icc: Any) -> float | None:
    if icc is None:
        return None
    if isinstance(icc, (bool, np.bool_, str)) or not isinstance(icc, (int, float, np.integer, np.floating)):
        raise OptionError(f"icc={shown(icc)} must be one number in [0, 1), or None to estimate it.")
    if not 0 <= icc < 1:
        raise OptionError(
            f"icc={shown(icc)} must lie in [0, 1): 0, independent lesions; near 1, a patient's lesions respond alike."
        )
    return float(icc)


def _read(data: Any, given: dict[str, Any], study: Any, missing: str) -> _Input:
    """Rows of studies or of patients, checked."""
    MISSING.check(missing)
    summed = given["patients"] is not None
    if not summed and study is None:
        raise InputError(
            "Give patients=, the patients of each study, for rows that are studies; or study=, with a label for every "
            "row, for rows that are patients."
        )
    wanted = {name: value for name, value in given.items() if value is not None or name != "patients"}
    arrays = {name: numbers(column(data, value, name), name) for name, value in wanted.items()}
    names = labels(column(data, study, "study"), same_length(arrays))
    _check_labels(names, summed)
    arrays, names, rows, notes = complete(arrays, names, data, missing)
    read = counts(rows, arrays["events"], arrays["total"], names, "raise")
    if any(note.code == "design-effect" for note in read.notes):
        raise DataError("The counts are effective already: give the frame as it was before design_effect.")
    return _of_studies(read, arrays["patients"], notes) if summed else _of_patients(read, notes)


def _check_labels(names: tuple[str, ...], summed: bool) -> None:
    """Rows must be clearly studies, or clearly patients."""
    repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1] if len(set(names)) < len(names) else []
    if summed and repeated:
        raise InputError(
            f"patients= is for rows that are studies, but several rows have the label {listed(repeated)}. Leave it out "
            "if rows are patients; give arms of one study labels of their own."
        )
    if not summed and not repeated:
        raise InputError(
            "Every row has a label of its own, so that rows are studies: give patients=, their numbers of patients "
            "(1 for each where a row is one patient)."
        )


def _of_studies(read: Counts, patients: FloatArray, notes: tuple[Note, ...]) -> _Input:
    forbid(patients < 1, read.study, "patients must be at least 1", [patients])
    forbid(patients != np.floor(patients), read.study, "patients must be a whole number", [patients])
    more = patients > read.total
    what = "more patients than lesions, as if of the whole trial; patients must be those of the lesions in total"
    forbid(more, read.study, what, [patients, read.total])
    forbid(read.total > _LARGEST, read.study, "clustered_binomial takes totals up to a million", [read.total])
    large = (read.total > _MOST_LESIONS * patients) & (patients > 1)
    forbid(large, read.study, f"more than {_MOST_LESIONS} lesions a patient", [read.total, patients])
    unknown = (patients > 1) & (patients < read.total)
    text = (
        "The lesions of each patient are not known: a study's patients are taken to have equally many, as far as whole "
        "numbers allow."
    )
    assumed = (Note("sizes-assumed", text),) if unknown.any() else ()
    clusters = Clusters.from_totals(read.events, read.total, patients)
    return _Input(_effects(clusters, read.study, read, notes), clusters, True, assumed)


def _of_patients(read: Counts, notes: tuple[Note, ...]) -> _Input:
    number = {name: i for i, name in enumerate(dict.fromkeys(read.study))}
    code = np.array([number[name] for name in read.study], dtype=np.intp)
    clusters = Clusters.from_patients(read.events, read.total, code)
    if notes:
        gone = notes[0].studies
        text = f"{plural(len(gone), 'patient')} left out for missing values, of {listed(dict.fromkeys(gone))}."
        notes = (Note("dropped", text, tuple(dict.fromkeys(gone))),)
    return _Input(_effects(clusters, tuple(number), None, notes), clusters, False, ())


def _effects(clusters: Clusters, study: tuple[str, ...], read: Counts | None, notes: tuple[Note, ...]) -> Effects:
    """Empirical logits for tables and plots, 0.5 added at 0 and n, of lesions taken as independent."""
    x, n = clusters.x, clusters.N
    add = np.where((x == 0) | (x == n), 0.5, 0.0)
    hit, miss = x + add, n - x + add
    return Effects(
        yi=np.log(hit / miss), vi=1 / hit + 1 / miss, study=study, measure="PLO", events=x, total=n,
        data=None if read is None else read.data, notes=notes,
    )  # fmt: skip


def _identified(read: _Input, rho: float | None) -> tuple[float | None, list[Note]]:
    """The correlation to hold, if any, and why."""
    if read.clusters.size.max() <= 1:
        text = "Every patient has one lesion: there is no correlation within patients; the model is that of glmm."
        return 0.0, [Note("icc-not-identified", text)]
    if rho is not None:
        text = f"Lesions of one patient are assumed to correlate by {rho:g} (ICC), the same in every study."
        return rho, [Note("icc-assumed", text)]
    if read.summed and read.clusters.x.size == 1:
        text = (
            "One total cannot tell the correlation of lesions within patients, which is set to 0: the interval is that "
            "of independent lesions and too narrow where they are not. Give icc=, over a range."
        )
        return 0.0, [Note("icc-not-identified", text)]
    return None, []


def _result(read: _Input, spec: Spec, found: ClusteredFit, rho: float | None, notes: list[Note]) -> ClusteredResult:
    k, (mu, tau, icc) = read.eff.k, map(float, found.theta)
    se = math.sqrt(float(found.cov[0, 0])) if not found.separated else math.inf
    df = math.inf if spec.test == "z" or k == 1 or found.separated else k - 1.0
    low, high = _limits(read, spec, found, rho, se, df)
    statistic = math.nan if found.separated else mu / se
    log_p = float(log_pvalue(statistic, df)) if not found.separated else math.nan
    known = k > 2 and not (found.held or found.separated)
    pi_low, pi_high = _prediction(spec, k, mu, se, tau) if known else (math.nan, math.nan)
    rho_ends = _rho_limits(read, spec, found)
    notes += fit_notes(read.clusters, spec, found, read.summed, rho_ends, (low, high), pi_low)
    return ClusteredResult(
        estimate=mu, se=se, ci_low=low, ci_high=high, statistic=statistic, pvalue=math.exp(log_p), log_pvalue=log_p,
        df=df, pi_low=pi_low, pi_high=pi_high, **_convention(read, found),
        fitted=np.full(k, mu), blup=found.mean, blup_se=found.sd,
        rho=icc, rho_low=rho_ends[0], rho_high=rho_ends[1], rho_estimated=found.estimated, **_likelihood(found, k),
        convergence=Convergence(
            converged=found.converged, iterations=found.steps, maxima=found.maxima, nodes=found.nodes or None
        ),
        cov=found.cov, patients=read.clusters.patients.copy(),
        lesions_per_patient=read.clusters.N / read.clusters.patients, spec=spec, effects=read.eff, notes=tuple(notes),
    )  # fmt: skip


def _limits(
    read: _Input, spec: Spec, found: ClusteredFit, rho: float | None, se: float, df: float
) -> tuple[float, float]:
    if found.separated:
        limit = separated_limit(read.clusters, None if found.estimated else found.theta[2], spec.level)
        return (-math.inf, limit) if found.theta[0] < 0 else (-limit, math.inf)
    if spec.ci == "profile":
        return mu_limits(read.clusters, found, spec.level)
    half = float(quantile(df, spec.level)) * se
    return float(found.theta[0]) - half, float(found.theta[0]) + half


def _rho_limits(read: _Input, spec: Spec, found: ClusteredFit) -> tuple[float, float]:
    if not found.estimated:
        return math.nan, math.nan
    return (0.0, 1.0) if found.separated else rho_limits(read.clusters, found, spec.level)


def _prediction(spec: Spec, k: int, mu: float, se: float, tau: float) -> tuple[float, float]:
    if spec.pi == "none":
        return math.nan, math.nan
    spread = tau if spec.pi == "simple" else math.hypot(tau, se)
    half = float(quantile(k - _PI_LOSS[spec.pi] if spec.pi in _PI_LOSS else math.inf, spec.level)) * spread
    return mu - half, mu + half


def _convention(read: _Input, found: ClusteredFit) -> dict[str, Any]:
    """Weights and heterogeneity, which the model has no need of."""
    eff, tau2, n = read.eff, float(found.theta[1]) ** 2, read.clusters.N
    rho = found.theta[2] if np.isfinite(found.theta[2]) else 1.0
    effect = 1 + (read.clusters.size - 1) * rho
    if found.separated:
        precision = n / effect
        same = {"I2": 0.0, "H2": 1.0, "Q": 0.0, "Q_pvalue": 1.0}
    else:
        p = np.clip(expit(found.mean), 1e-12, 1 - 1e-12)
        precision = 1 / (tau2 + effect / (n * p * (1 - p)))
        q = cochran(Data.of_one(eff.yi, eff.vi * effect))
        i2, h2 = i2_h2(tau2, q.typical)
        same = {"I2": float(i2), "H2": float(h2), "Q": float(q.Q), "Q_pvalue": float(q.pvalue)}
    weights = 100 * precision / precision.sum()
    return {"k": eff.k, "tau2": tau2, "tau": float(found.theta[1]), "Q_df": eff.k - 1, "weights": weights, **same}


def _likelihood(found: ClusteredFit, k: int) -> dict[str, Any]:
    p = 3 if found.estimated else 2
    aic = 2 * p - 2 * found.loglik
    lrt = max(0.0, 2 * (found.loglik - found.loglik_common)) if found.theta[1] > 0 else 0.0
    apart = max(0.0, 2 * (found.loglik - found.loglik_apart)) if found.estimated else math.nan
    return {
        "loglik": found.loglik, "aic": aic, "bic": p * math.log(k) - 2 * found.loglik,
        "aicc": aic + 2 * p * (p + 1) / (k - p - 1) if k > p + 1 else math.nan,
        "lrt": lrt, "lrt_pvalue": _mixture(lrt), "lrt_rho": apart, "lrt_rho_pvalue": _mixture(apart),
    }  # fmt: skip


def _mixture(lrt: float) -> float:
    """P-value under chi2(0) and chi2(1) in equal parts."""
    return float(ndtr(-math.sqrt(lrt))) if lrt > 0 else lrt if math.isnan(lrt) else 1.0
