"""The page of a run as a file: read from the database, written whole or not at all, opened in a browser."""

from __future__ import annotations

import gc
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from trading_platform.configuration.risk_config import RiskConfig
from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import MarketPanel
from trading_platform.reporting.kept_pages import Parts, keep_parts, page_key
from trading_platform.reporting.market_words import page_in_currency
from trading_platform.reporting.run_page import document, run_parts
from trading_platform.reporting.run_record import RunRecord, read_record
from trading_platform.reporting.run_results import RunResults, run_results
from trading_platform.storage.reader import read_database

REPORTS = Path("reports")
FEWEST_CLOSES = 2  # of one close there is nothing to draw
SAME_PRICE = 1e-6  # of a price: bars that were read again are the bars of the run


def write_run_page(
    url: str | Path,
    results: RunResults,
    panel: MarketPanel | None,
    folder: Path = REPORTS,
    cache: Path | None = None,
) -> Path:
    """Write ``run-ID.html`` into `folder` and return its path.

    Parameters
    ----------
    url
        The database of the run.
    panel
        The bars that the run traded, or bars that may be those: they are used where they hold the prices that the run
        has booked, every one of them. None: no bars are at hand.
    cache
        Where the page is kept for the desk, too; None: nowhere.

    Raises
    ------
    FixConfigError
        The run has too few closes, or the file cannot be written.
    """
    parts = read_run_parts(url, results, panel)
    if cache is not None and (key := page_key(url, results.run_id)) is not None:
        keep_parts(cache, key, parts)
    html = page_in_currency(document(*parts), results.market)
    return write_page(folder, f"run-{results.run_id}.html", html)


def read_run_parts(url: str | Path, results: RunResults, panel: MarketPanel | None) -> tuple[str, str, str]:
    """Return title, body and data of a run's page, read from the database at `url`.

    Raises
    ------
    FixConfigError
        The run has too few closes.
    """
    with _uncollected():
        record = _record(url, results.run_id)
        bars = panel if panel is not None and holds_prices(panel, record) else None
        return run_parts(record, results, bars, defaults())


def draw_again(url: str | Path, database: Engine, run_id: int, panel: MarketPanel | None) -> Parts:
    """Return title, body and data of a run's page, for which the bars in `panel` were read anew.

    Where they are not the run's own, neither the charts nor the critique see them.

    Raises
    ------
    FixConfigError
        The run has too few closes.
    """
    with _uncollected():
        record = _record(url, run_id)
        bars = panel if panel is not None and holds_prices(panel, record) else None
        return run_parts(record, run_results(database, run_id, bars), bars, defaults())


def own_bars(url: str | Path, run_id: int, panel: MarketPanel | None) -> MarketPanel | None:
    """Return bars that were read anew if they are a run's own, else None."""
    return panel if panel is not None and holds_prices(panel, _record(url, run_id)) else None


def write_page(folder: Path, name: str, html: str) -> Path:
    """Write a page so that nobody ever reads half of it.

    Raises
    ------
    FixConfigError
        The folder or the file cannot be written.
    """
    path = folder / name
    part = path.with_suffix(".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.write_text(html, encoding="utf-8", newline="\n")
        part.replace(path)
    except OSError as error:
        raise FixConfigError(f"{path}: the page cannot be written: {error.strerror or error}") from error
    return path


def open_page(path: Path) -> bool:
    """Show a page in the user's browser; False where there is none."""
    return webbrowser.open(path.resolve().as_uri())


def holds_prices(panel: MarketPanel, record: RunRecord) -> bool:
    """Tell whether `panel` has every session of a run and the very prices at which it was marked."""
    days = np.array([day.session for day in record.days], dtype="datetime64[D]")
    sessions = panel.sessions.astype("datetime64[D]")
    rows = np.searchsorted(sessions, days)
    if rows.max(initial=0) >= len(sessions) or not np.array_equal(sessions[rows], days):
        return False
    columns = {name: n for n, name in enumerate(panel.tickers)}
    levels = record.levels
    if not set(levels.tickers) <= columns.keys():
        return False
    places = np.array([columns[name] for name in levels.tickers], dtype=np.int64)
    closes = panel.close[rows[levels.rows], places]
    known = np.isfinite(closes)  # without a bar a position stands at its last price
    return bool((np.abs(closes - levels.prices)[known] <= SAME_PRICE * levels.prices[known]).all())


def _record(url: str | Path, run_id: int) -> RunRecord:
    record = read_database(url, lambda reader: read_record(reader, run_id))
    if record is None or len(record.days) < FEWEST_CLOSES:
        raise FixConfigError(f"run {run_id} has fewer than {FEWEST_CLOSES} booked closes: nothing to draw")
    return record


@contextmanager
def _uncollected() -> Iterator[None]:
    """Pause the garbage collector: among a hundred thousand rows it finds nothing, and takes a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def defaults() -> dict[str, object]:
    """Return the risk limits by default."""
    return dict(RiskConfig().to_dict())
