"""All accounts on one page: a row each, from what `status` says of them; sums only over like money."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import Engine, select

from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.operations.commands import account_states
from trading_platform.reporting.evidence import age_words
from trading_platform.reporting.gather import complete_limits
from trading_platform.reporting.ledger_view import stored_risk
from trading_platform.reporting.market_words import market_words, mode_words, money_words
from trading_platform.reporting.states import HEARTBEAT_LIMIT, AccountState
from trading_platform.storage import models as m
from trading_platform.storage.run_targets import Account

BARS_FINAL_AFTER = timedelta(minutes=20)  # after a close the engine settles it and decides, as the live loop does
MONEY_CLASSES = {"alpaca_live": "real", "alpaca_paper": "paper"}


class Row(NamedTuple):
    """One account as its line shows it. Money is dollars, shares are fractions; None where nothing is booked."""

    run_id: int
    name: str
    money: str
    money_class: str
    kind: str
    market: str
    state: str
    tone: str
    equity: float | None
    as_of: str | None
    day: float | None
    day_fraction: float | None
    drawdown: float | None
    drawdown_limit: float | None
    positions: int
    seen: str
    seen_tone: str
    next_look: str
    alerts: tuple[str, ...]
    waiting: int

    @property
    def used(self) -> float | None:
        """The part of the drawdown's limit that is used; None where either is unknown."""
        if self.drawdown is None or not self.drawdown_limit:
            return None
        return self.drawdown / self.drawdown_limit


class Total(NamedTuple):
    """Accounts of one kind of money together."""

    money: str
    money_class: str
    accounts: int
    equity: float
    day: float


def shown(accounts: Sequence[Account]) -> list[Account]:
    """Return the accounts of the first page: all that are traded, and replays that run now."""
    return [account for account in accounts if not account.is_replay or account.running]


def overview(database: Engine, accounts: Sequence[Account], now: datetime, calendar: NyseCalendar | None) -> list[Row]:
    """Return a row for each account."""
    limits = drawdown_limits(database)
    states = account_states(database, accounts, now)
    return [
        row_of(account, state, limits.get(account.run_id), now, calendar)
        for account, state in zip(accounts, states, strict=True)
    ]


def drawdown_limits(database: Engine) -> dict[int, float]:
    """Return each run's drawdown limit, a fraction, from its stored settings."""
    with database.connect() as connection:
        found = connection.execute(select(m.Run.id, m.Run.config).where(m.Run.mode != "replay")).all()
        limits = {run_id: _drawdown_limit(config) for run_id, config in found}
    return {run_id: value for run_id, value in limits.items() if value is not None}


@lru_cache(maxsize=512)
def _drawdown_limit(config: str) -> float | None:
    """Return the limit that stored settings mean, a fraction; kept, since every look at every account asks."""
    value = complete_limits(stored_risk(config)).get("max_drawdown_pct")
    return float(value) / 100 if isinstance(value, int | float) else None


def row_of(
    account: Account, state: AccountState, limit: float | None, now: datetime, calendar: NyseCalendar | None
) -> Row:
    """Return the row of an account of which `status` says `state`."""
    booked = state["equity"]
    base = 0.0 if booked is None else booked["previous_equity"] + booked["cash_flow"]
    day = None if booked is None else booked["equity"] - booked["previous_equity"] - booked["cash_flow"]
    words, tone = state_words(account, state)
    seen, seen_tone = heartbeat_words(account, state)
    return Row(
        run_id=account.run_id,
        name=account.name if account.name != str(account.run_id) else f"Run {account.run_id}",
        money=money_words(account.mode),
        money_class=money_class(account.mode),
        kind=mode_words(account.mode),
        market=market_words(account.source),
        state=words,
        tone=tone,
        equity=None if booked is None else booked["equity"],
        as_of=None if booked is None else booked["session"],
        day=day,
        day_fraction=day / base if day is not None and base > 0 else None,
        drawdown=None if booked is None else booked["drawdown"],
        drawdown_limit=limit,
        positions=account.positions,
        seen=seen,
        seen_tone=seen_tone,
        next_look=next_look(account, now, calendar),
        alerts=tuple(line["text"] for line in state["states"]),
        waiting=len(state["waiting_commands"]),
    )


def money_class(mode: str) -> str:
    """Return the style of a kind of money; its word stands beside it always."""
    return MONEY_CLASSES.get(mode, "simulated")


def state_words(account: Account, state: AccountState) -> tuple[str, str]:
    """Return what an account does now, and its tone: good, warn, bad or off."""
    risk, standing = state["risk"], state["standing"]
    if risk is not None and risk["fault"]:
        return "halted: risk memory unusable", "bad"
    if standing["flatten"]:
        return "being closed", "bad"
    if risk is not None and risk["manual_halt"]:
        return "halted by an operator", "bad"
    if risk is not None and risk["halted_since"]:
        return "halted: drawdown limit", "bad"
    if account.running and account.is_replay:
        return "replaying", "good"
    if not account.running:
        return "no engine runs", "off" if account.is_replay else "warn"
    return ("trading, in part paused", "warn") if standing["paused"] or standing["closing"] else ("trading", "good")


def heartbeat_words(account: Account, state: AccountState) -> tuple[str, str]:
    """Return when the engine was last heard of, and the tone."""
    beat = state["heartbeat"]
    if beat is None:
        return "never" if not account.running else "now", "off"
    age = float(beat["age_seconds"] or 0.0)
    words = f"{age:.0f} s ago" if age < 120 else f"{age_words_of(age)} ago"
    late = age > HEARTBEAT_LIMIT.total_seconds()
    return words, "bad" if late and account.running else "off" if not account.running else "good"


def age_words_of(seconds: float) -> str:
    """Return a length of time in words of one unit."""
    then = datetime.fromtimestamp(0).astimezone()
    return age_words(then, then + timedelta(seconds=seconds))


def next_look(account: Account, now: datetime, calendar: NyseCalendar | None) -> str:
    """Return when the engine settles and decides next: some minutes after a close; empty where nothing waits."""
    if calendar is None or account.is_replay or not account.running:
        return ""
    decided = calendar.last_completed_session(now - BARS_FINAL_AFTER)
    session = calendar.next_session(decided)
    return f"{calendar.close_at(session) + BARS_FINAL_AFTER:%a %d %b %H:%M} UTC"


def totals(rows: Sequence[Row]) -> list[Total]:
    """Return sums over accounts with like money, where there are several of them."""
    found = []
    for money, kind in dict.fromkeys((row.money, row.money_class) for row in rows):
        alike = [row for row in rows if row.money == money and row.equity is not None]
        if len(alike) > 1:
            equity, day = sum(row.equity or 0.0 for row in alike), sum(row.day or 0.0 for row in alike)
            found.append(Total(money, kind, len(alike), equity, day))
    return found
