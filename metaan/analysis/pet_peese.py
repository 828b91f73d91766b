"""PET-PEESE: the effect of a study without sampling error, by a regression on standard errors or on variances."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.analysis.adjusted import (
    between,
    cautions,
    extrapolated,
    interval_text,
    measure_line,
    pooled,
    spread_of,
    up_to_largest,
)
from metaan.analysis.bias_regression import DISPERSION, How, line
from metaan.core.coefficients import covariance
from metaan.core.linear import Design
from metaan.errors import Note, OptionError
from metaan.measures.kinds import KINDS
from metaan.models.plain import plain
from metaan.models.results import PoolResult
from metaan.models.text import LINES, note_lines, number, plural, probability, reference
from metaan.models.wald import coefficient_fields
from metaan.records import Shown
from metaan.validate import FloatArray, Frozen, Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BiasRegression", "PetPeeseResult", "pet_peese"]

MODEL: Final = Option(
    "model",
    {
        "wls": "weights 1/v, error variance estimated (Stanley & Doucouliagos 2014)",
        "random": "additive tau2, estimator and test of the result",
    },
    "wls",
)
RULE: Final = Option(
    "rule",
    {
        "one-sided": "PET rejects a zero effect in the direction of the pooled estimate",
        "two-sided": "PET rejects a zero effect in either direction",
    },
    "one-sided",
)
_UNSURE: Final = 80.0  # I2 in per cent, beyond which Stanley (2017) finds PET-PEESE unreliable
_FEW: Final = 20


@dataclass(frozen=True, kw_only=True)
class BiasRegression(Shown):
    """One regression of effects on their standard errors (PET) or on their variances (PEESE).

    Parameters
    ----------
    name : {"PET", "PEESE"}
    estimate, se, ci_low, ci_high, statistic, pvalue, df : float
        Intercept: the effect at a standard error of 0, analysis scale.
    slope, slope_se, slope_pvalue : float
        Of the standard error or of the variance; that of PET is the test of funnel asymmetry.
    tau2 : float
        Additive between-study variance; 0 for ``model="wls"``.
    factor : float
        What the model variances are multiplied by: the mean square error for ``model="wls"``; NaN for Kenward-Roger.
    """

    name: str
    estimate: float
    se: float
    ci_low: float
    ci_high: float
    statistic: float
    pvalue: float
    df: float
    slope: float
    slope_se: float
    slope_pvalue: float
    tau2: float
    factor: float

    def _headline(self) -> str:
        return f"{self.name}: effects on their {'standard errors' if self.name == 'PET' else 'variances'}"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PetPeeseResult(Frozen):
    """Result of `metaan.pet_peese`.

    Parameters
    ----------
    pet, peese : BiasRegression
    conditional : {"PET", "PEESE"} or None
        Which of the two the rule chooses; None on scales on which zero is no hypothesis, and where PET has no
        residuals to test with.
    rule, alpha : str, float
        PEESE is chosen where PET rejects a zero effect at alpha.
    rule_pvalue : float
        The p-value that the rule compares with alpha.
    model : {"wls", "random"}
    original : PoolResult
        What was given, on the analysis scale.
    notes : tuple of Note
    """

    pet: BiasRegression
    peese: BiasRegression
    conditional: str | None
    rule: str
    alpha: float
    rule_pvalue: float
    model: str
    original: PoolResult
    notes: tuple[Note, ...]

    @property
    def chosen(self) -> BiasRegression | None:
        """The regression that the rule chooses; None where there is no rule."""
        return {"PET": self.pet, "PEESE": self.peese}.get(self.conditional or "")

    def to_frame(self) -> pd.DataFrame:
        """Two rows, PET and PEESE, analysis scale; `conditional` says which the rule chooses."""
        import pandas as pd

        rows = [dataclasses.asdict(one) | {"conditional": one.name == self.conditional} for one in self._both()]
        frame = pd.DataFrame(rows).rename(columns={"name": "regression"})
        frame.attrs["notes"] = self.notes
        return frame

    def curve(self, points: int = 101) -> pd.DataFrame:
        """Expected effects over standard errors from 0 to the largest, to draw in a funnel: se, pet and peese."""
        import pandas as pd

        se = up_to_largest(self.original, points)
        pet, peese = self._both()
        return pd.DataFrame(
            {"se": se, "pet": pet.estimate + pet.slope * se, "peese": peese.estimate + peese.slope * se**2}
        )

    def _both(self) -> tuple[BiasRegression, BiasRegression]:
        return self.pet, self.peese

    def to_dict(self) -> dict[str, Any]:
        """Dictionary of plain numbers and text: fit for JSON (NaN and infinity become None)."""
        said = {name: getattr(self, name) for name in ("conditional", "rule", "alpha", "rule_pvalue", "model")}
        both = {one.name.lower(): dataclasses.asdict(one) for one in self._both()}
        return plain(both | said | {"k": self.original.k}) | {"notes": [str(note) for note in self.notes]}

    def __str__(self) -> str:
        res = self.original
        lines = [
            f"PET-PEESE of {plural(res.k, 'study')}",
            measure_line(res),
            f"Model: {self._model()}",
            "",
            _line(res, "Pooled", res),
            *(_line(res, one.name, one) for one in self._both()),
            f"Asymmetry   slope of PET {number(self.pet.slope)} (SE {number(self.pet.slope_se)}), "
            f"p {probability(self.pet.slope_pvalue)}",
        ]
        if self.conditional is not None:
            said = "is" if self.conditional == "PEESE" else "is not"
            text = f"PET: a zero effect {said} rejected, {self.rule} p {probability(self.rule_pvalue)}"
            lines.append(f"Conditional {self.conditional} (by {text}, alpha {self.alpha:g})")
        return "\n".join([*lines, *note_lines(self.notes, LINES - len(lines))])

    def _model(self) -> str:
        if self.model == "wls":
            return MODEL.choices["wls"]
        spec = self.original.spec
        return f"random effects, tau2: {spec.method}, test={spec.test} ({reference(spec.test, moderators=True)})"

    def __repr__(self) -> str:
        return f"<PetPeeseResult: PET {self.pet.estimate:.4g}, PEESE {self.peese.estimate:.4g}>"


def _line(res: PoolResult, name: str, one: BiasRegression | PoolResult) -> str:
    return f"{name:<11} {interval_text(res, (one.estimate, one.ci_low, one.ci_high))}"


def pet_peese(res: PoolResult, *, model: str = "wls", rule: str = "one-sided", alpha: float = 0.05) -> PetPeeseResult:
    """Precision-effect test and precision-effect estimate with standard error (Stanley & Doucouliagos 2014).

    Parameters
    ----------
    res : PoolResult
        From `metaan.pool`; at least three studies whose standard errors differ.
    model : {"wls", "random"}
        The paper's weighted least squares, whose error variance is estimated, or a meta-regression with the estimator
        of tau2 and the test of `res`.
    rule : {"one-sided", "two-sided"}
        How the conditional estimate is chosen: PEESE where PET rejects a zero effect, PET otherwise.
    alpha : float, default 0.05
        Level of that test, in (0, 0.5).

    Returns
    -------
    PetPeeseResult
        Intercepts of both regressions, analysis scale.

    Raises
    ------
    InputError
        No result of pool, or fewer than three studies.
    OptionError
        An unknown option; a result of another model; ``model="random"`` with ``method="GENQ"``.
    DataError
        All standard errors are equal.

    Notes
    -----
    PET: y = b0 + b1 sqrt(v) + e; PEESE: y = b0 + b1 v + e, both with weights 1/v. The covariance is s2 (X'WX)^-1 with
    s2 the mean square error on k - 2 degrees of freedom, and t has as many. b0 is the effect that a study without
    sampling error would show. PET is biased towards zero where there is an effect, PEESE away from it where there is
    none, hence the rule. It tests a zero effect, which is no hypothesis for the rate of one arm: none is chosen there.

    References
    ----------
    Stanley TD, Doucouliagos H (2014). Res Synth Methods 5:60-78. doi:10.1002/jrsm.1095
    Stanley TD (2017). Soc Psychol Personal Sci 8:581-591. doi:10.1177/1948550617693062

    Examples
    --------
    >>> from metaan import effects, pet_peese, pool
    >>> y, v = [0.10, 0.12, 0.18, 0.30, 0.45, 0.60, 0.85], [0.01, 0.01, 0.02, 0.04, 0.08, 0.10, 0.15]
    >>> made = pet_peese(pool(effects(y, v)))
    >>> made.conditional, round(made.pet.estimate, 3), round(made.peese.estimate, 3)
    ('PET', -0.119, 0.062)
    """
    res = pooled(res, "pet_peese")
    MODEL.check(model)
    RULE.check(rule)
    alpha = between(alpha, "alpha", 0.5, "0.05")
    if model == "random" and res.spec.method == "GENQ":
        raise OptionError("model='random' has no weights of the caller: pool with another method than 'GENQ'.")
    sei = spread_of(res, "pet_peese")
    pet, peese = (_regression(res, name, x, model) for name, x in (("PET", sei), ("PEESE", res.effects.vi)))
    null = KINDS[res.effects.measure].null is not None
    p = math.nan
    if null and pet.se > 0:
        p = _towards(pet, res.estimate) if rule == "one-sided" else pet.pvalue
    return PetPeeseResult(
        pet=pet, peese=peese, conditional=None if math.isnan(p) else "PEESE" if p < alpha else "PET",
        rule=rule, alpha=alpha, rule_pvalue=p, model=model, original=res,
        notes=_notes(res, null, pet, peese, extrapolated(sei)),
    )  # fmt: skip


def _regression(res: PoolResult, name: str, x: FloatArray, model: str) -> BiasRegression:
    how = How(res.spec.method, res.spec.test) if model == "random" else DISPERSION
    fit, tau2, _ = line(Design(res.effects.yi, res.effects.vi, np.column_stack([np.ones(res.k), x])), how)
    of = covariance(fit, how.test)
    fields = coefficient_fields(fit.beta, of, res.spec.level)
    first = {key: float(fields[key][0]) for key in ("se", "ci_low", "ci_high", "statistic", "pvalue", "df")}
    return BiasRegression(
        name=name, estimate=float(fit.beta[0]), **first, slope=float(fit.beta[1]), slope_se=float(fields["se"][1]),
        slope_pvalue=float(fields["pvalue"][1]), tau2=tau2,
        factor=math.nan if how.test == "kr" else float(of.inner[0, 0]),
    )  # fmt: skip


def _towards(pet: BiasRegression, pooled_estimate: float) -> float:
    """One-sided p-value of an effect in the direction of the pooled one."""
    same = pet.estimate * pooled_estimate > 0
    return pet.pvalue / 2 if same else 1 - pet.pvalue / 2


def _notes(
    res: PoolResult, null: bool, pet: BiasRegression, peese: BiasRegression, notes: list[Note]
) -> tuple[Note, ...]:
    if not null:
        text = "Zero is no hypothesis on this scale: neither PET nor PEESE is chosen"
        notes.append(Note("no-null", f"{text}, and both are extrapolations."))
    for one in (pet, peese):
        if one.se == 0:
            text = f"The effects lie exactly on the line of {one.name}: its standard errors are 0 and not usable"
            notes.append(Note("exact-line", text + (", and neither is chosen." if null and one is pet else ".")))
    if res.I2 > _UNSURE:
        text = f"I2 is {res.I2:.0f}%: PET-PEESE is unreliable above {_UNSURE:g}% (Stanley 2017)."
        notes.append(Note("heterogeneous", text))
    return cautions(res, notes, fewest=_FEW)
