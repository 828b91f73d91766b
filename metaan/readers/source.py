"""Bytes of a file, and what kind of file they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from metaan.errors import InputError
from metaan.readers.grid import clipped, closest

__all__ = ["content", "kind_of"]

_LARGEST: Final = 50 * 2**20
_SPACES: Final = b" \t\r\n\xef\xbb\xbf\xff\xfe\x00"


def content(path: Any) -> tuple[bytes, str]:
    """Bytes of a file and its name."""
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f"path must be a file, or a table of pandas, polars or pyarrow, not {type(path).__name__}.")
    text = os.fspath(path)
    if isinstance(text, str) and text.casefold().startswith(("http:", "https:", "ftp:", "s3:", "file:")):
        raise InputError(f"{text!r} is an address. Download the file, and read it from disk.")
    try:
        file = Path(os.fsdecode(text))
        if not file.is_file():
            raise InputError(_absent(file))
        if file.stat().st_size > _LARGEST:
            raise InputError(f"{file.name} is larger than {_LARGEST // 2**20} MB: more than trials have.")
        return file.read_bytes(), file.name
    except (OSError, ValueError) as problem:
        if isinstance(problem, InputError):
            raise
        raise InputError(f"{text!r} cannot be read: {getattr(problem, 'strerror', None) or problem}.") from None


def _absent(file: Path) -> str:
    """What to say of a path that is no file."""
    if file.is_dir():
        names = sorted(path.name for path in file.iterdir() if path.is_file())
        return f"{str(file)!r} is a folder. Its files: {clipped(names, 12) or 'none'}."
    if file.exists():
        return f"{str(file)!r} is no regular file."
    beside = [path.name for path in file.parent.iterdir() if path.is_file()] if file.parent.is_dir() else []
    close = closest(file.name, beside)
    return f"There is no file {clipped([file])}.{f' Did you mean {close!r}?' if close else ''}"


def kind_of(data: bytes, name: str) -> str:
    """Kind of a file by its first bytes, and by its name where these leave it open."""
    head = data[:2000].lstrip(_SPACES)
    suffix = Path(name).suffix.casefold()
    if not head:
        raise InputError(f"{name} is empty.")
    if data.startswith(b"PK\x03\x04"):
        return "xlsx"
    if data.startswith(b"PAR1"):
        return "parquet"
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise InputError(f"{name} is an old Excel file (.xls) or is locked by a password. Save it as XLSX or CSV.")
    if data.startswith((b"%PDF", b"\x1f\x8b", b"Rar!", b"7z", b"RDX", b"BZh", b"\x89PNG", b"SQLite")):
        raise InputError(f"{name} is no table that can be read. Save it as CSV, XLSX, JSON or Parquet.")
    if head.startswith(b"<"):
        low = head.replace(b"\x00", b"").lower()
        if b"<html" in low:
            raise InputError(f"{name} is a web page, not a table. Save its table as CSV.")
        return "rm5"
    if suffix == ".json" or (head[:1] in b"[{" and suffix not in (".csv", ".tsv", ".txt")):
        return "json"
    return "tsv" if suffix in (".tsv", ".tab") else "csv"
