"""Entries of a BibTeX file, read plainly: a value is what stands between its braces."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ENTRY = re.compile(r"^@(\w+)\{([^,\s]+),\n(.*?)^\}", re.M | re.S)
_NAME = re.compile(r"(\w+)\s*=\s*\{")


def entries(text: str) -> Iterator[dict[str, str]]:
    """Fields by name, with `kind` and `key`."""
    for kind, key, body in _ENTRY.findall(text):
        yield {"kind": kind, "key": key} | dict(_fields(body))


def _fields(body: str) -> Iterator[tuple[str, str]]:
    at = 0
    while found := _NAME.search(body, at):
        begin = end = found.end()
        depth = 1
        while depth:
            depth += {"{": 1, "}": -1}.get(body[end], 0)
            end += 1
        yield found[1], body[begin : end - 1]
        at = end
