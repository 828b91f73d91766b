"""Settings for the whole suite."""

import gc
import os
import sys

import matplotlib
import pytest
from hypothesis import settings

matplotlib.use("Agg")

# The same examples each time, and no time limit for one: a busy machine must not fail a test.
settings.register_profile("suite", deadline=None, derandomize=True)
# HYPOTHESIS_PROFILE=search looks for new examples.
settings.register_profile("search", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


def pytest_collection_finish():
    """Twelve thousand collected tests are not searched for garbage again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _close_figures():
    """Close what a test drew; one that draws nothing does not load pyplot for it."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
