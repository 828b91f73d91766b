"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
import pkgutil

import pytest

import metaan

MODULES = [m.name for m in pkgutil.walk_packages(metaan.__path__, "metaan.")]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0


MEMBERS = {name: getattr(metaan, name) for name in metaan.__all__}
PUBLIC = [name for name, member in MEMBERS.items() if callable(member) and not isinstance(member, type)]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_functions_have_an_example(name):
    assert ">>>" in getattr(metaan, name).__doc__
