"""The doctor's checks of what lies outside this machine: the Alpaca account, its clock and calendar, bars, VIX."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import requests

from trading_platform.alpaca.answers import as_object
from trading_platform.alpaca.clock import SKEW_LIMIT, SKEW_WARNING
from trading_platform.alpaca.failures import AlpacaRefusalError, FailureKind
from trading_platform.alpaca.http import AlpacaHttp, access_from
from trading_platform.alpaca.reader import AlpacaReader
from trading_platform.configuration.environment import Settings
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.errors import BrokerUnreachableError, OperatorNeededError, TradingPlatformError
from trading_platform.machine.clocks import NEW_YORK
from trading_platform.market_data.alpaca_data import asker
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.vix import AlpacaVix, VixSource, VixSourceError, YahooVix, cboe, fred
from trading_platform.market_data.yahoo import index_closes
from trading_platform.operations.doctor_findings import CheckVerdict, Finding, examined

DAYS_COMPARED = 30
SIP_DELAY = timedelta(minutes=16)
VIX_DAYS = 10
VIX_STALE_AFTER = timedelta(days=5)
NO_KEYS = "no Alpaca keys"
MOST_WORDS = 90  # signs of a service's own words
UNREACHABLE = re.compile(
    r"Max retries exceeded|Failed to (establish|resolve|connect)|NameResolution|Connection ?refused|curl: "
)


def service_findings(
    settings: Settings, config: TradingConfig, now: Callable[[], datetime], *, live: bool
) -> list[Finding]:
    """Return the findings about services: without keys only VIX is looked at, without an account nothing more."""
    calendar = NyseCalendar()
    sources: list[VixSource] = [cboe(), fred(), YahooVix(index_closes)]
    needed = config.data.source in ("alpaca", "yahoo")
    names = ("keys", "account", "clock", "calendar", "bars")
    if not settings.has_alpaca_keys:
        words = "the embedded market, --data-dir and --source yahoo need none"
        found = [Finding("keys", CheckVerdict.SKIPPED, NO_KEYS, words), *_skipped(names[1:], NO_KEYS)]
        return [*found, examined("VIX", lambda: check_vix_sources(sources, now(), needed=needed))]
    keys = examined("keys", lambda: check_keys(settings, live=live))
    if keys.verdict is CheckVerdict.FAILED:
        return [keys, *_skipped((*names[1:], "VIX"), "the keys are not usable")]
    http = AlpacaHttp(access_from(settings, live=live))
    reader = AlpacaReader(http)
    account = examined("account", lambda: check_account(reader))
    if account.verdict is CheckVerdict.FAILED and account.exit_code != OperatorNeededError.exit_code:
        return [keys, account, *_skipped((*names[2:], "VIX"), "Alpaca gave no account")]
    simulated = settings.alpaca_base_url is not None
    return [
        keys,
        account,
        examined("clock", lambda: check_clock(reader, now, simulated=simulated)),
        examined("calendar", lambda: check_calendar(reader, calendar)),
        examined("bars", lambda: check_bars(http, reader)),
        examined("VIX", lambda: check_vix_sources([AlpacaVix(asker(http), calendar), *sources], now(), needed=True)),
    ]


def check_keys(settings: Settings, *, live: bool) -> Finding:
    """Look whether keys are set that may be used in this mode. Only the account check shows if they open it."""
    access = access_from(settings, live=live)
    where = access.trading_url or "Alpaca"
    return Finding("keys", CheckVerdict.OK, f"set, for the {'LIVE' if live else 'paper'} account at {where}")


def check_account(reader: AlpacaReader) -> Finding:
    """Ask for the account.

    Raises
    ------
    OperatorNeededError
        It is blocked from trading.
    """
    account = reader.account()
    if account.is_blocked:
        raise OperatorNeededError(f"account {account.account_id} is blocked from trading; look at Alpaca's dashboard")
    if account.equity is None or account.cash is None:
        text = f"account {account.account_id}: Alpaca does not tell its equity or cash"
        return Finding("account", CheckVerdict.WARNING, text, "no position is opened until it does")
    return Finding("account", CheckVerdict.OK, f"account {account.account_id}, equity ${account.equity:,.2f}")


def check_clock(reader: AlpacaReader, now: Callable[[], datetime], *, simulated: bool) -> Finding:
    """Compare this machine's clock with Alpaca's, at the middle of the request."""
    before = now()
    theirs = reader.exchange_clock().timestamp
    after = now()
    skew = abs(before + (after - before) / 2 - theirs)
    text = f"{skew.total_seconds():.1f} s from Alpaca's"
    if simulated and skew > SKEW_WARNING:
        return Finding(
            "clock", CheckVerdict.WARNING, f"{theirs:%Y-%m-%d %H:%M} UTC there", "a local server has its own time"
        )
    cure = "let the machine keep time (NTP): sessions are scheduled by its clock"
    if skew > SKEW_LIMIT:
        return Finding("clock", CheckVerdict.FAILED, text, cure, OperatorNeededError.exit_code)
    return Finding(
        "clock",
        CheckVerdict.WARNING if skew > SKEW_WARNING else CheckVerdict.OK,
        text,
        cure if skew > SKEW_WARNING else "",
    )


def check_calendar(reader: AlpacaReader, calendar: NyseCalendar) -> Finding:
    """Compare the coming sessions, half days included, with Alpaca's."""
    first = reader.exchange_clock().timestamp.astimezone(NEW_YORK).date()
    told = reader.sessions(first, first + timedelta(days=DAYS_COMPARED))
    theirs = {day: (opens, closes) for day, opens, closes in told if day >= first}
    if not theirs:
        text = f"Alpaca knows no session in the {DAYS_COMPARED} days from {first}"
        return Finding("calendar", CheckVerdict.FAILED, text, "try again later", OperatorNeededError.exit_code)
    last = max(theirs)
    ours = {
        day: tuple(f"{at.astimezone(NEW_YORK):%H:%M}" for at in (calendar.open_at(day), calendar.close_at(day)))
        for day in calendar.sessions_between(first, last).tolist()
    }
    differ = sorted(day for day in ours.keys() | theirs.keys() if ours.get(day) != theirs.get(day))
    if differ:
        day = differ[0]
        text = f"{day}: {_hours(ours.get(day))} here, {_hours(theirs.get(day))} at Alpaca ({len(differ)} such days)"
        cure = "an unscheduled closing, or an old exchange_calendars: pip install -U exchange_calendars"
        return Finding("calendar", CheckVerdict.FAILED, text, cure, OperatorNeededError.exit_code)
    return Finding("calendar", CheckVerdict.OK, f"{len(ours)} sessions to {last} agree")


def check_bars(http: AlpacaHttp, reader: AlpacaReader) -> Finding:
    """Look which bars the data plan includes."""
    now = reader.exchange_clock().timestamp
    try:
        count = _count_bars(http, "sip", now)
    except AlpacaRefusalError as error:
        if error.failure.kind is not FailureKind.FORBIDDEN:
            raise
        count = _count_bars(http, "iex", now)
        cure = "IEX has 2 % of the volume and slightly other prices; the free plan should include delayed SIP"
        return Finding("bars", CheckVerdict.WARNING, f"SIP is refused, IEX serves ({count} bars of SPY)", cure)
    if count == 0:
        return Finding("bars", CheckVerdict.WARNING, "no bars of SPY in the last ten days", "is the data host right?")
    return Finding("bars", CheckVerdict.OK, f"SIP up to {SIP_DELAY.seconds // 60} minutes ago, {count} bars of SPY")


def _count_bars(http: AlpacaHttp, feed: str, now: datetime) -> int:
    query = {
        "symbols": "SPY",
        "timeframe": "1Day",
        "feed": feed,
        "start": (now - timedelta(days=10)).isoformat(),
        "end": (now - SIP_DELAY).isoformat(),
        "limit": 20,
    }
    answer = http.read("bars", lambda: http.data.get("/stocks/bars", query), as_object)
    return len((answer.get("bars") or {}).get("SPY") or ())


def check_vix_sources(sources: Sequence[VixSource], now: datetime, *, needed: bool) -> Finding:
    """Ask each source for recent VIX closes; one that answers is enough, and what one raises is told."""
    today = now.date()
    newest, answers, failures = None, [], []
    for source in sources:
        try:
            closes = source.closes(today - timedelta(days=VIX_DAYS), today)
            days = [day for day in closes if day <= today]
            if not days:
                raise VixSourceError("nothing recent")
            answers.append(source.name)
            newest = max(days) if newest is None else max(newest, *days)
        except (VixSourceError, TradingPlatformError) as error:
            failures.append(f"{source.name} {plain_failure(error)}")
    if newest is None:
        cure = "check the network; without VIX no position is opened" if needed else "a replay does not need it"
        text = f"no source answers: {'; '.join(failures)}"
        code = BrokerUnreachableError.exit_code if needed else 0
        return Finding("VIX", CheckVerdict.FAILED if needed else CheckVerdict.WARNING, text, cure, code)
    text = f"{', '.join(answers)} answer, newest close {newest}" + (f"; not: {'; '.join(failures)}" if failures else "")
    stale = today - newest > VIX_STALE_AFTER
    return Finding(
        "VIX", CheckVerdict.WARNING if stale else CheckVerdict.OK, text, "the newest value is old" if stale else ""
    )


def plain_failure(error: BaseException) -> str:
    """Return in a few words why a service did not serve: what an HTTP library says is for programmers."""
    causes: list[BaseException] = [error]
    while (below := causes[-1].__cause__ or causes[-1].__context__) is not None and below not in causes:
        causes.append(below)
    text = " ".join(map(str, causes))
    if any(isinstance(cause, requests.Timeout) for cause in causes) or "timed out" in text:
        return "(no answer in time)"
    if any(isinstance(cause, requests.ConnectionError) for cause in causes) or UNREACHABLE.search(text):
        return "(unreachable: no network?)"
    words = " ".join(str(error).split())
    return f"({words if len(words) <= MOST_WORDS else words[:MOST_WORDS].rpartition(' ')[0] + ' ...'})"


def _skipped(names: Sequence[str], why: str) -> list[Finding]:
    return [Finding(name, CheckVerdict.SKIPPED, why) for name in names]


def _hours(hours: tuple[str, ...] | None) -> str:
    return "closed" if hours is None else "-".join(hours)
