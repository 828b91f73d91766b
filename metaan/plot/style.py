"""How figures look: one frozen record, made from rcParams and the style that was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, cast

import matplotlib as mpl
import seaborn as sns
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.typing import ColorType

from metaan.errors import OptionError
from metaan.validate import Option

__all__ = ["STYLE", "Style", "current_style"]

STYLE: Final = Option(
    "style",
    {
        "default": "seaborn's colorblind palette, rules round the heading",
        "jama": "JAMA: estimates beside the labels, shaded rows, hyphens in intervals",
        "bmj": "BMJ: blue, shaded rows, intervals with 'to'",
        "lancet": "Lancet: midline decimal points, intervals in round brackets",
        "revman": "Review Manager: numbers before the plot, square brackets",
        "minimal": "thin lines, circles, no rules",
        "print": "grey",
    },
    "default",
)

# Journals ask for 7 to 9 point Arial or Helvetica. Liberation Sans has the widths of Arial, so that an SVG
# with real text keeps its columns on a computer that has only one of them.
_SIZE: Final = 8.0
_FACES: Final = ("Arial", "Helvetica", "Liberation Sans", "Nimbus Sans")
# Faces with Chinese, Japanese and Korean signs, which Latin faces lack; asked only when a label needs them.
_EAST_ASIAN: Final = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "PingFang SC", "Hiragino Sans", "Microsoft YaHei",
    "Yu Gothic", "Malgun Gothic", "WenQuanYi Zen Hei", "Droid Sans Fallback", "Arial Unicode MS",
)  # fmt: skip
_FIRST_EAST_ASIAN: Final = "\u2e80"
_GENERIC: Final = ("serif", "sans-serif", "cursive", "fantasy", "monospace")
_GREYS: Final = ("0.15", "0.55", "0.35", "0.72", "0.45", "0.82", "0.25", "0.65")
_NUMBERS_FIRST: Final = ("study", "events", "total", "weight", "estimate")
# What each style changes.
_CHANGES: Final[Mapping[str, Mapping[str, Any]]] = {
    "default": {},
    "jama": {
        "square": "#1f5a8a", "pooled": "#c8752d", "prediction": "#8a8a8a", "zebra": "#eef3f7", "header": "#d9e5ee",
        "rules": False, "between": "-", "left": ("study", "events", "total", "estimate"), "right": ("weight",),
        "headings": (("study", "Source"),),
    },
    "bmj": {
        "square": "#2a6ebb", "pooled": "#0b3c74", "prediction": "#e08a1e", "zebra": "#e9f1f9", "between": " to ",
        "rules": False, "header": "#cfe0f1",
    },
    "lancet": {"square": "#00468b", "pooled": "#a40000", "prediction": "#42a5b3", "decimal": "·"},
    "revman": {
        "square": "#1f5fbf", "pooled": "#000000", "prediction": "#e69f00", "between": ", ", "brackets": ("[", "]"),
        "left": _NUMBERS_FIRST, "right": (), "headings": (("study", "Study or subgroup"),),
    },
    "minimal": {"mark": "o", "rules": False, "weight": 0.7, "largest": 0.5},
    "print": {
        "ink": "0", "muted": "0.35", "square": "0.45", "pooled": "0.1", "prediction": "0.65", "palette": _GREYS,
        "caps": True, "grey": True,
    },
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Style:
    """Type and colours of a figure.

    Parameters
    ----------
    family : tuple of str
        Font families, the first choice first.
    size : float
        Size of the text, points; every distance in a figure is a multiple of it.
    ink, muted : colour
        Text and intervals; rules, reference line and notes.
    square, pooled, prediction : colour
        Study squares, pooled diamond, bar of the prediction interval.
    name : str
        A choice of `STYLE`.
    palette : tuple of colours
        Of groups and series.
    zebra, header : colour or None
        Shade of every other row, and of the heading.
    rules : bool
        Lines over and under the heading.
    mark : str
        Marker of the studies.
    largest : float
        Side of the largest square, in rows.
    weight : float
        Factor on the widths of lines.
    caps : bool
        Strokes at the ends of the studies' intervals.
    grey : bool
        Traffic lights without colour, too.
    between, brackets, decimal : str, (str, str), str
        How intervals are written: what stands between the limits and around them, and the decimal point.
    left, right : tuple of str
        Columns on either side of a forest plot, where the caller does not choose.
    headings : tuple of (str, str)
        Headings of columns that differ from those of `metaan.names`.
    """

    family: tuple[str, ...]
    size: float
    ink: ColorType
    muted: ColorType
    square: ColorType
    pooled: ColorType
    prediction: ColorType
    name: str = "default"
    palette: tuple[ColorType, ...] = ()
    zebra: ColorType | None = None
    header: ColorType | None = None
    rules: bool = True
    mark: str = "s"
    largest: float = 0.68
    weight: float = 1.0
    caps: bool = False
    grey: bool = False
    between: str = "–"
    brackets: tuple[str, str] = ("(", ")")
    decimal: str = "."
    left: tuple[str, ...] = ("study", "events", "total")
    right: tuple[str, ...] = ("estimate", "weight")
    headings: tuple[tuple[str, str], ...] = ()

    @property
    def row(self) -> float:
        """Height of one row, points."""
        return 1.75 * self.size

    @property
    def small(self) -> float:
        """Size of notes, points."""
        return 0.9 * self.size

    def line(self, share: float) -> float:
        """Width of a line, points, from its share of the text size."""
        return share * self.size * self.weight

    def font(self, *, bold: bool = False, small: bool = False) -> FontProperties:
        """Font of a text."""
        return FontProperties(
            family=list(self.family),
            size=self.small if small else self.size,
            weight="bold" if bold else "normal",
        )

    def scaled(self, factor: float) -> Style:
        """Return the same style with smaller or larger text."""
        return replace(self, size=self.size * factor)


def current_style(texts: Iterable[str] = (), style: str | Style | None = None) -> Style:
    """Style that rcParams ask for; where they are matplotlib's own defaults, what journals ask for.

    `texts` are the labels to be drawn: faces for their script are added when the Latin ones lack it. A named style
    changes colours and forms; type and size stay with rcParams. A `Style` is taken as it is.
    """
    if isinstance(style, Style):
        return style
    if style is not None and not isinstance(style, str):
        raise OptionError(f"style={style!r} is a {type(style).__name__}. Choose one of {', '.join(STYLE.choices)}.")
    name = STYLE.check("default" if style is None else style)
    palette = tuple(sns.color_palette("colorblind"))
    ink: Any = _rc()["text.color"]
    plain = Style(
        family=_family(any(max(text, default="") >= _FIRST_EAST_ASIAN for text in texts)),
        size=_SIZE if _is_default("font.size") else float(_rc()["font.size"]),
        ink=ink, muted=sns.blend_palette([ink, "0.6"], 3)[1],
        square=palette[0], pooled=palette[0], prediction=palette[1], palette=palette, name=name,
    )  # fmt: skip
    return replace(plain, **_CHANGES[name])


def _family(east_asian: bool) -> tuple[str, ...]:
    if _is_default("font.family") and _is_default("font.sans-serif"):
        family = (*_installed(_FACES)[:1], "sans-serif")
    else:
        family = tuple(face for entry in _rc()["font.family"] for face in _resolved(entry))
    return (*family, *_installed(_EAST_ASIAN)[:1]) if east_asian else family


def _resolved(entry: str) -> tuple[str, ...]:
    """A generic family, its face put first: a later change of rcParams then leaves the face as it is."""
    faces = _rc()[f"font.{entry}"] if entry in _GENERIC else None
    return (*_installed(tuple(faces))[:1], entry) if faces else (entry,)


def _is_default(key: str) -> bool:
    defaults = cast("dict[str, Any]", mpl.rcParamsDefault)
    return bool(_rc()[key] == defaults[key])


def _rc() -> dict[str, Any]:
    return cast("dict[str, Any]", mpl.rcParams)


@lru_cache
def _installed(faces: tuple[str, ...]) -> tuple[str, ...]:
    # Asking matplotlib for a face that is absent logs a warning each time, so ask its list instead.
    present = {entry.name for entry in fontManager.ttflist}
    return tuple(face for face in faces if face in present)
