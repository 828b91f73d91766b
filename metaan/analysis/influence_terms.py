"""Deletion diagnostics of regressions and multilevel models: each study, estimate or cluster against the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.special import chdtr, chdtrc

from metaan.analysis.leave_out import Clusters, clusters_of
from metaan.analysis.refits_display import SAID_OF_TERMS, notes_of
from metaan.core.deletion import Deletion, influential
from metaan.core.deletion_linear import Deleted, Whole, of_regression
from metaan.core.deletion_nested import NestedDeleted, of_nested
from metaan.core.many import BoolArray
from metaan.errors import Note, OptionError
from metaan.models.multilevel_result import MultilevelResult
from metaan.models.regress_result import RegressResult
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_terms", "influence_of_terms", "without_estimates", "without_rows"]

_ONE_BY_ONE: Final = "One row after the other was fitted: the blocks of vcov= differ from row to row."


def check_terms(res: RegressResult, name: str) -> None:
    """Refuse robust results, and regressions whose deletion diagnostics are not defined."""
    if res.spec.cluster is not None:
        raise OptionError(f"{name} does not take robust results: give the result before robust.")
    if res.spec.model == "glmm":
        text = f"{name} takes results of regress and multilevel, not of a GLMM with moderators"
        raise OptionError(f"{text}, whose counts have no residual of known variance: see leave_one_out.")
    if res.spec.model not in ("regression", "multilevel"):
        raise OptionError(f"{name} takes results of regress and multilevel, not of model {res.spec.model!r}.")


def influence_of_terms(res: RegressResult, by: Any) -> pd.DataFrame:
    """See `metaan.influence`."""
    check_terms(res, "influence")
    if isinstance(res, MultilevelResult):
        return _nested(res) if by is None else _clusters(res, by)
    if by is not None:
        raise OptionError("by= is for results of multilevel; leave_one_out(res, by=) leaves out several studies.")
    return _frame(res, without_rows(res))


def without_rows(res: RegressResult) -> Deleted:
    """What the fits of a meta-regression without each study say of it."""
    eff = res.effects
    whole = Whole(eff.yi, eff.vi, res.moderators.matrix, res.estimate, res.inference, res.leverage)
    return of_regression(whole, method=res.spec.method, test=res.spec.test)


def without_estimates(res: MultilevelResult, gone: BoolArray) -> NestedDeleted:
    """What the fits of a multilevel model without each set of estimates, shape (k, n), say of it."""
    eff = res.effects
    v = eff.vi if res.vcov is None else res.vcov
    return of_nested(
        eff.yi, res.moderators.matrix, v, res.codes, res.sigma2, gone, restricted=res.spec.method == "REML"
    )


def _terms(res: RegressResult, dfbetas: FloatArray) -> dict[str, FloatArray]:
    return {f"dfbetas_{name}": dfbetas[:, i] for i, name in enumerate(res.names)}


def _frame(res: RegressResult, made: Deleted) -> pd.DataFrame:
    import pandas as pd

    d, study = made.diagnostics, res.effects.study
    frame = pd.DataFrame(
        {
            "study": list(study), "rstudent": d.rstudent, "dffits": d.dffits, "cooks_d": d.cooks_d,
            "cov_ratio": d.cov_ratio, "tau2_del": made.tau2, "q_del": made.Q, "hat": d.hat, "weight": res.weights,
            **_terms(res, d.dfbetas), "influential": influential(d),
        }
    )  # fmt: skip
    frame.attrs["notes"] = notes_of(made.flags, study, "without", SAID_OF_TERMS)
    return frame


def _nested(res: MultilevelResult) -> pd.DataFrame:
    """One row for each estimate."""
    import pandas as pd

    made = without_estimates(res, np.eye(res.k, dtype=bool))
    blank = np.full(res.k, np.nan)
    d = Deletion(made.rstudent, blank, made.cooks_d, made.cov_ratio, made.dfbetas, res.leverage)
    frame = pd.DataFrame(
        {
            "study": list(res.effects.study), "rstudent": d.rstudent, **_moved(res, made), "hat": d.hat,
            "weight": res.weights, **_terms(res, d.dfbetas), "influential": influential(d),
        }
    )  # fmt: skip
    frame.attrs["notes"] = _said(res, made, res.effects.study)
    return frame


def _clusters(res: MultilevelResult, by: Any) -> pd.DataFrame:
    """One row for each cluster."""
    import pandas as pd

    of: Clusters = clusters_of(res.effects, by, "influence")
    made = without_estimates(res, of.member)
    size, p = of.member.sum(axis=0), len(res.names)
    with np.errstate(invalid="ignore"):
        flagged = (chdtr(float(p), made.cooks_d) > 0.5) | (np.abs(made.dfbetas) > 1).any(axis=1)
    frame = pd.DataFrame(
        {
            "cluster": list(of.labels), "left_out": size, "statistic": made.statistic, "df": size,
            "pvalue": chdtrc(size, made.statistic), **_moved(res, made), "hat": res.leverage @ of.member,
            "weight": res.weights @ of.member, **_terms(res, made.dfbetas), "influential": flagged,
        }
    )  # fmt: skip
    frame.attrs["rstudent"] = tuple(made.rstudent.tolist())
    frame.attrs["notes"] = _said(res, made, of.labels) + of.notes
    return frame


def _moved(res: MultilevelResult, made: NestedDeleted) -> dict[str, FloatArray]:
    columns = {"cooks_d": made.cooks_d, "cov_ratio": made.cov_ratio, "tau2_del": made.fits.columns["tau2"]}
    columns |= {f"sigma2_{name}_del": made.fits.sigma2[:, i] for i, name in enumerate(res.levels)}
    return columns | {"q_del": made.fits.columns["QE"]}


def _said(res: MultilevelResult, made: NestedDeleted, labels: tuple[str, ...]) -> tuple[Note, ...]:
    fits = made.fits
    flags = {
        "undefined": ~fits.known,
        "sigma2-zero": (fits.sigma2 == 0).any(axis=1),
        "not-converged": fits.known & ~fits.converged,
    }
    notes = notes_of(flags, labels, "without", SAID_OF_TERMS)
    return notes if res.vcov is None else (*notes, Note("one-by-one", _ONE_BY_ONE))
