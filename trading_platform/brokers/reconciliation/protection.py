"""Resting stops compared with the positions that should have one. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trading_platform.brokers.reconciliation.differences import Difference, DifferenceKind
from trading_platform.brokers.reconciliation.two_books import (
    SHARE_TOLERANCE,
    Action,
    CancelOrder,
    OurBook,
    OurPosition,
    Protect,
    TheirBook,
)
from trading_platform.core.compiled import plain
from trading_platform.core.fills import ticks_a_dollar
from trading_platform.core.order_reasons import OrderReason
from trading_platform.core.ports import BrokerOrder, JournalOrder
from trading_platform.core.types import Side

# Alpaca's words for an order that holds its place and cannot trade now.
IDLE = frozenset({"suspended", "calculated", "done_for_day"})
TICKS_APART = 0.75  # of a price step, from which on two prices are different ones

_ticks_a_dollar = plain(ticks_a_dollar)


@dataclass(frozen=True, slots=True)
class Cover:
    """A stop at the broker: shares that it would sell, its price, and that of the target beside it.

    One that `is_idle` (suspended, say) claims its shares and cannot trade.
    """

    quantity: float
    stop: float | None
    target: float | None
    is_idle: bool = False


def protection(
    ours: OurBook, book: OurBook, theirs: TheirBook, prefix: str, unclear: Collection[str | None] = ()
) -> Iterator[tuple[Difference, tuple[Action, ...]]]:
    """Compare stops at the broker with what should rest there, `book` being ours after the actions so far.

    Stops that no longer fit (a manual sale, a split, a partial fill, a position that has grown, a level that has
    moved) are cancelled first and
    placed anew after the next reading. Shares that an exit of ours is selling need none; those that wait to leave keep
    the stop that they have until they can. Positions with a fraction of a share have none: the engine watches them. Of
    `unclear` tickers nobody knows yet what is held: they are left alone.
    """
    covers = covers_of(theirs.orders, prefix)
    new_splits = {c.ticker for c in theirs.history.shares if c.is_split and c.change_id not in ours.booked}
    for ticker in sorted((covers.keys() | book.positions.keys()) - {*unclear}):
        position, roots = book.positions.get(ticker), covers.get(ticker, {})
        at_work = [
            o for o in theirs.orders if o.ticker == ticker and o.status.is_open and o.client_order_id not in roots
        ]
        leaving = _leaving(at_work, prefix)
        held = 0.0 if position is None else max(0.0, position.quantity - leaving)
        waits = position is not None and min(position.leaving, position.quantity) - leaving > SHARE_TOLERANCE
        covered = sum(cover.quantity for cover in roots.values())
        words = f"{held:g} shares to protect", f"stops for {covered:g}"
        lacking = Difference(DifferenceKind.UNPROTECTED, ticker, *words)
        is_busy = any(_is_in_the_way(order, prefix) for order in at_work)
        if any(cover.is_idle for cover in roots.values()):
            yield Difference(DifferenceKind.STOP_IDLE, ticker, words[0], f"{words[1]} that cannot trade now"), ()
        if roots and (_differs(covered, held, may_lack=waits) or ticker in new_splits):
            excess = Difference(DifferenceKind.OVERPROTECTED, ticker, *words)
            yield excess if covered > held else lacking, tuple(CancelOrder(root) for root in sorted(roots))
        elif position is None:
            continue
        elif roots and not is_busy and not waits and not _is_as_wanted(roots, position, ours):
            yield _moved(position, roots), tuple(CancelOrder(root) for root in sorted(roots))
        elif not roots and position.stop_price is not None and is_whole(held):
            protect = Protect(ticker, float(round(held)), position.stop_price, position.target_price)
            yield lacking, () if is_busy else (protect,)


def _differs(covered: float, held: float, *, may_lack: bool) -> bool:
    return covered - held > SHARE_TOLERANCE or (held - covered > SHARE_TOLERANCE and not may_lack)


def idle_roots(orders: Sequence[BrokerOrder], prefix: str) -> frozenset[str]:
    """Return our orders whose sells cannot trade now: legs that sleep until an entry is filled, suspended stops."""
    covers = covers_of(orders, prefix)
    idle = {root for roots in covers.values() for root, cover in roots.items() if cover.is_idle}
    sleeping = {o.client_order_id for o in orders if o.side is Side.BUY and o.status.is_open}
    return frozenset(idle | {root for root in sleeping if root.startswith(prefix)})


def covers_of(orders: Sequence[BrokerOrder], prefix: str) -> dict[str, dict[str, Cover]]:
    """Return ticker -> root order -> its working stop."""
    covers: dict[str, dict[str, Cover]] = {}
    for root in orders:
        if not root.client_order_id.startswith(prefix):
            continue
        waits = root.side is Side.BUY and root.status.is_open  # legs sleep until the whole entry is filled
        stops = [leg for leg in root.legs if leg.reason is OrderReason.STOP_LOSS]
        stops += [root] if root.side is Side.SELL and root.stop_price is not None else []
        for stop in stops:
            if stop.status.is_open and not waits:
                left = stop.quantity - stop.filled_quantity
                cover = Cover(left, stop.stop_price, _target(root), stop.message in IDLE)
                covers.setdefault(root.ticker, {})[root.client_order_id] = cover
    return covers


def _target(root: BrokerOrder) -> float | None:
    """Return the target beside a stop: of an OCO it is the order itself."""
    targets = [leg for leg in root.legs if leg.reason is OrderReason.TAKE_PROFIT and leg.status.is_open]
    if root.side is Side.SELL and root.reason is OrderReason.TAKE_PROFIT:
        targets.append(root)
    return targets[0].limit_price if targets else None


def _leaving(at_work: Sequence[BrokerOrder], prefix: str) -> float:
    """Return the shares that exits of ours are selling."""
    return sum(
        order.quantity - order.filled_quantity
        for order in at_work
        if order.side is Side.SELL and order.client_order_id.startswith(prefix)
    )


def _is_in_the_way(order: BrokerOrder, prefix: str) -> bool:
    """Return True if a stop beside this working order would be refused: beside a buy it looks like a wash trade."""
    return order.side is Side.BUY or not order.client_order_id.startswith(prefix)


def _is_as_wanted(roots: Mapping[str, Cover], position: OurPosition, ours: OurBook) -> bool:
    """Return True if one stop protects the whole position, where the position has it: two would sell at two prices.

    What was placed there and moved since by the account's owner, or by the broker, stays as it is.
    """
    return len(roots) == 1 and all(
        _is_at_level(cover, position) or _was_at_level(ours.orders.get(root), position) for root, cover in roots.items()
    )


def _was_at_level(placed: JournalOrder | None, position: OurPosition) -> bool:
    """Return True if an order was placed where the position has its stop and target now."""
    if placed is None or placed.side is not Side.SELL or placed.stop_price is None:
        return False
    return _is_at_level(Cover(placed.quantity, placed.stop_price, placed.target_price), position)


def _is_at_level(cover: Cover, position: OurPosition) -> bool:
    """Return True if a stop rests where the position has it; a target may be missing, then it is watched."""
    if position.stop_price is None or cover.stop is None:
        return True
    if cover.target is not None and (
        position.target_price is None or not _is_same_price(cover.target, position.target_price)
    ):
        return False
    return _is_same_price(cover.stop, position.stop_price)


def _is_same_price(one: float, other: float) -> bool:
    return abs(one - other) <= TICKS_APART / float(_ticks_a_dollar(other))


def _moved(position: OurPosition, roots: Mapping[str, Cover]) -> Difference:
    resting = ", ".join(f"{cover.stop} and {cover.target}" for _, cover in sorted(roots.items()))
    ours = f"stop {position.stop_price} and target {position.target_price}"
    return Difference(DifferenceKind.UNPROTECTED, position.ticker, ours, resting)


def is_whole(quantity: float) -> bool:
    """Return True for a whole number of shares: of others the broker holds no stop."""
    return round(quantity) >= 1 and abs(quantity - round(quantity)) <= SHARE_TOLERANCE
