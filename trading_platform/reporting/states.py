"""Alerts by state: what is wrong now, since when, folded by kind, and shown until it is over.

An event is told once; a state stands first in every report and in `status`, whoever asks, for as long as it lasts. All
of it comes from the database: another process, or the same one after a restart, tells the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, TypedDict

from trading_platform.core.alert_states import EXIT_WAITS, LATE_EXIT, OWNERS_THINGS, STOP_LACKS, UNREADABLE
from trading_platform.reporting.own_costs import OwnCostsPart
from trading_platform.storage.overdue_exits import OverdueExit
from trading_platform.storage.replay_days import ReplaySummary
from trading_platform.storage.run_state import RiskState, RunState
from trading_platform.storage.stopped_strategies import StoppedStrategy

UNPROTECTED = "unprotected"
SINGLE_LINES = 3  # so many of a kind get a line each, more share one
NAMED = 5  # tickers named in a line that is shared
HEARTBEAT_LIMIT = timedelta(minutes=15)
# How the engine's proof of life begins what it has missed for too long, and the word for it.
TROUBLES = {
    "ACCOUNT UNREADABLE": "Account cannot be read",
    "NOT SETTLED": "Session is not settled",
    "WAITS FOR THE CLOCKS": "Session waits for the clocks,",
}
REDUCTIONS = frozenset({"rebalance", "unfunded"})


class StatePart(TypedDict):
    """A state as JSON values; `since` in ISO 8601."""

    kind: str
    count: int
    tickers: list[str]
    since: str | None
    text: str


class State(NamedTuple):
    """What is wrong: `kind`, the tickers it is about, since when (ISO 8601; None unknown), in one line."""

    kind: str
    tickers: tuple[str, ...]
    since: str | None
    text: str

    def as_json(self) -> StatePart:
        """Return the state as JSON values."""
        return {
            "kind": self.kind,
            "count": max(1, len(self.tickers)),
            "tickers": list(self.tickers),
            "since": self.since,
            "text": self.text,
        }


class AccountState(RunState):
    """The state of a run with what is wrong now, and what its own fills have cost."""

    own_costs: OwnCostsPart | None
    states: list[StatePart]


class Unexplained(NamedTuple):
    """A difference between the two books that has not been resolved."""

    found_at: datetime
    kind: str
    ticker: str | None
    ours: str
    theirs: str


def all_states(
    differences: Sequence[Unexplained], exits: Sequence[OverdueExit], note: str, silent: State | None
) -> list[State]:
    """Return what is wrong, most urgent first: the engine, cover, exits, quarantines, cash.

    Parameters
    ----------
    differences, exits
        As the database has them.
    note
        The note of the engine's last heartbeat.
    silent
        What `engine_silent` says.
    """
    bare = [line for line in differences if line.kind in STOP_LACKS]
    waiting = [line for line in differences if line.kind == EXIT_WAITS and LATE_EXIT in line.ours]
    strange = [line for line in differences if line.kind == UNREADABLE]
    others = {EXIT_WAITS, UNREADABLE, OWNERS_THINGS} | STOP_LACKS
    books = [line for line in differences if line.kind not in others]
    doubted = [line for line in books if line.ticker is not None]
    cash = [line for line in books if line.ticker is None]
    states = [] if silent is None else [silent]
    states += _troubles(note)
    states += _bare(bare)
    states += map(_waiting, waiting)
    states += _late([line for line in exits if line.ticker not in {wait.ticker for wait in waiting}])
    states += _quarantined(doubted)
    states += [
        State(line.kind, (), line.found_at.isoformat(), f"Cash differs since {_time(line.found_at)}: {_books(line)}")
        for line in cash
    ]
    return states + [_left_alone(line) for line in strange]


def _left_alone(line: Unexplained) -> State:
    subject = f"{line.ticker} is in quarantine" if line.ticker else "Something at the broker is left alone"
    words = f"{subject} since {_time(line.found_at)}, nobody understands it: {line.theirs}"
    return State(line.kind, (line.ticker,) if line.ticker else (), line.found_at.isoformat(), words)


def _waiting(line: Unexplained) -> State:
    words = f"{line.ticker}: {line.ours}; {line.theirs}"
    return State("exit_overdue", (str(line.ticker),), line.found_at.isoformat(), words)


def engine_silent(heartbeat: datetime | None, now: datetime) -> State | None:
    """Return the state of a running engine that has not been heard of for too long."""
    if heartbeat is None or now - heartbeat <= HEARTBEAT_LIMIT:
        return None
    words = f"Engine silent for {_age(now - heartbeat)}, since {_time(heartbeat)}"
    return State("engine_silent", (), heartbeat.isoformat(), words)


def status_states(state: RunState, now: datetime) -> list[State]:
    """Return the states of what `storage.run_status` says of a run, in which `heartbeat` has ``alive``."""
    beat = state["heartbeat"]
    found = [
        Unexplained(datetime.fromisoformat(row["found_at"]), row["kind"], row["ticker"], row["ours"], row["theirs"])
        for row in state["differences"]
    ]
    exits = [
        OverdueExit(
            row["ticker"],
            date.fromisoformat(row["decided"]),
            row["sessions"],
            row["refusals"],
            row["reason"],
            row["why"],
        )
        for row in state["overdue_exits"]
    ]
    is_watched = state["run"]["status"] == "running" and state["run"]["mode"] != "replay"
    silent, note = None, ""
    if is_watched and beat is not None:
        silent, note = engine_silent(datetime.fromisoformat(beat["at"]), now), beat["note"]
    states = all_states(found, exits, note, silent)
    mode = state["run"]["mode"]
    stopped = [
        stopped_state(StoppedStrategy(row["strategy"], datetime.fromisoformat(row["since"]), row["reason"]), mode)
        for row in state["standing"]["stopped"]
    ]
    return _halts(state["risk"]) + stopped + states + unexplained_days(state["replay_check"])


def unexplained_days(summary: ReplaySummary | None) -> list[State]:
    """Return that the account differs from its replay without a cause (`storage.replay_days.replay_summary`)."""
    if summary is None or summary["unexplained_since"] is None:
        return []
    parts = [item for item in summary["items"] if item["cause"] == "unexplained"]
    worst = max(parts, key=lambda item: abs(item["dollars"]), default=None)
    why = "" if worst is None else f": {worst['ticker'] or 'the account'}, {worst['text']}"
    since = summary["unexplained_since"]
    size = f"${summary['unexplained'] or 0.0:,.2f}"
    words = f"The account differs from its replay by {size} without a cause since {since}{why}"
    return [State("replay_unexplained", (), since, words)]


def stopped_state(stop: StoppedStrategy, mode: str) -> State:
    """Return that a strategy's own drawdown stop keeps it out of a run of `mode`."""
    words = stop.words(is_replay=mode == "replay")
    return State("strategy_stop", (), stop.since.isoformat(), f"{words}; since {_time(stop.since)}")


def _halts(risk: RiskState | None) -> list[State]:
    if risk is None:
        return []
    found = []
    if risk["manual_halt"]:
        since = risk["manual_halt_since"]
        found.append(State("manual_halt", (), since, f"HALTED by an operator{_since(since)}: {risk['manual_halt']}"))
    if risk["halted_since"]:
        since = risk["halted_since"]
        found.append(State("halt", (), since, f"HALTED{_since(since)}: drawdown limit"))
    if risk["fault"]:
        found.append(State("state_invalid", (), None, f"HALTED, risk memory unusable: {risk['fault']}"))
    return found


def _since(since: object) -> str:
    return "" if since is None else f" since {since}"


def _troubles(note: str) -> list[State]:
    found = []
    for part in note.split("; "):
        for sign, words in TROUBLES.items():
            if part.startswith(sign):
                rest = part.removeprefix(sign).removeprefix(":").strip()
                found.append(State(sign.lower().replace(" ", "_"), (), None, f"{words} {rest}: no new trades"))
    return found


def _bare(lines: Sequence[Unexplained]) -> list[State]:
    if not lines:
        return []
    tickers = _tickers(lines)
    since = min(line.found_at for line in lines)
    subject = "1 position has" if len(tickers) == 1 else f"{len(tickers)} positions have"
    words = f"{subject} no stop at the broker that fits ({_names(tickers)}), since {_time(since)}"
    return [State(UNPROTECTED, tickers, since.isoformat(), words)]


def _late(exits: Sequence[OverdueExit]) -> list[State]:
    if len(exits) <= SINGLE_LINES:
        return [State("exit_overdue", (line.ticker,), str(line.decided), _late_words(line)) for line in exits]
    oldest, tickers = exits[0], tuple(line.ticker for line in exits)
    refusals = sum(line.refusals for line in exits)
    why = f": refused {_times(refusals)}" if refusals else ""
    words = f"{len(exits)} positions should have been left ({_names(tickers)}), first decided {oldest.decided}{why}"
    return [State("exit_overdue", tickers, str(oldest.decided), words)]


def _late_words(line: OverdueExit) -> str:
    what = "reduced" if line.reason in REDUCTIONS else "left"
    if line.sessions == 0:
        begin = f"{line.ticker} should be {what} at the next open"
    else:
        ago = "a session ago" if line.sessions == 1 else f"{line.sessions} sessions ago"
        begin = f"{line.ticker} should have been {what} {ago}"
    tried = [f"refused {_times(line.refusals)}"] if line.refusals else ["not filled yet"]
    return f"{begin} (decided {line.decided}): {', '.join([*tried, *filter(None, [line.why])])}"


def _quarantined(lines: Sequence[Unexplained]) -> list[State]:
    tickers = _tickers(lines)
    if len(tickers) <= SINGLE_LINES:
        return [
            State(
                line.kind,
                (str(line.ticker),),
                line.found_at.isoformat(),
                f"{line.ticker} is in quarantine since {_time(line.found_at)} "
                f"({line.kind.replace('_', ' ')}): {_books(line)}",
            )
            for line in lines
        ]
    since = min(line.found_at for line in lines)
    words = f"{len(tickers)} tickers are in quarantine ({_names(tickers)}), since {_time(since)}"
    return [State("quarantine", tickers, since.isoformat(), words)]


def _books(line: Unexplained) -> str:
    return f"{line.ours} here, {line.theirs} at the broker"


def _tickers(lines: Sequence[Unexplained]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(ticker for _, ticker in sorted((line.found_at, str(line.ticker)) for line in lines)))


def _names(tickers: Sequence[str]) -> str:
    return ", ".join([*tickers[:NAMED], *(["..."] if len(tickers) > NAMED else [])])


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _time(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _age(age: timedelta) -> str:
    seconds = age.total_seconds()
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"
