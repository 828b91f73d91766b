"""The result of a graphical display of study heterogeneity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from metaan.core.many import BoolArray
from metaan.core.subsets import in_and_out
from metaan.errors import InputError, Note, OptionError, shown
from metaan.measures.kinds import KINDS
from metaan.models.plain import plain
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult
from metaan.models.text import LINES, exact_model, note_lines, number, plural
from metaan.validate import FloatArray, Frozen

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GoshResult"]

IntArray = npt.NDArray[np.int64]

_SPREAD: Final = ("tau2", "I2", "H2", "Q")
_QUANTILES: Final = {"min": 0.0, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "max": 1.0}
_SHOWN: Final = 4


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class GoshResult(Frozen):
    """Result of `metaan.gosh`: a model fitted to n subsets of its k studies.

    Parameters
    ----------
    estimate : array of shape (n,), or (n, p) of a regression
        Pooled effect of each subset on the scale of the result, or its coefficients; NaN or infinite where a subset
        has no finite one.
    tau2, I2, H2, Q : array of shape (n,)
        Heterogeneity (residual, of a regression); tau2 is NaN for Mantel-Haenszel and Peto.
    k : array of int, shape (n,)
        Studies in each subset.
    packed : array of uint8, shape (n, ceil(K/8))
        Which of the K studies each subset has, eight to a byte: see `included`.
    cluster : array of int, shape (n,), or None
        Cluster of each subset, 1 for that of the smallest estimates; 0 where there is no finite estimate.
    bic : mapping of int to float
        Bayesian information criterion by the number of clusters that were tried.
    terms : tuple of str
        Coefficients of a regression; ``("estimate",)`` otherwise.
    possible : int
        Subsets there are, 2^K - 1.
    seed : int or None
        Of the sample; None where every subset was taken.
    full : PoolResult or RegressResult
        The result that was given.
    notes : tuple of Note
    """

    estimate: FloatArray
    tau2: FloatArray
    I2: FloatArray
    H2: FloatArray
    Q: FloatArray
    k: IntArray
    packed: npt.NDArray[np.uint8]
    cluster: IntArray | None
    bic: dict[int, float]
    terms: tuple[str, ...]
    possible: int
    seed: int | None
    full: PoolResult | RegressResult
    notes: tuple[Note, ...]

    def __post_init__(self) -> None:
        self.own_arrays()

    @property
    def n(self) -> int:
        """Subsets."""
        return int(self.k.size)

    @property
    def included(self) -> BoolArray:
        """Which studies each subset has, shape (n, K)."""
        return np.unpackbits(self.packed, axis=1, count=self.full.effects.k).astype(np.bool_)

    @property
    def usable(self) -> BoolArray:
        """Subsets whose estimates are finite, shape (n,); summaries are of these."""
        return np.asarray(np.isfinite(self._by_term()).all(axis=1))

    def to_frame(self, *, members: bool = False) -> pd.DataFrame:
        """One row for each subset: estimate (or the coefficients), tau2, I2, H2, Q, k and, if made, cluster.

        Parameters
        ----------
        members : bool, default False
            Add a column of True and False for each study, named by its label.
        """
        import pandas as pd

        columns: dict[str, Any] = dict(zip(self.terms, self._by_term().T, strict=True))
        columns |= {name: getattr(self, name) for name in self._spread()} | {"k": self.k}
        if self.cluster is not None:
            columns["cluster"] = self.cluster
        frame = pd.DataFrame(columns)
        if members:
            frame = pd.concat([frame, pd.DataFrame(self.included, columns=list(self.full.effects.study))], axis=1)
        frame.attrs["notes"] = self.notes
        return frame

    def summary(self) -> pd.DataFrame:
        """Mean, standard deviation and quantiles over the subsets: one row for each column of `to_frame`."""
        import pandas as pd

        names, values = self._numbers()
        rows = {"mean": values.mean(axis=0), "sd": values.std(axis=0)}
        rows |= dict(zip(_QUANTILES, np.quantile(values, list(_QUANTILES.values()), axis=0), strict=True))
        frame = pd.DataFrame(rows, index=list(names))
        frame.attrs["notes"] = self.notes
        return frame

    def share_above(self, threshold: float, *, term: str | None = None) -> float:
        """Share of the subsets whose estimate exceeds a threshold on the scale of the result.

        Parameters
        ----------
        threshold : float
        term : str, optional
            Coefficient of a regression.

        Raises
        ------
        OptionError
            `term` is none of `terms`, or is needed and not given.
        """
        which = self.terms[0] if term is None and len(self.terms) == 1 else term
        if which not in self.terms:
            raise OptionError(f"term={shown(term)} is not known. Choose one of {', '.join(self.terms)}.")
        return float((self._by_term()[self.usable, self.terms.index(which)] > threshold).mean())

    def by_study(self) -> pd.DataFrame:
        """Mean over the subsets with and without each study.

        Returns
        -------
        pandas.DataFrame
            One row for each study, or each study and coefficient (`term`): study, mean_in, mean_out, difference (of
            the estimate), and of all rows I2_in, I2_out, tau2_in, tau2_out. Sorted by the size of the difference,
            largest first. NaN where every subset, or none, has the study.
        """
        import pandas as pd

        names, values = self._numbers()
        inside, outside = in_and_out(self.included[self.usable], values)
        parts = []
        for i, term in enumerate(self.terms):
            columns: dict[str, Any] = {"study": list(self.full.effects.study)}
            columns |= {"term": term} if len(self.terms) > 1 else {}
            columns |= {"mean_in": inside[:, i], "mean_out": outside[:, i], "difference": inside[:, i] - outside[:, i]}
            for name in ("I2", "tau2"):
                if name in names:
                    j = names.index(name)
                    columns |= {f"{name}_in": inside[:, j], f"{name}_out": outside[:, j]}
            parts.append(pd.DataFrame(columns))
        frame = pd.concat(parts, ignore_index=True)
        return frame.sort_values("difference", key=abs, ascending=False, kind="stable", ignore_index=True)

    def clusters(self) -> pd.DataFrame:
        """Means of each cluster: cluster, subsets, share, the estimate (or coefficients), I2 and k.

        Raises
        ------
        InputError
            The result has no clusters.
        """
        import pandas as pd

        label, value = self._clustered(), self._by_term()
        rows = []
        for c in np.unique(label[label > 0]):
            own = label == c
            row: dict[str, Any] = {"cluster": int(c), "subsets": int(own.sum()), "share": float(own.mean())}
            row |= dict(zip(self.terms, value[own].mean(axis=0).tolist(), strict=True))
            rows.append(row | {"I2": float(self.I2[own].mean()), "k": float(self.k[own].mean())})
        return pd.DataFrame(rows)

    def cluster_studies(self) -> pd.DataFrame:
        """How over-represented each study is in each cluster.

        Returns
        -------
        pandas.DataFrame
            One row for each cluster and study: cluster, study, share (of the cluster's subsets that have the study),
            share_all (of all subsets) and excess, their difference: the studies behind a cluster have a large one.
            Within a cluster the largest absolute excess comes first.

        Raises
        ------
        InputError
            The result has no clusters.
        """
        import pandas as pd

        label, included = self._clustered(), self.included
        everywhere = included[label > 0].mean(axis=0)
        parts = []
        for c in np.unique(label[label > 0]):
            share = included[label == c].mean(axis=0)
            frame = pd.DataFrame(
                {
                    "cluster": int(c), "study": list(self.full.effects.study), "share": share,
                    "share_all": everywhere, "excess": share - everywhere,
                }
            )  # fmt: skip
            parts.append(frame.sort_values("excess", key=abs, ascending=False, kind="stable"))
        return pd.concat(parts, ignore_index=True)

    def to_dict(self) -> dict[str, Any]:
        """Dictionary of plain numbers, lists and text: fit for JSON (NaN and infinity become None)."""
        made = {name: getattr(self, name) for name in ("n", "possible", "seed", *_SPREAD, "k", "cluster", "packed")}
        estimates = dict(zip(self.terms, self._by_term().T, strict=True))
        bic = {str(count): value for count, value in self.bic.items()}
        said = {"study": list(self.full.effects.study), "notes": [str(note) for note in self.notes]}
        return plain(estimates | made | {"bic": bic}) | said

    def _by_term(self) -> FloatArray:
        return self.estimate.reshape(self.k.size, -1)

    def _spread(self) -> tuple[str, ...]:
        return tuple(name for name in _SPREAD if not np.isnan(getattr(self, name)).all())

    def _numbers(self) -> tuple[tuple[str, ...], FloatArray]:
        """Columns of numbers of the usable subsets, with their names."""
        usable = self.usable
        if not usable.any():
            raise InputError("No subset has a finite estimate: there is nothing to summarise.")
        names = (*self.terms, *self._spread(), "k")
        columns = [*self._by_term().T, *(getattr(self, name) for name in names[len(self.terms) :])]
        return names, np.column_stack(columns)[usable].astype(np.float64)

    def _clustered(self) -> IntArray:
        if self.cluster is None:
            raise InputError("There are no clusters: make them by gosh(res, clusters='auto').")
        return self.cluster

    def __str__(self) -> str:
        drawn = "all there are" if self.seed is None else f"drawn out of {self.possible:.4g}, seed {self.seed}"
        lines = [
            f"GOSH: {plural(self.n, 'subset')} of {plural(self.full.effects.k, 'study')}, {drawn}",
            *self._what(),
            "",
            *(self._summaries() if self.usable.any() else ["No subset has a finite estimate."]),
        ]
        return "\n".join([*lines, *note_lines(self.notes, LINES - len(lines))])

    def _what(self) -> tuple[str, str]:
        """Which measure, on which scale its estimates are, and which model."""
        spec = self.full.spec
        kind, scale = KINDS[spec.measure], getattr(self.full, "scale", "analysis")
        shown = f", shown as {kind.shown.lower()}" if kind.transformed and scale == "display" else ""
        model = {
            "glmm": exact_model(spec.likelihood, spec.link), "beta-binomial": "Beta-binomial model",
            "stratified": f"{spec.method} method, common effect",
            "regression": f"Moderators {spec.formula}, tau2: {spec.method}",
        }.get(spec.model, f"tau2: {spec.method}")  # fmt: skip
        return f"Measure: {spec.measure} ({kind.label}){shown}", model

    def _summaries(self) -> list[str]:
        table = self.summary().to_dict("index")
        lines = []
        for name in (*self.terms[:_SHOWN], "I2"):
            row = table[name]
            ends = f"90% of subsets {number(row['q05'])} to {number(row['q95'])}"
            every = f"all {number(row['min'])} to {number(row['max'])}"
            label, unit = ("Estimate" if name == "estimate" else name), " (%)" if name == "I2" else ""
            lines.append(f"{label:<11} median {number(row['median'])}, {ends}, {every}{unit}")
        for one in self.by_study().dropna().head(1).to_dict("records"):
            means = f"mean {number(one['mean_in'])} with it, {number(one['mean_out'])} without"
            lines.append(f"Study       {one['study']}: {one['term'] + ', ' if 'term' in one else ''}{means}")
        if self.cluster is not None:
            first = self.terms[0]
            lines += [
                f"Cluster {row['cluster']}   {100 * row['share']:.1f}% of subsets, I2 {row['I2']:.1f}%, mean "
                f"{first if len(self.terms) > 1 else 'estimate'} {number(row[first])}"
                for row in self.clusters().head(_SHOWN).to_dict("records")
            ]
        return lines

    def __repr__(self) -> str:
        return f"<GoshResult: {self.n} subsets of {self.full.effects.k} studies>"
