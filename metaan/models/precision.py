"""Numbers that lie too far apart for double precision, told in place of whatever breaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from metaan.errors import DataError

__all__ = ["double_precision"]


@contextmanager
def double_precision(what: str) -> Iterator[None]:
    """DataError where a matrix is singular, or a number not defined, by rounding.

    Parameters
    ----------
    what : str
        The numbers concerned, the subject of the message.
    """
    try:
        with np.errstate(divide="raise", over="raise", invalid="raise"):
            yield
    except (np.linalg.LinAlgError, FloatingPointError) as error:
        raise DataError(
            f"{what} lie too many orders of magnitude apart for double precision. Look for a wrong variance, or leave "
            "out the estimates that weigh next to nothing beside the others."
        ) from error
