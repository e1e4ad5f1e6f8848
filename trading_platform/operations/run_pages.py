"""`page` and `compare`: finished runs of the database as pages, terminal tables and JSON. Nothing is traded."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from trading_platform.configuration.environment import load_settings
from trading_platform.configuration.trading_config import load_config
from trading_platform.core.errors import FixConfigError, TradingPlatformError
from trading_platform.core.types import MarketPanel
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.load_panel import REAL_MARKETS, load_panel
from trading_platform.operations.commands import Place, database_place, existing_database
from trading_platform.reporting.run_page_file import FEWEST_CLOSES, open_page, write_run_page
from trading_platform.reporting.run_record import RunRow, read_run
from trading_platform.reporting.run_results import run_results
from trading_platform.reporting.status_screen import complain, say, show_json
from trading_platform.storage.reader import read_database
from trading_platform.storage.run_targets import Target, all_accounts, shown_account

OF_BARS = ("data", "universe", "cash")  # the settings that decide which bars are read


def page(place: Place, run_id: int, *, opens: bool, as_json: bool) -> int:
    """Write the page of a run anew, and say where it is; return the exit code.

    Raises
    ------
    FixConfigError
        There is no such run, or it has too few closes.
    """
    database, url = existing_database(place, read_only=True), database_place(place)
    account = shown_account(all_accounts(database, datetime.now(UTC)), Target(run=run_id))
    if account.last_session is None:
        raise FixConfigError(f"run {run_id} has fewer than {FEWEST_CLOSES} booked closes: nothing to draw")
    run = read_database(url, lambda reader: read_run(reader, run_id))
    panel = None if run is None else bars_again(run, account.last_session)
    path = write_run_page(url, run_results(database, run_id, panel), panel)
    tell_page(path, opens=opens, as_json=as_json)
    return 0


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
        return load_panel(load_config(None, wanted), load_settings(), NyseCalendar(), None, last)
    except TradingPlatformError:  # the folder is gone or has changed: the page has the prices of what was held
        return None
