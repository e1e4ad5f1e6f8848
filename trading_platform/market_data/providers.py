"""From configuration to a source of bars."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from trading_platform.configuration.environment import Settings
from trading_platform.configuration.market_tables import DataConfig
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.day_count import NEW_YORK_ZONE
from trading_platform.core.errors import FixConfigError
from trading_platform.core.ports import MarketData
from trading_platform.machine.clocks import utc_now
from trading_platform.market_data.calendar import ExchangeCalendar, NyseCalendar
from trading_platform.market_data.dates import DateOrder
from trading_platform.market_data.exchange import CURRENCIES, NEW_YORK, Exchange, exchange_of_source
from trading_platform.market_data.reading_rules import Rules


def open_market_data(
    config: TradingConfig,
    settings: Settings,
    calendar: ExchangeCalendar,
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
                benchmark=config.data.benchmark,
                exchange=exchange_of(config.data),
                with_benchmark=with_benchmark,
                cache_dir=settings.cache_dir,
                calendar=calendar,
                rules=reading_rules(config.data, calendar.zone),
                max_bad_pct=config.data.max_bad_bars_pct,
                accepted_jumps=config.data.accepted_jumps,
                now=now,
            )
        case "synthetic":
            from trading_platform.market_data.market_model import STATED_EDGES
            from trading_platform.market_data.synthetic import SyntheticMarketData

            return SyntheticMarketData(config.engine.seed, model=STATED_EDGES, funds=True)
        case "alpaca":
            from trading_platform.market_data.alpaca_data import open_alpaca_data

            return open_alpaca_data(config, settings, NyseCalendar(), now, with_benchmark=with_benchmark)
        case "yahoo":
            from trading_platform.market_data.yahoo import YahooMarketData

            return YahooMarketData(cache_dir=settings.cache_dir, with_benchmark=with_benchmark)


def exchange_of(data: DataConfig) -> Exchange:
    """Return the exchange, currency and benchmark of the configured bars: files may be of any, all else is New York's.

    Raises
    ------
    FixConfigError
        It is not known in which currency the exchange trades.
    """
    if data.source != "files":
        return Exchange()
    currency = data.currency or CURRENCIES.get(data.calendar, "")
    if not currency:
        raise FixConfigError(f'currency in [data]: say what prices of {data.calendar} are in, e.g. currency = "EUR"')
    return Exchange(data.calendar, currency, data.benchmark)


def exchange_calendar(data: DataConfig) -> ExchangeCalendar:
    """Return the sessions of the configured bars."""
    name = exchange_of(data).calendar
    return NyseCalendar() if name == NEW_YORK else ExchangeCalendar(name)


def calendar_of_source(source: str) -> ExchangeCalendar:
    """Return the sessions of a panel, whose source carries its exchange."""
    return ExchangeCalendar(exchange_of_source(source).calendar)


def reading_rules(data: DataConfig, zone: str = NEW_YORK_ZONE) -> Rules:
    """Return how files are read where they alone do not say; `zone` is the exchange's."""
    order = None if data.date_order == "auto" else DateOrder(data.date_order)
    return Rules(order, data.adjustment, zone)
