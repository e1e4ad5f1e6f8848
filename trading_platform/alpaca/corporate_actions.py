"""Corporate actions as Alpaca announces them: what happens to a ticker from the open of which session on.

Alpaca sorts and filters by `process_date`, which for a dividend is the day of payment, weeks after the ex-date (a large
special dividend is paid before it). So a wide window is asked for, and the dates that matter are picked here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import partial
from typing import Any

from trading_platform.alpaca.answers import as_object, finite
from trading_platform.alpaca.http import AlpacaHttp

SYMBOLS_AT_ONCE = 100
ROWS_A_PAGE = 1_000  # Alpaca's largest
MAX_PAGES = 50
PROCESSED_BEFORE, PROCESSED_AFTER = timedelta(days=30), timedelta(days=90)  # of the ex-date
API_VERSION = "v1beta1"


class ActionKind(StrEnum):
    """What an action does to whoever holds or wants the ticker."""

    SPLIT = "split"  # stock dividends too
    DIVIDEND = "dividend"
    SPIN_OFF = "spin_off"
    ENDS = "ends"  # a merger, a rename, a removal: no more orders in this ticker


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """One action: `ratio` new shares for one old, `cash` dollars a share; `words` say where it comes from."""

    ticker: str
    session: date
    kind: ActionKind
    words: str
    ratio: float = 1.0
    cash: float = 0.0


@dataclass(frozen=True, slots=True)
class ActionsAnswer:
    """Actions, oldest first, and what of the answer could not be read, each in words."""

    actions: tuple[CorporateAction, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Form:
    """How a list of the answer is read: its field of the ticker, of the day that counts, and what it means."""

    ticker: str
    day: str
    kind: ActionKind


# Lists of the answer, whose names are those of the types with an s.
FORMS: Mapping[str, _Form] = {
    "forward_splits": _Form("symbol", "ex_date", ActionKind.SPLIT),
    "reverse_splits": _Form("symbol", "ex_date", ActionKind.SPLIT),
    "stock_dividends": _Form("symbol", "ex_date", ActionKind.SPLIT),
    "cash_dividends": _Form("symbol", "ex_date", ActionKind.DIVIDEND),
    "spin_offs": _Form("source_symbol", "ex_date", ActionKind.SPIN_OFF),
    "unit_splits": _Form("old_symbol", "effective_date", ActionKind.ENDS),
    "cash_mergers": _Form("acquiree_symbol", "effective_date", ActionKind.ENDS),
    "stock_mergers": _Form("acquiree_symbol", "effective_date", ActionKind.ENDS),
    "stock_and_cash_mergers": _Form("acquiree_symbol", "effective_date", ActionKind.ENDS),
    "name_changes": _Form("old_symbol", "process_date", ActionKind.ENDS),
    "worthless_removals": _Form("symbol", "process_date", ActionKind.ENDS),
}


def ask_actions(http: AlpacaHttp, tickers: Sequence[str], first: date, last: date) -> ActionsAnswer:
    """Return what happens to `tickers` from the open of a day in [first, last] on; one request for a hundred tickers.

    Raises
    ------
    BrokerUnreachableError, FixCredentialsError, AlpacaRefusalError
        No usable answer; keys refused; the plan or the host does not have it.
    """
    found, unread = dict[tuple[object, ...], CorporateAction](), dict[str, None]()
    for place in range(0, len(tickers), SYMBOLS_AT_ONCE):
        wanted = frozenset(tickers[place : place + SYMBOLS_AT_ONCE])
        query: dict[str, Any] = {
            "symbols": ",".join(sorted(wanted)),
            "types": ",".join(name[:-1] for name in FORMS),
            "start": (first - PROCESSED_BEFORE).isoformat(),
            "end": (last + PROCESSED_AFTER).isoformat(),
            "limit": ROWS_A_PAGE,
        }
        for _ in range(MAX_PAGES):
            ask = partial(http.data.get, "/corporate-actions", dict(query), api_version=API_VERSION)
            page, token = http.read("corporate actions", ask, _parse_page)
            for action in page:
                if isinstance(action, str):
                    unread[action] = None
                elif action.ticker in wanted and first <= action.session <= last:
                    found[(action.ticker, action.session, action.kind, action.ratio, action.cash)] = action
            if token is None:
                break
            query["page_token"] = token
    ordered = sorted(found.values(), key=lambda action: (action.session, action.ticker, action.kind))
    return ActionsAnswer(tuple(ordered), tuple(unread))


def _parse_page(raw: Any) -> tuple[list[CorporateAction | str], str | None]:
    answer = as_object(raw)
    token = answer.get("next_page_token")
    lists = as_object(answer["corporate_actions"])
    return list(_read_lists(lists)), None if token is None else str(token)


def _read_lists(lists: Mapping[str, Any]) -> Iterator[CorporateAction | str]:
    """Yield what the lists say; an entry that cannot be read is told, and keeps no other from being read."""
    for name, form in FORMS.items():
        for entry in lists.get(name) or ():
            try:
                yield _read(name, form, as_object(entry))
            except (ValueError, TypeError, KeyError) as error:
                yield f"{name[:-1]} {str(entry)[:120]}: {type(error).__name__} {error}"


def _read(name: str, form: _Form, entry: Mapping[str, Any]) -> CorporateAction:
    ticker, day = str(entry[form.ticker]), date.fromisoformat(str(entry[form.day])[:10])
    ratio, cash, words = 1.0, 0.0, name[:-1].replace("_", " ")
    if name == "stock_dividends":
        ratio = 1.0 + _number(entry, "rate")
    elif form.kind is ActionKind.SPLIT:
        ratio = _number(entry, "new_rate") / _number(entry, "old_rate")
    elif form.kind is ActionKind.DIVIDEND:
        cash = _number(entry, "rate")
        if str(entry.get("currency") or "USD") != "USD":
            raise ValueError(f"the dividend is in {entry['currency']}, not in dollars")
    return CorporateAction(ticker, day, form.kind, words, ratio, cash)


def _number(entry: Mapping[str, Any], key: str) -> float:
    value = finite(entry[key])
    if not value > 0.0:
        raise ValueError(f"{key} must be above 0, was {entry[key]!r}")
    return value
