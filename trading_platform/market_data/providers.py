"""From configuration to a source of bars."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from trading_platform.configuration.environment import Settings
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.ports import MarketData
from trading_platform.machine.clocks import utc_now
from trading_platform.market_data.calendar import NyseCalendar


def open_market_data(
    config: TradingConfig, settings: Settings, calendar: NyseCalendar, now: Callable[[], datetime] = utc_now
) -> MarketData:
    """Return the provider that `config.data.source` names; `now` tells Alpaca's which sessions are complete."""
    match config.data.source:
        case "files":
            from trading_platform.market_data.files import FilesMarketData

            return FilesMarketData(Path(config.data.folder), cache_dir=settings.cache_dir, calendar=calendar)
        case "synthetic":
            from trading_platform.market_data.synthetic import SyntheticMarketData

            return SyntheticMarketData(config.engine.seed, calendar=calendar)
        case "alpaca":
            from trading_platform.market_data.alpaca_data import open_alpaca_data

            return open_alpaca_data(config, settings, calendar, now)
        case "yahoo":
            from trading_platform.market_data.yahoo import YahooMarketData

            return YahooMarketData(cache_dir=settings.cache_dir, calendar=calendar)
