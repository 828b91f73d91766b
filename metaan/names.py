"""The vocabulary: what each column of a result is called, its symbol, its unit and its meaning.

Tables, plots and documentation read their headings here, so that one number has one name everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["COLUMNS", "RECORD", "Column", "heading"]


RECORD: Final = "metaan"  # key of `DataFrame.attrs` under which `load` writes its selection


@dataclass(frozen=True)
class Column:
    """One column of a result table."""

    name: str
    symbol: str
    unit: str
    meaning: str


_ROWS = (
    ("study", "study", "", "label of the study"),
    ("events", "events", "count", "patients or lesions with the outcome"),
    ("total", "total", "count", "patients or lesions observed"),
    ("events_observed", "events counted", "count", "events before the design effect"),
    ("total_observed", "total counted", "count", "lesions before the design effect"),
    ("cluster_size", "m", "lesions per patient", "mean number of lesions of a patient"),
    ("cluster_size_assumed", "m assumed", "", "whether the number of lesions per patient is an assumption"),
    ("icc", "ICC", "", "correlation of the response of two lesions of one patient"),
    ("design_effect", "design effect", "", "variance of a rate over that of as many independent lesions"),
    ("events_evaluable", "events evaluable", "count", "events as loaded"),
    ("total_evaluable", "evaluable", "count", "patients or lesions whose outcome is known"),
    ("missing", "missing", "count", "treated, but without an outcome"),
    ("converged", "converged", "", "whether the search of the estimate ended"),
    ("yi", "y", "analysis scale", "observed effect size"),
    ("vi", "v", "analysis scale squared", "sampling variance of the effect size"),
    ("rate", "rate", "proportion", "events divided by total"),
    ("rate_low", "rate low", "proportion", "lower confidence limit of the study's own rate"),
    ("rate_high", "rate high", "proportion", "upper confidence limit of the study's own rate"),
    ("estimate", "estimate", "scale of the result", "pooled effect"),
    ("se", "SE", "analysis scale", "standard error of the pooled effect"),
    ("ci_low", "CI low", "scale of the result", "lower confidence limit"),
    ("ci_high", "CI high", "scale of the result", "upper confidence limit"),
    ("statistic", "z or t", "", "estimate divided by its standard error"),
    ("pvalue", "p", "probability", "two-sided p-value of the pooled effect"),
    ("log_pvalue", "log p", "", "natural logarithm of the p-value, kept where it underflows"),
    ("df", "df", "", "degrees of freedom of the reference distribution (inf: normal)"),
    ("pi_low", "PI low", "scale of the result", "lower limit of the prediction interval"),
    ("pi_high", "PI high", "scale of the result", "upper limit of the prediction interval"),
    ("k", "k", "count", "studies pooled"),
    ("k_all", "k (all)", "count", "trials given, those included that say nothing about the measure"),
    ("tau2", "τ²", "analysis scale squared", "between-study variance of the true effects"),
    ("tau", "τ", "analysis scale", "between-study standard deviation of the true effects"),
    ("I2", "I²", "%", "tau2 as a share of tau2 plus the typical sampling variance"),
    ("I2_Q", "I² (Q)", "%", "share of Q beyond its degrees of freedom"),
    ("H2", "H²", "", "total over typical sampling variance"),
    ("Q", "Q", "", "Cochran's statistic for homogeneity"),
    ("Q_df", "df(Q)", "", "degrees of freedom of Q"),
    ("Q_pvalue", "p(Q)", "probability", "p-value of Q"),
    ("weight", "weight", "%", "share of the study in the pooled effect; for a GLMM a convention (see glmm)"),
    ("fitted", "fitted", "scale of the result", "effect that the model expects in the study"),
    ("blup", "BLUP", "scale of the result", "study's true effect, shrunk towards the pooled one"),
    ("blup_se", "SE(BLUP)", "analysis scale", "standard error of the shrunken effect"),
    ("loglik", "log L", "", "maximised marginal log-likelihood, constants included"),
    ("aic", "AIC", "", "Akaike's information criterion"),
    ("bic", "BIC", "", "Bayesian information criterion, studies as observations"),
    ("a", "a", "", "first parameter of the beta distribution of true rates"),
    ("b", "b", "", "second parameter of the beta distribution of true rates"),
    ("lrt", "LRT", "", "likelihood-ratio statistic for no variation between studies: tau2 = 0, or rho = 0"),
    ("lrt_pvalue", "p(LRT)", "probability", "its p-value under the 50:50 mixture of chi2(0) and chi2(1)"),
    ("mode", "mode", "scale of the table", "where a posterior density is highest"),
    ("median", "median", "scale of the table", "median of a posterior distribution"),
    ("tau_low", "τ low", "analysis scale", "lower credible limit of tau"),
    ("tau_high", "τ high", "analysis scale", "upper credible limit of tau"),
    ("bayes_factor_tau0", "BF(τ = 0)", "", "marginal likelihood of tau = 0 over that of the random-effects model"),
    ("log_bayes_factor_tau0", "log BF(τ = 0)", "", "its natural logarithm"),
    ("log_marginal", "log p(y)", "", "log marginal likelihood of the random-effects model under proper priors"),
    ("rho", "ρ", "", "correlation of two observations of one study, or of two lesions of one patient"),
    ("rho_low", "ρ low", "", "lower profile-likelihood limit of the correlation"),
    ("rho_high", "ρ high", "", "upper profile-likelihood limit of the correlation"),
    ("aicc", "AICc", "", "AIC corrected for few studies"),
    ("lrt_rho", "LRT(ρ)", "", "likelihood-ratio statistic for a correlation of 0 within patients"),
    ("lrt_rho_pvalue", "p(LRT, ρ)", "probability", "its p-value under the 50:50 mixture of chi2(0) and chi2(1)"),
    ("lesions_per_patient", "m", "lesions per patient", "mean number of lesions of a patient of the study"),
    ("sigma2", "σ²", "analysis scale squared", "between-study variance of the baseline"),
    ("blup_low", "BLUP low", "scale of the result", "lower limit of the study's true effect"),
    ("blup_high", "BLUP high", "scale of the result", "upper limit of the study's true effect"),
    ("expected", "expected", "count", "events that the model expects"),
    ("residual", "residual", "count", "observed less expected"),
    ("pearson", "Pearson", "", "residual over its standard deviation under the model"),
    ("quantile", "quantile", "", "standard normal quantile of the count under the model"),
    ("rstudent", "rstudent", "", "residual from the fit without the study, in its standard errors"),
    ("dffits", "DFFITS", "", "shift of the fitted value without the study, in its standard errors"),
    ("cooks_d", "Cook's D", "", "squared shift of the estimate without the study over its variance"),
    ("cov_ratio", "variance ratio", "", "variance of the estimate without the study over that with it"),
    ("tau2_del", "τ² without", "analysis scale squared", "between-study variance without the study"),
    ("q_del", "Q without", "", "Cochran's Q without the study"),
    ("hat", "h", "", "share of the study in the pooled effect"),
    ("dfbetas", "DFBETAS", "", "shift of the estimate without the study, in its standard errors"),
    ("influential", "influential", "", "whether the study moves the result by the rule of Viechtbauer & Cheung 2010"),
    ("notes", "notes", "", "codes of the automatic decisions"),
    ("low", "low", "scale of the table", "lower limit of what a line of a figure shows"),
    ("high", "high", "scale of the table", "upper limit of what a line of a figure shows"),
    ("category", "category", "", "one of several outcomes that exclude each other, or a sum of them"),
    ("share", "share", "proportion", "events in a category divided by total"),
    ("shrunken", "shrunken share", "proportion", "study's true share, shrunk towards the pooled one"),
    ("typical", "typical share", "proportion", "share in a study whose random effects are 0"),
    ("start", "start", "proportion", "where the piece of a stacked bar begins"),
    ("end", "end", "proportion", "where it ends"),
    ("level", "level", "probability", "confidence level of the limits"),
    ("scale", "scale", "", "what the numbers of a figure are: rates or effects"),
    ("row", "row", "", "kind of line in a figure; number of the line in a table of studies/"),
    ("year", "year", "", "year of publication"),
    ("name", "name", "", "name by which a set of trials is loaded"),
    ("title", "title", "", "what the set holds"),
    ("studies", "studies", "count", "different studies"),
    ("rows", "rows", "count", "rows: one study, arm, unit and outcome each"),
    ("preferred", "preferred", "count", "rows that stand for their study, arm, unit and outcome"),
    ("counted", "counted", "count", "rows with events and total"),
    ("patients", "patients", "count", "patients, largest number of each study, parallel arms added"),
    ("without_patients", "no patients", "count", "studies that give no number of patients"),
    ("lesions", "lesions", "count", "lesions, largest number of each study, parallel arms added"),
    ("without_lesions", "no lesions", "count", "studies that give no number of lesions"),
    ("conflict", "conflict", "", "number of a disagreement between sources"),
    ("differs", "differs", "", "what two sources give differently"),
    ("years", "years", "", "years of publication, first to last"),
    ("outcomes", "outcomes", "", "what is counted, with the number of studies"),
    ("cohort_group", "group", "", "studies that share patients or may share them"),
    ("study_a", "study", "", "label of one study of a pair"),
    ("study_b", "other study", "", "label of the other"),
    ("contained", "contained", "", "whether the patients of one study of a pair are the other's too"),
    ("study_id_a", "key", "", "key of one study of a pair"),
    ("study_id_b", "other key", "", "key of the other"),
    ("relation_a", "relation", "", "how one study of a pair stands to its group"),
    ("relation_b", "other relation", "", "how the other does"),
    ("notes_a", "note", "", "why one study of a pair is in the group"),
    ("notes_b", "other note", "", "why the other is"),
    ("reason", "reason", "", "selection rule that left a row out"),
    ("detail", "detail", "", "value that the rule found"),
    ("also", "also", "", "further rules that would have left the row out"),
    ("responders", "responders", "count", "number of responders in a new study"),
    ("probability", "probability", "probability", "probability of a number of responders in a new study"),
    ("at_most", "at most", "probability", "probability of so many responders or fewer in a new study"),
    ("at_least", "at least", "probability", "probability of so many responders or more in a new study"),
    ("n", "n", "count", "size of a new study"),
    ("r1", "r1", "count", "responders among n1 at which a new study stops early"),
    ("n1", "n1", "count", "size of the first stage of a new study"),
    ("r", "r", "count", "responders among n up to which a new study is not promising"),
    ("pass_stage1", "passes stage 1", "probability", "probability that a new study goes on after its first stage"),
    ("promising", "promising", "probability", "probability that a new study passes both stages"),
    ("early_stop", "stops early", "probability", "probability that a new study stops after its first stage"),
    ("expected_n", "E(n)", "count", "observations that a two-stage design is expected to take"),
    ("width", "width", "proportion", "wished width of the confidence interval of a new study's rate"),
    ("expected_width", "E(width)", "proportion", "expected width of that interval"),
    ("prob_within", "P(width)", "probability", "probability that the interval is no wider than wished"),
    ("assurance", "assurance", "probability", "wished probability that the interval is no wider than wished"),
    ("interval", "interval", "", "kind of confidence interval of a rate"),
    ("uncertainty", "uncertainty", "", "what a prediction does about the uncertainty of the mean and of tau"),
    ("mean", "mean", "scale of the table", "mean of a distribution"),
    ("sd", "SD", "scale of the table", "standard deviation of a distribution"),
    ("rate_median", "median rate", "proportion", "median of the true rate of a new study"),
    ("target", "target", "proportion", "rate that a new study is to exceed"),
)

COLUMNS: dict[str, Column] = {row[0]: Column(*row) for row in _ROWS}


def heading(name: str) -> str:
    """Symbol of a column, with its unit where it has one.

    Examples
    --------
    >>> heading("I2")
    'I² (%)'
    """
    column = COLUMNS[name]
    return f"{column.symbol} ({column.unit})" if column.unit == "%" else column.symbol
