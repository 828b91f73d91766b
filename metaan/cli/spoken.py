"""Messages in terms of the command line: what Python calls ``level=95`` is ``--level 95`` here."""

from __future__ import annotations

import ast
import re
import shlex
from typing import Final

import click

__all__ = ["notes_spoken", "spoken", "told"]

_QUOTED: Final = r"""(?:(?<!\w)(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?!\w))"""
_PAIR: Final = rf"""['"](\w+)['"]: (\.\.\.|{_QUOTED})"""
_PLAIN_PAIR: Final = rf"""['"]\w+['"]: (?:\.\.\.|{_QUOTED})"""
_HEADINGS: Final = rf"columns=\{{(?P<pairs>{_PLAIN_PAIR}(?:, {_PLAIN_PAIR})*)\}}"
_ROWS: Final = r"header=\((?P<rows>\d+(?:, ?\d+)*,?)\)"
_NAMED: Final = rf"\b(?P<name>[a-z_]+)=(?=(?P<value>{_QUOTED})|(?P<more>[\w(+-])|)"
_CALL: Final = r"\b[\w.]+\([^()]*=[^()]*\)"
_PIECE: Final = re.compile(rf"`(?P<ticked>[^`\n]*=[^`\n]*)`|{_HEADINGS}|{_ROWS}|{_CALL}|{_QUOTED}|{_NAMED}")
# Arguments that are called otherwise on the command line; the first that the command has is meant.
_CALLED: Final = {"path": ("output",), "name": ("evidence", "therapy"), "trials": ("evidence",)}


def spoken(text: str, command: click.Command | None) -> str:
    """A message with the options of a command for arguments; what is quoted, such as a heading, stays as it is."""
    options = {str(param.name): param for param in command.params if isinstance(param, click.Option)} if command else {}

    def option(match: re.Match[str]) -> str:
        if match["ticked"]:
            return spoken(match["ticked"], command)
        if match["pairs"]:
            return _headings(match, options)
        if match["rows"] and "header" in options:
            return " ".join(f"--header {row}" for row in re.findall(r"\d+", match["rows"]))
        return _named(match, options, text) if match["name"] else match[0]

    return _PIECE.sub(option, text)


def told(text: str) -> str:
    """A message in terms of the command that runs."""
    return spoken(text, click.get_current_context().command)


def notes_spoken(text: str) -> str:
    """The printed result with the notes under it in terms of the command that runs."""
    return "\n".join(told(line) if line.startswith("- ") else line for line in text.split("\n"))


def _headings(match: re.Match[str], options: dict[str, click.Option]) -> str:
    """``columns={'events': ...}`` as options, each with its heading or COL."""
    pairs = re.findall(_PAIR, match["pairs"])
    if any(name not in options for name, _ in pairs):
        return match[0]
    values = ["COL" if value == "..." else shlex.quote(ast.literal_eval(value)) for _, value in pairs]
    return " ".join(f"{_flag(options[name])} {value}" for (name, _), value in zip(pairs, values, strict=True))


def _named(match: re.Match[str], options: dict[str, click.Option], text: str) -> str:
    """``name=`` as an option, where the command has one that takes the value; in words where it takes another."""
    name = next((other for other in _CALLED.get(match["name"], ()) if other in options), match["name"])
    if name not in options:
        return match[0]
    choices = getattr(options[name], "choices", ())
    value = (match["value"] or "").strip("'\"")
    refused = text.startswith(" is not known", match.end() + len(match["value"] or ""))
    if value and choices and value not in choices and not refused:
        return f"{match['name']} "
    return _flag(options[name]) + (" " if match["value"] or match["more"] else "")


def _flag(option: click.Option) -> str:
    """An option as it is written, by its short name where it has one."""
    return option.opts[0]
