"""What importing metaan may load, and what the core may use."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import metaan

HEAVY = (
    "pandas", "matplotlib", "seaborn", "pymare", "statsmodels", "scipy.stats", "formulaic", "numba", "dask", "xarray",
)  # fmt: skip
CORE = Path(metaan.__file__).parent / "core"


def modules_after(code):
    run = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(' '.join(sys.modules))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(run.stdout.split())


def test_import_loads_no_heavy_library():
    assert not modules_after("import metaan").intersection(HEAVY)


def test_pooling_arrays_loads_no_heavy_library():
    loaded = modules_after(
        "import metaan; metaan.pool(metaan.effects([0.1, 0.2], [0.1, 0.1])); "
        "metaan.glmm('PLO', events=[1, 2], total=[9, 9])"
    )
    assert not loaded.intersection(HEAVY)


@pytest.mark.parametrize("path", sorted(CORE.glob("*.py")), ids=lambda p: p.stem)
def test_core_uses_numpy_and_scipy_special_only(path):
    outside = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            outside |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            outside.add(node.module)
    own = {name for name in outside if name.startswith("metaan.core") or name.split(".")[0] in sys.stdlib_module_names}
    allowed = {"numpy", "numpy.typing", "scipy.special"} | ({"numba"} if path.stem == "compiled" else set())
    assert outside - own <= allowed


def test_every_public_name_resolves_and_is_documented():
    for name in metaan.__all__:
        member = getattr(metaan, name)
        assert (member.__doc__ or "").strip(), name


def test_unknown_name_raises_attribute_error():
    with pytest.raises(AttributeError):
        metaan.no_such_name  # noqa: B018
