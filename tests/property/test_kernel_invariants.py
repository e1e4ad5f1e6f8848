"""Whatever the market and the allocation, a book adds up, stays within its caps, and is nobody else's business."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.kernel_world import STRATEGIES, kernel_arrays, make_rules, random_panel
from trading_platform.core.fill_log import new_fill_log
from trading_platform.core.ledger import ACCOUNT
from trading_platform.core.simulate import DAY, N_CODES, backtest, new_scratch, open_books, run_books, step_books
from trading_platform.core.types import DENIAL_CODES

N_SESSIONS = 160
CENT = 1e-6  # dollars are exact to the cent; floats of this size carry 1e-10

profiles = st.sampled_from(["conservative", "balanced", "aggressive"])
relaxed = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def allocations(seed: int, n_sessions: int = N_SESSIONS) -> np.ndarray:
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(len(STRATEGIES)), n_sessions)
    weights[weights < 0.15] = 0.0
    shares: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return shares


@relaxed
@given(seed=st.integers(0, 10_000), profile=profiles, faults=st.booleans(), step=st.sampled_from([1.0, 0.001]))
def test_book_adds_up_and_entries_keep_every_cap(seed: int, profile: str, faults: bool, step: float) -> None:
    rules = make_rules(profile=profile, share_step=step)
    limits = rules.limits
    market, signals = kernel_arrays(random_panel(seed, N_SESSIONS, faults=faults), rules)
    weights = allocations(seed)
    books = open_books(1, limits.max_positions, 100_000.0)
    scratch, no_log, costs = new_scratch(len(STRATEGIES)), new_fill_log(0), np.ones(1)
    denials = np.zeros((1, N_CODES), dtype=np.int64)
    entries = 0
    for t in range(25, N_SESSIONS - 1):
        held_before = set(books.slots[0]["ticker"].tolist())
        rows = np.array([t])
        step_books(books, 0, 1, market, signals, rows, weights[t : t + 1], rules, costs, denials, scratch, no_log)
        account, slots = books.accounts[0], books.slots[0]
        assert abs(account["equity"] - account["cash"] - slots["value"].sum()) < CENT
        assert account["cash"] >= 0.0
        assert np.all(np.round(slots["value"] * 100.0) == np.round(slots["value"] * 100.0, 6))
        assert not np.any(slots["pending"] > 0.0)  # entries fill or expire in their session
        held = slots["ticker"][slots["quantity"] > 0.0]
        assert len(set(held.tolist())) == len(held) <= limits.max_positions
        bought = [ticker for ticker in held.tolist() if ticker not in held_before]
        entries += len(bought)
        if bought:  # bought at most at the limit price on which the caps were checked
            spent = slots["bought_amount"][np.isin(slots["ticker"], bought)]
            equity_then = account["previous_equity"]
            assert spent.max() <= limits.max_position * equity_then + 0.01
            assert spent.sum() <= limits.max_exposure * equity_then + 0.01
    event(f"entries: {'none' if entries == 0 else 'some' if entries < 20 else 'many'}")
    for code in np.flatnonzero(denials[0]):
        event(f"verdict {DENIAL_CODES[code].value}")


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
def test_book_in_a_batch_equals_the_book_alone_in_any_order(seed: int, faults: bool) -> None:
    rules = make_rules(profile="aggressive")
    market, signals = kernel_arrays(random_panel(seed, N_SESSIONS, faults=faults), rules)
    n_books = 5
    weights = np.stack([allocations(seed + e) for e in range(n_books)])
    order = np.random.default_rng(seed).permutation(n_books)

    def run(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        books = open_books(len(rows), rules.limits.max_positions, 100_000.0)
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
def test_future_bars_move_nothing_before(seed: int, cut: int) -> None:
    rules = make_rules()
    panel = random_panel(seed, N_SESSIONS, faults=True)
    shocked = panel.rows(0, N_SESSIONS)
    for values in (shocked.open, shocked.high, shocked.low, shocked.close, shocked.vix):
        values[cut:] *= 3.0
    runs = []
    for version in (panel, shocked):
        market, signals = kernel_arrays(version, rules)
        runs.append(backtest(market, signals, np.full(3, 1.0 / 3.0), rules, 100_000.0, 25, cut))
    assert runs[0].fills.tobytes() == runs[1].fills.tobytes()
    assert runs[0].days.tobytes() == runs[1].days.tobytes()
    event(f"fills: {'none' if len(runs[0].fills) == 0 else 'some'}")


def test_invariant_check_can_fail() -> None:
    books = open_books(1, 3, 1000.0)
    books.slots[0, 0]["value"] = 0.01  # a cent that no cash paid for
    account, slots = books.accounts[0], books.slots[0]
    assert not abs(account["equity"] - account["cash"] - slots["value"].sum()) < CENT
    assert ACCOUNT.names is not None
    assert "cash" in ACCOUNT.names


@pytest.mark.parametrize("count", [0, 33])
def test_build_signals_refuses_a_wrong_number_of_strategies(count: int) -> None:
    from trading_platform.core.market import build_signals

    panel = random_panel(0, 30)
    one = STRATEGIES[0].signals(panel)
    with pytest.raises(ValueError, match="between 1 and 32"):
        build_signals((one,) * count)
