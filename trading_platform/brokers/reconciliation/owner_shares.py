"""What the account's owner does by hand, taken out of the broker's side before the books are compared. Pure functions.

The engine manages the account less the shares that its owner bought himself. A buy by hand is a withdrawal from the
managed part, a sale of those shares a deposit; a sale beyond them is one of the engine's own position, and is left for
`reconcile` to explain.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from trading_platform.alpaca.answers import Unreadable
from trading_platform.brokers.reconciliation.activity_fields import SHARES, UNDONE
from trading_platform.brokers.reconciliation.differences import Difference, DifferenceKind
from trading_platform.brokers.reconciliation.two_books import (
    EPOCH,
    SHARE_TOLERANCE,
    CashFlow,
    CashKind,
    Exchange,
    ForeignFill,
    ShareChange,
    TheirBook,
    UndoneAction,
    with_reversals,
)
from trading_platform.core.fills import round_cents
from trading_platform.core.ports import BrokerPosition
from trading_platform.core.types import Side

NOTHING = UndoneAction("", (), 0.0, EPOCH)
NOTHING_TO_UNDO: Mapping[str, UndoneAction | None] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class OwnersMove:
    """Shares of the owner that came or went, and the dollars that this brought to the managed part."""

    entry_id: str
    ticker: str
    quantity: float
    cash: float
    at: datetime


@dataclass(frozen=True, slots=True)
class CarvedBook:
    """The broker's side without the owner's shares, and what moved them."""

    theirs: TheirBook
    moves: tuple[OwnersMove, ...]
    manual: Mapping[str, float]

    @property
    def cash(self) -> float:
        """Dollars that the moves bring to the managed part."""
        return round_cents(sum(move.cash for move in self.moves))

    def differences(self) -> Iterator[Difference]:
        """Yield a line for every move, and for every ticker of which the owner holds shares."""
        for move in self.moves:
            words = f"{move.quantity:+g} shares by hand, {move.cash:+.2f} dollars"
            yield Difference(DifferenceKind.MANUAL_TRADE, move.ticker, "not ours", words)
        for ticker, quantity in sorted(self.manual.items()):
            words = f"{quantity:g} shares of the account's owner"
            yield Difference(DifferenceKind.MANUAL_POSITION, ticker, words, "held")


def carve_out(
    theirs: TheirBook,
    manual: Mapping[str, float],
    ours: Mapping[str, float],
    booked: Collection[str],
    undoable: Mapping[str, UndoneAction | None] = NOTHING_TO_UNDO,
) -> CarvedBook:
    """Take the owner's shares out of `theirs`.

    Parameters
    ----------
    theirs
        The broker's side.
    manual, ours
        Ticker -> shares of the owner's own, and of the book.
    booked
        Ids of history entries that are in the book already.
    undoable
        What takes the book's part of a corporate action back, by the action's id; None where it is too late for it.
    """
    held, moves = dict(manual), list[OwnersMove]()
    theirs = replace(theirs, history=with_reversals(theirs.history, booked))
    flows = {flow.flow_id: flow for flow in theirs.history.cash}
    foreign: list[ForeignFill] = []
    changes: list[ShareChange] = []
    for fill in theirs.history.foreign:
        if fill.fill_id in booked:
            continue
        own = fill.quantity if fill.side is Side.BUY else min(fill.quantity, held.get(fill.ticker, 0.0))
        if own > SHARE_TOLERANCE:
            signed = own if fill.side is Side.BUY else -own
            amount = fill.amount if own == fill.quantity else round_cents(own * fill.price)
            moves.append(OwnersMove(fill.fill_id, fill.ticker, signed, -amount if signed > 0.0 else amount, fill.at))
            add_shares(held, fill.ticker, signed)
        if fill.quantity - own > SHARE_TOLERANCE:
            rest = fill.quantity - max(own, 0.0)
            foreign.append(replace(fill, quantity=rest, amount=round_cents(rest * fill.price)))
    for change in theirs.history.shares:
        mine, own = ours.get(change.ticker, 0.0), held.get(change.ticker, 0.0)
        if change.change_id in booked:
            continue
        paid = flows.get(change.change_id.removesuffix(SHARES)) if change.quantity < 0.0 else None
        if own > 0.0:
            is_shared = change.is_split or paid is not None
            part = change.quantity * own / (own + mine) if is_shared else change.quantity
            if paid is not None:
                moves += _paid_out(flows, paid, own / (own + mine))
            moves.append(OwnersMove(change.change_id, change.ticker, part, 0.0, change.at))
            add_shares(held, change.ticker, part)
            change = replace(change, quantity=change.quantity - part)
        if abs(change.quantity) > SHARE_TOLERANCE:
            changes.append(change)
    for flow in [*flows.values()]:
        own, mine = manual.get(flow.ticker or "", 0.0), ours.get(flow.ticker or "", 0.0)
        if flow.kind is CashKind.DIVIDEND and own > 0.0 and mine > 0.0 and flow.flow_id not in booked:
            moves += _paid_out(flows, flow, own / (own + mine))
    exchanges: list[Exchange] = []
    for told in theirs.history.exchanges:
        exchange = with_parent(told, {*held, *ours})
        if exchange.exchange_id not in booked:
            part = _owners_part(exchange, held, ours)
            moves += _moves_of(exchange, part, held)
            exchange = _without(exchange, part)
        if exchange.came > SHARE_TOLERANCE or exchange.gone > SHARE_TOLERANCE:
            exchanges.append(exchange)
    taken_back, unclear = list[UndoneAction](), list[Unreadable]()
    for undone in theirs.history.taken_back:
        if undone.action_id + UNDONE in booked:
            continue
        mine_back = undoable.get(undone.action_id, NOTHING)
        theirs_back = None if mine_back is None else _less(undone, mine_back)
        if mine_back is None or theirs_back is None or not _has(held, theirs_back):
            unclear += _too_late(undone)
            continue
        moves += _moved_back(theirs_back, held)
        if mine_back.moved:
            taken_back.append(mine_back)
    positions = dict(theirs.positions)
    for ticker, quantity in held.items():
        seen = positions.pop(ticker, None) or BrokerPosition(ticker, 0.0, 0.0, None)
        if abs(seen.quantity - quantity) > SHARE_TOLERANCE:  # negative: shares of the owner that nothing explains
            positions[ticker] = replace(seen, quantity=seen.quantity - quantity)
    history = replace(
        theirs.history,
        foreign=tuple(foreign),
        cash=tuple(flows.values()),
        shares=tuple(changes),
        exchanges=tuple(exchanges),
        taken_back=tuple(taken_back),
    )
    unreadable = (*theirs.unreadable, *unclear)
    return CarvedBook(replace(theirs, positions=positions, history=history, unreadable=unreadable), tuple(moves), held)


def _paid_out(flows: dict[str, CashFlow], flow: CashFlow, part: float) -> list[OwnersMove]:
    """Return the owner's `part` of money that shares of a ticker have paid, and leave the rest of it in `flows`."""
    dollars = round_cents(flow.amount * part)
    rest = round_cents(flow.amount - dollars)
    flows[flow.flow_id] = replace(flow, amount=rest)
    if rest == 0.0:
        del flows[flow.flow_id]
    return [OwnersMove(flow.flow_id, flow.ticker or "", 0.0, dollars, flow.at)]


def _less(undone: UndoneAction, mine: UndoneAction) -> UndoneAction:
    """Return the owner's part of what goes back."""
    ours = dict(mine.moved)
    moved = ((ticker, quantity - ours.get(ticker, 0.0)) for ticker, quantity in undone.moved)
    kept = tuple((ticker, quantity) for ticker, quantity in moved if abs(quantity) > SHARE_TOLERANCE)
    return replace(undone, moved=kept, cash=round_cents(undone.cash - mine.cash))


def _has(held: Mapping[str, float], back: UndoneAction) -> bool:
    """Return True if the owner's shares are enough for what goes back of them."""
    return all(held.get(ticker, 0.0) + quantity >= -SHARE_TOLERANCE for ticker, quantity in back.moved)


def _moved_back(rest: UndoneAction, held: dict[str, float]) -> list[OwnersMove]:
    """Return what moves the owner's part back, and move it in `held`; the last of them has the name of it all."""
    moves = []
    for n, (ticker, quantity) in enumerate(rest.moved, start=1):
        is_last = n == len(rest.moved)
        name = rest.action_id + UNDONE + ("" if is_last else f"/{ticker}")
        moves.append(OwnersMove(name, ticker, quantity, rest.cash if is_last else 0.0, rest.at))
        add_shares(held, ticker, quantity)
    return moves


def _too_late(undone: UndoneAction) -> list[Unreadable]:
    """Return what nobody can take back by itself: the shares have been sold since, or their place is taken."""
    text = (
        f"corporate action {undone.action_id} was cancelled too late to be taken back; compare positions and stops "
        "with the broker's by hand"
    )
    return [Unreadable(text, ticker, undone.cash if n == 0 else 0.0) for n, (ticker, _) in enumerate(undone.moved)]


def with_parent(exchange: Exchange, tickers: Collection[str]) -> Exchange:
    """Return a spin-off with the holding that it came from, where its words name one of `tickers` and no other."""
    named = {ticker for ticker in exchange.named if ticker in tickers}
    if exchange.ticker or len(named) != 1:
        return exchange
    return replace(exchange, ticker=named.pop())


def _owners_part(exchange: Exchange, held: Mapping[str, float], ours: Mapping[str, float]) -> float:
    """Return the share of what came and went that is the owner's, 0 to 1."""
    own, mine = held.get(exchange.ticker, 0.0), ours.get(exchange.ticker, 0.0)
    return own / (own + mine) if own > 0.0 else 0.0


def _moves_of(exchange: Exchange, part: float, held: dict[str, float]) -> list[OwnersMove]:
    """Return what moves the owner's `part`, and move it in `held`."""
    if not (part > 0.0):
        return []
    moves = []
    cash = round_cents(exchange.cash * part)
    for ticker, quantity, dollars in ((exchange.ticker, -exchange.gone, cash), (exchange.other, exchange.came, 0.0)):
        name = exchange.exchange_id if part == 1.0 and ticker == exchange.other else f"{exchange.exchange_id}/{ticker}"
        moves.append(OwnersMove(name, ticker, quantity * part, dollars, exchange.at))
        add_shares(held, ticker, quantity * part)
    return moves


def _without(exchange: Exchange, part: float) -> Exchange:
    cash = round_cents(exchange.cash - round_cents(exchange.cash * part))
    rest = 1.0 - part
    return replace(exchange, gone=exchange.gone * rest, came=exchange.came * rest, cash=cash)


def add_shares(held: dict[str, float], ticker: str, quantity: float) -> None:
    """Add shares to those `held` by ticker; what is left of float noise alone is nothing."""
    left = held.pop(ticker, 0.0) + quantity
    if abs(left) > SHARE_TOLERANCE:
        held[ticker] = left
