"""The page at the end of a replay: what goes wrong with it is told, and costs nobody the run."""

from __future__ import annotations

from pathlib import Path

from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.errors import TradingPlatformError
from trading_platform.core.types import MarketPanel
from trading_platform.reporting.run_results import RunResults
from trading_platform.reporting.status_screen import complain


def replay_page(config: TradingConfig, results: RunResults, panel: MarketPanel, cache: Path) -> Path | None:
    """Write the page of a finished replay and return where it is; None where there is none, which is said.

    It is kept in `cache`, too, for the desk.
    """
    from trading_platform.reporting.run_page_file import FEWEST_CLOSES, write_run_page  # who wants no page pays nothing

    if results.sessions < FEWEST_CLOSES:
        return None
    try:
        return write_run_page(config.storage.database_url, results, panel, cache=cache)
    except TradingPlatformError as error:
        complain(f"no page: {error}")
        return None


def show_page(page: Path) -> None:
    """Show a page in the user's browser, or say that there is none."""
    from trading_platform.reporting.run_page_file import open_page

    if not open_page(page):
        complain(f"no browser could be started here: open {page} yourself")
