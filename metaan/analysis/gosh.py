"""Graphical display of study heterogeneity: a model fitted to all subsets of its studies, or many of them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Final

import numpy as np

from metaan.analysis.gosh_result import GoshResult, IntArray
from metaan.analysis.refits import EVERY_MODEL, check_result, refit, same_fit, with_all, without_last
from metaan.analysis.refits_display import SAID, SAID_OF_TERMS, displayed
from metaan.analysis.refits_terms import refit_terms
from metaan.core.many import BoolArray, Many
from metaan.core.subsets import MOST, all_subsets, random_subsets
from metaan.errors import Note, OptionError, shown
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult
from metaan.validate import FloatArray, whole

__all__ = ["gosh"]

_CONCERN: Final = frozenset(SAID) - {
    "one-study", "hk-common", "identical", "hk-narrow", "no-df", "no-pi", "pi-narrow", "profile-open",
}  # fmt: skip
"""What is said of subsets: not what concerns intervals alone."""
_TRIED: Final = 6  # clusters
_REGULAR: Final = 0.01  # added to the variances of the mixture, which is fitted to standardised numbers
_EACH: Final = 10  # subsets a cluster needs


def gosh(
    res: PoolResult | RegressResult, *, subsets: int = 2**14, seed: int = 1, clusters: int | str | None = None
) -> GoshResult:
    """Fit a result again to the subsets of its studies, to see whether some of them make an effect of their own.

    Parameters
    ----------
    res : PoolResult, GlmmResult, BetaBinomialResult, StratifiedResult or RegressResult
        From `metaan.pool`, `glmm`, `beta_binomial`, `mantel_haenszel`, `peto` or `regress`; estimates are on its scale.
    subsets : int, default 16384
        Bound on the subsets, at most 2^20. If there are no more (k studies have 2^k - 1), all of them are taken;
        otherwise so many different ones are drawn, each as likely as any other.
    seed : int, default 1
        Of the sample and of the start of the mixture.
    clusters : int or "auto", optional
        Sort the subsets into so many clusters by a mixture of normal distributions of (estimate, I2); "auto" takes the
        number from 1 to 6 with the smallest BIC. Needs scikit-learn (the extra `cluster`).

    Returns
    -------
    GoshResult
        `to_frame` (one row for each subset), `summary`, `share_above`, `by_study`, `clusters` and `cluster_studies`.

    Raises
    ------
    InputError
        No result.
    OptionError
        A result of another model: multilevel and robust results, whose estimates are not single studies, and
        regressions of counts, which are fitted one after the other; an option out of range; no scikit-learn.

    Notes
    -----
    Of a sample, each study is in half of the subsets. Subsets are of all sizes, so that small ones, whose estimates
    spread most, are few: C(k, m) have m studies. Clusters use numbers divided by their standard deviations, with 0.01
    added to the variances of the mixture, so that the many subsets with I2 = 0 do not become a cluster of no width.
    BIC takes subsets for independent, which they are not, and splits finely: a large first fall in `bic` says more than
    its minimum. More than one cluster is a question to ask about the studies over-represented in it, not a test.

    All subsets are fitted in one batched call; two-arm GLMMs of both arms (UM.FS, UM.RS) one after the other.

    References
    ----------
    Olkin I, Dahabreh IJ, Trikalinos TA (2012). Res Synth Methods 3:214-223. doi:10.1002/jrsm.1053

    Examples
    --------
    >>> from metaan import effects, gosh, pool
    >>> eff = effects([0.1, 0.3, 0.2, 1.1], [0.01, 0.02, 0.02, 0.01], study=["Adams", "Baker", "Clark", "Davis"])
    >>> made = gosh(pool(eff, method="DL", test="z"))
    >>> made.n, round(made.share_above(0.5), 2)
    (15, 0.4)
    >>> made.by_study()[["study", "mean_in", "mean_out"]].round(2).head(2)
       study  mean_in  mean_out
    0  Davis     0.63      0.19
    1  Adams     0.32      0.54
    """
    _check(res, subsets, seed, clusters)
    k = res.effects.k
    every = 2**k - 1 <= subsets
    here = all_subsets(k) if every else random_subsets(k, subsets, seed)
    terms, many, notes = _of_terms(res, here) if isinstance(res, RegressResult) else _of_studies(res, here)
    estimate = many.columns["estimate"]
    q = many.columns["QE" if isinstance(res, RegressResult) else "Q"]
    own = () if every else (_sampled(k, subsets, seed),)
    tau2 = np.full_like(q, math.nan) if res.spec.model == "stratified" else many.columns["tau2"]
    said = (*own, *_counted(many, estimate, isinstance(res, RegressResult)), *notes)
    cluster, bic, more = _clusters(estimate, many.columns["I2"], clusters, seed)
    return GoshResult(
        estimate=estimate, tau2=tau2, I2=many.columns["I2"], H2=many.columns["H2"], Q=q,
        k=many.columns["k"].astype(np.int64), packed=np.packbits(here.T, axis=1), cluster=cluster, bic=bic,
        terms=terms, possible=2**k - 1, seed=None if every else seed, full=res, notes=(*said, *more),
    )  # fmt: skip


def _check(res: Any, subsets: Any, seed: Any, clusters: Any) -> None:
    if isinstance(res, RegressResult):
        if res.spec.cluster is not None:
            raise OptionError("gosh does not take robust results: give the result before robust.")
        if res.spec.model != "regression":
            hint = "use leave_one_out and influence, for multilevel results with by="
            raise OptionError(f"gosh takes regressions by regress, not of model {res.spec.model!r}: {hint}.")
    else:
        check_result(res, "gosh", EVERY_MODEL)
    whole("subsets", subsets, 1, MOST)
    whole("seed", seed, 0, 2**32 - 1)
    counted = isinstance(clusters, (int, np.integer)) and not isinstance(clusters, bool)
    if clusters is not None and clusters != "auto" and not (counted and clusters >= 2):
        raise OptionError(f"clusters={shown(clusters)} must be 'auto' or a whole number, at least 2.")


def _of_studies(res: PoolResult, here: BoolArray) -> tuple[tuple[str, ...], Many, tuple[Note, ...]]:
    """Pooled effects on the scale of the result, without intervals, which nobody looks at."""
    bare = dataclasses.replace(res.spec, pi="none", ci="wald" if res.spec.ci == "profile" else res.spec.ci)
    if res.spec.model == "normal":
        bare = dataclasses.replace(bare, test="z")
    lean = dataclasses.replace(res, spec=bare)
    every = refit(lean, with_all(here))
    same_fit(res, every, "gosh")
    turned, notes = displayed(lean, every, here, "gosh")
    many = without_last(every)
    return ("estimate",), Many(many.columns | turned, many.flags), notes


def _of_terms(res: RegressResult, here: BoolArray) -> tuple[tuple[str, ...], Many, tuple[Note, ...]]:
    lean = dataclasses.replace(res, spec=dataclasses.replace(res.spec, test="z"))
    return res.names, refit_terms(lean, here), ()


def _sampled(k: int, n: int, seed: int) -> Note:
    return Note("sampled", f"{n} different subsets of the {2**k - 1:.4g} of {k} studies were drawn, seed {seed}.")


def _counted(many: Many, estimate: FloatArray, of_terms: bool) -> list[Note]:
    """How many subsets each decision concerns, and how many have no finite estimate."""
    said, n = SAID_OF_TERMS if of_terms else SAID, estimate.shape[0]
    notes = [
        Note(code, f"In {count} of {n} subsets: {said[code]}.")
        for code in sorted(_CONCERN & many.flags.keys())
        if (count := int(many.flags[code].sum()))
    ]
    if lost := int((~np.isfinite(estimate.reshape(n, -1)).all(axis=1)).sum()):
        text = f"{lost} of {n} subsets have no finite estimate and are left out of summaries and clusters."
        notes.append(Note("no-estimate", text))
    return notes


def _clusters(
    estimate: FloatArray, i2: FloatArray, clusters: int | str | None, seed: int
) -> tuple[IntArray | None, dict[int, float], tuple[Note, ...]]:
    """Labels by a mixture of normal distributions, numbered by the (first) estimate."""
    if clusters is None:
        return None, {}, ()
    values = np.column_stack([estimate.reshape(i2.size, -1), i2])
    usable = np.isfinite(values).all(axis=1)
    least = _EACH * (2 if clusters == "auto" else int(clusters))
    if usable.sum() < least:
        raise OptionError(f"clusters={shown(clusters)} needs at least {least} subsets with finite estimates.")
    z = values[usable]
    z = (z - z.mean(axis=0)) / np.where(np.ptp(z, axis=0) > 0, z.std(axis=0), 1.0)
    most = min(_TRIED, int(usable.sum()) // _EACH)
    tried = range(1, most + 1) if clusters == "auto" else (int(clusters),)
    fits = {count: _mixture(count, z, seed) for count in tried}
    bic = {count: float(fit.bic(z)) for count, fit in fits.items()}
    best = min(bic, key=lambda count: bic[count])
    raw = fits[best].predict(z)
    present = np.unique(raw)
    order = present[np.argsort([z[raw == c, 0].mean() for c in present], kind="stable")]
    rank = np.zeros(best, dtype=np.int64)
    rank[order] = np.arange(1, order.size + 1)
    label = np.zeros(i2.size, dtype=np.int64)
    label[usable] = rank[raw]
    how = f"of 1 to {most}, by BIC" if clusters == "auto" else "as asked for"
    text = f"Clusters: mixture of {best} normal distributions of estimate and I2 ({how}), seed {seed}."
    return label, bic, (Note("clusters", text),)


def _mixture(count: int, z: FloatArray, seed: int) -> Any:
    try:
        from sklearn.mixture import GaussianMixture
    except ImportError as error:
        text = "clusters= needs scikit-learn, which is not installed: pip install 'metaan[cluster]'"
        raise OptionError(f"{text}. Without clusters= nothing else is needed.") from error
    return GaussianMixture(count, reg_covar=_REGULAR, max_iter=500, random_state=seed).fit(z)
