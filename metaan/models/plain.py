"""Numbers as JSON takes them, for the dictionaries that results give."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["plain", "plain_value", "spec_and_fields"]


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """`plain_value` of each item."""
    return {name: plain_value(value) for name, value in values.items()}


def plain_value(value: Any) -> Any:
    """Numbers of Python, lists for arrays, None for NaN and infinity; dictionaries and lists item by item."""
    if isinstance(value, dict):
        return plain(value)
    if isinstance(value, np.ndarray):
        return plain_value(value.tolist())
    if isinstance(value, list):
        return [plain_value(item) for item in value]
    if isinstance(value, (np.floating, float)):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def spec_and_fields(record: DataclassInstance) -> dict[str, Any]:
    """What was asked for (`record.spec`), and every field that is an array, a number or a text."""
    fields = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    shown = {name: value for name, value in fields.items() if isinstance(value, (np.ndarray, int, float, str))}
    return plain(dataclasses.asdict(fields["spec"]) | shown)
