"""Calls of metaan that can be written as code and be made: what is printed is what was run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

__all__ = ["Call", "Keep", "Name", "Step", "run", "written"]

_WIDTH: Final = 88


@dataclass(frozen=True)
class Name:
    """A variable of an earlier step."""

    text: str


@dataclass(frozen=True)
class Call:
    """A call of a public function; values are numbers, texts, lists and dicts of these, variables, or other calls."""

    function: str
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(self, known: Mapping[str, Any]) -> Any:
        """Make the call."""
        import pandas as pd

        import metaan

        module, name = self.function.split(".")
        function = getattr({"metaan": metaan, "pd": pd}[module], name)
        options = {key: _value(value, known) for key, value in self.options.items()}
        return function(*(_value(arg, known) for arg in self.args), **options)

    def code(self, indent: int = 0) -> str:
        """The call as code, broken where it is too long."""
        parts = [*map(_literal, self.args), *(f"{name}={_literal(value)}" for name, value in self.options.items())]
        one = f"{self.function}({', '.join(parts)})"
        if indent + len(one) <= _WIDTH:
            return one
        values = [("", value) for value in self.args] + [(f"{name}=", value) for name, value in self.options.items()]
        lines = [f"    {name}{_broken(value, 4 + len(name))}," for name, value in values]
        return "\n".join([f"{self.function}(", *lines, ")"])


@dataclass(frozen=True)
class Keep:
    """Rows of a loaded table, by their places in the file."""

    frame: str
    places: tuple[int, ...]

    def make(self, known: Mapping[str, Any]) -> Any:
        """Keep the rows."""
        frame = known[self.frame]
        return frame[frame["row"].isin(self.places)]

    def code(self, indent: int = 0) -> str:
        """The same as code."""
        start = f'{self.frame}[{self.frame}["row"].isin('
        return f"{start}{_broken(list(self.places), indent + len(start))})]"


@dataclass(frozen=True)
class Step:
    """An assignment."""

    target: str
    value: Call | Keep


def run(steps: Iterable[Step], before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Make the steps after those that left the variables `before`, and return all variables."""
    known = dict(before or {})
    for step in steps:
        known[step.target] = step.value.make(known)
    return known


def written(steps: Sequence[Step]) -> str:
    """The steps as code."""
    made = [f"{step.target} = {step.value.code(len(step.target) + 3)}" for step in steps]
    imports = ["import metaan"]
    if any("pd." in line.split("=")[1] for line in made):
        imports = ["import pandas as pd", "", "import metaan"]
    return "\n".join([*imports, "", *made])


def _value(value: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(value, Name):
        return known[value.text]
    if isinstance(value, Call):
        return value.make(known)
    if isinstance(value, Mapping):
        return {key: _value(one, known) for key, one in value.items()}
    return plain_value(value)


def plain_value(value: Any) -> Any:
    """Lists and numbers of Python; whole numbers without a point."""
    if isinstance(value, np.ndarray):
        return [plain_value(one) for one in value.tolist()]
    if isinstance(value, (list, tuple)):
        return [plain_value(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def _literal(value: Any) -> str:
    if isinstance(value, Name):
        return value.text
    if isinstance(value, Call):
        return value.code()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_literal(str(key))}: {_literal(one)}" for key, one in value.items()) + "}"
    value = plain_value(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return _text(value) if isinstance(value, str) else repr(value)


def _text(value: str) -> str:
    """A text in double quotes, as code is formatted; what cannot be printed is escaped."""
    made = repr(value)
    if made.startswith("'") and '"' not in made:
        made = '"' + made[1:-1].replace("\\'", "'") + '"'
    return made


def _broken(value: Any, indent: int) -> str:
    """A value over several lines where it is too long for one."""
    one = _literal(value)
    value = plain_value(value) if not isinstance(value, (Name, Call, Mapping)) else value
    if indent + len(one) < _WIDTH or isinstance(value, (Name, Call, str)):
        return one
    if isinstance(value, Mapping):
        lines = [f"        {_literal(str(key))}: {_broken(part, 8)}," for key, part in value.items()]
        return "\n".join(["{", *lines, "    }"])
    if not isinstance(value, list):
        return one
    lines, current = [], "       "
    for item in map(_literal, value):
        if len(current) + len(item) + 2 > _WIDTH and current.strip():
            lines.append(current)
            current = "       "
        current += f" {item},"
    return "\n".join(["[", *lines, current, "    ]"])
