"""A running R session with metafor, so that R's start is never timed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from side_by_side import Contender

SCRIPT = Path(__file__).with_name("metafor_session.R")


class Metafor:
    """R expressions in, numbers out; use it in a ``with`` statement."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["Rscript", "--vanilla", str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._functions = 0

    @staticmethod
    def available() -> bool:
        """Whether R and metafor are installed."""
        if shutil.which("Rscript") is None:
            return False
        check = ["Rscript", "--vanilla", "-e", "quit(status = !requireNamespace('metafor', quietly = TRUE))"]
        return subprocess.run(check, capture_output=True, check=False).returncode == 0

    def __enter__(self) -> Metafor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def numbers(self, expression: str) -> list[float]:
        """Evaluate an expression in one line and return its numbers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(expression + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().split()
        if answer[:1] == ["error"] or not answer:
            raise RuntimeError(f"R: {' '.join(answer)} in {expression}")
        return [float(x) for x in answer[1:]]

    def version(self) -> str:
        """Of R and of metafor."""
        r = "unlist(getRversion()), unlist(packageVersion('metafor'))"
        major, minor, patch, *metafor = (f"{x:g}" for x in self.numbers(f"c({r})"))
        return f"{'.'.join(metafor)} on R {major}.{minor}.{patch}"

    def assign(self, name: str, values: Sequence[float]) -> None:
        """Make a numeric vector."""
        self.numbers(f"{name} <- c({', '.join(repr(float(v)) for v in values)})")

    def called(self, name: str, expression: str, scale: float = 1.0) -> Contender:
        """Contender that times an R expression, byte-compiled, in a loop inside R."""
        self._functions += 1
        function = f"f{self._functions}"
        self.numbers(f"{function} <- compiler::cmpfun(function() {expression}); 0")
        return Contender(name, lambda number: self.numbers(f"seconds({function}, {number}L)")[0], scale)


@contextmanager
def session(found: dict[str, str]) -> Iterator[Metafor | None]:
    """A running session, its versions printed and written down; None where R or metafor is not installed."""
    if not Metafor.available():
        found["metafor"] = "absent"
        print("R or metafor is not installed: its rows are left out")
        yield None
        return
    with Metafor() as r:
        found["metafor"] = r.version()
        print(f"metafor {found['metafor']}")
        yield r
