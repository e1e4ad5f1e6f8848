"""Why money is not invested: causes in dollars that add up to what is left in cash after a decision."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.lot_world import QUIET, LotStory, says, story_panel, story_rules
from trading_platform.core.compiled import as_rows
from trading_platform.core.entries import free_slot
from trading_platform.core.fill_log import new_fill_log
from trading_platform.core.plan import Book, RuleRows
from trading_platform.core.risk.caps import OK
from trading_platform.core.risk.rules import check_account
from trading_platform.core.simulate import run_books
from trading_platform.core.unused_capital import Unused, unused_capital


def unused(run: LotStory, *, is_open: bool = True) -> Unused:
    """Return what the story's last decision left, and check that it adds up."""
    books, rules = run.books, run.rules
    book = Book(books.accounts, books.slots[0], books.lots[0], books.stopped[0])
    t = QUIET + run.next - 1
    weights = run.rows_of_weights[0, t if run.rows_of_weights.shape[1] > 1 else 0]
    rows = RuleRows(as_rows(rules.limits), as_rows(rules.exits), as_rows(rules.sizing))
    full = free_slot(book.slots, rules.limits) < 0
    found = Unused._make(float(x) for x in unused_capital(run.kernel_signals, book, t, weights, rows, is_open, full))
    placed = sum(
        float(slot["value"] + (slot["pending"] - slot["selling"]) * slot["price"])
        for slot in book.slots
        if slot["ticker"] >= 0
    )
    assert sum(found) == pytest.approx(max(0.0, float(run.account["equity"]) - placed), abs=0.01)
    assert min(found) >= -1e-9
    return found


def one(*weights: float, **limits: Any) -> LotStory:
    """Return a story in which one target strategy wants so much of tickers A, B, ... from row 0 on."""
    prices = {"ABCDEFGH"[i]: [100.0] * 4 for i in range(len(weights))}
    return LotStory(
        story_panel(prices), [says([list(weights)] * 4, n_tickers=len(weights), is_target=True)], story_rules(**limits)
    )


def test_nobody_wants_anything() -> None:
    run = one(0.0)
    run.until(0)
    assert unused(run) == Unused(100_000.0, 0.0, 0.0, 0.0, 0.0)


def test_what_strategies_do_not_want_is_no_signal() -> None:
    run = one(0.05, 0.05)
    run.until(0)
    assert unused(run) == pytest.approx(Unused(90_000.0, 0.0, 0.0, 0.0, 0.0), abs=0.01)
    run.until(1)  # and the same once it is bought
    assert unused(run) == pytest.approx(Unused(90_000.0, 0.0, 0.0, 0.0, 0.0), abs=0.01)


def test_wishes_beyond_the_position_cap_are_the_caps() -> None:
    """30 % and 20 % are wanted, 5 % each allowed: 50,000 nobody wants, 40,000 the caps keep."""
    run = one(0.30, 0.20)
    run.until(1)
    assert unused(run) == pytest.approx(Unused(50_000.0, 0.0, 40_000.0, 0.0, 0.0), abs=0.01)


def test_wishes_without_a_slot_are_slots() -> None:
    """Of three wishes of 4 % one slot takes one, once it is taken."""
    run = one(0.04, 0.04, 0.04, max_positions=1)
    run.until(1)
    assert unused(run) == pytest.approx(Unused(88_000.0, 8_000.0, 0.0, 0.0, 0.0), abs=0.01)


def test_smaller_than_wished_within_the_cap_is_size() -> None:
    """Kelly leaves 6.9 % of a wish of 9 % under a cap of 10 %."""
    run = one(0.09, max_position_pct=10.0)
    run.until(1)
    found = unused(run)
    placed = float(run.slot("A")["value"])
    assert placed == 6_900.0
    assert found == pytest.approx(Unused(91_000.0, 0.0, 0.0, 2_100.0, 0.0), abs=0.01)


def test_a_closed_gate_keeps_everything_that_is_wanted() -> None:
    run = one(0.30, 0.20)
    run.until(0)
    run.books.slots[0]["ticker"] = -1  # as if nothing had been decided
    assert unused(run, is_open=False) == pytest.approx(Unused(50_000.0, 0.0, 0.0, 0.0, 50_000.0), abs=0.01)


def test_shares_that_are_to_be_sold_are_not_invested() -> None:
    run = LotStory(story_panel({"A": [100.0] * 4}), [says([1.0, 0.0, 0.0, 0.0], leaves=[1])])
    run.until(1)
    assert unused(run).no_signal == pytest.approx(100_000.0)


def test_kernel_tells_the_same_of_every_session() -> None:
    """A wish without a slot, a closed gate (no VIX), a trim: at each close the loop says what the step says."""
    vix = [15.0, 15.0, 15.0, float("nan"), float("nan"), float("nan"), float("nan"), 15.0]
    panel = story_panel({name: [100.0, 101.0, 102.0, 90.0, 95.0, 96.0, 97.0, 98.0] for name in "ABC"})
    panel = replace(panel, vix=np.array(vix))
    wishes = [[0.2, 0.3, 0.1]] * 3 + [[0.2, 0.0, 0.1]] * 5
    run = LotStory(panel, [says(wishes, n_tickers=3, is_target=True)], story_rules(max_positions=2))
    told = np.zeros((1, len(run.market.day), 5))
    n = len(vix)
    bounds = np.array([QUIET]), np.array([QUIET + n])
    whole = replace(run)
    run_books(
        whole.books,
        whole.market,
        whole.kernel_signals,
        *bounds,
        whole.rows_of_weights,
        whole.rules,
        new_fill_log(200),
        whole.days,
        whole.denials,
        told,
    )
    for t in range(n):
        run.until(t)
        gate = check_account(
            run.account,
            run.market.clock[QUIET + t],
            run.market.vix[QUIET + t],
            run.market.vix_age[QUIET + t],
            run.rules.limits,
        )
        assert told[0, QUIET + t] == pytest.approx(np.array(unused(run, is_open=gate.code == OK)), abs=1e-6)
    assert (told[0, QUIET:].max(axis=0) > 0.0).sum() >= 3


@pytest.mark.parametrize("seed", range(12))
def test_causes_add_up_in_random_books(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 8
    table = np.where(rng.random((6, n)) < 0.6, rng.random((6, n)) * 0.4, 0.0)
    target = table / np.maximum(1.0, table.sum(axis=1, keepdims=True))
    signal = np.where(rng.random((6, n)) < 0.3, rng.random((6, n)), 0.0)
    closes = 100.0 * np.exp(np.cumsum(0.01 * rng.standard_normal((6, n)), axis=0))
    panel = story_panel({"ABCDEFGH"[i]: closes[:, i].tolist() for i in range(n)})
    signals = [says(target.tolist(), n_tickers=n, is_target=True), says(signal.tolist(), n_tickers=n, leaves=[3])]
    run = LotStory(panel, signals, story_rules(max_positions=int(rng.integers(1, 8)), entry_collar_pct=2.0))
    for t in range(6):
        run.until(t)
        unused(run)
        unused(run, is_open=False)
