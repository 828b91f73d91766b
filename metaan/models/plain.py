"""Numbers as JSON takes them, for the dictionaries that results give."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from metaan.records import plain, plain_value

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["plain", "plain_value", "spec_and_fields"]


def spec_and_fields(record: DataclassInstance) -> dict[str, Any]:
    """What was asked for (`record.spec`), and every field that is an array, a number or a text."""
    fields = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    shown = {name: value for name, value in fields.items() if isinstance(value, (np.ndarray, int, float, str))}
    return plain(dataclasses.asdict(fields["spec"]) | shown)
