"""`page` and `compare`: finished runs of the database as pages, terminal tables and JSON. Nothing is traded."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from trading_platform.configuration.environment import load_settings
from trading_platform.configuration.trading_config import load_config
from trading_platform.core.errors import FixConfigError, TradingPlatformError
from trading_platform.core.types import MarketPanel
from trading_platform.machine.clocks import utc_now
from trading_platform.market_data.load_panel import REAL_MARKETS, load_panel
from trading_platform.market_data.providers import exchange_calendar
from trading_platform.operations.commands import Place, database_place, existing_database
from trading_platform.reporting.comparison_page import comparison_lines, render_comparison
from trading_platform.reporting.facts import Day
from trading_platform.reporting.ledger_view import read_days
from trading_platform.reporting.run_comparison import Comparison, RunCase, compare_runs, comparison_document
from trading_platform.reporting.run_page_file import (
    FEWEST_CLOSES,
    REPORTS,
    open_page,
    own_bars,
    write_page,
    write_run_page,
)
from trading_platform.reporting.run_record import RunRow, read_run, read_why
from trading_platform.reporting.run_results import run_results
from trading_platform.reporting.status_screen import complain, say, show_json
from trading_platform.storage.reader import Reader, read_database
from trading_platform.storage.run_targets import Target, all_accounts, shown_account

NARROWEST = 40  # columns
OF_BARS = ("data", "universe", "cash")  # the settings that decide which bars are read


def page(place: Place, run_id: int, *, opens: bool, as_json: bool) -> int:
    """Write the page of a run anew, and say where it is; return the exit code.

    Raises
    ------
    FixConfigError
        There is no such run, or it has too few closes.
    """
    database, url = existing_database(place, read_only=True), database_place(place)
    account = shown_account(all_accounts(database, utc_now()), Target(run=run_id))
    if account.last_session is None:
        raise FixConfigError(f"run {run_id} has fewer than {FEWEST_CLOSES} booked closes: nothing to draw")
    run = read_database(url, lambda reader: read_run(reader, run_id))
    panel = None if run is None else own_bars(url, run_id, bars_again(run, account.last_session))
    results = run_results(database, run_id, panel)
    path = write_run_page(url, results, panel, cache=load_settings().cache_dir)
    tell_page(path, opens=opens, as_json=as_json)
    return 0


def compare(place: Place, run_ids: Sequence[int], *, with_page: bool, opens: bool, as_json: bool) -> int:
    """Compare runs: in the terminal or as JSON, and on a page; return the exit code.

    Raises
    ------
    FixConfigError
        Fewer than two or more than six runs, one twice, an unknown one, or none of their sessions in common.
    """
    comparison = read_comparison(place, run_ids)
    name = f"compare-{'-'.join(map(str, run_ids))}.html"
    page = write_page(REPORTS, name, render_comparison(comparison)) if with_page else None
    if as_json:
        show_json({**comparison_document(comparison), "page": None if page is None else str(page)})
    else:
        for line in comparison_lines(comparison, screen_width()):
            sys.stdout.write(line + "\n")
        if page is not None:
            say(f"The page is {page}; it opens in any browser, without a network.")
    if page is not None and opens and not open_page(page):
        complain(f"no browser could be started here: open {page} yourself")
    return 0


def read_comparison(place: Place, run_ids: Sequence[int]) -> Comparison:
    """Return runs beside each other, read from the database.

    Raises
    ------
    FixConfigError
        As `compare`.
    """
    database, url = existing_database(place, read_only=True), database_place(place)
    accounts = all_accounts(database, utc_now())
    for run_id in run_ids:
        if shown_account(accounts, Target(run=run_id)).last_session is None:
            raise FixConfigError(f"run {run_id} has no booked close yet: nothing to compare")
    read = read_database(url, lambda reader: [_case_parts(reader, run_id) for run_id in run_ids])
    return compare_runs([RunCase(run, run_results(database, run.id), days, why) for run, days, why in read or []])


def screen_width() -> int:
    """Return the columns of the screen."""
    return max(shutil.get_terminal_size().columns, NARROWEST)


def _case_parts(reader: Reader, run_id: int) -> tuple[RunRow, tuple[Day, ...], tuple[tuple[str, str], ...]]:
    run = read_run(reader, run_id)
    if run is None:
        raise FixConfigError(f"run {run_id} is gone: it was deleted meanwhile")
    return run, read_days(reader, run_id, date.max), read_why(reader, run_id)


def tell_page(path: Path, *, opens: bool, as_json: bool) -> None:
    """Say where a page is, and show it if it shall be opened."""
    if as_json:
        show_json({"page": str(path)})
    else:
        say(f"The page is {path}; it opens in any browser, without a network.")
    if opens and not open_page(path):
        complain(f"no browser could be started here: open {path} yourself")


def bars_again(run: RunRow, last: date) -> MarketPanel | None:
    """Return the bars of a run's market, read as its settings say; None where that cannot be done at once.

    Markets that would have to be asked over a network are not asked for a picture.
    """
    wanted = {f"{table}.{name}": value for table in OF_BARS for name, value in run.settings(table).items()}
    wanted["engine.seed"] = run.settings("engine").get("seed")
    if run.settings("data").get("source") in REAL_MARKETS:
        return None
    try:
        config = load_config(None, wanted)
        return load_panel(config, load_settings(), exchange_calendar(config.data), None, last)
    except TradingPlatformError:  # the folder is gone or has changed: the page has the prices of what was held
        return None
