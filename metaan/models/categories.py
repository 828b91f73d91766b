"""Response categories pooled together: Dirichlet-multinomial, or sequential logits with normal random effects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from scipy.special import chdtrc, chdtri, comb, expit, logit

from metaan.core.inference import quantile
from metaan.core.multinomial import Dirichlet, DirichletFit, fit, share_limits
from metaan.errors import Note, OptionError
from metaan.models.categories_counts import Counts, read_counts
from metaan.models.categories_normal import Stages, fit_stages
from metaan.models.categories_result import CategoriesResult
from metaan.models.cautions import data_notes
from metaan.models.results import Convergence, Spec
from metaan.validate import (
    CI,
    FloatArray,
    Option,
    check_level,
)

if TYPE_CHECKING:
    pass

__all__ = ["categories"]

MODEL: Final = Option(
    "model",
    {"dirichlet": "Dirichlet-multinomial", "normal": "sequential logits with normal random effects"},
    "dirichlet",
)
STRUCTURE: Final = Option(
    "structure",
    {"full": "random effects of the stages correlate", "diagonal": "they are independent"},
    "full",
)
TEST: Final = Option("test", {"z": "normal distribution", "t": "t distribution with k - 1 degrees of freedom"}, "t")
_DEFAULT: Final = ("cr", "pr", "sd", "pd")


class _Fit(NamedTuple):
    """What both models give for the categories that occur, c of them."""

    mean: FloatArray
    cov: FloatArray
    shrunken: FloatArray
    loglik: float
    loglik_common: float
    parameters: int
    lrt_pvalue: float
    convergence: Convergence
    notes: tuple[Note, ...]
    rho: tuple[float, float, float] | None = None
    stages: Stages | None = None


def categories(
    data: Any = None,
    *,
    columns: Sequence[str] | Mapping[str, Any] = _DEFAULT,
    study: Any = None,
    model: str = "dirichlet",
    structure: str | None = None,
    test: str = "t",
    ci: str = "wald",
    level: float = 0.95,
    missing: str = "raise",
) -> CategoriesResult:
    """Pool the shares of categories that exclude each other, such as CR, PR, SD and PD, in one model.

    The shares sum to 1, and complete response never exceeds objective response, which separate fits do not ensure.

    Parameters
    ----------
    data : pandas.DataFrame, optional
        One row for each study with a count for each category. Or the rows of `metaan.load` for several outcomes one
        below the other (columns outcome, events, total), of which `metaan.response_table` takes the studies that give
        all four categories.
    columns : sequence of column names, or mapping of names to columns or arrays of shape (k,)
        The categories, at least two, in their order. Counts are whole numbers >= 0 with a sum of 1 to 5,000,000.
    study : sequence of k labels or column name, optional
        Study labels; the column "study" where the data have one, else 1 ... k.
    model : {"dirichlet", "normal"}
        How shares vary between studies: Dirichlet; or normal on sequential logits.
    structure : {"full", "diagonal"}, optional
        Normal model: random effects of the stages correlate (default) or are independent. "full" takes at most four
        categories.
    test : {"t", "z"}
        Reference distribution of Wald intervals: t with k - 1 degrees of freedom or normal.
    ci : {"wald", "profile"}
        Wald intervals on the logit of each share, or profile likelihood (Dirichlet-multinomial).
    level : float, default 0.95
        Confidence level, in (0.5, 1).
    missing : {"raise", "drop"}, default "raise"
        What to do with a study that has a missing count; dropping is noted.

    Returns
    -------
    CategoriesResult
        Mean shares over studies with intervals, their sums from the first category on, `bars()` for a figure.

    Raises
    ------
    InputError, OptionError, DataError
        Unknown columns or options, counts that cannot be, patients and lesions together, no study left.

    Notes
    -----
    Dirichlet: shares of study i ~ Dirichlet(pi (1 - rho)/rho), so that rho is the correlation of two members of one
    study and 1 + (n - 1) rho the inflation of variance. Every category, and every sum of categories, then follows the
    beta-binomial model with the same rho. rho = 0 (multinomial) and rho = 1 are among the answers. The order of the
    categories does not matter.

    Normal: stage a is category a against all later ones; log odds of the stages ~ N(mu, Sigma) between studies. The
    order matters. With ``structure="diagonal"`` the model is a `metaan.glmm` of each stage, their likelihoods
    multiplied. Means over studies are integrals over the random effects; `typical` are the shares where these are 0.
    Sigma may be singular, as with few studies it mostly is: noted.

    Intervals of shares and of their sums come from one covariance matrix by the delta method, on logits. A category
    without any count has the share 0 and a likelihood-ratio limit. The test against equal shares in all studies refers
    to the mixture of chi2(0) and chi2(1) for rho, of chi2(0) ... chi2(d) for independent stages, and for correlated
    ones to chi2 with as many degrees of freedom as Sigma has parameters, which is conservative.

    References
    ----------
    Mosimann JE (1962). Biometrika 49:65-82. doi:10.1093/biomet/49.1-2.65

    Examples
    --------
    >>> from metaan import categories
    >>> counts = {"CR": [13, 36, 107, 130], "PR": [1, 62, 24, 31], "SD": [3, 47, 11, 39], "PD": [1, 13, 0, 2]}
    >>> res = categories(columns=counts, test="z")
    >>> print(res.to_frame()[["category", "estimate", "ci_low", "ci_high"]].round(3).to_string(index=False))
    category  estimate  ci_low  ci_high
          CR     0.544   0.398    0.683
          PR     0.212   0.116    0.355
          SD     0.201   0.110    0.339
          PD     0.043   0.014    0.128
          or     0.756   0.614    0.858
          dc     0.957   0.872    0.986
    """
    MODEL.check(model)
    if model == "dirichlet" and structure is not None:
        raise OptionError("structure is of the random effects of model='normal'.")
    if model == "normal" and CI.check(ci) == "profile":
        raise OptionError("ci='profile' is for model='dirichlet'; model='normal' has Wald intervals.")
    spec = Spec(
        model="categories", measure="share", method="ML", test=TEST.check(test), level=check_level(level), pi="none",
        ci=CI.check(ci), likelihood=model,
    )  # fmt: skip
    kind = STRUCTURE.check(structure or STRUCTURE.default) if model == "normal" else None
    read = read_counts(data, columns, study, missing)
    here = read.x.sum(axis=0) > 0
    if kind == "full" and here.sum() > 4:
        raise OptionError("structure='full' takes at most four categories; use structure='diagonal' or 'dirichlet'.")
    x = read.x[:, here]
    d = Dirichlet.from_counts(x[:, :, None])
    found = fit(d)
    fitted = _dirichlet(x, d, found, spec) if kind is None else _normal(x, found, kind)
    return _result(read, here, spec, fitted, (d, found), kind)


def _dirichlet(x: FloatArray, d: Dirichlet, found: DirichletFit, spec: Spec) -> _Fit:
    rho, c = float(found.rho[0]), x.shape[1]
    mean = found.pi[:, 0]
    weight = x.sum(axis=1, keepdims=True) * rho + 1 - rho
    shrunken = (x * rho + mean * (1 - rho)) / weight
    lrt = max(0.0, 2 * float(found.loglik[0] - found.loglik_common[0])) if rho > 0 else 0.0
    half = _quantile(spec, len(x)) * math.sqrt(found.cov[0, c, c]) / (rho * (1 - rho)) if 0 < rho < 1 else math.nan
    centre = float(logit(rho))
    ends = (float(expit(centre - half)), float(expit(centre + half)))
    return _Fit(
        mean, found.cov[0, :c, :c], shrunken, float(found.loglik[0]), float(found.loglik_common[0]), c,
        float(chdtrc(1, lrt)) / 2 if lrt > 0 else 1.0,
        Convergence(converged=bool(found.converged[0]), iterations=found.iterations, maxima=int(found.maxima[0])),
        tuple(_dirichlet_notes(found, len(x), c)), rho=(rho, *ends),
    )  # fmt: skip


def _dirichlet_notes(found: DirichletFit, k: int, c: int) -> list[Note]:
    notes = []
    if k == 1:
        notes.append(Note("one-study", "One study: rho cannot be estimated and is set to 0."))
    elif c > 1 and not found.identified[0]:
        notes.append(Note("rho-not-identified", "rho cannot be estimated from single observations and is set to 0."))
    elif found.at_one[0]:
        text = "Every study is in one category: rho is estimated as 1, and each study counts as one observation."
        notes.append(Note("rho-one", text))
    elif c > 1 and found.rho[0] == 0:
        notes.append(Note("rho-zero", "rho is estimated as 0: the shares are those of the pooled counts."))
    if found.maxima[0] > 1:
        notes.append(Note("two-maxima", f"The likelihood has {found.maxima[0]} local maxima; the highest was taken."))
    return notes


def _normal(x: FloatArray, found: DirichletFit, structure: str) -> _Fit:
    stages = fit_stages(x, structure)
    d, common = stages.mu.size, float(found.loglik_common[0])
    lrt = max(0.0, 2 * (stages.loglik - common))
    if stages.structure == "full" and d > 1:
        p = float(chdtrc(d * (d + 1) / 2, lrt))
    else:
        p = sum(comb(d, j) * float(chdtrc(j, lrt)) for j in range(1, d + 1)) / 2**d if lrt > 0 else 1.0
    one = (Note("one-study", "One study: random effects cannot be estimated and are set to 0."),) if len(x) == 1 else ()
    notes = stages.notes if len(x) > 1 else one
    return _Fit(
        stages.mean, stages.mean_cov, stages.shrunken, stages.loglik, common, stages.parameters, p,
        stages.convergence, notes, stages=stages,
    )  # fmt: skip


def _quantile(spec: Spec, k: int) -> float:
    return float(quantile(math.inf if spec.test == "z" or k == 1 else k - 1.0, spec.level))


def _groups(size: int) -> FloatArray:
    """Membership (m, C) of the categories in the shares that are told: each alone, then sums from the first on."""
    sums = np.tril(np.ones((size, size)))[1:-1]
    return np.vstack([np.eye(size), sums])


def _result(
    read: Counts, here: np.ndarray[Any, Any], spec: Spec, fitted: _Fit, dirichlet: tuple[Dirichlet, DirichletFit],
    structure: str | None,
) -> CategoriesResult:  # fmt: skip
    k, size = read.x.shape
    groups = _groups(size)
    value, se, low, high = _intervals(groups, here, spec, fitted, dirichlet, k)
    aic, aicc, bic = _criteria(fitted.loglik, fitted.parameters, k)
    stages = fitted.stages
    cov, shrunken = np.zeros((size, size)), np.zeros((k, size))
    cov[np.ix_(here, here)], shrunken[:, here] = fitted.cov, fitted.shrunken
    typical = None
    if stages is not None:
        typical = np.zeros(size)
        typical[here] = stages.typical
    rho, rho_low, rho_high = fitted.rho or (None, None, None)
    return CategoriesResult(
        categories=read.names, estimate=value[:size], se=se[:size], ci_low=low[:size], ci_high=high[:size], cov=cov,
        cumulated=_cumulated(read.names), cumulated_estimate=value[size:], cumulated_se=se[size:],
        cumulated_low=low[size:], cumulated_high=high[size:], typical=typical,
        rho=rho, rho_low=rho_low, rho_high=rho_high,
        stage_estimate=None if stages is None else stages.mu,
        stage_cov=None if stages is None else stages.L @ stages.L.T,
        counts=read.x, shrunken=shrunken, k=k, parameters=fitted.parameters, loglik=fitted.loglik,
        aic=aic, aicc=aicc, bic=bic, loglik_common=fitted.loglik_common,
        lrt=max(0.0, 2 * (fitted.loglik - fitted.loglik_common)), lrt_pvalue=fitted.lrt_pvalue,
        loglik_diagonal=None if stages is None else stages.loglik_diagonal,
        df=math.inf if spec.test == "z" or k == 1 else k - 1.0,
        structure=structure if stages is None else stages.structure,
        study=read.study, convergence=fitted.convergence, spec=spec, notes=_notes(read, here, fitted),
    )  # fmt: skip


def _intervals(
    groups: FloatArray, here: np.ndarray[Any, Any], spec: Spec, fitted: _Fit,
    dirichlet: tuple[Dirichlet, DirichletFit], k: int,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:  # fmt: skip
    """Shares and sums with standard errors and limits; likelihood-ratio limits where a share is 0 or 1."""
    inside = groups[:, here]
    empty, whole = ~inside.any(axis=1), inside.all(axis=1)
    value = np.where(empty, 0.0, np.where(whole, 1.0, np.minimum(inside @ fitted.mean, 1.0)))
    inner = ~(empty | whole)
    se = np.where(inner, np.sqrt(np.maximum(np.einsum("mc,cd,md->m", inside, fitted.cov, inside), 0.0)), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        half = _quantile(spec, k) * se / (value * (1 - value))
        low, high = (
            np.where(inner, expit(logit(value) - half), value),
            np.where(inner, expit(logit(value) + half), value),
        )
    limit = _empty_limit(fitted, dirichlet, spec.level) if not here.all() or here.sum() == 1 else 0.0
    low, high = np.where(whole, 1 - limit, low), np.where(empty, limit, high)
    if spec.ci == "profile" and inner.any():
        low[inner], high[inner] = share_limits(*dirichlet, inside[inner] > 0, spec.level)
    return value, se, low, high


def _empty_limit(fitted: _Fit, dirichlet: tuple[Dirichlet, DirichletFit], level: float) -> float:
    """Largest share of a category that was never counted, by likelihood ratio."""
    d, found = dirichlet
    if fitted.stages is not None:  # of all observations taken together
        return float(-np.expm1(-float(chdtri(1.0, 1 - level)) / 2 / d.counts.sum()))
    return float(share_limits(d, found, np.zeros((1, d.counts.shape[0]), dtype=bool), level)[1][0])


def _criteria(loglik: float, p: int, k: int) -> tuple[float, float, float]:
    aic = 2 * p - 2 * loglik
    aicc = aic + 2 * p * (p + 1) / (k - p - 1) if k > p + 1 else math.nan
    return aic, aicc, p * math.log(k) - 2 * loglik


def _cumulated(names: tuple[str, ...]) -> tuple[str, ...]:
    if tuple(name.casefold() for name in names) == _DEFAULT:
        return ("or", "dc")
    if tuple(name.casefold() for name in names) == ("cr", "pr", "nr"):
        return ("or",)
    return tuple(" + ".join(names[:m]) for m in range(2, len(names)))


def _notes(read: Counts, here: np.ndarray[Any, Any], fitted: _Fit) -> tuple[Note, ...]:
    notes = [*read.notes, *data_notes(read.data)]
    if here.sum() == 1:
        text = f"All observations are {read.names[int(here.argmax())]}; the limits are likelihood-ratio ones."
        notes.append(Note("one-category", text))
    elif not here.all():
        none = ", ".join(name for name, some in zip(read.names, here, strict=True) if not some)
        where = "of the observations taken together" if fitted.stages is not None else "of the model"
        notes.append(
            Note(
                "empty-category",
                f"Never observed: {none}. The share is 0 and its limit the likelihood-ratio one {where}.",
            )
        )
    notes += fitted.notes
    if not fitted.convergence.converged:
        notes.append(Note("not-converged", "The search stopped before the estimate settled; treat it as approximate."))
    return tuple(dict.fromkeys(notes))
