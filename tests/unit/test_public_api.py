"""Every public name with its signature, against public_api.txt; ``make api`` writes the file again."""

import difflib
import inspect
import sys
import types
from dataclasses import fields, is_dataclass
from pathlib import Path

import metaan
from metaan.records import Shown

WRITTEN = Path(__file__).with_name("public_api.txt")
MODULES = ("metaan", "metaan.plot", "metaan.recipes", "metaan.errors")


def public_api():
    """One line for each name: functions with their arguments and defaults, classes with their own members."""
    lines = []
    for name in MODULES:
        module = sys.modules.get(name) or getattr(metaan, name.removeprefix("metaan."))
        for short in sorted(module.__all__):
            member = getattr(module, short)
            if module is metaan.errors and not isinstance(member, type):
                continue  # functions there are for the house
            lines += described(f"{name}.{short}", member)
    return lines


def described(path, member):
    if isinstance(member, type):
        made = "" if issubclass(member, (Shown, BaseException)) else arguments(member)  # results come from functions
        bases = ", ".join(base.__name__ for base in member.__bases__ if is_public(base) or is_builtin(base))
        return [f"{path}{made}{bases and f' is a {bases}'}", *(f"{path}.{line}" for line in members(member))]
    if isinstance(member, types.ModuleType):
        return [f"{path} is a module"]
    return [f"{path}{arguments(member)}" if callable(member) else f"{path} is a {type(member).__name__}"]


def members(cls):
    """Public members that a class adds to those of its public bases and of Python's own."""
    known = {"own_arrays"}  # of Frozen, for the classes themselves
    for base in cls.__mro__[1:]:
        if is_public(base) or is_builtin(base) or base is object:
            known |= {*dir(base), *annotated(base)}
    for name in sorted({*dir(cls), *annotated(cls)} - known):
        if not name.startswith("_"):
            member = inspect.getattr_static(cls, name, None)
            member = member.__func__ if isinstance(member, (staticmethod, classmethod)) else member
            yield f"{name}{arguments(member)}" if inspect.isfunction(member) else name


def annotated(cls):
    return [field.name for field in fields(cls)] if is_dataclass(cls) else []


def is_public(cls):
    return cls.__name__ in metaan.__all__ or cls.__name__ in metaan.errors.__all__


def is_builtin(cls):
    return cls.__module__ == "builtins" and cls is not object


def arguments(function):
    """Names, kinds and defaults of the arguments, without their types."""
    given = inspect.signature(function)
    bare = [one.replace(annotation=inspect.Parameter.empty) for one in given.parameters.values()]
    return str(given.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def test_public_names_and_signatures_are_those_that_are_written_down():
    now, then = public_api(), WRITTEN.read_text(encoding="utf-8").splitlines()
    changed = "\n".join(difflib.unified_diff(then, now, "public_api.txt", "now", lineterm="", n=0))
    assert now == then, (
        f"The public API has changed. If that is meant, run `make api` and say so in CHANGELOG:\n{changed}"
    )


def test_a_changed_default_or_name_would_be_seen():
    def function(data, *, level=0.95):
        return data, level

    def renamed(data, *, confidence=0.9):
        return data, confidence

    assert arguments(function) == "(data, *, level=0.95)"
    assert arguments(renamed) == "(data, *, confidence=0.9)"
    lines = set(public_api())
    assert "metaan.PoolResult.estimate" in lines
    assert "metaan.PoolResult.back(self, *, n=None)" in lines
    assert "metaan.GlmmResult.estimate" not in lines, "inherited members stand with the class that has them"
    assert not any(" at 0x" in line for line in lines), "an address differs from run to run"


if __name__ == "__main__":
    WRITTEN.write_text("\n".join(public_api()) + "\n", encoding="utf-8")
