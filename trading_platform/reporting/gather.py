"""Gather the evidence of a report: the right run, the broker's word where it counts, and what stands in for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from trading_platform.configuration.environment import Settings
from trading_platform.core.errors import BrokerUnreachableError, TradingPlatformError
from trading_platform.reporting.account_source import LIVE_URL, PAPER_URL, AccountSource, AlpacaAccount, ask
from trading_platform.reporting.day_view import view_day
from trading_platform.reporting.evidence import (
    Evidence,
    Model,
    age_words,
    is_session,
    missing_sessions,
    new_york_date,
    read_model,
)
from trading_platform.reporting.facts import BrokerSnapshot, History, Ledger, RunFacts
from trading_platform.reporting.ledger_view import find_run, read_history, read_ledger
from trading_platform.reporting.risk_view import active_halts, headroom, sector_shares
from trading_platform.storage.newest_run import MODES
from trading_platform.storage.reader import Reader, read_database

if TYPE_CHECKING:
    from trading_platform.core.ports import TradingCalendar

# The broker gets this part of the time that is left, so that a silent one still leaves room for the rest.
BROKER_SHARE = 0.4
# A server of this machine whose last close is further back than this lives in another time than we do.
LONG_AGO = timedelta(days=30)
LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")
ALPACA_MODES = tuple(mode for mode in MODES if mode.startswith("alpaca"))


class Request(NamedTuple):
    """What a report is wanted of.

    `session` None is the newest; `run` None the account that is most real, and of these the newest. `history` asks
    for what only charts need. `must_know_session` asks the calendar library where nothing else tells whether the
    exchange is open on the day.
    """

    database: str | Path
    session: date | None = None
    run: int | None = None
    since: date | None = None
    models_dir: Path = Path("rl_models")
    history: bool = False
    must_know_session: bool = False
    stored_only: bool = False


class Surroundings(NamedTuple):
    """The outside: keys and paths, the broker (None: Alpaca where there are keys), the calendar, and the time.

    `deadline` is on the monotonic clock. `limits` completes the stored risk limits of a run, which may hold only what
    differs from a profile.
    """

    settings: Settings
    source: AccountSource | None
    calendar: Callable[[], TradingCalendar]
    now: datetime
    deadline: float
    limits: Callable[[dict[str, object]], dict[str, object]] = dict


def gather(request: Request, around: Surroundings) -> Evidence:
    """Ask database and broker, and return what they say.

    Raises
    ------
    FixConfigError
        There is no such run.
    RepairDatabaseError
        The database cannot be read.
    BrokerUnreachableError
        There are keys, the broker does not answer, and nothing is stored either.
    """
    left = max(1.0, around.deadline - time.monotonic())
    run = read_database(request.database, lambda reader: _choose_run(reader, request, around), left)
    snapshot, notes = _ask_broker(request, around, run)

    def read(reader: Reader) -> tuple[Ledger | None, History | None]:
        # keys, but no answer and no Alpaca run: better the simulation than nothing
        shown = run if run is not None or snapshot is not None else find_run(reader)
        if shown is None:
            return None, None
        history = read_history(reader, shown.id, request.session) if request.history else None
        return _read(reader, shown._replace(risk=around.limits(shown.risk)), request, snapshot), history

    ledger, history = read_database(request.database, read, left) or (None, None)
    return _assemble(request, around, snapshot, notes, ledger, history)


def nyse() -> TradingCalendar:
    """Return the exchange's calendar; half a second, so only called in doubt."""
    from trading_platform.market_data.calendar import NyseCalendar

    return NyseCalendar()


def _choose_run(reader: Reader, request: Request, around: Surroundings) -> RunFacts | None:
    """Return the run to report; where there is a broker, only its own runs belong to its account."""
    has_broker = around.source is not None or around.settings.has_alpaca_keys
    if request.run is None and request.session is None and has_broker:
        return find_run(reader, modes=ALPACA_MODES)
    return find_run(reader, request.run)


def _ask_broker(
    request: Request, around: Surroundings, run: RunFacts | None
) -> tuple[BrokerSnapshot | None, tuple[str, ...]]:
    """Return the broker's snapshot and alerts about it; past days and simulated runs are not its business."""
    if request.stored_only or request.session is not None or (run is not None and not run.is_alpaca):
        return None, ()
    source = _alpaca(around.settings, run) if around.source is None else around.source
    if source is None:
        return None, () if run is None else ("No Alpaca keys: account and positions are the stored ones",)
    try:
        snapshot = ask(source, (around.deadline - time.monotonic()) * BROKER_SHARE)
    except TradingPlatformError as error:
        return None, (f"{error}; showing what is stored",)
    if run is None:
        return snapshot, ("No Alpaca run in the database yet: only the account is known (--run shows simulated runs)",)
    if run.account is not None and snapshot.account_id not in ("", run.account):
        note = f"The keys belong to account {snapshot.account_id}, the run to {run.account}; showing what is stored"
        return None, (note,)
    return snapshot, ()


def _alpaca(settings: Settings, run: RunFacts | None) -> AccountSource | None:
    key, secret = settings.alpaca_api_key, settings.alpaca_secret_key
    if key is None or secret is None:
        return None
    default = LIVE_URL if run is not None and run.mode == "alpaca_live" else PAPER_URL
    return AlpacaAccount(key.reveal(), secret.reveal(), settings.alpaca_base_url or default)


def _read(reader: Reader, run: RunFacts, request: Request, snapshot: BrokerSnapshot | None) -> Ledger:
    """Return the ledger; when the broker is in a session that is not booked yet, with that session's executions."""
    ledger = read_ledger(reader, run, request.session)
    if snapshot is None or snapshot.session is None or not snapshot.has_opened or ledger.day is None:
        return ledger
    return ledger if snapshot.session <= ledger.day.session else read_ledger(reader, run, None, snapshot.session)


def _assemble(
    request: Request,
    around: Surroundings,
    snapshot: BrokerSnapshot | None,
    notes: tuple[str, ...],
    ledger: Ledger | None,
    history: History | None,
) -> Evidence:
    now = run_clock(around.now, around.settings, ledger, snapshot)
    view = view_day(ledger, snapshot, now)
    asked, today = request.session, new_york_date(now)
    if view.source == "none" and notes and asked is None:
        raise BrokerUnreachableError(f"{notes[0]}, but nothing is stored in {_name(request.database)}")
    if view.source == "none":
        upto = "" if asked is None else f" up to {asked}"
        notes = (f"No session is booked{upto} in {_name(request.database)}",)
    if view.source == "alpaca_snapshot" and asked is None:
        notes = (*notes, f"Account and positions are {age_words(view.as_of, now)} old")
    if asked is not None and ledger is not None and ledger.is_latest and view.session and view.session < asked:
        notes = (*notes, f"Nothing is booked after {view.session}")
    sectors = sector_shares(view, {} if ledger is None else ledger.run.sectors)
    return Evidence(
        now=around.now,
        today=today,
        asked=asked,
        is_session=_is_session(request, around._replace(now=now), ledger, snapshot),
        since=request.since,
        ledger=ledger,
        snapshot=snapshot,
        view=view,
        halts=active_halts(ledger),
        headroom=headroom(view, ledger, sectors),
        sectors=sectors,
        model=_model(request, ledger),
        missing=_missing(request, around._replace(now=now), ledger, snapshot),
        notes=notes,
        history=history,
    )


def complete_limits(stored: dict[str, object]) -> dict[str, object]:
    """Return the stored risk limits of a run with those that its profile adds; what makes no sense stays as it is."""
    from trading_platform.configuration.risk_config import RiskConfig, RiskConfigError

    try:
        return {**asdict(RiskConfig.from_mapping(stored)), **stored}
    except RiskConfigError:
        return stored


def run_clock(now: datetime, settings: Settings, ledger: Ledger | None, snapshot: BrokerSnapshot | None) -> datetime:
    """Return the time where the account lives: the broker's own, which at a server that replays history is long ago.

    Where such a server (on this machine, see ``ALPACA_BASE_URL``) does not answer, time stands at the last close.
    """
    if snapshot is not None:
        return snapshot.as_of
    day = None if ledger is None else ledger.day
    if ledger is None or day is None or not ledger.run.is_alpaca or not is_on_this_machine(settings.alpaca_base_url):
        return now
    return day.as_of if now - day.as_of > LONG_AGO else now


def is_on_this_machine(url: str | None) -> bool:
    """Tell whether `url` is a server of this machine: Alpaca itself is never here."""
    return url is not None and urlsplit(url).hostname in LOCAL_HOSTS


def _is_session(
    request: Request, around: Surroundings, ledger: Ledger | None, snapshot: BrokerSnapshot | None
) -> bool | None:
    """Tell whether the day of the report has a session: bookings and the broker know before the calendar does."""
    if snapshot is not None and request.session is None:
        return snapshot.session is not None
    concerned = request.session is not None or (ledger is not None and ledger.run.mode != "replay")
    if not concerned and not request.must_know_session:
        return None  # today means nothing to a replay
    booked = set() if ledger is None else {day.session for day in ledger.days}
    return is_session(request.session or new_york_date(around.now), booked, around.calendar)


def _missing(request: Request, around: Surroundings, ledger: Ledger | None, snapshot: BrokerSnapshot | None) -> int:
    if ledger is None or ledger.day is None or ledger.run.mode == "replay" or request.session is not None:
        return 0
    if snapshot is not None and snapshot.session == ledger.day.session:
        return 0
    return missing_sessions(ledger.day.session, around.now, around.calendar)


def _model(request: Request, ledger: Ledger | None) -> Model | None:
    if ledger is None or ledger.allocation is None or ledger.allocation.model_id is None:
        return None
    return read_model(request.models_dir, ledger.allocation.model_id, ledger.day.session if ledger.day else None)


def _name(database: str | Path) -> str:
    """Return a database for people, without the password that a URL may hold."""
    scheme, sign, rest = str(database).partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if sign else scheme
