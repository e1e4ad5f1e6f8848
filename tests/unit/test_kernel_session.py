"""Market stories of one session: what fills, at what price, and what does not. One ticker, bars written out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from tests.kernel_world import SESSION_SECONDS, make_rules
from trading_platform.core.booking import ask_all_out, net_order
from trading_platform.core.costs import CostConfig
from trading_platform.core.fill_log import new_fill_log
from trading_platform.core.fills import buy_price, sell_price
from trading_platform.core.ledger import reserve, settle_levels, want
from trading_platform.core.market import Market, Signals, build_market, build_signals
from trading_platform.core.order_reasons import ORDER_REASONS, OrderReason
from trading_platform.core.reasons import SIGNAL_EXIT
from trading_platform.core.session import Rules, trade_session
from trading_platform.core.simulate import Books, backtest, open_books
from trading_platform.core.types import MarketPanel, StrategySignals

NAN = float("nan")
RULES = make_rules()
QUIET = (100.0, 101.0, 99.0, 100.0, 1e6)


@dataclass(frozen=True)
class Story:
    """Bars (open, high, low, close, volume) of consecutive sessions, and corporate actions at their open."""

    bars: tuple[tuple[float, float, float, float, float], ...]
    split: tuple[float, ...] | None = None
    dividend: tuple[float, ...] | None = None

    def market(self) -> Market:
        table = np.array(self.bars)
        n = len(table)
        open_, high, low, close, volume = (np.ascontiguousarray(table[:, i : i + 1]) for i in range(5))
        panel = MarketPanel(
            np.busday_offset("2020-01-06", np.arange(n), roll="forward").astype("datetime64[D]"),
            ("X",),
            open_,
            high,
            low,
            close,
            volume,
            vix=np.full(n, 15.0),
            benchmark=table[:, 3].copy(),
            sectors=("Energy",),
            source="story",
            data_hash="story",
            split_ratio=None if self.split is None else np.array(self.split)[:, None],
            dividend=None if self.dividend is None else np.array(self.dividend)[:, None],
        )
        return build_market(panel, np.arange(n, dtype=np.float64) * SESSION_SECONDS, 30)


def holding(quantity: float = 100.0, stop: float = 90.0, target: float = 120.0) -> Books:
    """Return a book that bought `quantity` at 100."""
    books = entry(102.0, quantity, stop, target)
    account, slot, lot = books.accounts[0], books.slots[0, 0], books.lots[0, 0, 0]
    slot["pending"], slot["quantity"], slot["value"] = 0.0, quantity, quantity * 100.0
    lot["delta"], lot["quantity"], lot["bought"] = 0.0, quantity, quantity
    slot["cost"] = lot["cost"] = lot["bought_amount"] = quantity * 100.0
    account["cash"] -= quantity * 100.0
    return books


def run(books: Books, market: Market, t: int, rules: Rules = RULES) -> np.ndarray:
    log = new_fill_log(20)
    trade_session(books.accounts[0], books.slots[0], books.lots[0], books.stopped[0], market, t, rules, log)
    fills: np.ndarray = log.rows[: log.used[0]]
    return fills


@pytest.mark.parametrize(
    ("bar", "reason", "quote"),
    [
        ((100.0, 110.0, 91.0, 95.0, 1e6), None, NAN),
        ((100.0, 110.0, 90.0, 95.0, 1e6), OrderReason.STOP_LOSS, 90.0),  # touched exactly
        ((80.0, 85.0, 75.0, 82.0, 1e6), OrderReason.STOP_LOSS, 80.0),  # gap through: the open, not the stop
        ((100.0, 120.0, 95.0, 110.0, 1e6), OrderReason.TAKE_PROFIT, 120.0),
        ((130.0, 131.0, 95.0, 110.0, 1e6), OrderReason.TAKE_PROFIT, 130.0),
        ((100.0, 121.0, 89.0, 110.0, 1e6), OrderReason.STOP_LOSS, 90.0),  # both: the worse first
        ((NAN, NAN, NAN, NAN, NAN), None, NAN),
    ],
)
def test_protective_exits(bar: tuple[float, ...], reason: OrderReason | None, quote: float) -> None:
    fills = run(holding(), Story((QUIET, bar)).market(), 1)  # type: ignore[arg-type] # five numbers
    if reason is None:
        assert len(fills) == 0
        return
    assert [ORDER_REASONS[code] for code in fills["reason"]] == [reason]
    assert fills["price"][0] == sell_price(quote, 100.0, 1e6, RULES.costs)
    assert fills["closed"][0] == 1


def entry(limit_price: float = 102.0, quantity: float = 100.0, stop: float = 90.0, target: float = 120.0) -> Books:
    """Return a book whose only strategy is to buy `quantity` at the next open."""
    books = open_books(1, 2, 1, 1, 100_000.0)
    slot = books.slots[0, 0]
    reserve(slot, 0, quantity, limit_price, 100.0)
    want(slot, books.lots[0, 0, 0], 0, quantity, stop, target)
    settle_levels(slot, books.lots[0, 0])
    return books


@pytest.mark.parametrize(
    ("bar", "filled"),
    [
        (QUIET, 100.0),
        ((101.9, 103.0, 101.0, 102.0, 1e6), 100.0),  # just under the limit after costs
        ((102.0, 103.0, 101.0, 102.0, 1e6), 0.0),  # costs lift it over the limit: the order expires
        ((100.0, 101.0, 99.0, 100.0, 0.0), 0.0),  # nothing traded
        ((100.0, 101.0, 99.0, 100.0, 1000.0), 50.0),  # 5 % of the volume; the rest expires
        ((NAN, NAN, NAN, NAN, NAN), 0.0),  # halted
    ],
)
def test_entry_fills_at_the_next_open_within_its_limit(bar: tuple[float, ...], filled: float) -> None:
    books = entry()
    fills = run(books, Story((QUIET, bar)).market(), 1)  # type: ignore[arg-type] # five numbers
    assert fills["quantity"].sum() == filled
    assert books.slots[0, 0]["pending"] == 0.0
    if filled:
        assert fills["price"][0] == buy_price(bar[0], filled, bar[4], RULES.costs)
    else:
        assert books.slots[0, 0]["ticker"] == -1
        assert books.accounts[0]["cash"] == 100_000.0


def test_exit_larger_than_the_volume_takes_several_sessions() -> None:
    thin = (100.0, 101.0, 99.0, 100.0, 800.0)  # 40 shares a session
    books = holding()
    ask_all_out(books.slots[0], books.lots[0], 0, SIGNAL_EXIT)
    net_order(books.slots[0], books.lots[0], 0)
    market = Story((QUIET, thin, thin, thin)).market()
    sold = [run(books, market, t) for t in (1, 2, 3)]
    assert [fills["quantity"].tolist() for fills in sold] == [[40.0], [40.0], [20.0]]
    assert [fills["closed"].tolist() for fills in sold] == [[0], [0], [1]]
    assert books.accounts[0]["trades"] == 1  # partial exits are one trade


def test_split_moves_no_money() -> None:
    halved = (50.0, 50.5, 49.5, 50.0, 2e6)
    books = holding()
    run(books, Story((QUIET, halved), split=(1.0, 2.0)).market(), 1)
    slot = books.slots[0, 0]
    assert (slot["quantity"], slot["value"], slot["stop"], slot["target"]) == (200.0, 10_000.0, 45.0, 60.0)
    assert slot["cost"] == 10_000.0


def test_dividend_is_cash_for_who_held_the_night_before() -> None:
    market = Story((QUIET, QUIET), dividend=(0.0, 0.25)).market()
    held, bought = holding(), entry()
    run(held, market, 1)
    run(bought, market, 1)
    assert held.accounts[0]["dividends"] == 25.0
    assert bought.accounts[0]["dividends"] == 0.0


@pytest.mark.parametrize(("haircut", "price"), [(0.0, 100.0), (30.0, 70.0), (100.0, 0.0)])
def test_ticker_that_ends_without_a_word_is_settled_after_ten_sessions(haircut: float, price: float) -> None:
    """At its last price: most are bought out. A haircut is a setting (Shumway's 30 % for those that fail)."""
    gone = (NAN,) * 5
    books = holding()
    rules = RULES._replace(costs=CostConfig(delisting_haircut_pct=haircut).rates())
    market = Story((QUIET, *(gone for _ in range(10)))).market()
    for t in range(1, 10):
        assert len(run(books, market, t, rules)) == 0
    fills = run(books, market, 10, rules)
    assert [ORDER_REASONS[code] for code in fills["reason"]] == [OrderReason.DELISTED]
    assert fills["price"][0] == pytest.approx(price)
    assert books.accounts[0]["cash"] == pytest.approx(90_000.0 + 100.0 * price)
    assert CostConfig().delisting_haircut_pct == 0.0


def signals_at(row: int, n: int) -> Signals:
    strength, leave = np.zeros((n, 1)), np.zeros((n, 1), dtype=bool)
    strength[row] = 1.0
    leave[row + 3] = True
    return build_signals((StrategySignals(strength, leave),))


def test_decision_at_a_close_fills_at_the_next_open_and_never_at_the_close_it_saw() -> None:
    rng = np.random.default_rng(0)
    closes = 100.0 + rng.standard_normal(60).cumsum()
    bars = tuple((float(c) + 0.37, float(c) + 0.5, float(c) - 0.5, float(c), 1e6) for c in closes)
    market = Story(bars).market()
    fills = backtest(market, signals_at(45, 60), np.ones(1), RULES, 100_000.0, 40, 60).fills
    assert fills["day"].tolist() == [market.day[46], market.day[49]]  # signal at 45, exit flag at 48
    quantity = fills["quantity"][0]
    assert fills["price"][0] == buy_price(bars[46][0], quantity, 1e6, RULES.costs)
    assert fills["price"][1] == sell_price(bars[49][0], quantity, 1e6, RULES.costs)


def test_log_of_capacity_zero_records_nothing_and_changes_nothing() -> None:
    market = Story((QUIET, (80.0, 85.0, 75.0, 82.0, 1e6))).market()
    logged, silent = holding(), holding()
    run(logged, market, 1)
    parts = silent.accounts[0], silent.slots[0], silent.lots[0], silent.stopped[0]
    trade_session(*parts, market, 1, RULES, new_fill_log(0))
    assert logged.accounts.tobytes() == silent.accounts.tobytes()
    assert logged.slots.tobytes() == silent.slots.tobytes()
    assert logged.lots.tobytes() == silent.lots.tobytes()
