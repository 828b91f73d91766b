"""Work cut into tasks, done here or handed to an executor: the same numbers, whoever does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, Final, TypeVar

import numpy as np

from metaan.errors import InputError

__all__ = ["LIKELIHOODS", "TASK", "as_done", "check_executor", "in_tasks", "task_rng", "tasks"]

T = TypeVar("T")

TASK: Final = 10_000
"""Draws of a task. It depends on nothing, so that results do not depend on who does the work."""
LIKELIHOODS: Final = 500
"""The same of fits of counts, which take a hundred times as long."""


def check_executor(executor: object) -> None:
    """Refuse what is no executor."""
    if executor is not None and not isinstance(executor, Executor):
        raise InputError(
            f"executor must be a concurrent.futures.Executor (ThreadPoolExecutor, ProcessPoolExecutor, loky's, "
            f"client.get_executor() of dask.distributed, MPIPoolExecutor of mpi4py) or None, not "
            f"{type(executor).__name__}."
        )


def tasks(n: int, size: int = TASK) -> list[slice]:
    """Slices of n draws, of `size` each but for the last."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def task_rng(seed: int, task: int) -> np.random.Generator:
    """Random numbers of a task: of the first those of the seed itself, of others a stream of their own."""
    return np.random.default_rng(seed if task == 0 else np.random.SeedSequence(seed, spawn_key=(task,)))


def in_tasks(function: Callable[..., T], arguments: Sequence[tuple[Any, ...]], executor: Executor | None) -> list[T]:
    """Results of a function for each tuple of arguments, in their order.

    Parameters
    ----------
    function : callable
        Of a module, so that processes find it by its name.
    arguments : sequence of tuple
    executor : concurrent.futures.Executor or None
        None, or a single task: everything is done here.

    Raises
    ------
    Exception
        That of the first task that fails, as it was raised; tasks that have not started are cancelled.
    """
    return list(as_done(function, arguments, executor))


def as_done(function: Callable[..., T], arguments: Sequence[tuple[Any, ...]], executor: Executor | None) -> Iterator[T]:
    """As `in_tasks`, one result after the other as soon as it is there."""
    if executor is None or len(arguments) == 1:
        yield from (function(*one) for one in arguments)
        return
    futures = [executor.submit(function, *one) for one in arguments]
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
