"""The command `metaan`: its subcommands, and how it says what went wrong."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

import metaan
from metaan.cli.check import check
from metaan.cli.forest import forest
from metaan.cli.pool import pool
from metaan.cli.report import report
from metaan.cli.spoken import spoken
from metaan.cli.studies import studies
from metaan.errors import MetaanError

__all__ = ["main"]


class _Failed(click.ClickException):
    """The data or options cannot be used: one message on stderr."""

    exit_code = 1


class _Bug(click.ClickException):
    """An error that nobody foresaw; the exit code is EX_SOFTWARE of sysexits.h."""

    exit_code = 70


class _Interrupted(click.ClickException):
    """Ctrl-C; the exit code is that of a shell, 128 and the number of the signal."""

    exit_code = 130

    def show(self, file: IO[Any] | None = None) -> None:
        """Say so, on a line of its own: the terminal shows ^C."""
        click.echo("\nInterrupted.", file=file, err=True)


class _Metaan(click.Group):
    """A group whose commands end with a message and never with a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which they are used, not of the alphabet."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; errors become messages, warnings lines of stderr."""
        for stream in (sys.stdout, sys.stderr):  # a label that the terminal cannot show is no reason to stop
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        with _warnings_told(lambda text: spoken(text, self._running(ctx))):
            try:
                return super().invoke(ctx)
            except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
                raise
            except KeyboardInterrupt as error:
                raise _Interrupted("Interrupted.") from error
            except (MetaanError, ImportError) as error:
                raise _Failed(spoken(str(error), self._running(ctx))) from error
            except OSError as error:
                raise _Failed(f"{error.filename}: {error.strerror}." if error.filename else str(error)) from error
            except Exception as error:
                if ctx.params["traceback"]:
                    raise
                text = f"metaan failed ({type(error).__name__}: {error}). This is a bug: please report it with the file"
                raise _Bug(f"{text} and the command; metaan --traceback COMMAND ... shows where it arose.") from error

    def _running(self, ctx: click.Context) -> click.Command | None:
        """The command that was called."""
        return self.commands.get(ctx.invoked_subcommand or "")


@contextmanager
def _warnings_told(said: Callable[[str], str]) -> Iterator[None]:
    """Each warning is a line of stderr, once."""

    def tell(message: Warning | str, *_: object, **__: object) -> None:
        click.echo(f"Warning: {said(str(message))}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)
        warnings.showwarning = tell
        yield


@click.group(cls=_Metaan, context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100})
@click.version_option(metaan.__version__, prog_name="metaan")
@click.option("--traceback", is_flag=True, help="Show where an unforeseen error arose.")
def main(traceback: bool) -> None:
    """Pool the results of studies: tables, forest plots and reports.

    FILE is CSV, XLSX, JSON or a RevMan file, - is standard input; --evidence NAME takes trials that metaan brings.

    metaan COMMAND --help lists the options of a command.

    Exit codes: 0 done, 1 the data or options cannot be used, 2 wrong usage, 3 check found something, 70 a bug, 130
    interrupted by Ctrl-C.
    """


for command in (studies, pool, forest, report, check):
    main.add_command(command)
