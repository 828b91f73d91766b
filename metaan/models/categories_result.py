"""The result of pooling response categories together, with its tables."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.errors import Note
from metaan.measures.intervals import limits
from metaan.models.plain import plain, plain_value
from metaan.models.results import Convergence, Spec
from metaan.models.text import number, plural, probability, reference
from metaan.validate import FloatArray, Frozen

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CategoriesResult"]

_LINES: Final = 20
_MOST: Final = 8  # shares with a line of their own
_POOLED: Final = "Pooled"
_WORDS: Final = {"or": "objective response", "dc": "disease control"}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CategoriesResult(Frozen):
    """Result of `metaan.categories`: shares of categories that sum to 1.

    Parameters
    ----------
    categories : tuple of str
        Names, in the order given.
    estimate, se, ci_low, ci_high : array of shape (C,)
        Means over studies of the shares; the standard errors are of shares, the limits made on their logits.
    cov : array of shape (C, C)
        Covariance of the estimates; rows of empty categories are 0.
    cumulated : tuple of str
        Names of the sums of the first 2 ... C - 1 categories: "or" and "dc" (objective response, disease control) for
        cr, pr, sd, pd.
    cumulated_estimate, cumulated_se, cumulated_low, cumulated_high : array of shape (C - 2,)
        The sums, with standard errors and limits from the same covariance.
    typical : array of shape (C,) or None
        Normal model: shares of a study whose random effects are 0; they sum to 1 too.
    rho, rho_low, rho_high : float or None
        Dirichlet-multinomial: 1/(1 + sum alpha), the correlation of two members of one study; Wald limits on the logit,
        NaN on a bound.
    stage_estimate : array of shape (d,) or None
        Normal model: mean log odds of each stage (a category against all later ones).
    stage_cov : array of shape (d, d) or None
        Normal model: covariance of the random effects of the stages.
    counts : array of shape (k, C)
    shrunken : array of shape (k, C)
        Posterior means of each study's shares, parameters taken as known.
    k : int
        Studies.
    parameters : int
        Free parameters, empty categories not counted.
    loglik, aic, aicc, bic : float
        With all multinomial constants; aicc and bic count studies as observations, aicc is NaN for too few.
    loglik_common, lrt, lrt_pvalue : float
        The model whose shares are the same in all studies, and the test of it: see `metaan.categories`.
    loglik_diagonal : float or None
        Normal model with ``structure="full"``: log-likelihood of the one with independent stages.
    df : float
        Of the reference distribution; inf for the normal one.
    structure : str or None
    study : tuple of str
    convergence : Convergence
    spec : Spec
    notes : tuple of Note
    """

    categories: tuple[str, ...]
    estimate: FloatArray
    se: FloatArray
    ci_low: FloatArray
    ci_high: FloatArray
    cov: FloatArray
    cumulated: tuple[str, ...]
    cumulated_estimate: FloatArray
    cumulated_se: FloatArray
    cumulated_low: FloatArray
    cumulated_high: FloatArray
    typical: FloatArray | None
    rho: float | None
    rho_low: float | None
    rho_high: float | None
    stage_estimate: FloatArray | None
    stage_cov: FloatArray | None
    counts: FloatArray
    shrunken: FloatArray
    k: int
    parameters: int
    loglik: float
    aic: float
    aicc: float
    bic: float
    loglik_common: float
    lrt: float
    lrt_pvalue: float
    loglik_diagonal: float | None
    df: float
    structure: str | None
    study: tuple[str, ...]
    convergence: Convergence
    spec: Spec
    notes: tuple[Note, ...]

    def __post_init__(self) -> None:
        self.own_arrays()

    @property
    def stage_cor(self) -> FloatArray | None:
        """Correlations of the random effects of the stages; NaN where one has no variance."""
        if self.stage_cov is None:
            return None
        sd = np.sqrt(np.diagonal(self.stage_cov))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.stage_cov / np.outer(sd, sd))

    def to_frame(self) -> pd.DataFrame:
        """One row for each category, then one for each cumulated share.

        Returns
        -------
        pandas.DataFrame
            Columns category, estimate, se, ci_low, ci_high, and for the normal model typical.
        """
        import pandas as pd

        columns: dict[str, Any] = {"category": [*self.categories, *self.cumulated]}
        columns["estimate"] = np.r_[self.estimate, self.cumulated_estimate]
        columns["se"] = np.r_[self.se, self.cumulated_se]
        columns["ci_low"] = np.r_[self.ci_low, self.cumulated_low]
        columns["ci_high"] = np.r_[self.ci_high, self.cumulated_high]
        if self.typical is not None:
            columns["typical"] = np.r_[self.typical, np.cumsum(self.typical)[1:-1]]
        return pd.DataFrame(columns)

    def studies(self) -> pd.DataFrame:
        """One row for each study and category.

        Returns
        -------
        pandas.DataFrame
            Columns study, category, events, total, share (observed), fitted (pooled mean), shrunken (posterior mean of
            the study's share).
        """
        import pandas as pd

        size, total = len(self.categories), self.counts.sum(axis=1)
        return pd.DataFrame(
            {
                "study": np.repeat(np.array(self.study, dtype=object), size),
                "category": list(self.categories) * self.k,
                "events": self.counts.ravel(),
                "total": np.repeat(total, size),
                "share": (self.counts / total[:, None]).ravel(),
                "fitted": np.tile(self.estimate, self.k),
                "shrunken": self.shrunken.ravel(),
            }
        )

    def bars(self, *, interval: str = "clopper-pearson") -> pd.DataFrame:
        """Table of a figure with stacked bars: the studies in their order, then the pooled shares.

        Parameters
        ----------
        interval : str, default "clopper-pearson"
            Interval of a study's own share: see `metaan.rate_interval`.

        Returns
        -------
        pandas.DataFrame
            Columns row ("study" or "pooled"), study, category, share, low, high (limits of the share), start, end (of
            its piece of the bar, from 0 to 1) and total (of pooled rows: all observations).

        Raises
        ------
        OptionError
            Unknown interval.
        """
        import pandas as pd

        from metaan.measures.intervals import INTERVAL

        total = self.counts.sum(axis=1, keepdims=True)
        low, high = limits(
            self.counts, np.broadcast_to(total, self.counts.shape), INTERVAL.check(interval), self.spec.level
        )
        share = np.vstack([self.counts / total, self.estimate])
        end = np.cumsum(share, axis=1)
        end[:, -1] = 1.0
        start = np.hstack([np.zeros((self.k + 1, 1)), end[:, :-1]])
        size = len(self.categories)
        return pd.DataFrame(
            {
                "row": ["study"] * (self.k * size) + ["pooled"] * size,
                "study": [name for name in (*self.study, _POOLED) for _ in range(size)],
                "category": list(self.categories) * (self.k + 1),
                "share": share.ravel(),
                "low": np.vstack([low, self.ci_low]).ravel(),
                "high": np.vstack([high, self.ci_high]).ravel(),
                "start": start.ravel(),
                "end": end.ravel(),
                "total": np.repeat(np.r_[total[:, 0], total.sum()], size),
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Flat dictionary of plain numbers, text and lists: fit for JSON (NaN and infinity become None)."""
        flat: dict[str, Any] = plain(dataclasses.asdict(self.spec))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                flat[field.name] = [str(item) for item in value]
            elif value is None or isinstance(value, (np.ndarray, int, float, str)):
                flat[field.name] = plain_value(value)
        return flat | {"converged": self.convergence.converged}

    def __str__(self) -> str:
        lines = [*_head(self), *_shares(self), _spread(self), *_likelihood(self)]
        texts = [f"- {note}" for note in self.notes]
        room = _LINES - len(lines) - 1
        if len(texts) > room:
            texts = [*texts[: room - 1], " ".join(texts[room - 1 :])]
        return "\n".join([*lines, *(["Notes"] if texts else []), *texts])

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(self.categories)} of {self.k} studies>"


def _head(res: CategoriesResult) -> list[str]:
    normal = res.spec.likelihood == "normal"
    name = "Sequential logits, normal random effects (multinomial GLMM)" if normal else "Dirichlet-multinomial model"
    how = f"Maximum likelihood, {_quadrature(res)}; interval: {_interval(res)}"
    observed = f"{res.counts.sum():g} observations"
    mean = f"Shares      means over studies, which sum to 1{'; typical: random effects 0' if normal else ''}"
    return [f"{name} of {plural(res.k, 'study')}, {observed}", how, "", mean]


def _quadrature(res: CategoriesResult) -> str:
    nodes = res.convergence.nodes
    if nodes is None:
        return "closed form"
    d = len(res.stage_estimate) if res.stage_estimate is not None else 1
    if res.structure == "full" and d > 1:
        return f"adaptive Gauss-Hermite quadrature with {nodes}^{d} nodes a study"
    return f"marginal likelihood by {nodes} trapezoidal nodes a study and stage"


def _interval(res: CategoriesResult) -> str:
    if res.spec.ci == "profile":
        return "profile likelihood"
    if math.isinf(res.df):
        return f"logit of the share, {reference('z')}"
    return f"logit of the share, test={res.spec.test} ({reference(res.spec.test)}, {res.df:.4g} df)"


def _shares(res: CategoriesResult) -> list[str]:
    """A line for each share; several on a line when there are many."""
    percent = f"{100 * res.spec.level:g}%"
    names = [*res.categories, *(_WORDS.get(name, name) for name in res.cumulated)]
    frame = (
        np.r_[res.estimate, res.cumulated_estimate],
        np.r_[res.ci_low, res.cumulated_low],
        np.r_[res.ci_high, res.cumulated_high],
    )
    typical = None if res.typical is None else np.r_[res.typical, np.cumsum(res.typical)[1:-1]]
    texts = []
    for i, (value, low, high) in enumerate(zip(*frame, strict=True)):
        typed = "" if typical is None else f"; typical {number(float(typical[i]))}"
        ends = f"{number(float(low))} to {number(float(high))}"
        texts.append(f"{names[i]:<18} {number(float(value))}, {percent} CI {ends}{typed}")
    each = -(-len(texts) // _MOST)
    return [f"  {' | '.join(texts[i : i + each])}" for i in range(0, len(texts), each)]


def _spread(res: CategoriesResult) -> str:
    if res.rho is not None:
        known = res.rho_low is not None and not math.isnan(res.rho_low)
        ends = (
            f", {100 * res.spec.level:g}% CI {number(res.rho_low or 0)} to {number(res.rho_high or 0)}" if known else ""
        )
        return f"Spread      rho {number(res.rho)}{ends} (correlation of two members of one study)"
    if res.stage_cov is None or res.stage_cor is None:
        return "Spread      none"
    sd = ", ".join(number(float(v)) for v in np.sqrt(np.diagonal(res.stage_cov)))
    if res.structure == "diagonal" or len(res.stage_cov) < 2:
        return f"Spread      tau of the stages' log odds: {sd} (independent)"
    cor = ", ".join(f"{round(float(v), 2) + 0.0:.2f}" for v in res.stage_cor[np.tril_indices(len(res.stage_cov), -1)])
    of = ", ".join(f"({i + 1},{j + 1})" for i, j in zip(*np.tril_indices(len(res.stage_cov), -1), strict=True))
    return f"Spread      tau of the stages' log odds: {sd}; correlations {of}: {cor}"


def _likelihood(res: CategoriesResult) -> list[str]:
    mixture = "conservative" if res.structure == "full" and len(res.categories) > 2 else "boundary mixture"
    what = "rho = 0" if res.rho is not None else "no random effects"
    text = f"Likelihood  log L {res.loglik:.3f}, AIC {res.aic:.2f}, AICc {number(res.aicc, 5)}, BIC {res.bic:.2f}"
    if {note.code for note in res.notes} & {"one-study", "one-category", "rho-not-identified"}:
        return [text]
    return [text, f"            test of {what}: LR {number(res.lrt)}, p {probability(res.lrt_pvalue)} ({mixture})"]
