"""Bars a second of NautilusTrader's backtest engine; run by the interpreter of .venv-peers-nautilus, prints JSON.

usage: python benchmarks/peers/nautilus_sma.py MARKET.npz

One strategy an instrument: buy when the 10-bar mean is above the 30-bar mean, close when it is below, market orders,
one venue, one cash account, bar execution. No database, no account-wide risk rules.
"""

from __future__ import annotations

import importlib.metadata
import json
import resource
import sys
import time

import numpy as np
import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.indicators import SimpleMovingAverage
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy

FAST, SLOW = 10, 30
STARTING_CASH = 1_000_000_000.0  # enough that no order is refused for want of cash
SHARES = 10


class CrossConfig(StrategyConfig, frozen=True):
    """What one strategy trades."""

    bar_type: BarType
    instrument_id: InstrumentId


class Cross(Strategy):
    """Hold the instrument while its fast mean is above its slow mean."""

    def __init__(self, config: CrossConfig) -> None:
        super().__init__(config)
        self.fast, self.slow = SimpleMovingAverage(FAST), SimpleMovingAverage(SLOW)

    def on_start(self) -> None:
        """Subscribe."""
        self.register_indicator_for_bars(self.config.bar_type, self.fast)
        self.register_indicator_for_bars(self.config.bar_type, self.slow)
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar: Bar) -> None:
        """Trade the cross."""
        if not self.slow.initialized:
            return
        above, flat = self.fast.value > self.slow.value, self.portfolio.is_flat(self.config.instrument_id)
        if above and flat:
            quantity = Quantity.from_int(SHARES)
            self.submit_order(self.order_factory.market(self.config.instrument_id, OrderSide.BUY, quantity))
        elif not above and not flat:
            self.close_all_positions(self.config.instrument_id)


def make_engine(market: dict[str, np.ndarray]) -> BacktestEngine:
    """Return an engine that holds the whole market and one strategy an instrument."""
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    venue = Venue("XNYS")
    engine.add_venue(venue, OmsType.NETTING, AccountType.CASH, [Money(STARTING_CASH, USD)], base_currency=USD)
    everything: list[Bar] = []
    times = pd.DatetimeIndex(market["sessions"].astype("datetime64[ns]"), tz="UTC") + pd.Timedelta(hours=21)
    for i, ticker in enumerate(market["tickers"].tolist()):
        instrument_id = InstrumentId(Symbol(ticker), venue)
        cent, lot = Price.from_str("0.01"), Quantity.from_int(1)
        instrument = Equity(instrument_id, Symbol(ticker), USD, 2, cent, lot, ts_event=0, ts_init=0)
        engine.add_instrument(instrument)
        bar_type = BarType.from_str(f"{instrument_id}-1-DAY-LAST-EXTERNAL")
        columns = {name: market[name][:, i] for name in ("open", "high", "low", "close", "volume")}
        bars = BarDataWrangler(bar_type, instrument).process(pd.DataFrame(columns, index=times).round(2))
        everything += bars
        config = CrossConfig(bar_type=bar_type, instrument_id=instrument_id, order_id_tag=f"{i:03d}")
        engine.add_strategy(Cross(config))
    engine.add_data(sorted(everything, key=lambda bar: bar.ts_init), validate=False)
    return engine


def main() -> None:
    """Run the market once and print what happened."""
    with np.load(sys.argv[1]) as arrays:
        market = dict(arrays)
    engine = make_engine(market)
    start = time.perf_counter()
    engine.run()
    seconds = time.perf_counter() - start
    bars = market["close"].size
    result = {
        "name": "NautilusTrader",
        "version": importlib.metadata.version("nautilus_trader"),
        "seconds": seconds,
        "rate": bars / seconds,
        "orders": len(engine.cache.orders()),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
    }
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
