"""The files of a data folder, and their bytes: subfolders, gzip, bz2, xz and zip included.

Hidden files and temporary ones of office programs do not count. Everything else is listed, so that whoever reads a
folder can say what became of each file.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from trading_platform.core.errors import MarketDataError

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".psv", ".tab", ".dat", ".prn")
TABLE_SUFFIXES = (".parquet", ".pq", ".feather", ".arrow", ".ftr", ".ipc")
PACKED = (".gz", ".bz2", ".xz", ".zip")
# Why a file of a well-known kind is not read, and what to do instead.
FOREIGN = {
    ".xlsx": "an Excel workbook: save it as CSV",
    ".xls": "an Excel workbook: save it as CSV",
    ".ods": "a workbook: save it as CSV",
    ".pkl": "a pickle can run code: save it as CSV or Parquet",
    ".pickle": "a pickle can run code: save it as CSV or Parquet",
    ".h5": "HDF5: save it as CSV or Parquet",
    ".hdf5": "HDF5: save it as CSV or Parquet",
    ".json": "JSON: save it as CSV or Parquet",
    ".jsonl": "JSON: save it as CSV or Parquet",
    ".db": "a database: export it as CSV",
    ".sqlite": "a database: export it as CSV",
    ".7z": "a 7z archive: unpack it",
    ".rar": "a RAR archive: unpack it",
    ".tar": "a tar archive: unpack it",
    ".tgz": "a tar archive: unpack it",
}
MAX_DEPTH = 5
MAX_FILES = 50_000
MAX_BYTES = 4_000_000_000  # of one file, unpacked: a zip of zeros is not worth a frozen machine
HEAD_BYTES = 65_536

_DAMAGED = (gzip.BadGzipFile, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True)
class Source:
    """A file of a folder, or a member of a zip archive in it.

    Attributes
    ----------
    path
        The file.
    name
        Its name for people: relative to the folder, with the member of an archive.
    member
        The member of a zip archive, None for a plain file.
    """

    path: Path
    name: str
    member: str | None = None

    @property
    def inner_name(self) -> str:
        """Name of the table itself: of an archive its member, without folders."""
        return Path(self.member).name if self.member is not None else self.path.name

    @property
    def stem(self) -> str:
        """The name without suffixes that tell how it is packed or written."""
        name = self.inner_name
        for suffixes in (PACKED, (*TEXT_SUFFIXES, *TABLE_SUFFIXES)):
            name = next((name[: -len(end)] for end in suffixes if name.lower().endswith(end)), name)
        return name

    @property
    def suffix(self) -> str:
        """The suffix that tells how the table is written, in lower case, e.g. ``.csv`` of bars.csv.gz."""
        name = self.inner_name.lower()
        name = next((name[: -len(end)] for end in PACKED if name.endswith(end)), name)
        return Path(name).suffix

    @property
    def is_text(self) -> bool:
        """True for CSV and its relatives."""
        return self.suffix in TEXT_SUFFIXES

    @property
    def is_table(self) -> bool:
        """True for Parquet and Feather."""
        return self.suffix in TABLE_SUFFIXES


def list_files(folder: Path, leave: Sequence[Path] = ()) -> list[Path]:
    """Return the files of `folder` and its subfolders, sorted; folders in `leave` are not entered.

    Raises
    ------
    MarketDataError
        There is no such folder, or it holds far too many files to be one of bars.
    """
    if not folder.is_dir():
        raise MarketDataError(f"{folder} is not a folder; give one that holds bar files")
    left = {path.resolve() for path in leave}
    found: list[Path] = []

    def enter(place: Path, depth: int) -> None:
        try:
            entries = sorted(place.iterdir())
        except OSError as error:
            raise MarketDataError(f"{place} cannot be read ({error}); check its permissions") from error
        for entry in entries:
            if entry.name.startswith((".", "~", "__MACOSX")):
                continue
            if entry.is_dir():
                if depth < MAX_DEPTH and entry.resolve() not in left:
                    enter(entry, depth + 1)
            elif entry.is_file():
                found.append(entry)
        if len(found) > MAX_FILES:
            raise MarketDataError(
                f"{folder} holds more than {MAX_FILES:,} files; name the folder that holds the bars alone"
            )

    enter(folder, 0)
    return found


def sources_of(folder: Path, path: Path) -> list[Source]:
    """Return the tables in one file: itself, or the members of a zip archive.

    Raises
    ------
    MarketDataError
        A zip archive that cannot be opened.
    """
    name = path.relative_to(folder).as_posix()
    if path.suffix.lower() != ".zip":
        return [Source(path, name)]
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info.filename for info in archive.infolist() if not info.is_dir()]
    except (OSError, *_DAMAGED) as error:
        raise MarketDataError(f"{name}: not a readable zip archive ({error}); download or pack it again") from error
    kept = [member for member in sorted(members) if not Path(member).name.startswith((".", "~", "_"))]
    return [Source(path, f"{name}:{member}", member) for member in kept if "__MACOSX" not in member]


def foreign_reason(source: Source) -> str:
    """Return why a file is none that could hold bars; empty if it could."""
    return "" if source.is_text or source.is_table else FOREIGN.get(source.suffix, "no table")


def read_bytes(source: Source) -> bytes:
    """Return the unpacked content of a file.

    Raises
    ------
    MarketDataError
        It cannot be read, is truncated or damaged, or is far too large.
    """
    return b"".join(_chunks(source, MAX_BYTES + 1))


def read_head(source: Source) -> bytes:
    """Return the first bytes of a file, unpacked."""
    return b"".join(_chunks(source, HEAD_BYTES))


def _chunks(source: Source, most: int) -> Iterator[bytes]:
    done = 0
    try:
        with _open(source) as file:
            while done < most:
                chunk = file.read(min(1 << 20, most - done))
                if not chunk:
                    return
                done += len(chunk)
                yield chunk
    except EOFError as error:
        raise MarketDataError(
            f"{source.name}: the {_packing(source)} data end in the middle, after {done:,} bytes; "
            "download or copy the file again"
        ) from error
    except _DAMAGED as error:
        raise MarketDataError(
            f"{source.name}: damaged {_packing(source)} data after {done:,} bytes ({error}); "
            "download or copy the file again"
        ) from error
    except (RuntimeError, NotImplementedError, KeyError) as error:  # zipfile: a password, a method it does not know
        raise MarketDataError(
            f"{source.name}: cannot be unpacked ({error}); unpack it and remove the archive"
        ) from error
    except OSError as error:
        raise MarketDataError(f"{source.name} cannot be read ({error}); check the file and its permissions") from error
    if done > MAX_BYTES:
        raise MarketDataError(f"{source.name} holds more than {MAX_BYTES:,} bytes; split it into smaller files")


def _open(source: Source) -> BinaryIO:
    if source.member is not None:
        with zipfile.ZipFile(source.path) as archive:
            raw: BinaryIO = io.BytesIO(archive.read(source.member)) if _small(archive, source) else _too_large(source)
        return _unpacked(raw, source.member)
    return _unpacked(source.path.open("rb"), source.path.name)


def _unpacked(raw: BinaryIO, name: str) -> BinaryIO:
    match Path(name).suffix.lower():
        case ".gz":
            return cast(BinaryIO, _Owning(gzip.GzipFile(fileobj=raw), raw))
        case ".bz2":
            return cast(BinaryIO, _Owning(bz2.BZ2File(raw), raw))
        case ".xz":
            return cast(BinaryIO, _Owning(lzma.LZMAFile(raw), raw))
        case _:
            return raw


def _packing(source: Source) -> str:
    if source.member is not None:
        return "zip"
    return {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz"}.get(source.path.suffix.lower(), "packed")


def _small(archive: zipfile.ZipFile, source: Source) -> bool:
    return archive.getinfo(source.member or "").file_size <= MAX_BYTES


def _too_large(source: Source) -> BinaryIO:
    raise MarketDataError(f"{source.name} holds more than {MAX_BYTES:,} bytes; split it into smaller files")


class _Owning:
    """A decompressor that closes the file below it, too."""

    def __init__(self, outer: gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile, inner: BinaryIO) -> None:
        self._outer = outer
        self._inner = inner

    def __enter__(self) -> _Owning:
        return self

    def __exit__(self, *_: object) -> None:
        self._outer.close()
        self._inner.close()

    def read(self, size: int) -> bytes:
        """Return up to `size` unpacked bytes."""
        return self._outer.read(size)
