"""The result of a meta-regression, with its predictions, contrasts and tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metaan.core.coefficients import Covariance, JointTest, joint_test
from metaan.core.inference import log_pvalue, quantile
from metaan.errors import InputError, Note, OptionError
from metaan.measures.backtransform import display_scale
from metaan.measures.record import Effects
from metaan.models.design import Moderators, new_rows
from metaan.models.permuted import Permuted, permuted
from metaan.models.plain import spec_and_fields
from metaan.models.regress_text import describe, residual_line
from metaan.models.results import Spec
from metaan.validate import PI, FloatArray, Frozen, Option, numbers

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RegressResult"]

SCALE = Option("scale", {"analysis": "as it was fitted", "display": "rates, ratios or correlations"}, "analysis")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RegressResult(Frozen):
    """Result of `metaan.regress`.

    Parameters
    ----------
    estimate, se, ci_low, ci_high, statistic, pvalue, log_pvalue, df : array of shape (p,)
        Coefficients, analysis scale; df is inf for the normal distribution.
    names : tuple of str
        Columns of the design.
    cov : array of shape (p, p)
        Covariance of the coefficients.
    QM, QM_df, QM_df2, QM_pvalue : float
        Test of the moderators: chi2 (QM_df2 = inf) or F.
    R2 : float
        Per cent of tau2 that the moderators explain; NaN where the model without them has none.
    QE, QE_df, QE_pvalue : float
        Residual heterogeneity.
    k : int
        Studies.
    tau2, tau, I2, H2 : float
        Residual heterogeneity between studies; I2 in per cent.
    loglik : float
        Restricted log-likelihood at tau2, the full one for ``method="ML"``.
    fitted, blup, weights, leverage : array of shape (k,)
        Expected and shrunken effects, weights in per cent, diagonal of the hat matrix.
    moderators : Moderators
    inference : Covariance
    spec : Spec
    effects : Effects
    notes : tuple of Note
    """

    estimate: FloatArray
    se: FloatArray
    ci_low: FloatArray
    ci_high: FloatArray
    statistic: FloatArray
    pvalue: FloatArray
    log_pvalue: FloatArray
    df: FloatArray
    names: tuple[str, ...]
    cov: FloatArray
    QM: float
    QM_df: int
    QM_df2: float
    QM_pvalue: float
    R2: float
    QE: float
    QE_df: int
    QE_pvalue: float
    k: int
    tau2: float
    tau: float
    I2: float
    H2: float
    loglik: float
    fitted: FloatArray
    blup: FloatArray
    weights: FloatArray
    leverage: FloatArray
    moderators: Moderators
    inference: Covariance
    spec: Spec
    effects: Effects
    notes: tuple[Note, ...]

    def __post_init__(self) -> None:
        self.own_arrays()
        self.inference.inner.setflags(write=False)

    def predict(self, new: Any = None, *, pi: str | None = None, scale: str = "analysis") -> pd.DataFrame:
        """Expected effect for new values of the moderators, with confidence and prediction limits.

        Parameters
        ----------
        new : pandas.DataFrame, mapping or list of mappings, optional
            Rows with the columns of the formula; the studies themselves by default.
        pi : str, optional
            Prediction interval; that of the fit by default.
        scale : {"analysis", "display"}
            "display" gives rates, ratios or correlations, and no standard error.

        Returns
        -------
        pandas.DataFrame
            Columns estimate, se, ci_low, ci_high, pi_low, pi_high; the index of `new`. ``attrs["notes"]`` says at which
            n Freeman-Tukey values were turned back.

        Raises
        ------
        InputError
            A column is missing, or a category was not among the studies.
        OptionError
            Unknown or unavailable prediction interval or scale.
        """
        import pandas as pd

        SCALE.check(scale)
        kind = PI.check(self.spec.pi if pi is None else pi)
        x = self.moderators.matrix if new is None else new_rows(self.moderators, new, self.spec.formula or "")
        value = x @ self.estimate
        spread = self.inference.spread(x)
        df = np.array([self.inference.contrast_df(row) for row in x])
        half = np.array([float(quantile(d, self.spec.level)) for d in df]) * np.sqrt(spread)
        reach = self._prediction(kind, x)
        notes: tuple[Note, ...] = ()
        columns = {
            "estimate": value, "se": np.sqrt(spread), "ci_low": value - half, "ci_high": value + half,
            "pi_low": value - reach, "pi_high": value + reach,
        }  # fmt: skip
        if scale == "display":
            shown = display_scale(self.effects)
            turn, notes = shown.inverse, shown.notes
            columns = {name: turn(values) for name, values in columns.items()} | {"se": np.full(len(value), np.nan)}
        index = new.index if isinstance(new, pd.DataFrame) else list(self.effects.study) if new is None else None
        table = pd.DataFrame(columns, index=index)
        table.attrs["notes"] = [str(note) for note in notes]
        return table

    def _prediction(self, kind: str, x: FloatArray) -> FloatArray:
        """Half the width of the prediction interval of each row; NaN where there is none."""
        if kind == "bootstrap":
            raise OptionError("pi='bootstrap' is for pool.")
        if kind == "kr" and self.spec.test != "kr":
            raise OptionError("pi='kr' needs a fit with test='kr'.")
        nothing = np.full(x.shape[0], np.nan)
        if kind == "none" or self.spec.method == "CE":
            return nothing
        w = 1 / (self.effects.vi + self.tau2)
        root = np.sqrt(w)[:, None] * self.moderators.matrix
        usual = (np.linalg.solve(np.linalg.qr(root)[1].T, x.T) ** 2).sum(axis=0)
        free = self.QE_df
        if kind == "hk":
            residual = self.effects.yi - self.fitted
            usual = usual * float(w @ residual**2) / free
        if kind == "kr":
            usual = self.inference.spread(x)
            df = np.array([self.inference.contrast_df(row) for row in x]) - 1
        else:
            df = np.full(x.shape[0], {"t": free, "hts": free - 1, "hk": free - 1}.get(kind, np.inf), dtype=np.float64)
        variance = self.tau2 + (0 if kind == "simple" else usual)
        with np.errstate(invalid="ignore"):
            factors = [float(quantile(d, self.spec.level)) if d > 0 else np.nan for d in df]
        return np.asarray(np.array(factors) * np.sqrt(variance))

    def contrast(self, weights: Mapping[str, float] | Any) -> pd.DataFrame:
        """Linear combinations of the coefficients, each with its interval and test.

        Parameters
        ----------
        weights : mapping of coefficient names to numbers, or array of shape (m, p) or (p,)

        Returns
        -------
        pandas.DataFrame
            Columns estimate, se, ci_low, ci_high, statistic, df, pvalue.

        Raises
        ------
        InputError
            An unknown coefficient or a wrong number of weights.
        """
        import pandas as pd

        rows = []
        for row in self._rows(weights):
            value, se = float(row @ self.estimate), float(np.sqrt(self.inference.spread(row[None])[0]))
            df = self.inference.contrast_df(row)
            half, t = float(quantile(df, self.spec.level)) * se, value / se if se > 0 else np.nan
            rows.append(
                {
                    "estimate": value, "se": se, "ci_low": value - half, "ci_high": value + half,
                    "statistic": t, "df": df, "pvalue": float(np.exp(log_pvalue(t, df))),
                }
            )  # fmt: skip
        return pd.DataFrame(rows)

    def test(self, *what: str) -> JointTest:
        """Joint Wald test that coefficients are 0.

        Parameters
        ----------
        *what : str
            Names of coefficients, or of terms of the formula such as ``"C(therapy)"``, whose coefficients are all
            meant.

        Returns
        -------
        JointTest
            statistic, df, df2, pvalue: F, or chi2 where df2 is inf.

        Raises
        ------
        InputError
            An unknown name, or none.
        """
        chosen: list[int] = []
        for name in map(str, what):
            known = name in self.names or name not in self.moderators.terms
            chosen += [self._position(name)] if known else self.moderators.terms[name]
        if not chosen:
            raise InputError("Name at least one coefficient or term to test.")
        return joint_test(self.estimate, self.inference, np.eye(len(self.names))[sorted(set(chosen))])

    def vif(self) -> pd.DataFrame:
        """Variance inflation of each term of the formula (generalised, Fox & Monette 1992).

        Returns
        -------
        pandas.DataFrame
            Columns term, df, gvif and gvif_root = gvif^(1/(2 df)), which compares terms of different df. For one
            column gvif is the usual variance inflation factor.
        """
        import pandas as pd

        keep = [i for i in range(len(self.names)) if i != self.moderators.intercept]
        cov = self.cov[np.ix_(keep, keep)]
        scale = np.sqrt(np.diagonal(cov))
        cor = cov / np.outer(scale, scale)
        rows = []
        for term, columns in self.moderators.terms.items():
            inside = [keep.index(i) for i in columns if i in keep]
            outside = [i for i in range(len(keep)) if i not in inside]
            if not inside:
                continue
            minors = (np.linalg.det(cor[np.ix_(i, i)]) if i else 1.0 for i in (inside, outside))
            gvif = float(np.prod(list(minors)) / np.linalg.det(cor))
            rows.append({"term": term, "df": len(inside), "gvif": gvif, "gvif_root": gvif ** (1 / (2 * len(inside)))})
        return pd.DataFrame(rows)

    def permuted(self, orders: Any) -> Permuted:
        """Fits with the moderators dealt out anew among the studies: the reference set of a permutation test.

        Parameters
        ----------
        orders : array of int, shape (n, k)
            Each row a rearrangement of 0 ... k - 1: study i gets the moderators of study ``orders[., i]``.

        Returns
        -------
        Permuted
            statistic of shape (n, p), QM and tau2 of shape (n,), all fits in one batch.

        Raises
        ------
        InputError
            A row that is no rearrangement.
        OptionError
            ``test="kr"``, cluster-robust or multilevel results.

        References
        ----------
        Higgins JPT, Thompson SG (2004). Stat Med 23:1663-1682. doi:10.1002/sim.1752
        """
        return permuted(self, orders)

    def to_frame(self) -> pd.DataFrame:
        """One row for each coefficient."""
        import pandas as pd

        names = ("estimate", "se", "ci_low", "ci_high", "statistic", "df", "pvalue", "log_pvalue")
        return pd.DataFrame({"term": list(self.names)} | {name: getattr(self, name) for name in names})

    def studies(self) -> pd.DataFrame:
        """One row for each study: label, yi, vi, weight (%), fitted, residual, leverage, BLUP."""
        import pandas as pd

        eff = self.effects
        return pd.DataFrame(
            {
                "study": list(eff.study), "yi": eff.yi, "vi": eff.vi, "weight": self.weights, "fitted": self.fitted,
                "residual": eff.yi - self.fitted, "leverage": self.leverage, "blup": self.blup,
            }
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Flat dictionary of plain numbers and text: fit for JSON."""
        return spec_and_fields(self) | {
            "names": list(self.names), "study": list(self.effects.study), "notes": [str(note) for note in self.notes]
        }  # fmt: skip

    def _position(self, name: str) -> int:
        if name not in self.names:
            raise InputError(f"{name!r} is not a coefficient. Coefficients: {', '.join(self.names)}.")
        return self.names.index(name)

    def _rows(self, weights: Mapping[str, float] | Any) -> FloatArray:
        p = len(self.names)
        if isinstance(weights, Mapping):
            row = np.zeros(p)
            for name, value in weights.items():
                row[self._position(name)] = numbers([value], "weights")[0]
            rows = row[None]
        else:
            given = np.asarray(weights)
            rows = np.atleast_2d(given)
            if given.dtype.kind not in "fiu" or rows.ndim != 2 or rows.shape[1] != p:
                raise InputError(f"weights must be numbers in {p} columns, one for each of {', '.join(self.names)}.")
            rows = rows.astype(np.float64)
        if not (np.isfinite(rows).all() and (rows != 0).any(axis=1).all()):
            raise InputError("weights must be finite, and not all 0 in a contrast.")
        return rows

    def __str__(self) -> str:
        kind = "Common-effect" if self.spec.method == "CE" else "Mixed-effects"
        return describe(self, f"{kind} meta-regression of {self.k} studies", [residual_line(self)])

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.spec.measure} of {self.k} studies on {self.spec.formula!r}>"
