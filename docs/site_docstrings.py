"""What the site makes of docstrings: references as a list with links, the table of recipes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sphinx.application import Sphinx

_YEAR = re.compile(r"\(\d{4}[a-z]?\)")
_DOI = re.compile(r"\bdoi:\s*(10\.\d{4,9}/\S*[^\s.,;)])")
_FILLED_IN = re.compile(r",? (?:here )?\{[^}]*\}%?")


def references_as_list(lines: list[str]) -> list[str]:
    """Lines of a docstring, its references as a list; a line without a year in brackets goes on with the one before."""
    made, inside = [], False
    for i, line in enumerate(lines):
        title = i + 1 < len(lines) and _is_rule(lines[i + 1])
        if _is_rule(line):
            inside = lines[i - 1].strip() == "References"
        if not inside or not line.strip() or title or _is_rule(line):
            made.append(line)
            continue
        begins = not line.startswith(" ") and _YEAR.search(line) is not None
        made.append(("- " if begins else "  ") + with_links(line.strip()))
    return made


def with_links(text: str) -> str:
    """The same text, every DOI a link."""
    return _DOI.sub(lambda found: f"`{_escape(found[0])} <https://doi.org/{quote(found[1])}>`__", text)


def _escape(text: str) -> str:
    return text.replace("<", "\\<")


def _is_rule(line: str) -> bool:
    return set(line) == {"-"} and len(line) > 2


def recipes_as_list(recipes: Mapping[str, Any]) -> list[str]:
    """Each recipe with its settings, as reStructuredText."""
    made = [""]
    for name, recipe in recipes.items():
        made += [f'``"{name}"``: {recipe.program}', *(f"    - {line}" for line in _settings(recipe)), ""]
    return made


def _settings(recipe: Any) -> Iterable[str]:
    yield f"`metaan.pool`: {_options(recipe.pool)}"
    yield f"`metaan.effect_size`: {_options(recipe.effect_size)}"
    for measure, options in recipe.by_measure.items():
        yield f"`metaan.effect_size` of {measure}: {_options(options)}"
    if recipe.variances:
        yield f"variances of its own: {', '.join(recipe.variances)}"
    if recipe.rates is not None:
        yield f"`metaan.glmm` of single-arm logit rates: {_options(recipe.rates)}"
    if recipe.takes:
        yield f"measures: {', '.join(recipe.takes)}"
    if not recipe.double_zero:
        yield "leaves out trials without events, or without anything else, from odds and risk ratios"
    for text, measures in recipe.differs:
        of = f" ({', '.join(measures)})" if measures else ""
        yield f"not reproduced: {_FILLED_IN.sub('', text)}{of}"


def _options(options: Mapping[str, Any]) -> str:
    shown = ((name, f'"{value}"' if isinstance(value, str) else value) for name, value in options.items())
    return ", ".join(f"``{name}={value}``" for name, value in shown) or "metaan's defaults"


def process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Change a docstring before numpydoc reads it."""
    lines[:] = references_as_list(lines)
    if name == "metaan.recipes.RECIPES":
        lines += recipes_as_list(obj)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", process, priority=400)  # numpydoc: 500
    return {"parallel_read_safe": True}
