"""From configuration to a source of bars."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from trading_platform.configuration.environment import Settings
from trading_platform.configuration.trading_config import DataConfig, TradingConfig
from trading_platform.core.ports import MarketData
from trading_platform.machine.clocks import utc_now
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.dates import DateOrder
from trading_platform.market_data.reading_rules import Rules


def open_market_data(
    config: TradingConfig,
    settings: Settings,
    calendar: NyseCalendar,
    now: Callable[[], datetime] = utc_now,
    *,
    with_benchmark: bool = False,
) -> MarketData:
    """Return the provider that `config.data.source` names; `now` tells which sessions are complete.

    `with_benchmark` makes the benchmark a column of the panel as well; the embedded market has none to trade.
    """
    match config.data.source:
        case "files":
            from trading_platform.market_data.files import FilesMarketData

            return FilesMarketData(
                config.data.folders,
                with_benchmark=with_benchmark,
                cache_dir=settings.cache_dir,
                calendar=calendar,
                rules=reading_rules(config.data),
                max_bad_pct=config.data.max_bad_bars_pct,
                accepted_jumps=config.data.accepted_jumps,
                now=now,
            )
        case "synthetic":
            from trading_platform.market_data.synthetic import SyntheticMarketData

            return SyntheticMarketData(config.engine.seed, calendar=calendar)
        case "alpaca":
            from trading_platform.market_data.alpaca_data import open_alpaca_data

            return open_alpaca_data(config, settings, calendar, now, with_benchmark=with_benchmark)
        case "yahoo":
            from trading_platform.market_data.yahoo import YahooMarketData

            return YahooMarketData(cache_dir=settings.cache_dir, calendar=calendar, with_benchmark=with_benchmark)


def reading_rules(data: DataConfig) -> Rules:
    """Return how files are read where they alone do not say."""
    order = None if data.date_order == "auto" else DateOrder(data.date_order)
    return Rules(order, data.adjustment)
