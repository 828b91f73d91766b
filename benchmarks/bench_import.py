"""``import metaan`` against ``import numpy`` in fresh processes, and what it leaves in ``sys.modules``."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from side_by_side import Contender, interleaved, one_thread, options, report, surroundings, write

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


def python(code: str) -> str:
    """Run code in a fresh process and return what it prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def wall(name: str, statement: str) -> Contender:
    """Time of the whole process, the start of Python included."""

    def seconds(number: int) -> float:
        start = time.perf_counter()
        for _ in range(number):
            python(statement)
        return (time.perf_counter() - start) / number

    return Contender(name, seconds)


def inside(name: str, statement: str) -> Contender:
    """Time of the statement alone, measured inside its process."""
    code = INSIDE.format(statement)
    return Contender(name, lambda number: statistics.fmean(float(python(code)) for _ in range(number)))


def less_start(times: dict[str, list[float]]) -> dict[str, list[float]]:
    """Wall times less that of an empty process in the same round."""
    empty = times["pass"]
    return {
        name: [t - t0 for t, t0 in zip(values, empty, strict=True)] for name, values in times.items() if name != "pass"
    }


def check_modules() -> dict[str, list[str]]:
    """Which of the heavy packages each statement loads; stop if ``import metaan`` loads one."""
    found = {name: python(LOADED.format(text)).split() for name, text in STATEMENTS.items() if "metaan" in name}
    print(f"\nOf {', '.join(FORBIDDEN)} in sys.modules after")
    for name, loaded in found.items():
        print(f"  {name:30}{', '.join(loaded) or 'none'}")
    if found["import metaan"]:
        raise SystemExit("import metaan must load none of them.")
    return found


def main() -> None:
    arguments = options(__doc__, rounds=21).parse_args()
    found = surroundings("metaan", "numpy", "scipy", "lazy-loader")
    modules = check_modules()
    whole = interleaved([wall(*item) for item in STATEMENTS.items()], arguments.rounds)
    own = interleaved([inside(*item) for item in STATEMENTS.items() if item[0] != "pass"], arguments.rounds)
    tables = [
        report("Whole process, the start of Python included", whole, "import numpy"),
        report("Whole process less an empty one in the same round", less_start(whole), "import numpy"),
        report("The statement alone, timed inside its process", own, "import numpy"),
    ]
    write(arguments.json, surroundings=found, modules=modules, tables=tables)


if __name__ == "__main__":
    one_thread()
    main()
