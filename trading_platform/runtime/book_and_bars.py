"""What commands that judge a book begin with: its settings, its strategies, and the bars they are judged over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import NamedTuple

from trading_platform.configuration.environment import Settings, load_settings
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.types import MarketPanel
from trading_platform.machine.first_compile import tell_compiling
from trading_platform.market_data.load_panel import load_panel
from trading_platform.market_data.providers import exchange_calendar
from trading_platform.reporting.waiting import tell, waiting
from trading_platform.runtime.trade_settings import TradeOptions, enabled_strategies, read_config
from trading_platform.strategies.base import AnyStrategy


class BookAndBars(NamedTuple):
    """A configured book and its market. `shown`: progress is for somebody's eyes."""

    settings: Settings
    config: TradingConfig
    strategies: Sequence[AnyStrategy]
    panel: MarketPanel
    shown: bool

    @property
    def tell(self) -> Callable[[str], None]:
        """What progress is told by: standard error, or nobody."""
        return tell if self.shown else lambda line: None


def book_and_bars(trade: TradeOptions, end: date | None) -> BookAndBars:
    """Return what `trade` names, with bars until `end` (None: all there are), and tell that it takes a while.

    Raises
    ------
    FixConfigError, MarketDataError
        Settings or strategies that are wrong; bars that cannot be used.
    """
    settings = load_settings()
    config = read_config(trade, settings)
    strategies = enabled_strategies(config, trade.config)
    shown = not (trade.json or trade.quiet)
    if shown:
        tell_compiling(tell)
    with waiting("reading bars", shown=shown, in_pipes=False):
        panel = load_panel(config, settings, exchange_calendar(config.data), None, end)
    return BookAndBars(settings, config, strategies, panel, shown)
