"""What was asked of `metaan.effect_size`, as one record that every family of measures reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Request"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """A checked call of `metaan.effect_size`; `given` holds the columns or arrays by name."""

    measure: str
    data: Any
    given: dict[str, Any]
    study: Any
    correction: str | None
    add: float
    missing: str
    variance: str
    bias: str
