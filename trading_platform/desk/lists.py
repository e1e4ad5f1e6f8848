"""Lists that only the desk shows: executions, refusals, the life of every order. Plain SQL, one snapshot, by pages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from trading_platform.core.risk.denial_codes import DenialCode
from trading_platform.storage.reader import Reader, as_date, as_instant

PAGE = 50  # orders of the journal
MOST_FILLS = 15
MOST_DENIALS = 200
MOST_DEEDS = 25


class Execution(NamedTuple):
    """One execution; money in dollars."""

    at: datetime
    session: date
    side: str
    ticker: str
    quantity: float
    price: float
    amount: float
    fees: float
    strategy: str
    reason: str


class Refusal(NamedTuple):
    """A candidate that a rule refused; `largest` is the quantity that would have passed, 0 = none."""

    ticker: str
    strategy: str
    strength: float
    code: str
    meaning: str
    observed: float | None
    limit: float | None
    largest: float


class Step(NamedTuple):
    """One step in the life of an order."""

    name: str
    at: datetime | None
    words: str


class OrderLife(NamedTuple):
    """An order from its decision to its end."""

    id: int
    order: str
    ticker: str
    side: str
    quantity: float
    filled: float
    status: str
    strategy: str
    reason: str
    session: date
    steps: tuple[Step, ...]


class Page(NamedTuple):
    """Some orders, and the id to go on from; None at the end."""

    orders: tuple[OrderLife, ...]
    older: int | None


def recent_fills(reader: Reader, run_id: int, most: int = MOST_FILLS) -> list[Execution]:
    """Return the newest executions of a run, the newest first."""
    return [
        Execution._make((as_instant(r[0]), as_date(r[1]), *r[2:6], r[6] / 100, r[7] / 100, *r[8:]))
        for r in reader.rows(NEWEST_FILLS, run=run_id, most=most)
    ]


class DeedLine(NamedTuple):
    """What somebody did or tried at the desk."""

    at: datetime
    actor: str
    origin: str
    action: str
    run_id: int | None
    reason: str
    outcome: str


def recent_deeds(reader: Reader, most: int = MOST_DEEDS) -> list[DeedLine]:
    """Return what people did or tried at the desk, the newest first."""
    return [DeedLine(as_instant(row[0]), *row[1:]) for row in reader.rows(DEEDS, most=most)]


def refusals(reader: Reader, run_id: int, session: date | None) -> list[Refusal]:
    """Return what was refused at a session's close, the strongest first."""
    if session is None:
        return []
    rows = reader.rows(REFUSALS, run=run_id, session=session, most=MOST_DENIALS)
    return [Refusal(r[0], r[1], r[2], r[3], meaning_of(r[3]), *r[4:]) for r in rows]


def meaning_of(code: str) -> str:
    """Return what a code of refusal means, in words; nothing for one that this version does not know."""
    try:
        return DenialCode(code).meaning
    except ValueError:
        return ""


class Wants(NamedTuple):
    """What a strategy wanted at a close: candidates looked at, let through, and the strongest of them."""

    looked_at: int
    let_through: int
    strongest: tuple[tuple[str, float, str, str], ...]


def signals_by_strategy(reader: Reader, run_id: int, session: date | None, most: int = 5) -> dict[str, Wants]:
    """Return what each strategy wanted at a session's close."""
    if session is None:
        return {}
    first: dict[str, list[tuple[str, float, str, str]]] = {}
    for strategy, *line in reader.rows(STRONGEST, run=run_id, session=session):
        first.setdefault(str(strategy), []).append((line[0], line[1], line[2], line[3]))
    return {
        str(r[0]): Wants(int(r[1]), int(r[2] or 0), tuple(first.get(str(r[0]), [])[:most]))
        for r in reader.rows(WANTS, run=run_id, session=session)
    }


def journal(reader: Reader, run_id: int, search: str = "", before: int | None = None, most: int = PAGE) -> Page:
    """Return a page of orders, the newest first, whose ticker, strategy, status or id begins with or holds `search`."""
    wanted = search.strip()
    pattern = f"%{_literal(wanted)}%"
    rows = reader.rows(
        JOURNAL,
        run=run_id,
        before=2**62 if before is None else before,
        most=most + 1,
        all=0 if wanted else 1,
        ticker=wanted.upper(),
        text=pattern,
    )
    shown = rows[:most]
    fills = _fills_of(reader, run_id, [str(row[1]) for row in shown])
    orders = tuple(_life(row, fills.get(str(row[1]), [])) for row in shown)
    return Page(orders, int(shown[-1][0]) if len(rows) > most else None)


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _fills_of(reader: Reader, run_id: int, orders: Sequence[str]) -> dict[str, list[Sequence[Any]]]:
    found: dict[str, list[Sequence[Any]]] = {}
    names = {f"o{n}": order for n, order in enumerate(orders)}
    if not names:
        return found
    places = ", ".join(f":{name}" for name in names)
    for row in reader.rows(FILLS_OF.replace("ORDERS", places), run=run_id, **names):
        found.setdefault(str(row[0]), []).append(row)
    return found


def _life(row: Sequence[Any], fills: Sequence[Sequence[Any]]) -> OrderLife:
    (
        number,
        order,
        broker,
        approval,
        ticker,
        side,
        quantity,
        filled,
        limit,
        stop,
        strategy,
        reason,
        strength,
        status,
        message,
        session,
        decided,
        submitted,
        closed,
    ) = row
    price = f" at {limit:,.2f} or better" if limit is not None else "" if stop is None else f", stop {stop:,.2f}"
    told = f"{strategy} wanted it ({reason.replace('_', ' ')}), strength {strength:.2f}"
    steps = [
        Step("decision", as_instant(decided), f"at the close of {as_date(session)}: {told}"),
        Step("approval", as_instant(decided), f"RiskManager {approval}"),
        Step("intent", as_instant(decided), f"{side} {quantity:g} {ticker}{price}"),
    ]
    if submitted is not None:
        steps.append(Step("answer", as_instant(submitted), f"taken by the broker as {broker or order}"))
    for _, at, shares, paid, amount, strategy_of in fills:
        words = f"{shares:g} at {paid:,.2f} = ${amount / 100:,.2f} for {strategy_of}"
        steps.append(Step("fill", as_instant(at), words))
    ended = status.replace("_", " ") + (f": {message}" if message else "")
    steps.append(Step("end" if closed is not None else "now", None if closed is None else as_instant(closed), ended))
    return OrderLife(
        int(number),
        str(order),
        ticker,
        side,
        quantity,
        filled,
        status,
        strategy,
        reason,
        as_date(session),
        tuple(steps),
    )


NEWEST_FILLS = """
SELECT filled_at, session, side, ticker, quantity, price, amount, fees, strategy, reason
FROM fills WHERE run_id = :run ORDER BY id DESC LIMIT :most"""
REFUSALS = """
SELECT ticker, strategy, strength, code, observed, "limit", quantity
FROM signals WHERE run_id = :run AND session = :session AND verdict = 'denied' ORDER BY strength DESC, id LIMIT :most"""
JOURNAL = """
SELECT id, client_order_id, broker_order_id, approval_id, ticker, side, quantity, filled_quantity, limit_price,
       stop_price, strategy, reason, strength, status, message, decided_session, decided_at, submitted_at, closed_at
FROM orders WHERE run_id = :run AND id < :before AND (:all = 1 OR ticker = :ticker
    OR client_order_id LIKE :text ESCAPE '\\' OR broker_order_id LIKE :text ESCAPE '\\'
    OR strategy LIKE :text ESCAPE '\\' OR status LIKE :text ESCAPE '\\' OR ticker LIKE :text ESCAPE '\\')
ORDER BY id DESC LIMIT :most"""
FILLS_OF = """
SELECT client_order_id, filled_at, quantity, price, amount, strategy
FROM fills WHERE run_id = :run AND client_order_id IN (ORDERS) ORDER BY id"""
WANTS = """
SELECT strategy, count(*), sum(CASE WHEN verdict = 'denied' THEN 0 ELSE 1 END), max(strength)
FROM signals WHERE run_id = :run AND session = :session AND strategy <> '*' GROUP BY strategy"""
STRONGEST = """
SELECT strategy, ticker, strength, verdict, code
FROM signals WHERE run_id = :run AND session = :session AND strategy <> '*' ORDER BY strength DESC, id LIMIT 200"""
DEEDS = """
SELECT at, actor, origin, action, run_id, reason, outcome FROM desk_audit ORDER BY id DESC LIMIT :most"""
