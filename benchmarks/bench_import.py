"""``import metaan`` against ``import numpy`` in fresh processes, and what it leaves in ``sys.modules``.

All processes find their bytecode on disk, as they do where a package is installed.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from side_by_side import Contender, cached, interleaved, one_thread, options, process, report, surroundings, write

STATEMENTS = {
    "import numpy": "import numpy",
    "import metaan": "import metaan",
    "import scipy.special": "import scipy.special",
    "import metaan; metaan.pool": "import metaan; metaan.pool",
    "import metaan; metaan.glmm": "import metaan; metaan.glmm",
    "pass": "pass",
}
FORBIDDEN = ("pandas", "matplotlib", "seaborn", "pymare", "statsmodels", "scipy.stats")
INSIDE = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"
LOADED = f"import sys; {{}}; print(*[name for name in {FORBIDDEN!r} if name in sys.modules])"


def python(code: str, environment: dict[str, str]) -> str:
    """Run code in a fresh process and return what it prints."""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | environment
    )
    return run.stdout


def wall(name: str, statement: str, environment: dict[str, str]) -> Contender:
    """Time of the whole process, the start of Python included."""
    command = [sys.executable, "-c", statement]
    return Contender(
        name, lambda number: statistics.fmean(process(command, **environment).seconds for _ in range(number))
    )


def inside(name: str, statement: str, environment: dict[str, str]) -> Contender:
    """Time of the statement alone, measured inside its process, of which there is one a round."""
    code = INSIDE.format(statement)
    return Contender(name, lambda _: float(python(code, environment)))


def less_start(times: dict[str, list[float]]) -> dict[str, list[float]]:
    """Wall times less that of an empty process in the same round."""
    empty = times["pass"]
    return {
        name: [t - t0 for t, t0 in zip(values, empty, strict=True)] for name, values in times.items() if name != "pass"
    }


def check_modules(environment: dict[str, str]) -> dict[str, list[str]]:
    """Which of the heavy packages each statement loads; stop if ``import metaan`` loads one."""
    found = {
        name: python(LOADED.format(text), environment).split() for name, text in STATEMENTS.items() if "metaan" in name
    }
    print(f"\nOf {', '.join(FORBIDDEN)} in sys.modules after")
    for name, loaded in found.items():
        print(f"  {name:30}{', '.join(loaded) or 'none'}")
    if found["import metaan"]:
        raise SystemExit("import metaan must load none of them.")
    return found


def main() -> None:
    arguments = options(__doc__, rounds=21).parse_args()
    found = surroundings("metaan", "numpy", "scipy", "lazy-loader")
    with tempfile.TemporaryDirectory() as folder:
        environment = cached(Path(folder))
        modules = check_modules(environment)
        whole, own = (
            interleaved(
                [kind(name, text, environment) for name, text in STATEMENTS.items()], arguments.rounds, math.inf
            )
            for kind in (wall, inside)
        )
    del own["pass"]
    tables = [
        report("Whole process, the start of Python included", whole, "import numpy"),
        report("Whole process less an empty one in the same round", less_start(whole), "import numpy"),
        report("The statement alone, timed inside its process", own, "import numpy"),
    ]
    write(arguments.json, surroundings=found, modules=modules, tables=tables)


if __name__ == "__main__":
    one_thread()
    main()
