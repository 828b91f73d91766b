"""The command line run in this process, and what it writes."""

import os
import sys
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner

from metaan.cli.app import main

CODES = (0, 1, 2, 3)
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_seen = None


def run(*args, given=None, code=None):
    """Result of a command; one that ends in a traceback, or in what metaan calls a bug, fails here.

    `given` is what standard input holds; `code` is an exit code that commands do not end with otherwise.
    """
    result = CliRunner().invoke(main, [str(arg) for arg in args], input=given, prog_name="metaan")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert result.exit_code in (CODES if code is None else (code,)), result.output
    assert "Traceback" not in result.output
    if result.exit_code in (1, 2):
        assert "Error: " in result.stderr or not args  # alone it shows its help
    return result


def _watch(event, args):
    if _seen is None:
        return
    if event == "open" and not (set(args[1] or "") & set("wax+") or (args[1] is None and args[2] & _FLAGS)):
        return
    if (event == "open" and isinstance(args[0], (str, bytes, Path))) or event in _CHANGES:
        path = os.fsdecode(args[0])
        if "__pycache__" not in path and path != os.devnull:
            _seen.add(os.path.abspath(path))


sys.addaudithook(_watch)


@contextmanager
def written():
    """Set of the paths that are opened for writing, renamed, removed or made meanwhile."""
    global _seen
    _seen = paths = set()
    try:
        yield paths
    finally:
        _seen = None


def tree(folder):
    """Every path under a folder with its bytes; None for a folder."""
    return {path: path.read_bytes() if path.is_file() else None for path in Path(folder).rglob("*")}
