"""Print a constraints file that pins every requirement of pyproject.toml to its lower bound.

    python .ci/bounds.py test > lowest.txt && pip install -c lowest.txt '.[test]'

The arguments are extras; those named within an extra (``metaan[report]``) count with it.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

COMPANIONS = {"matplotlib": "pyparsing<3.3"}  # of their time: later ones warn of names that the bound still uses
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:\[(?P<extras>[^\]]+)\])?(?:>=(?P<bound>[\w.]+))?$")


def lowest(project: dict[str, Any], extras: Iterable[str]) -> Iterator[str]:
    """Give ``name==bound`` of each requirement of the project and of some of its extras."""
    optional = project["optional-dependencies"]
    for requirement in [*project["dependencies"], *(line for extra in extras for line in optional[extra])]:
        found = REQUIREMENT.match(requirement.replace(" ", ""))
        if found is None:
            raise SystemExit(f"{requirement!r} in pyproject.toml is not of the form name[extras]>=version.")
        if found["name"] == project["name"]:
            yield from lowest(project | {"dependencies": []}, found["extras"].split(","))
        elif found["bound"] is None:
            raise SystemExit(f"{requirement!r} in pyproject.toml has no lower bound.")
        else:
            yield f"{found['name']}=={found['bound']}"
            if found["name"] in COMPANIONS:
                yield COMPANIONS[found["name"]]


if __name__ == "__main__":
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    print("\n".join(sorted(set(lowest(tomllib.loads(text)["project"], sys.argv[1:])))))
