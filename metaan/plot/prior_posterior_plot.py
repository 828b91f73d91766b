"""Prior and posterior: what the data added to what was assumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from metaan.analysis.prior_posterior import prior_posterior as curves
from metaan.measures.kinds import KINDS
from metaan.models.bayes_result import BayesResult
from metaan.models.text import true_word
from metaan.plot.axis import XLABEL, Axis
from metaan.plot.panel import describe, finish, table_of
from metaan.plot.scales import axis_of, key, label_of, panels, scale_of, set_scale
from metaan.plot.style import Style, current_style
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["prior_posterior", "prior_posterior_table"]

_COLUMNS: Final = ("parameter", "x", "prior", "posterior", "scale")
_HEIGHT: Final = 26.0
_MOST: Final = 0.995  # of the posterior of a rate that the axis shows
_TALLER: Final = 2.5  # how far a prior may rise above the posterior
_TITLES: Final = {"mu": "Mean effect", "tau": "Between-study SD", "new": "New study"}
_WORDS: Final = {"mu": "the mean effect", "tau": "tau, the between-study SD", "new": "the effect in a new study"}


def prior_posterior_table(
    res: BayesResult,
    *,
    parameter: str | Sequence[str] | None = None,
    scale: str | None = None,
    tau_prior: Any = None,
) -> pd.DataFrame:
    """Table that a prior-posterior plot draws: densities, point by point.

    Parameters
    ----------
    res : BayesResult
        From `metaan.bayes`, on either scale.
    parameter : {"mu", "tau", "new"} or several of them, default "mu"
        Mean effect, between-study standard deviation, true effect in a new study.
    scale : {"display", "analysis"}, default "display"
        Rates, ratios or correlations, or as it was fitted; tau is always on the analysis scale.
    tau_prior : callable, optional
        The prior that `metaan.bayes` was given, where it was a function of the user's own.

    Returns
    -------
    pandas.DataFrame
        Columns parameter, x, prior (NaN where it is improper or not known), posterior and scale. Densities are those
        of x, or of log x for ratios. ``attrs`` hold median and credible limits of each parameter, their level, the
        names of the priors and labels.

    Raises
    ------
    InputError
        `res` is no result of `metaan.bayes`.
    OptionError
        Unknown parameter or scale; a `tau_prior` that is not the one behind the result.

    Examples
    --------
    >>> import metaan
    >>> res = metaan.bayes(events=[0, 3, 1, 4], total=[20, 44, 28, 30], mu_prior=metaan.NormalPrior(0, 1.5))
    >>> table = metaan.plot.prior_posterior_table(res)
    >>> table.attrs["summary"]["mu"][0] == res.back().estimate
    True
    """
    on = "display" if scale is None else scale
    table = curves(res, "mu" if parameter is None else parameter, scale=on, tau_prior=tau_prior)
    eff = res.effects
    plain = on == "analysis" or not KINDS[eff.measure].transformed
    shown = "effect" if on == "analysis" else scale_of(eff)
    table["scale"] = np.where(table["parameter"] == "tau", "amount", shown)
    named = {XLABEL: _first_upper(KINDS[eff.measure].label)} if on == "analysis" else label_of(eff)
    priors = {"mu": res.mu_prior, "tau": res.tau_prior, "new": f"{res.mu_prior}; {res.tau_prior}"}
    of = "" if plain else f" ({KINDS[eff.measure].label})"
    what = "effect" if on == "analysis" else true_word(eff.measure)
    table.attrs |= {"level": res.spec.level, "priors": priors, "tau_label": f"τ{of}", "what": what, "k": res.k, **named}
    return table


def prior_posterior(
    res: BayesResult | pd.DataFrame,
    *,
    parameter: str | Sequence[str] | None = None,
    scale: str | None = None,
    tau_prior: Any = None,
    xlim: tuple[float, float] | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    style: str | Style | None = None,
) -> Axes | npt.NDArray[np.object_]:
    """Prior and posterior density of a Bayesian meta-analysis, with median and credible interval.

    Parameters
    ----------
    res : BayesResult or DataFrame
        From `metaan.bayes`, or a table from `prior_posterior_table`.
    parameter : {"mu", "tau", "new"} or several of them, default "mu"
        Mean effect, between-study standard deviation, true effect in a new study; a panel for each. Only for a result.
    scale : {"display", "analysis"}, default "display"
        Rates, ratios or correlations, or as it was fitted. Only for a result.
    tau_prior : callable, optional
        The prior that `metaan.bayes` was given, where it was a function of the user's own. Only for a result.
    xlim : (float, float), optional
        Ends of the axes of mu and of the new study, rates as proportions.
    ax : matplotlib.axes.Axes, or several, optional
        Where to draw: one for each parameter; a new figure by default.
    style : str or Style, optional
        See `metaan.plot.forest`.

    Returns
    -------
    matplotlib.axes.Axes, or an array of them where `parameter` is a list

    Raises
    ------
    InputError
        No result of `metaan.bayes` and no table.
    OptionError
        As `prior_posterior_table`; another number of Axes than parameters.

    See Also
    --------
    prior_posterior_table : The table that is drawn.

    Notes
    -----
    Where the curves coincide, the data say nothing that the prior did not. A flat prior has no density and is not
    drawn; the legend names it. Curves of ratios are densities of the logarithm, so that areas on the log axis are
    probabilities.

    Examples
    --------
    >>> import metaan
    >>> res = metaan.bayes(events=[0, 3, 1, 4], total=[20, 44, 28, 30], mu_prior=metaan.NormalPrior(0, 1.5))
    >>> axes = metaan.plot.prior_posterior(res, parameter=["mu", "tau"])
    >>> [ax.get_xlabel() for ax in axes]
    ['Rate (%)', 'τ (logit of a proportion)']
    """
    options = {"parameter": parameter, "scale": scale, "tau_prior": tau_prior}
    table = table_of(res, prior_posterior_table, _COLUMNS, options)
    names = [str(name) for name in dict.fromkeys(table["parameter"])]
    look = current_style((), style)
    axes = panels(look, ax, len(names), height=_HEIGHT)
    for one, name in zip(axes, names, strict=True):
        part = table[table["parameter"] == name]
        part.attrs = table.attrs
        _draw(one, part, name, xlim if name != "tau" else None, look, titled=len(names) > 1)
    single = len(names) == 1 and (parameter is None or isinstance(parameter, str))
    return axes[0] if single else axes


def _draw(
    ax: Axes, part: pd.DataFrame, name: str, xlim: tuple[float, float] | None, style: Style, *, titled: bool
) -> None:
    """One parameter."""
    x, prior, after = (part[column].to_numpy(dtype=np.float64) for column in ("x", "prior", "posterior"))
    median, low, high = part.attrs.get("summary", {}).get(name, [np.nan] * 3)
    scale = str(part["scale"].iloc[0])
    axis = _axis(scale, x, after, xlim)
    inside = (x >= low) & (x <= high)
    shade = np.concatenate([[low], x[inside], [high]])
    ax.fill_between(
        shade, np.interp(shade, x, after), color=style.pooled, alpha=0.25, lw=0, label="_interval", zorder=1
    )
    ax.plot(x, after, color=style.pooled, lw=style.line(0.2), label="_posterior", zorder=3)
    ax.vlines(
        median, 0, np.interp(median, x, after), colors=[style.pooled], lw=style.line(0.12), label="_median", zorder=2
    )
    known = bool(np.isfinite(prior).any())
    if known:
        ax.plot(x, prior, color=style.prediction, lw=style.line(0.16), ls="--", label="_prior", zorder=4)
    set_scale(ax, axis, "x")
    if axis.null is not None and axis.low < axis.null < axis.high:
        ax.axvline(axis.null, color=style.muted, lw=style.line(0.07), label="_null", zorder=0.5)
    ax.set_ylim(0, 1.08 * _top(x, prior, after, (low, high)))
    ax.set_yticks([])
    label = part.attrs.get("tau_label", "τ") if name == "tau" else part.attrs.get(XLABEL, axis.title)
    finish(ax, style, xlabel=str(label), ylabel="Density", title=_TITLES[name] if titled or name == "new" else "")
    said = _said(axis, median, low, high, float(part.attrs.get("level", 0.95)))
    key(ax, style, _handles(part, name, known, said, style), most=2 if not titled else 1)
    describe(ax, _words(part, name, known, said))


def _axis(scale: str, x: FloatArray, after: FloatArray, xlim: tuple[float, float] | None) -> Axis:
    """Axis that ends where the curves do; for rates where the posterior dies out, or at 100 %."""
    if xlim is None and scale != "rate":
        xlim = float(x[0]), float(x[-1])
    mass = np.cumsum(after * np.gradient(x))
    end = x[np.searchsorted(mass, _MOST * mass[-1])] if scale == "rate" else x[-1]
    ends = np.array([x[0], end])
    return axis_of(scale, ends, ends, ends, xlim)


def _top(x: FloatArray, prior: FloatArray, after: FloatArray, ends: tuple[float, float]) -> float:
    """Height to show: the posterior, and the prior where it does not dwarf it."""
    inside = (x >= ends[0]) & (x <= ends[1])
    peak = float(after[inside].max()) if inside.any() else float(after.max())
    return max(peak, min(_TALLER * peak, float(np.nanmax(prior)))) if np.isfinite(prior).any() else peak


def _said(axis: Axis, median: float, low: float, high: float, level: float) -> tuple[str, str]:
    """Median and interval as text."""
    unit = "%" if axis.factor != 1 else ""
    interval = f"{axis.number(low)}{unit} to {axis.number(high)}{unit}"
    return f"{axis.number(median)}{unit}", f"{100 * level:g}% CrI {interval}"


def _handles(part: pd.DataFrame, name: str, known: bool, said: tuple[str, str], style: Style) -> list[Any]:
    """Entries of the legend."""
    text = str(part.attrs.get("priors", {}).get(name, ""))
    dashed = Line2D([], [], color=style.prediction, lw=style.line(0.16), ls="--" if known else "none")
    dashed.set_label(f"Prior: {text}" + ("" if known else " (not drawn)"))
    return [
        Line2D([], [], color=style.pooled, lw=style.line(0.2), label=f"Posterior, median {said[0]}"),
        Patch(facecolor=style.pooled, alpha=0.25, lw=0, label=said[1]),
        dashed,
    ]


def _words(part: pd.DataFrame, name: str, known: bool, said: tuple[str, str]) -> str:
    """The figure in words."""
    k = part.attrs.get("k")
    of = f" of a meta-analysis of {k} studies" if k else ""
    prior = f"The prior is {part.attrs.get('priors', {}).get(name, 'not known')}"
    which = "prior and posterior" if known else "posterior"
    interval = said[1].replace("CrI", "credible interval")
    return (
        f"Density curves ({which}) of {_WORDS[name]}{of}. The posterior median is {said[0]}, {interval}. "
        f"{prior}{'' if known else ', which has no curve'}."
    )


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]
