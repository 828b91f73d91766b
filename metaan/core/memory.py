"""Large temporary arrays without page faults."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

__all__ = ["keep_freed"]

_BLOCK: Final = 4_000_000  # numbers: 32 MB, the largest threshold that glibc takes


@lru_cache(maxsize=1)
def keep_freed() -> None:
    """Let the process keep, from now on, what temporary arrays give back.

    glibc returns freed blocks above a threshold, at first 128 kB, to the system, and each new one costs a page fault
    per 4 kB, which is several times what arithmetic on it costs. The threshold rises to the largest block freed so far
    (M_MMAP_THRESHOLD in mallopt(3)); the block here is never written to and takes no memory. Other allocators keep
    freed blocks anyway, or are not changed.
    """
    np.empty(_BLOCK)
