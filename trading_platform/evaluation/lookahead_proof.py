"""Trials of something that decides: the future hidden or changed, the past shortened, the question repeated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from trading_platform.core.errors import FixConfigError
from trading_platform.core.market import forward_adjusted
from trading_platform.core.types import Bools, Ints, MarketPanel
from trading_platform.evaluation.lookahead_markets import OPEN_MOVE, other_close, other_future, other_open, panel_bytes

# Rows before a cut that are compared as well: a leak of h sessions moves the last h rows.
WATCHED = 40
# Futures tried at each cut.
FUTURES = 3


class Decisions(NamedTuple):
    """What a subject says: the bytes of each row, (T,), and (T,) whether there is a decision in them."""

    rows: Sequence[bytes]
    told: Bools


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that decides.

    Attributes
    ----------
    name
        For people.
    decide
        Takes a panel and the first row that matters; rows before it may hold anything.
    lookback
        Sessions, its own included, that a row may depend on; None where it is a book, whose past has no end.
    first
        First row that is tried.
    cuts
        Rows that are tried, at most, for subjects that take long; None = as many as asked for.
    """

    name: str
    decide: Callable[[MarketPanel, int], Decisions]
    lookback: int | None
    first: int = 0
    cuts: int | None = None


class FillAt(NamedTuple):
    """A fill: row of its session, column, dollars a share, shares (negative = sold), and whether it was at the open."""

    row: int
    ticker: int
    quantity: float
    price: float
    at_open: bool


@dataclass(frozen=True, slots=True)
class FillSubject:
    """Something that fills orders: from a panel to all fills, oldest first; `first` is the first row tried."""

    name: str
    fills: Callable[[MarketPanel], Sequence[FillAt]]
    first: int = 0


@dataclass(slots=True)
class Proof:
    """What was tried on a subject. `told` counts the decisions among the `compared` rows, `leaks` says what moved."""

    subject: str
    tried: dict[str, int] = field(default_factory=dict)
    compared: int = 0
    told: int = 0
    leaks: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """True if nothing moved and there was something that could have."""
        return not self.leaks and self.told > 0

    def note(self, check: str, leak: str | None) -> None:
        """Count a trial."""
        self.tried[check] = self.tried.get(check, 0) + 1
        if leak is not None:
            self.leaks.append(f"{check}: {leak}")


class LookaheadError(AssertionError):
    """A decision moved with something that it could not know, or there was no decision to look at."""


def table_decisions(values: np.ndarray, told: Bools) -> Decisions:
    """Return decisions that are rows of an array (T, ...); all NaN are the same NaN."""
    flat = np.array(values, dtype=np.float64).reshape(len(values), -1)
    flat[np.isnan(flat)] = np.nan
    return Decisions([row.tobytes() for row in flat], told)


# ---------------------------------------------------------------- trials


def prove(subject: Subject, panel: MarketPanel, n_cuts: int = 12, seed: int = 0) -> Proof:
    """Try a subject at `n_cuts` rows of `panel`, half of them rows on which it decided something."""
    rng = np.random.default_rng(seed)
    proof = Proof(subject.name)
    before = panel_bytes(panel)
    first = max(subject.first, subject.lookback or 0)
    rows = _spread(panel, first, n_cuts if subject.cuts is None else min(n_cuts, subject.cuts))
    start = max(first, int(rows[0]) - WATCHED + 1)
    whole = subject.decide(panel, start)
    cuts = _cuts(whole.told, rows, 2, rng)
    adjusted = forward_adjusted(panel)
    for t in cuts:
        since = max(first, t - WATCHED + 1)
        proof.compared += t + 1 - since
        proof.told += int(whole.told[since : t + 1].sum())
        cut = subject.decide(panel.rows(0, t + 1), since)
        proof.note("truncated future", _moved(panel, whole, cut, since, t, 0))
        for _ in range(FUTURES):
            other = subject.decide(other_future(panel, t + 1, rng), since)
            proof.note("other future", _moved(panel, whole, other, since, t, 0))
        if subject.lookback is not None:
            skipped = t + 1 - subject.lookback
            short = subject.decide(adjusted.rows(skipped, t + 1), subject.lookback - 1)
            leak = _moved(panel, whole, short, t, t, skipped)
            proof.note("shortened past", leak and f"{leak}; its lookback is {subject.lookback}")
    again = subject.decide(panel, start)
    last = cuts[-1]
    proof.note("asked again", _moved(panel, whole, again, max(first, last - WATCHED + 1), last, 0))
    proof.note("input untouched", None if panel_bytes(panel) == before else "the subject wrote into the bars")
    return proof


def prove_fills(subject: FillSubject, panel: MarketPanel, n_cuts: int = 12, seed: int = 0) -> Proof:
    """Try something that fills orders; see the module's head."""
    rng = np.random.default_rng(seed)
    proof = Proof(subject.name)
    whole = list(subject.fills(panel))
    told = np.zeros(panel.n_sessions, dtype=bool)
    told[[fill.row for fill in whole]] = True
    for t in _cuts(told, _spread(panel, subject.first, n_cuts), 1, rng):
        until = [fill for fill in whole if fill.row <= t]
        proof.compared += 1
        proof.told += sum(fill.row == t for fill in whole)
        cut = [fill for fill in subject.fills(panel.rows(0, t + 1)) if fill.row <= t]
        proof.note("truncated future", _fills_moved(panel, until, cut))
        for _ in range(FUTURES):
            other = [fill for fill in subject.fills(other_future(panel, t + 1, rng)) if fill.row <= t]
            proof.note("other future", _fills_moved(panel, until, other))
            other = [fill for fill in subject.fills(other_close(panel, t, rng)) if fill.row <= t]
            proof.note("other close of the session", _fills_moved(panel, until, other))
        moved = [fill for fill in subject.fills(other_open(panel, t)) if fill.row <= t]
        proof.note("other open of the session", _open_ignored(panel, until, moved, t))
    return proof


def _spread(panel: MarketPanel, first: int, n_cuts: int) -> Ints:
    """Return rows spread evenly over what can be tried; the last row has no future to change."""
    if first > panel.n_sessions - 2:
        raise FixConfigError(f"{panel.n_sessions} sessions are too few: the first that can be tried is number {first}")
    rows: Ints = np.unique(np.linspace(first, panel.n_sessions - 2, n_cuts).astype(np.int64))
    return rows


def _cuts(told: Bools, rows: Ints, every: int, rng: np.random.Generator) -> list[int]:
    """Return `rows` with each `every`-th moved to a row, no earlier than the first, at which something was decided."""
    decided = np.flatnonzero(told[: len(told) - 1])
    decided = decided[decided >= rows[0]]
    kept = np.arange(len(rows)) % every > 0 if len(decided) else np.ones(len(rows), dtype=bool)
    chosen = rng.choice(decided, size=int((~kept).sum())) if len(decided) else rows[:0]
    return sorted({*(int(row) for row in rows[kept]), *(int(row) for row in chosen)})


def _moved(panel: MarketPanel, whole: Decisions, other: Decisions, since: int, t: int, skipped: int) -> str | None:
    """Return which of rows `since` to `t` differ first, `other` beginning `skipped` rows later; None if none does."""
    for row in range(since, t + 1):
        if whole.rows[row] != other.rows[row - skipped]:
            ahead = "" if skipped else f" with what came after {panel.session(t)}"
            return f"the decision of {panel.session(row)} moved{ahead}"
    return None


def _fills_moved(panel: MarketPanel, whole: list[FillAt], other: list[FillAt]) -> str | None:
    for n, fill in enumerate(whole):
        if n >= len(other) or other[n] != fill:
            return f"the fill of {panel.tickers[fill.ticker]} on {panel.session(fill.row)} moved"
    return None if len(other) == len(whole) else f"{len(other) - len(whole)} more fills"


def _open_ignored(panel: MarketPanel, whole: list[FillAt], other: list[FillAt], t: int) -> str | None:
    """Return which fill at the open of row `t` did not follow that open."""
    prices: dict[tuple[object, ...], list[float]] = {}  # a ticker's order and strategies' own trades fill side by side
    for fill in other:
        if fill.at_open:
            prices.setdefault(fill[:2], []).append(fill.price)
    for fill in whole:
        moved = prices.get(fill[:2], []) if fill.row == t and fill.at_open else []
        if moved and not any(abs(price / fill.price - OPEN_MOVE) <= 1e-9 for price in moved):
            session = panel.session(t)
            return f"the fill of {panel.tickers[fill.ticker]} on {session} is not priced by that session's open"
    return None


def to_text(proofs: Sequence[Proof]) -> str:
    """Return the proofs as a table, and below it every leak."""
    lines = [f"{'subject':32}{'rows':>7}{'decisions':>11}  {'verdict':16}tried"]
    for proof in proofs:
        verdict = "causal" if proof.holds else "LOOKS AHEAD" if proof.leaks else "NOTHING DECIDED"
        tried = ", ".join(f"{name} {count}" for name, count in proof.tried.items())
        lines.append(f"{proof.subject:32}{proof.compared:>7,}{proof.told:>11,}  {verdict:16}{tried}")
    lines += [f"{proof.subject}: {leak}" for proof in proofs for leak in proof.leaks[:5]]
    return "\n".join(lines)
