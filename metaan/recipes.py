"""Recipes: the choices that other programs make by default, so that their numbers can be reproduced by name."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from metaan.errors import DataError, Note, OptionError, ZeroCellWarning, listed
from metaan.measures.effect_size import effect_size
from metaan.measures.kinds import MEASURES
from metaan.measures.record import Effects
from metaan.models.design import take
from metaan.models.glmm import glmm
from metaan.models.pool import pool
from metaan.models.results import PoolResult
from metaan.models.text import plural
from metaan.validate import MISSING, FloatArray, Option

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RECIPES", "Recipe", "reproduce"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What one program does when nothing is asked of it.

    Parameters
    ----------
    program : str
        Program and version.
    pool : mapping
        Options of `metaan.pool`.
    effect_size : mapping
        Options of `metaan.effect_size` for counts.
    by_measure : mapping
        Further options of `metaan.effect_size`, for the measures named.
    variances : mapping
        Sampling variances that no option gives: for the measures named, a function of the effects.
    takes : tuple of str
        The measures that the program computes for this analysis; any where none are named.
    rates : mapping or None
        Options of `metaan.glmm`, where the program fits a GLMM to single-arm logit rates by default.
    double_zero : bool
        Whether a trial without events in either arm, or with events alone, enters odds and risk ratios.
    differs : tuple of (str, tuple of str)
        What the program prints that the recipe does not reproduce, and the measures of which that is true (all where
        none are named).
    """

    program: str
    pool: Mapping[str, Any]
    effect_size: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({"correction": "only0"}))
    by_measure: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))
    variances: Mapping[str, Callable[[Effects], FloatArray]] = field(default_factory=lambda: MappingProxyType({}))
    takes: tuple[str, ...] = ()
    rates: Mapping[str, Any] | None = None
    double_zero: bool = True
    differs: tuple[tuple[str, tuple[str, ...]], ...] = ()


def _options(**options: Any) -> Mapping[str, Any]:
    return MappingProxyType(options)


def _hedges_olkin(eff: Effects) -> FloatArray:
    """Variance of Hedges' g in RevMan 5: N/(n1 n2) + g^2/{2 (N - 3.94)} (Deeks & Higgins 2010, its algorithms)."""
    of = eff.inputs or {}
    n1, n2 = of["n_t"], of["n_c"]
    return (n1 + n2) / (n1 * n2) + eff.yi**2 / (2 * (n1 + n2 - 3.94))


_Q_FORM: Final = ("Its I2 is the Q form, here {q_form:.1f}%.", ())
_OF_META: Final = (
    _Q_FORM,
    ("Where a cell is 0 it adds 0.5 to events and totals, and not to the other cells.", ("RR", "PLN")),
)
_UNBIASED: Final = _options(SMD=_options(bias="exact", variance="UB"))  # exact.smd=TRUE, since meta 5.1-0
RECIPES: Final[Mapping[str, Recipe]] = MappingProxyType(
    {
        "metaan": Recipe(program="metaan", pool=_options()),
        "metafor": Recipe(program="metafor (rma, escalc)", pool=_options(method="REML", test="z", pi="z")),
        "meta7": Recipe(
            program="R meta 7 (metagen, metabin, metaprop)",
            pool=_options(method="REML", test="z", pi="hts"),
            by_measure=_UNBIASED,
            rates=_options(nodes=7, test="z", pi="hts"),
            double_zero=False,
            differs=_OF_META,
        ),
        "meta8": Recipe(
            program="R meta 8 (metagen, metabin, metaprop)",
            pool=_options(method="REML", test="z", pi="t"),
            by_measure=_UNBIASED,
            rates=_options(nodes=7, test="z", pi="t"),
            double_zero=False,
            differs=_OF_META,
        ),
        "revman": Recipe(
            program="RevMan 5 (inverse variance, random effects)",
            pool=_options(method="DL", test="z", pi="none"),
            by_measure=_options(SMD=_options(bias="approximate")),
            variances=_options(SMD=_hedges_olkin),
            takes=("OR", "RR", "RD", "MD", "SMD"),
            double_zero=False,
            differs=(
                _Q_FORM,
                ("Its default is a fixed effect, with events of two arms by Mantel-Haenszel.", ()),
                (
                    "Its Mantel-Haenszel random-effects analysis takes Q about that estimate: tau2 differs.",
                    ("OR", "RR", "RD"),
                ),
            ),
        ),
        "stata": Recipe(
            program="Stata 16 and later (meta summarize, predinterval)",
            pool=_options(method="REML", test="z", pi="hts"),
            by_measure=_options(SMD=_options(bias="approximate", variance="LS2"), MD=_options(variance="HO")),
            differs=(
                ("Its default for rates is Freeman-Tukey (PFT).", ("PR", "PLO", "PLN", "PAS")),
                (
                    "Its user-written metaprop pools Freeman-Tukey rates or another estimand altogether.",
                    ("PR", "PLO", "PLN", "PAS", "PFT"),
                ),
            ),
        ),
    }
)
"""Recipes by name. An option that is not named there is metaan's default."""

_FIXED: Final = {"method", "test", "pi", "ci", "nodes", "model", "correction", "add", "variance", "bias", "weights"}
_AS: Final = Option("reproduce_as", {name: recipe.program for name, recipe in RECIPES.items()}, "metaan")


def reproduce(
    measure: str | Effects,
    data: pd.DataFrame | None = None,
    *,
    reproduce_as: str,
    study: Any = None,
    level: float = 0.95,
    missing: str = "raise",
    **columns: Any,
) -> PoolResult:
    """Pool as another program does by default: its estimator, interval, prediction interval and corrections.

    Parameters
    ----------
    measure : str or Effects
        Measure of `metaan.effect_size`, with its columns; or effects that are already computed.
    data : pandas.DataFrame, optional
        Where column names are looked up.
    reproduce_as : {"metafor", "meta7", "meta8", "revman", "stata", "metaan"}
        A key of `metaan.recipes.RECIPES`.
    study : sequence of k labels or column name, optional
        Study labels; 1 ... k by default.
    level : float, default 0.95
        Level of the intervals, in (0.5, 1).
    missing : {"raise", "drop"}, default "raise"
        What to do with a study that has a missing value; dropping is noted.
    **columns : array of shape (k,) or column name
        As in `metaan.effect_size`.

    Returns
    -------
    PoolResult
        Its notes name the recipe and what the program prints differently.

    Raises
    ------
    OptionError
        An unknown recipe; columns beside ready-made effects; a measure that the program does not compute.
    InputError, DataError
        As `metaan.effect_size`.

    Examples
    --------
    >>> from metaan import reproduce
    >>> counts = {"events": [0, 3, 1, 4, 2, 3, 9, 7], "total": [20, 44, 28, 30, 51, 30, 40, 40]}
    >>> res = reproduce("PLO", reproduce_as="metafor", **counts).back()
    >>> print(f"{res.estimate:.5f} ({res.ci_low:.5f} to {res.ci_high:.5f})")
    0.10745 (0.06430 to 0.17416)
    """
    recipe = RECIPES[_AS.check(reproduce_as)]
    fixed = sorted(set(columns) & _FIXED)
    if fixed:
        raise OptionError(f"The recipe sets {', '.join(fixed)}; use effect_size, pool or glmm to choose.")
    MISSING.check(missing)
    if isinstance(measure, Effects):
        if columns or data is not None or study is not None:
            raise OptionError("Effects that are already computed take no columns, data or study.")
        return _noted(pool(measure, level=level, **recipe.pool), recipe, measure.measure)
    _taken(MEASURES.check(measure), recipe)
    given: dict[str, Any] = {"data": data, "study": study, "missing": missing}
    if measure == "PLO" and recipe.rates is not None:
        return _noted(glmm(measure, level=level, **given, **columns, **recipe.rates), recipe, measure)
    return _noted(pool(_effects(measure, recipe, given, columns), level=level, **recipe.pool), recipe, measure)


def _taken(measure: str, recipe: Recipe) -> None:
    if recipe.takes and measure not in recipe.takes:
        raise OptionError(
            f"{recipe.program} computes {', '.join(recipe.takes)}, not {measure}. Effects that are ready made it "
            "pools by generic inverse variance: give reproduce() those."
        )


def _effects(measure: str, recipe: Recipe, given: dict[str, Any], columns: dict[str, Any]) -> Effects:
    """Effects as the program computes them."""
    options = {**recipe.effect_size, **recipe.by_measure.get(measure, {})}
    if not _takes_counts(columns):
        options.pop("correction", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZeroCellWarning)  # the recipe names the correction; the note stays
        eff = effect_size(measure, **given, **options, **columns)
    if measure in recipe.variances:
        note = Note("recipe-variance", f"The variances of {measure} are those of {recipe.program}.")
        eff = dataclasses.replace(eff, vi=recipe.variances[measure](eff), notes=(*eff.notes, note))
    if not recipe.double_zero and measure in ("OR", "RR"):
        eff = _without_double_zeros(eff)
    return eff


def _without_double_zeros(eff: Effects) -> Effects:
    of = eff.inputs or {}
    hit, total = (of[f"{kind}_t"] + of[f"{kind}_c"] for kind in ("events", "total"))
    silent = (hit == 0) | (hit == total)
    if not silent.any():
        return eff
    names = tuple(name for name, gone in zip(eff.study, silent, strict=True) if gone)
    if silent.all():
        raise DataError(f"The recipe leaves every trial out: none has both events and non-events ({listed(names)}).")
    text = f"Left out, being without events or with events alone: {plural(len(names), 'trial')}, {listed(names)}."
    return take(eff, ~silent, (Note("double-zero", text, names),))


def _takes_counts(columns: dict[str, Any]) -> bool:
    return any(name.startswith("events") for name in columns)


def _noted(res: PoolResult, recipe: Recipe, measure: str) -> PoolResult:
    form = res.heterogeneity.I2_Q
    differs = (text.format(q_form=form) for text, of in recipe.differs if not of or measure in of)
    text = " ".join((f"By the recipe of {recipe.program}.", *differs))
    return dataclasses.replace(res, notes=(*res.notes, Note("recipe", text)))
