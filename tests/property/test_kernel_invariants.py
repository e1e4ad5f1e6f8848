"""Whatever the market and the allocation, a book adds up, stays within its caps, and is nobody else's business."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from tests.kernel_world import STRATEGIES, kernel_arrays, make_rules, random_panel
from tests.lot_world import N_MIXED, assert_book_adds_up, mixed_arrays
from trading_platform.core.fill_log import CROSSED, new_fill_log
from trading_platform.core.market import Market, build_signals
from trading_platform.core.realistic_fills import EXACT, REALISTIC, with_fills
from trading_platform.core.risk.denial_codes import DENIAL_CODES
from trading_platform.core.session import Rules
from trading_platform.core.simulate import DAY, N_CODES, backtest, open_books, run_books

N_SESSIONS = 160
CENT = 1e-6  # dollars are exact to the cent; floats of this size carry 1e-10

profiles = st.sampled_from(["conservative", "balanced", "aggressive"])
relaxed = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def allocations(seed: int, n_sessions: int = N_SESSIONS, n_strategies: int = len(STRATEGIES)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    weights = np.repeat(rng.dirichlet(np.ones(n_strategies), n_sessions // 8 + 1), 8, axis=0)[:n_sessions]
    weights[weights < 0.15] = 0.0
    shares: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return shares


@relaxed
@example(seed=31, profile="conservative", faults=False, step=1.0)  # sent away while one strategy buys from another
@given(seed=st.integers(0, 10_000), profile=profiles, faults=st.booleans(), step=st.sampled_from([1.0, 0.001]))
@pytest.mark.parametrize("fills", [EXACT, REALISTIC])
def test_book_adds_up_and_entries_keep_every_cap(
    fills: str, seed: int, profile: str, faults: bool, step: float
) -> None:
    """Session by session: money, lots, log, protection; and no order breaks a cap at the price it was checked at."""
    rules = make_rules(profile=profile, share_step=step)
    limits = rules.limits
    panel, market, signals = mixed_arrays(seed, N_SESSIONS, rules, faults=faults)
    market = with_fills(market, panel, fills, seed)
    weights = allocations(seed, N_SESSIONS, N_MIXED)
    books = open_books(1, limits.max_positions, N_MIXED, panel.n_tickers, 100_000.0)
    days, denials = np.zeros((1, N_SESSIONS), dtype=DAY), np.zeros((1, N_CODES), dtype=np.int64)
    account, slots, lots = books.accounts[0], books.slots[0], books.lots[0]
    crossed = entries = shared = 0
    before = account.copy()
    for t in range(25, N_SESSIONS):
        log, at = new_fill_log(2_000), np.array([t])
        run_books(books, market, signals, at, at + 1, weights[None], rules, log, days, denials)
        rows = log.rows[: log.used[0]]
        assert log.used[0] <= len(log.rows)
        assert_book_adds_up(account, slots, lots)
        assert account["cash"] > -1e-6
        held = slots["ticker"][slots["ticker"] >= 0]
        assert len(set(held.tolist())) == len(held)
        amounts = float((rows["amount"] * rows["side"]).sum())
        moved = -amounts - rows["fees"].sum() + (account["interest"] - before["interest"])
        moved += account["dividends"] - before["dividends"]
        assert abs(account["cash"] - before["cash"] - moved) < CENT
        for name in ("fees", "commission", "spread", "slippage", "impact"):
            assert abs(account[name] - before[name] - rows[name].sum()) < CENT, name
            assert rows[name].min(initial=0.0) > -0.025, name  # two cents of rounding
        assert abs(account["realized_pnl"] - before["realized_pnl"] - rows["realized"].sum()) < CENT
        across = rows[rows["kind"] == CROSSED]
        assert abs(float((across["amount"] * across["side"]).sum())) < CENT
        assert abs(float((across["quantity"] * across["side"]).sum())) < 1e-6
        crossed, shared = crossed + len(across), shared + int((np.bitwise_count(slots["owners"]) > 1).sum())
        entries += check_orders(account, slots, market, t, rules)
        before = account.copy()
    event(f"orders: {'none' if entries == 0 else 'some' if entries < 50 else 'many'}")
    event(f"crossed: {'none' if crossed == 0 else 'some'}, shared: {'none' if shared == 0 else 'some'}")
    for code in np.flatnonzero(denials[0]):
        event(f"verdict {DENIAL_CODES[code].value}")


def check_orders(account: np.void, slots: np.ndarray, market: Market, t: int, rules: Rules) -> int:
    """Check every waiting buy against the caps in plain words, all others held and pending; return their number."""
    limits, equity = rules.limits, float(account["equity"])
    waiting = [slot for slot in slots if slot["pending"] > 0.0]
    if not waiting:
        return 0
    worst = {int(slot["ticker"]): float(slot["value"] + slot["pending"] * slot["limit_price"]) for slot in slots}
    worst.pop(-1, None)
    slack = 0.005 * (len(worst) + 1)
    scale = min(1.0, limits.vix_threshold / market.vix[t])
    assert sum(slot["pending"] * slot["limit_price"] for slot in waiting) <= account["cash"] + slack
    assert sum(worst.values()) <= limits.max_exposure * equity + slack
    for slot in waiting:
        ticker = int(slot["ticker"])
        assert worst[ticker] <= limits.max_position * scale * equity + slack
        same = sum(value for i, value in worst.items() if market.sector[i] == market.sector[ticker])
        assert same <= limits.max_sector * equity + slack
        if slot["quantity"] == 0.0:
            assert len(worst) <= limits.max_positions
            assert slot["pending"] * slot["limit_price"] >= limits.min_order - slack
    return len(waiting)


@relaxed
@given(seed=st.integers(0, 10_000), silent=st.integers(0, len(STRATEGIES) - 1))
def test_strategy_with_weight_zero_never_trades(seed: int, silent: int) -> None:
    rules = make_rules()
    market, signals = kernel_arrays(random_panel(seed, N_SESSIONS), rules)
    weights = np.full(len(STRATEGIES), 0.5)
    weights[silent] = 0.0
    fills = backtest(market, signals, weights, rules, 100_000.0, 25, N_SESSIONS).fills
    event(f"fills: {'none' if len(fills) == 0 else 'some'}")
    assert silent not in fills["strategy"]


@relaxed
@given(seed=st.integers(0, 10_000), faults=st.booleans())
@pytest.mark.parametrize("fills", [EXACT, REALISTIC])
def test_book_in_a_batch_equals_the_book_alone_in_any_order(fills: str, seed: int, faults: bool) -> None:
    rules = make_rules(profile="aggressive")
    panel = random_panel(seed, N_SESSIONS, faults=faults)
    market, signals = kernel_arrays(panel, rules)
    market = with_fills(market, panel, fills, seed)
    n_books = 5
    weights = np.stack([allocations(seed + e) for e in range(n_books)])
    order = np.random.default_rng(seed).permutation(n_books)

    def run(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        books = open_books(len(rows), rules.limits.max_positions, len(STRATEGIES), 12, 100_000.0)
        days = np.zeros((len(rows), N_SESSIONS), dtype=DAY)
        denials = np.zeros((len(rows), N_CODES), dtype=np.int64)
        starts = 25 + 3 * rows  # each book has its own window
        stops = np.full(len(rows), N_SESSIONS)
        run_books(books, market, signals, starts, stops, weights[rows], rules, new_fill_log(0), days, denials)
        return days, books.accounts

    together, accounts = run(np.arange(n_books))
    shuffled, shuffled_accounts = run(order)
    assert together[order].tobytes() == shuffled.tobytes()
    assert accounts[order].tobytes() == shuffled_accounts.tobytes()
    for e in range(n_books):
        alone, account = run(np.array([e]))
        assert alone[0].tobytes() == together[e].tobytes()
        assert account[0].tobytes() == accounts[e].tobytes()


@relaxed
@given(seed=st.integers(0, 10_000), cut=st.integers(60, N_SESSIONS - 20))
@pytest.mark.parametrize("fills", [EXACT, REALISTIC])
def test_future_bars_move_nothing_before(fills: str, seed: int, cut: int) -> None:
    rules = make_rules()
    panel = random_panel(seed, N_SESSIONS, faults=True)
    shocked = panel.rows(0, N_SESSIONS)
    for values in (shocked.open, shocked.high, shocked.low, shocked.close, shocked.vix):
        values[cut:] *= 3.0
    runs = []
    for version in (panel, shocked):
        market, signals = kernel_arrays(version, rules)
        market = with_fills(market, version, fills, seed)
        runs.append(backtest(market, signals, np.full(3, 1.0 / 3.0), rules, 100_000.0, 25, cut))
    assert runs[0].fills.tobytes() == runs[1].fills.tobytes()
    assert runs[0].days.tobytes() == runs[1].days.tobytes()
    event(f"fills: {'none' if len(runs[0].fills) == 0 else 'some'}")


def test_invariant_check_can_fail() -> None:
    books = open_books(1, 3, 2, 4, 1000.0)
    books.slots[0, 0]["value"] = 0.01  # a cent that no cash paid for
    account, slots = books.accounts[0], books.slots[0]
    assert not abs(account["equity"] - account["cash"] - slots["value"].sum()) < CENT
    with pytest.raises(AssertionError):
        assert_book_adds_up(account, slots, books.lots[0])
    slots[0]["value"] = 0.0
    assert_book_adds_up(account, slots, books.lots[0])
    books.lots[0, 1, 0]["wish"] = 0.1  # of a lot that is not there
    with pytest.raises(AssertionError):
        assert_book_adds_up(account, slots, books.lots[0])


@pytest.mark.parametrize("count", [0, 33])
def test_build_signals_refuses_a_wrong_number_of_strategies(count: int) -> None:

    panel = random_panel(0, 30)
    one = STRATEGIES[0].signals(panel)
    with pytest.raises(ValueError, match="between 1 and 32"):
        build_signals((one,) * count)
