"""The bars that settings ask for, with VIX or what stands in for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import numpy as np

from trading_platform.configuration.environment import Settings
from trading_platform.configuration.market_tables import CashConfig
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.errors import MarketDataError
from trading_platform.core.market import forward_adjusted
from trading_platform.core.market_features import MARKET_FEATURES, market_features
from trading_platform.core.types import MarketPanel
from trading_platform.machine.clocks import utc_now
from trading_platform.market_data.calendar import ExchangeCalendar
from trading_platform.market_data.exchange import DOLLAR
from trading_platform.market_data.own_columns import own_columns, own_rules, with_own_columns, with_own_rules
from trading_platform.market_data.panel import with_hash
from trading_platform.market_data.providers import exchange_of, open_market_data
from trading_platform.market_data.rates import align_rate, shipped_rate
from trading_platform.market_data.universe import load_universe

REAL_MARKETS = ("alpaca", "yahoo")
VOLATILITY_FEATURE = [feature.name for feature in MARKET_FEATURES].index("volatility")


def load_panel(
    config: TradingConfig,
    settings: Settings,
    calendar: ExchangeCalendar,
    start: date | None,
    end: date | None,
    now: Callable[[], datetime] = utc_now,
) -> MarketPanel:
    """Return the bars of the configured source and universe from `start` (None: the first) to `end`.

    `panel.cash_rate` holds what ``[cash] rate`` asks for; the user's own columns and risk rules come with it.

    Raises
    ------
    MarketDataError
        The bars cannot be used, or there is no VIX where one is required.
    BrokerUnreachableError, FixCredentialsError
        A source in the network gives no answer, or refuses the keys.
    FixConfigError
        A column or rule of the user's own cannot be used.
    """
    return with_own_parts(_bars(config, settings, calendar, start, end, now), config)


def with_own_parts(panel: MarketPanel, config: TradingConfig) -> MarketPanel:
    """Return the panel with the columns and risk rules of the user's own that `config` names and it has not yet.

    Raises
    ------
    FixConfigError
        One of them cannot be used.
    """
    if tuple(panel.extra) != config.data.columns:
        panel = with_own_columns(panel, own_columns(config.data.columns))
    if config.engine.own_rules and panel.no_new_risk is None:
        panel = with_own_rules(panel, own_rules(config.engine.own_rules))
    return panel


def _bars(
    config: TradingConfig,
    settings: Settings,
    calendar: ExchangeCalendar,
    start: date | None,
    end: date | None,
    now: Callable[[], datetime],
) -> MarketPanel:
    source = open_market_data(config, settings, calendar, now, with_benchmark=True)
    history = source.history(wanted_tickers(config), start, end)
    panel = with_cash_rate(history, config.cash, exchange_of(config.data).currency)
    if bool(np.isfinite(panel.vix).any()):
        return panel
    if config.data.vix == "required":
        raise MarketDataError(
            f"{source.name}: no VIX in the data, and without it no position may be opened; "
            'add vix.csv (date,close), or set vix = "realized" in [data] to use realised volatility in its place'
        )
    realized = market_features(forward_adjusted(panel))[:, VOLATILITY_FEATURE] * 100.0
    notice = "no VIX in the data: the universe's realised volatility stands in for it, as [data] vix asks"
    return replace(panel, vix=realized, warnings=(*panel.warnings, notice))


def with_cash_rate(panel: MarketPanel, cash: CashConfig, currency: str = DOLLAR) -> MarketPanel:
    """Return the panel with the yield of cash in percent a year: the setting's, the data's own, or the shipped one.

    The shipped one is of dollars; cash in another `currency` earns nothing, which is told.
    """
    if cash.rate != "file":
        return with_hash(replace(panel, cash_rate=np.full(panel.n_sessions, float(cash.rate))))
    if panel.cash_rate is not None:
        return panel
    if currency != DOLLAR:
        warning = (
            f"cash in {currency} earns nothing: the shipped bill rate is of dollars; add cash_rate.csv (date,rate) or "
            "rate in [cash]"
        )
        nothing = replace(panel, cash_rate=np.zeros(panel.n_sessions), warnings=(*panel.warnings, warning))
        return with_hash(nothing)
    rate, notices = align_rate(shipped_rate(), panel.sessions)
    warnings = (*panel.warnings, *(str(notice) for notice in notices))
    return with_hash(replace(panel, cash_rate=rate, warnings=warnings))


def wanted_tickers(config: TradingConfig) -> tuple[str, ...] | None:
    """Return the tickers to trade; None = all that the source has. Real markets need a list: the shipped one."""
    if config.universe.tickers:
        return config.universe.tickers
    if config.universe.file:
        return load_universe(Path(config.universe.file)).tickers
    return load_universe().tickers if config.data.source in REAL_MARKETS else None
