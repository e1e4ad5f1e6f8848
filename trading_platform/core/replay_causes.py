"""What an account made on a day, beside what the kernel made of the same day: each difference in cents has a cause.

Per ticker, a day's result is what its shares are worth at the close, less what they were worth at the close before,
and what was paid and received for it. Two results of one ticker differ by their fills alone: by prices, by shares, by
fees. Prices that the account really paid explain a difference where the session could have had them, shares where an
order says what became of it. What nothing explains is said to be so: it is what the owner must hear of.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

# An opening auction lies up to 0.3 % beside the first trade (docs/alpaca.md), the tape's prints a little beside both.
BESIDE = 0.005
DOUBTFUL = 1.5  # times as far as open and close: an absurd tick in a bar, which the source corrects within a day
ROUNDING = 2  # cents that each fill of a ticker may cost by being rounded


class Cause(StrEnum):
    """Why an account's day was not the kernel's."""

    AUCTION = "auction_price"
    STOP = "stop_price"
    PARTIAL = "partial"
    REFUSAL = "refusal"
    LATE = "told_late"
    OWNER = "owner"
    EVENT = "event"
    FEES = "fees"
    INTEREST = "interest"
    BAR = "doubtful_bar"
    UNEXPLAINED = "unexplained"


# What a later look at the same day may settle: bars are corrected.
UNSETTLED = (Cause.BAR, Cause.UNEXPLAINED)
CAUSE_WORDS: Mapping[Cause, str] = {
    Cause.AUCTION: "prices at the open",
    Cause.STOP: "prices of stops and targets",
    Cause.PARTIAL: "orders filled in part",
    Cause.REFUSAL: "orders refused, or that had to wait",
    Cause.LATE: "fills told a day late",
    Cause.OWNER: "the owner's hand",
    Cause.EVENT: "corporate events and dividends",
    Cause.FEES: "fees",
    Cause.INTEREST: "interest",
    Cause.BAR: "bars that cannot be right",
    Cause.UNEXPLAINED: "unexplained",
}


class Sort(StrEnum):
    """What an execution belongs to."""

    ENTRY = "entry"
    EXIT = "exit"
    PROTECTIVE = "stop or target"


class DayFill(NamedTuple):
    """An execution: shares, what they cost or brought in dollars, fees in dollars."""

    sort: Sort
    quantity: float
    amount: float
    fees: float


class Bar(NamedTuple):
    """A ticker's session, dollars a share; NaN where there was none."""

    open: float
    high: float
    low: float
    close: float

    def has(self, price: float) -> bool:
        """Return True if the session could have traded at `price`."""
        return self.low * (1.0 - BESIDE) <= price <= self.high * (1.0 + BESIDE)

    @property
    def is_doubtful(self) -> bool:
        """True if its low or high lies where no session goes that opens and closes where this one does."""
        return self.high > DOUBTFUL * max(self.open, self.close) or self.low * DOUBTFUL < min(self.open, self.close)


class Facts(NamedTuple):
    """What is known of a ticker's day beside its fills. Texts are the reason in words, "" where there is none.

    Attributes
    ----------
    asked_entry, asked_exit
        Shares that the account's orders were to buy and to sell at the open; `replay_...` those of the kernel.
    limit
        Of the entry, dollars a share; 0 where there is none.
    adopted
        Shares came or went without anybody saying why.
    event, owner, edited, operator
        A corporate event; the owner's trades; his edits of stops and targets; an operator's word.
    late, refused, uncovered
        Fills that were told a day late; a refusal or a wait; a missing stop.
    """

    asked_entry: float = 0.0
    asked_exit: float = 0.0
    replay_entry: float = 0.0
    replay_exit: float = 0.0
    limit: float = 0.0
    adopted: str = ""
    event: str = ""
    owner: str = ""
    edited: str = ""
    operator: str = ""
    late: str = ""
    refused: str = ""
    uncovered: str = ""


class TickerDay(NamedTuple):
    """A ticker in both books.

    `before` is its value at the close before, `live` and `replay` those at this close, dollars. `other` are dollars
    that moved in the account for it without an execution.
    """

    ticker: str
    before: float
    live: float
    replay: float
    live_fills: tuple[DayFill, ...]
    replay_fills: tuple[DayFill, ...]
    bar: Bar
    facts: Facts = Facts()
    other: float = 0.0

    @property
    def cents(self) -> int:
        """By how much the account has made more of it than the kernel."""
        live = self.live - self.before + self.other + sum(map(_cash, self.live_fills))
        replay = self.replay - self.before + sum(map(_cash, self.replay_fills))
        return to_cents(live - replay)


class Item(NamedTuple):
    """A part of the difference: its cause, the ticker ("" = the account), cents (the account made more), and words."""

    cause: Cause
    ticker: str
    cents: int
    words: str


def to_cents(dollars: float) -> int:
    """Return whole cents."""
    return round(dollars * 100.0)


def explain_day(days: Sequence[TickerDay]) -> list[Item]:
    """Return every ticker's difference, put to causes. The items of a ticker add up to its difference."""
    knock_on = _first_refusal(days)
    items: list[Item] = []
    for day in days:
        if day.cents != 0:
            items += _explain(day, knock_on)
    return items


def sums_of(items: Collection[Item]) -> dict[str, int]:
    """Return cents by cause, without those that come to nothing."""
    totals: dict[str, int] = {}
    for item in items:
        totals[item.cause.value] = totals.get(item.cause.value, 0) + item.cents
    return {cause.value: totals[cause.value] for cause in Cause if totals.get(cause.value, 0) != 0}


# ---------------------------------------------------------------- one ticker


class _Part(NamedTuple):
    cause: Cause
    dollars: float
    words: str


def _explain(day: TickerDay, knock_on: str) -> list[Item]:
    facts = day.facts
    whole = [
        (Cause.UNEXPLAINED, facts.adopted),
        (Cause.EVENT, facts.event),
        (Cause.LATE, facts.late),
    ]
    for cause, words in whole:  # these move shares and prices at once: nothing finer can be told apart
        if words:
            return [Item(cause, day.ticker, day.cents, words)]
    parts = [part for sort in Sort for part in _compare(day, sort, knock_on)]
    cents = [to_cents(part.dollars) for part in parts]
    rest = day.cents - sum(cents)
    n_fills = len(day.live_fills) + len(day.replay_fills)
    if parts and abs(rest) <= ROUNDING * (n_fills + 1):
        largest = max(range(len(parts)), key=lambda n: abs(cents[n]))
        cents[largest] += rest
        rest = 0
    items = [Item(part.cause, day.ticker, n, part.words) for part, n in zip(parts, cents, strict=True) if n != 0]
    if rest != 0:
        cause = Cause.OWNER if facts.owner else Cause.UNEXPLAINED
        items.append(Item(cause, day.ticker, rest, facts.owner or "neither fills nor orders say why"))
    return items


def _compare(day: TickerDay, sort: Sort, knock_on: str) -> Iterator[_Part]:
    """Yield by what the executions of one sort have made a difference: fees, price of the shares both have, shares."""
    live = _summed(day.live_fills, sort)
    replay = _summed(day.replay_fills, sort)
    if live == replay:
        return
    fees = replay.fees - live.fees
    if to_cents(fees) != 0:
        yield _Part(Cause.FEES, fees, f"fees of the {sort}: {live.fees:.2f}, in the replay {replay.fees:.2f}")
    both = min(live.quantity, replay.quantity)
    total = _gain(live, day.bar.close, sort) - _gain(replay, day.bar.close, sort)
    price = 0.0
    if both > 0.0:
        price = both * (_price(live) - _price(replay)) * (-1.0 if sort is Sort.ENTRY else 1.0)
        if to_cents(price) != 0:
            yield _priced(day, sort, price, _price(live), _price(replay))
    if live.quantity != replay.quantity:
        cause, why = _why_other_shares(day, sort, live.quantity, replay.quantity, knock_on)
        words = f"{sort} of {live.quantity:g} shares, in the replay {replay.quantity:g}: {why}"
        yield _Part(cause, total - price, words)


def _priced(day: TickerDay, sort: Sort, dollars: float, paid: float, replay: float) -> _Part:
    words = f"{sort} at {paid:.4f}, in the replay {replay:.4f} (open {day.bar.open:.4f})"
    if not day.bar.has(paid):
        return _Part(Cause.UNEXPLAINED, dollars, f"{words}: the session was {day.bar.low:.4f} to {day.bar.high:.4f}")
    return _Part(Cause.STOP if sort is Sort.PROTECTIVE else Cause.AUCTION, dollars, words)


def _why_other_shares(day: TickerDay, sort: Sort, live: float, replay: float, knock_on: str) -> tuple[Cause, str]:
    """Return why the account's executions of a sort were of other sizes than the kernel's."""
    facts = day.facts
    if sort is Sort.PROTECTIVE:
        return _why_other_protection(day, live, replay)
    asked, wanted = (
        (facts.asked_entry, facts.replay_entry) if sort is Sort.ENTRY else (facts.asked_exit, facts.replay_exit)
    )
    if facts.refused:
        return Cause.REFUSAL, facts.refused
    if facts.owner:
        return Cause.OWNER, facts.owner
    if asked != wanted:
        if facts.operator:
            return Cause.OWNER, facts.operator
        if knock_on:
            return Cause.REFUSAL, f"{asked:g} were asked for, by the replay {wanted:g}, since {knock_on}"
        return Cause.UNEXPLAINED, f"{asked:g} were asked for, by the replay {wanted:g}"
    if 0.0 < live < asked:
        return Cause.PARTIAL, f"{live:g} of {asked:g} were filled"
    if 0.0 < replay < wanted:
        return Cause.PARTIAL, f"the replay fills {replay:g} of {wanted:g}: the share of the volume that it allows"
    if sort is Sort.ENTRY and facts.limit > 0.0 and _is_near(day.bar.open, facts.limit):
        return Cause.AUCTION, f"the limit {facts.limit:.4f} lies beside the open {day.bar.open:.4f}"
    if sort is Sort.EXIT and _held_less(day):
        return Cause.STOP, "a stop or target had sold them"
    return Cause.UNEXPLAINED, f"{asked:g} were asked for, and nothing was refused"


def _why_other_protection(day: TickerDay, live: float, replay: float) -> tuple[Cause, str]:
    """Return why stops and targets sold other sizes: others were held, a stop was missing, or the hour decided."""
    facts = day.facts
    for sort in (Sort.ENTRY, Sort.EXIT):
        ours, theirs = _summed(day.live_fills, sort).quantity, _summed(day.replay_fills, sort).quantity
        if ours != theirs:
            cause, why = _why_other_shares(day, sort, ours, theirs, "")
            return cause, f"another {sort} before it: {why}"
    if facts.owner or facts.edited:
        return Cause.OWNER, facts.owner or facts.edited
    if facts.refused or facts.uncovered:
        return Cause.REFUSAL, facts.refused or facts.uncovered
    if day.bar.is_doubtful:
        return Cause.BAR, f"low {day.bar.low:.4f}, high {day.bar.high:.4f} beside open and close cannot be right"
    if _summed(day.live_fills, Sort.ENTRY).quantity > 0.0:
        return Cause.STOP, "bought at this open: which price came before the stop was there, a daily bar does not say"
    if 0.0 < live < replay or 0.0 < replay < live:
        return Cause.PARTIAL, "it was filled in part"
    return Cause.UNEXPLAINED, "one of both books met a stop or target, the other did not"


def _held_less(day: TickerDay) -> bool:
    return _summed(day.live_fills, Sort.PROTECTIVE).quantity > _summed(day.replay_fills, Sort.PROTECTIVE).quantity


def _is_near(price: float, limit: float) -> bool:
    return math.isfinite(price) and abs(price / limit - 1.0) <= BESIDE


def _first_refusal(days: Sequence[TickerDay]) -> str:
    """Return the refusal that freed room or money for others, "" if there was none."""
    return next((f"{day.ticker} was refused: {day.facts.refused}" for day in days if day.facts.refused), "")


# ---------------------------------------------------------------- sums


def _summed(fills: Sequence[DayFill], sort: Sort) -> DayFill:
    some = [fill for fill in fills if fill.sort is sort]
    return DayFill(sort, sum(f.quantity for f in some), sum(f.amount for f in some), sum(f.fees for f in some))


def _price(fill: DayFill) -> float:
    return fill.amount / fill.quantity


def _cash(fill: DayFill) -> float:
    return (-fill.amount if fill.sort is Sort.ENTRY else fill.amount) - fill.fees


def _gain(fill: DayFill, close: float, sort: Sort) -> float:
    """Return what executions have made by the close beside holding still, before fees, dollars."""
    worth = fill.quantity * close if fill.quantity > 0.0 else 0.0
    return worth - fill.amount if sort is Sort.ENTRY else fill.amount - worth
