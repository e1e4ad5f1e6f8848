"""A day that the kernel replays from a book is the day that a backtest has: decisions, fills, equity."""

from __future__ import annotations

import numpy as np

from tests.kernel_world import STRATEGIES, kernel_arrays, make_rules, random_panel
from trading_platform.core.compiled import plain
from trading_platform.core.day_replay import copy_of, decide_day, play_day
from trading_platform.core.fill_log import new_fill_log
from trading_platform.core.plan import Book
from trading_platform.core.simulate import DAY, N_CODES, Books, open_books, process_session, run_books

SESSIONS = 120
FIRST = 60
WEIGHTS = np.full(len(STRATEGIES), 1.0 / len(STRATEGIES))

_process = plain(process_session)


def book_of(books: Books) -> Book:
    return Book(books.accounts[:1], books.slots[0], books.lots[0], books.stopped[0])


def test_replayed_days_are_those_of_a_backtest() -> None:
    rules = make_rules(max_positions=5, max_drawdown_pct=60.0, recovery_drawdown_pct=30.0)
    market, signals = kernel_arrays(random_panel(3, SESSIONS, faults=True), rules)
    books = open_books(1, rules.limits.max_positions, len(STRATEGIES), len(market.bars), 100_000.0)
    days, denials = np.zeros((1, SESSIONS), dtype=DAY), np.zeros((1, N_CODES), dtype=np.int64)
    n_fills = 0
    for t in range(FIRST, SESSIONS):
        before = copy_of(book_of(books))
        settled = Books._make(part.copy() for part in books)
        with np.errstate(all="ignore"):
            _process(settled, 0, market, t, rules, new_fill_log(0), new_fill_log(0))
        bounds = np.array([t]), np.array([t + 1])
        run_books(books, market, signals, *bounds, WEIGHTS[None, None], rules, new_fill_log(0), days, denials)

        played = play_day(before, market, t, rules)
        n_fills += len(played.fills)
        assert played.book.accounts[0]["cash"] == days[0, t]["cash"]
        assert played.book.accounts[0]["equity"] == days[0, t]["equity"]
        decided = decide_day(book_of(settled), settled.accounts[0], market, signals, t, WEIGHTS, rules)
        assert decided.slots.tobytes() == books.slots[0].tobytes()
        assert decided.lots.tobytes() == books.lots[0].tobytes()
    assert n_fills > 20


def test_replayed_day_leaves_the_book_as_it_was() -> None:
    rules = make_rules()
    market, signals = kernel_arrays(random_panel(3, SESSIONS), rules)
    book = book_of(open_books(1, rules.limits.max_positions, len(STRATEGIES), len(market.bars), 100_000.0))
    kept = copy_of(book)
    decided = decide_day(book, book.accounts[0], market, signals, FIRST, WEIGHTS, rules)
    assert decided.slots["pending"].sum() > 0.0
    staged = copy_of(decided)
    assert play_day(decided, market, FIRST + 1, rules).fills
    for before, after in ((kept, book), (staged, decided)):
        assert [part.tobytes() for part in before] == [part.tobytes() for part in after]
