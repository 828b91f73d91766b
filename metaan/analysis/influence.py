"""Which studies a result depends on: deletion diagnostics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metaan.analysis.influence_models import without_studies
from metaan.analysis.influence_terms import influence_of_terms
from metaan.core.deletion import influential
from metaan.errors import OptionError
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["influence"]


def influence(res: PoolResult | RegressResult, *, by: Any = None) -> pd.DataFrame:
    """Deletion diagnostics of each study: outlying, influential, and what the result is without it.

    Parameters
    ----------
    res : PoolResult, GlmmResult, BetaBinomialResult, StratifiedResult, RegressResult or MultilevelResult
        From `metaan.pool`, `glmm`, `beta_binomial`, `mantel_haenszel`, `peto`, `regress` or `multilevel`. All
        diagnostics stand on the analysis scale.
    by : str or sequence of k values, optional
        Of a multilevel model: what is left out at a time, as in `metaan.leave_one_out`. By default each estimate.

    Returns
    -------
    pandas.DataFrame
        One row for each study: study, rstudent, dffits, cooks_d, cov_ratio, tau2_del, q_del, hat, weight, dfbetas and
        influential. A beta-binomial model also has rho_del; Mantel-Haenszel and Peto have no dffits and tau2_del.
        Regressions have a column dfbetas_year, dfbetas_Intercept ... for each coefficient; a multilevel model has no
        dffits, and sigma2_district_del ... for its levels.

        With `by`, one row for each cluster: cluster, left_out, statistic, df and pvalue (of the residuals together),
        and the columns above but rstudent. ``attrs["rstudent"]`` has that of each estimate, without its cluster.

        ``attrs["notes"]`` holds the decisions taken when a study was left out. Where nothing can be estimated without
        a study its row is NaN, and a note names it.

    Raises
    ------
    InputError, OptionError
        As `metaan.leave_one_out`; results of UM.FS, UM.RS and of a GLMM with moderators; `by` of another model.

    Notes
    -----
    With (i) for the fit without study i, h the shares of the weights (`hat`), and s2 the Hartung-Knapp factor of the
    fit without i, 1 for other tests:

    - rstudent = (y_i - mu_(i))/sqrt(s2 (v_i + tau2_(i)) + se_(i)^2), the externally studentised residual
    - dffits = (mu - mu_(i))/sqrt(s2 h_i (v_i + tau2_(i)))
    - cooks_d = (mu - mu_(i))^2/se^2
    - cov_ratio = se_(i)^2/se^2
    - dfbetas = (mu - mu_(i))/sqrt(s2/sum w), w = 1/(v + tau2_(i)) over all studies
    - tau2_del, q_del: tau2 and Q without i; hat and weight: share of i, as it is and in per cent

    These are metafor's definitions, whose sign is that of mu - mu_(i). A study is `influential` by the rule of
    Viechtbauer & Cheung 2010, with p coefficients (p = 1 here), if ``|dffits| > 3 sqrt(p/(k - p))``, if the chi2(p)
    probability below cooks_d exceeds 0.5, if h_i > 3 p/k, or if any ``|dfbetas| > 1``.

    Moderators: mu is x_i'beta in rstudent and dffits, se_(i)^2 the variance x_i'V_(i) x_i, h_i the leverage,
    cooks_d = (b - b_(i))'V^-1 (b - b_(i)), ``cov_ratio = |V_(i)|/|V|``, and dfbetas divide by the root of s2 (X'WX)^-1.

    Multilevel models, as metafor's for ``rma.mv``: rstudent has the sum of the variance components for tau2,
    dfbetas the covariance of all estimates at the components without i. `statistic` is e'S^-1 e of the residuals e of
    a cluster, chi2(left_out). The rule is that of regressions without dffits and, for clusters, without hat.
    With `vcov` one row after the other is fitted.

    Mantel-Haenszel and Peto: rstudent with the effect of the trial by itself (for Mantel-Haenszel with 0.5 added where
    a cell is 0) and tau2 = 0, as in metafor; dfbetas = (mu - mu_(i))/se. Trials that say nothing on the measure have no
    row: nothing changes without them.

    For a GLMM there is no y_i. rstudent is the normal score of the count's predictive probability from the fit without
    i, Pr(X < x_i) + Pr(X = x_i)/2 with the study's effect N(mu_(i), tau2_(i) + se_(i)^2): a count that lies beyond
    97.5 % of what the others predict scores above 1.96. v_i is the inverse of the information of the count at its
    shrunken effect, h_i the share of 1/(tau2 + v_i) (`PoolResult.weights`), dfbetas = (mu - mu_(i))/se_(i), and q_del
    that of the empirical effects. A beta-binomial model predicts a beta-binomial count whose logit of the mean is
    N(mu_(i), se_(i)^2), h_i is the share of n/(1 + (n - 1) rho), and (1 + (n - 1) rho_(i))/(n m (1 - m)) stands for
    v_i + tau2_(i). Where the others have no finite estimate (all counts at one end) rstudent and the distances are
    infinite. Where the result itself has none, they are NaN.

    References
    ----------
    Viechtbauer W, Cheung MW-L (2010). Res Synth Methods 1:112-125. doi:10.1002/jrsm.11

    Examples
    --------
    >>> from metaan import effects, influence, pool
    >>> eff = effects([0.1, 0.3, 0.2, 1.1], [0.01, 0.02, 0.02, 0.01], study=["Adams", "Baker", "Clark", "Davis"])
    >>> influence(pool(eff, method="DL", test="z"))[["study", "rstudent", "cooks_d", "influential"]].round(2)
       study  rstudent  cooks_d  influential
    0  Adams     -0.71     0.18        False
    1  Baker     -0.24     0.02        False
    2  Clark     -0.45     0.08        False
    3  Davis      7.55     0.95         True
    """
    if isinstance(res, RegressResult):
        return influence_of_terms(res, by)
    if by is not None:
        raise OptionError("by= is for results of multilevel; leave_one_out(res, by=) leaves out several studies.")
    return _of_studies(res)


def _of_studies(res: PoolResult) -> pd.DataFrame:
    import pandas as pd

    made = without_studies(res, "influence")
    d, common = made.diagnostics, res.spec.model == "stratified"
    columns: dict[str, Any] = {"study": list(res.effects.study), "rstudent": d.rstudent}
    if not common:
        columns["dffits"] = d.dffits
    columns |= {"cooks_d": d.cooks_d, "cov_ratio": d.cov_ratio}
    if not common:
        columns["tau2_del"] = made.columns["tau2"]
    if "rho" in made.columns:
        columns["rho_del"] = made.columns["rho"]
    columns |= {
        "q_del": made.columns["Q"], "hat": d.hat, "weight": 100 * d.hat, "dfbetas": d.dfbetas,
        "influential": influential(d),
    }  # fmt: skip
    frame = pd.DataFrame(columns, copy=False)
    frame.attrs["notes"] = made.notes
    return frame
