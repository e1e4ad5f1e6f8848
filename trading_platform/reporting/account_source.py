"""Ask the broker for account and positions: read-only requests, a hard deadline, and no number taken on trust."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Protocol

from trading_platform.core.errors import BrokerUnreachableError, FixCredentialsError, TradingPlatformError
from trading_platform.machine.clocks import NEW_YORK
from trading_platform.machine.time_outs import TIMEOUT
from trading_platform.reporting.facts import BrokerSnapshot, Holding

if TYPE_CHECKING:
    import requests

PAPER_URL = "https://paper-api.alpaca.markets"
LIVE_URL = "https://api.alpaca.markets"
RETRIES = 2
RETRY_STATUS = (429, 500, 502, 503, 504)


class AccountSource(Protocol):
    """Where the account can be seen as it is now."""

    def snapshot(self) -> BrokerSnapshot:
        """Return account, positions and clock.

        Raises
        ------
        BrokerUnreachableError
            No answer, or one that cannot be used.
        FixCredentialsError
            The broker refuses the keys.
        """
        ...


def ask(source: AccountSource, seconds: float) -> BrokerSnapshot:
    """Return the snapshot of `source`, waiting `seconds` at most, whatever the network does.

    The request runs in a daemon thread: name lookups and dripping answers know no timeout of their own.

    Raises
    ------
    BrokerUnreachableError
        No answer in time, or none that can be used.
    FixCredentialsError
        The broker refuses the keys.
    """
    answer: list[BrokerSnapshot | BaseException] = []

    def run() -> None:
        try:
            answer.append(source.snapshot())
        except BaseException as error:  # noqa: BLE001 - handed over to the caller below
            answer.append(error)

    thread = threading.Thread(target=run, name="account-source", daemon=True)
    thread.start()
    thread.join(max(seconds, 0.0))
    if not answer:
        raise BrokerUnreachableError(f"the broker did not answer within {seconds:.0f} s")
    if isinstance(answer[0], TradingPlatformError):
        raise answer[0]
    if isinstance(answer[0], BaseException):
        raise BrokerUnreachableError(f"the broker could not be asked: {type(answer[0]).__name__}") from answer[0]
    return answer[0]


class AlpacaAccount:
    """Alpaca's account, positions, clock and calendar by four GET requests; nothing here can place or cancel."""

    def __init__(self, api_key: str, secret_key: str, base_url: str = PAPER_URL) -> None:
        self._headers = {"APCA-API-KEY-ID": api_key, "APCA-API-SECRET-KEY": secret_key}
        self._url = base_url.rstrip("/")

    def snapshot(self) -> BrokerSnapshot:
        """Return the account as Alpaca sees it now; see `AccountSource.snapshot`.

        Raises
        ------
        BrokerUnreachableError
            No answer, or something else than lists where lists belong.
        """
        with _session(self._headers) as session:
            account = _table(self._get(session, "/v2/account"), "/v2/account")
            rows = self._get(session, "/v2/positions")
            clock = _table(self._get(session, "/v2/clock"), "/v2/clock")
            as_of = _instant(clock, "timestamp")
            today = as_of.astimezone(NEW_YORK).date()
            hours = self._get(session, f"/v2/calendar?start={today}&end={today}")
        if not isinstance(rows, list) or not isinstance(hours, list):
            raise BrokerUnreachableError("Alpaca: /v2/positions and /v2/calendar must answer with lists")
        opens = _open_of(hours, today)
        return BrokerSnapshot(
            account_id=str(account.get("account_number") or account.get("id") or ""),
            as_of=as_of.astimezone(UTC),
            session=None if opens is None else today,
            is_open=clock.get("is_open") is True,
            has_opened=opens is not None and as_of >= opens,
            equity=_cents(account, "equity"),
            cash=_cents(account, "cash"),
            buying_power=_cents(account, "buying_power"),
            last_equity=None if account.get("last_equity") is None else _cents(account, "last_equity"),
            holdings=tuple(sorted((_holding(_table(row, "/v2/positions")) for row in rows), key=lambda h: h.ticker)),
        )

    def _get(self, session: requests.Session, path: str) -> object:
        import requests

        try:
            answer = session.get(self._url + path, timeout=TIMEOUT, allow_redirects=False)
        except requests.RequestException as error:
            raise BrokerUnreachableError(f"Alpaca {path}: {type(error).__name__}; check the network") from error
        if answer.status_code in (401, 403):
            raise FixCredentialsError(f"Alpaca {path}: the keys are refused (HTTP {answer.status_code}); replace them")
        if answer.status_code != 200:
            raise BrokerUnreachableError(f"Alpaca {path}: HTTP {answer.status_code}")
        try:
            return answer.json(parse_float=str)  # dollars must not pass through binary floats
        except ValueError as error:
            raise BrokerUnreachableError(f"Alpaca {path}: the answer is not JSON") from error


def _session(headers: Mapping[str, str]) -> requests.Session:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util.retry import Retry

    retry = Retry(
        total=RETRIES, backoff_factor=0.5, status_forcelist=RETRY_STATUS, allowed_methods=["GET"], raise_on_status=False
    )
    session = requests.Session()
    session.headers.update(headers)
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def _table(value: object, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BrokerUnreachableError(f"Alpaca {path}: expected an object, got {type(value).__name__}")
    return value


def _number(table: Mapping[str, Any], name: str) -> Decimal:
    value = table.get(name)
    try:
        number = Decimal(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite():
        raise BrokerUnreachableError(f"Alpaca: {name} must be a number, was {value!r}"[:200])
    return number


def _cents(table: Mapping[str, Any], name: str) -> int:
    return round(_number(table, name) * 100)


def _instant(table: Mapping[str, Any], name: str) -> datetime:
    try:
        instant = datetime.fromisoformat(str(table.get(name)))
    except ValueError as error:
        raise BrokerUnreachableError(f"Alpaca: {name} must be a time, was {table.get(name)!r}"[:200]) from error
    if instant.tzinfo is None:
        raise BrokerUnreachableError(f"Alpaca: {name} has no time zone, was {table.get(name)!r}"[:200])
    return instant


def _open_of(hours: list[Any], today: date) -> datetime | None:
    """Return the open of `today`; None if it is no session."""
    for row in hours:
        if isinstance(row, dict) and row.get("date") == today.isoformat():
            try:
                return datetime.combine(today, time.fromisoformat(str(row.get("open"))), NEW_YORK)
            except ValueError as error:
                raise BrokerUnreachableError(f"Alpaca /v2/calendar: no open on {today}") from error
    return None


def _holding(row: Mapping[str, Any]) -> Holding:
    has_price = row.get("current_price") is not None and row.get("market_value") is not None
    return Holding(
        ticker=str(row.get("symbol") or "?"),
        strategy=None,
        quantity=float(_number(row, "qty")),
        entry_price=float(_number(row, "avg_entry_price")),
        price=float(_number(row, "current_price")) if has_price else None,
        cost=_cents(row, "cost_basis"),
        value=_cents(row, "market_value") if has_price else None,
        stop=None,
        target=None,
        dividends=0,
        entry_session=None,
    )
