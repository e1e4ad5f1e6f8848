"""Pages of runs that were drawn once, kept on disk: the desk shows a ten-year run without drawing it anew.

A page is kept under everything that it was drawn of: the run as the database has it, its last close, and the text of
the modules that draw. What does not open is drawn again; a disk that refuses costs only time.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from trading_platform.storage.reader import read_database

FOLDER = "run-pages"
MOST = 200  # files; one of ten years and fifty tickers is some 0.4 MB
DRAWN_BY = ("core", "evaluation", "reporting")
Parts = tuple[str, str, str]


def page_key(url: str | Path, *run_ids: int) -> str | None:
    """Return what the page of a run, or of several beside each other, is kept under; None without a run, or a close."""
    found = read_database(url, lambda reader: [reader.rows(OF_RUN, run=run_id) for run_id in run_ids])
    if found is None or any(not rows or rows[0][-1] is None for rows in found):
        return None
    text = json.dumps([run_ids, [[str(value) for value in rows[0]] for rows in found], _drawing()])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def kept_parts(folder: Path, key: str) -> Parts | None:
    """Return title, body and data of the page kept under `key`; None where there is none, or none that opens."""
    path = _path(folder, key)
    try:
        title, body, data = json.loads(gzip.decompress(path.read_bytes()))
        path.touch()
    except (OSError, EOFError, ValueError):
        return None
    return str(title), str(body), str(data)


def keep_parts(folder: Path, key: str, parts: Parts) -> None:
    """Keep a page, and let go of those that were not looked at for longest."""
    path = _path(folder, key)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(gzip.compress(json.dumps(parts).encode(), 1))
        partial.replace(path)
        kept = sorted(path.parent.glob("*.gz"), key=lambda file: file.stat().st_mtime)
        for old in kept[:-MOST]:
            old.unlink()
    with suppress(OSError):
        partial.unlink(missing_ok=True)


def parts_of(folder: Path, url: str | Path, run_ids: Sequence[int], draw: Callable[[], Parts]) -> Parts:
    """Return the page of a run, or of several, as it is now: the kept one, or one that is drawn and then kept."""
    key = page_key(url, *run_ids)
    if key is None:
        return draw()
    found = kept_parts(folder, key)
    if found is None:
        found = draw()
        if page_key(url, *run_ids) == key:  # nothing was booked meanwhile
            keep_parts(folder, key, found)
    return found


def _path(folder: Path, key: str) -> Path:
    return folder / FOLDER / f"{key}.gz"


@cache
def _drawing() -> str:
    """Return 16 hex digits of the text of the modules that draw: another version draws other pages."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for name in DRAWN_BY:
        for path in sorted((package / name).rglob("*.py")):
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


OF_RUN = """
SELECT r.key, r.mode, r.source, r.name, r.status, r.started_at, r.finished_at, r.capital, r.config_fingerprint,
       r.config, r.data_hash, r.code_version, r.seed, r.tag, r.note, r.strategies,
       (SELECT count(*) FROM fills f WHERE f.run_id = r.id), (SELECT count(*) FROM risk_events v WHERE v.run_id = r.id),
       (SELECT e.equity FROM equity e WHERE e.run_id = r.id AND e.session = r.last_session), r.last_session
FROM runs r WHERE r.id = :run"""
