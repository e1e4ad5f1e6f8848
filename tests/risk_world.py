"""A market in which every number of a risk story is chosen: prices, sectors, correlations, VIX; and a desk on it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import numpy as np

from risk_config import RiskConfig
from risk_manager import RiskManager
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.types import Floats, Holding, MarketPanel, OrderIntent, Portfolio, Side
from trading_platform.core.view import MarketView

N_SESSIONS = 61
WINDOW = 30
DAY_ONE = date(2024, 1, 2)
NOW = datetime(2024, 6, 3, 14, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Stock:
    """A ticker of the story: last close in dollars, and returns `mix` of the uncorrelated waves number 1 to 14."""

    price: float = 100.0
    sector: str = "Tech"
    mix: Mapping[int, float] = field(default_factory=lambda: {1: 1.0})
    volatility: float = 0.01


def waves() -> Floats:
    """Return (N_SESSIONS, 15) cosines that are orthogonal, with mean 0, over every 30 sessions."""
    t = np.arange(N_SESSIONS)[:, None]
    return np.cos(2.0 * math.pi * t * np.arange(15) / WINDOW)


def closes(stock: Stock) -> Floats:
    """Return (N_SESSIONS,) closes that end at the stock's price."""
    returns = sum((weight * waves()[:, k] for k, weight in stock.mix.items()), np.zeros(N_SESSIONS))
    path = np.cumprod(1.0 + stock.volatility * returns)
    result: Floats = path / path[-1] * stock.price
    result[-1] = stock.price  # to the last bit
    return result


def story_panel(stocks: Mapping[str, Stock], vix: Sequence[float] | float = 15.0) -> MarketPanel:
    """Return the panel of `stocks`; a VIX of one number holds for all sessions."""
    names = tuple(sorted(stocks))
    close = np.column_stack([closes(stocks[name]) for name in names])
    return MarketPanel(
        sessions=np.datetime64(DAY_ONE, "D") + np.arange(N_SESSIONS),
        tickers=names,
        open=close.copy(),
        high=close * 1.01,
        low=close * 0.99,
        close=close,
        volume=np.full(close.shape, 1e6),
        vix=np.full(N_SESSIONS, vix) if isinstance(vix, float) else np.asarray(vix, dtype=np.float64),
        benchmark=np.full(N_SESSIONS, np.nan),
        sectors=tuple(stocks[name].sector for name in names),
        source="story",
        data_hash="",
    )


_VIEWS: dict[str, MarketView] = {}


def story_view(stocks: Mapping[str, Stock], vix: Sequence[float] | float = 15.0) -> MarketView:
    """Return the view of a story's market at its last session; each market is built once."""
    key = repr((sorted(stocks.items()), vix))
    if key not in _VIEWS:
        _VIEWS[key] = MarketView.from_panel(story_panel(stocks, vix))
    return _VIEWS[key]


STOCKS = {
    f"T{i:02d}": Stock(price=100.0, sector=f"S{i % 4}", mix={i + 1: 1.0}) for i in range(12)
}  # none correlates with another; sectors S0 to S3 hold three tickers each


_LOOSE: list[RiskConfig] = []


@contextmanager
def loosened(config: RiskConfig) -> Iterator[None]:
    """Make every desk inside use `config`, whatever its story asks for: the negative control of a rule."""
    _LOOSE.append(config)
    yield
    _LOOSE.pop()


class StoryClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime = NOW) -> None:
        self.instant = now

    def now(self) -> datetime:
        """Return the instant of the story."""
        return self.instant

    def forward(self, **duration: float) -> None:
        """Move on (or back, negative)."""
        self.instant += timedelta(**duration)


class StoryStore:
    """A durable store that is a variable; `saves` counts."""

    def __init__(self, envelope: str | None = None, *, trades: bool = False) -> None:
        self.envelope = envelope
        self.trades = trades
        self.saves = 0

    def load(self) -> str | None:
        """Return the envelope."""
        return self.envelope

    def save(self, envelope: str) -> None:
        """Keep the envelope."""
        self.envelope = envelope
        self.saves += 1

    def has_trades(self) -> bool:
        """Return what the story says."""
        return self.trades


def holding(ticker: str, dollars: float, price: float = 100.0, **more: float) -> Holding:
    """Return a position worth `dollars`."""
    return Holding(ticker, dollars / price, price, **more)


def desk(
    cash: float = 100_000.0,
    holdings: Sequence[Holding] = (),
    stocks: Mapping[str, Stock] | None = None,
    vix: Sequence[float] | float = 15.0,
    config: RiskConfig | None = None,
    clock: StoryClock | None = None,
    store: StoryStore | None = None,
) -> RiskManager:
    """Return a manager that has been shown a story's market and account."""
    config = _LOOSE[-1] if _LOOSE else config
    risk = RiskManager(config, clock=clock or StoryClock(), store=store)
    risk.show_market(story_view(STOCKS if stocks is None else stocks, vix))
    risk.show_portfolio(Portfolio(cash, tuple(holdings)))
    return risk


def code_of(answer: tuple[bool, str]) -> str:
    """Return the code of a (bool, message) answer."""
    allowed, message = answer
    assert allowed == (message == "OK"), answer
    return message.partition(":")[0]


def buy(ticker: str = "T00", quantity: float = 10.0, limit: float | None = 100.0) -> OrderIntent:
    """Return the intent of an entry."""
    return OrderIntent(
        ticker, Side.BUY, quantity, limit, 90.0, 120.0, "momentum", OrderReason.ENTRY, 1.0, date(2024, 6, 3)
    )


def sell(ticker: str = "T00", quantity: float = 10.0) -> OrderIntent:
    """Return the intent of an exit."""
    return OrderIntent(
        ticker, Side.SELL, quantity, None, None, None, "momentum", OrderReason.FLATTEN, 0.0, date(2024, 6, 3)
    )
