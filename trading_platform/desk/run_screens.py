"""Pages of runs: the list, one run, runs beside each other; drawn by `reporting`, framed here, and kept while they
hold."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from sqlalchemy import select
from starlette.requests import Request

from trading_platform.core.errors import FixConfigError
from trading_platform.desk.frame import Context, trusted
from trading_platform.desk.overview import money_class
from trading_platform.desk.place import Desk, NotThereError
from trading_platform.operations.commands import run_rows
from trading_platform.operations.run_pages import bars_again, read_comparison
from trading_platform.reporting.comparison_page import comparison_parts
from trading_platform.reporting.kept_pages import Parts, parts_of
from trading_platform.reporting.market_words import market_words, money_words
from trading_platform.reporting.run_page_file import draw_again
from trading_platform.reporting.run_record import read_run
from trading_platform.reporting.status_screen import RunRow
from trading_platform.storage import models as m
from trading_platform.storage.run_targets import Account

MOST_KEPT = 24  # pages; one of ten years and fifty tickers is some 2 MB
MOST_RUNS = 500  # lines of the list
FEWEST, MOST = 2, 6  # runs beside each other


class Kept:
    """Pages that were drawn, by what they were drawn of; the least used goes first."""

    def __init__(self) -> None:
        self._pages: OrderedDict[object, Parts] = OrderedDict()
        self._lock = Lock()

    def get(self, key: object, make: Callable[[], Parts]) -> Parts:
        """Return the page of `key`, drawn now if it is not there."""
        with self._lock:
            if key in self._pages:
                self._pages.move_to_end(key)
                return self._pages[key]
        page = make()
        with self._lock:
            self._pages[key] = page
            while len(self._pages) > MOST_KEPT:
                self._pages.popitem(last=False)
        return page


KEPT = Kept()


def runs(desk: Desk, request: Request) -> Context:
    """Return every run that the words of the address name, the newest first."""
    wanted = request.query_params.get("q", "").strip()[:80]
    rows = run_rows(desk.database(), desk.now())
    found = [row for row in rows if wanted.lower() in _words(row).lower()] if wanted else rows
    shown = [
        row
        | {
            "money": money_words(row["mode"]),
            "money_class": money_class(row["mode"]),
            "market": market_words(row["source"]),
        }
        for row in found[:MOST_RUNS]
    ]
    return {"title": "Runs", "rows": shown, "total": len(rows), "found": len(found), "q": wanted}


def _words(row: RunRow) -> str:
    """Return what the search of the list looks in."""
    known = (row["id"], row["kind"], row["name"], row["source"], row["state"], row["tag"], row["note"])
    return " ".join(str(word or "") for word in (*known, row["first_session"], row["last_session"]))


def run_page(desk: Desk, request: Request) -> Context:
    """Return one run's page.

    Raises
    ------
    NotThereError
        There is no such run.
    """
    account = desk.account(int(request.path_params["run_id"]))
    tag, note = _marks(desk, account)
    key = (desk.url, account.run_id, account.status, account.last_session, account.equity, tag, note)
    try:
        title, body, data = KEPT.get(key, lambda: _found(desk, account))
    except FixConfigError as error:  # too few closes to draw
        title, body, data = f"Run {account.run_id}", "", ""
        return {
            "title": title,
            "body": "",
            "data": "",
            "run": account,
            "tag": tag or "",
            "note": note or "",
            "words": str(error),
        }
    return {
        "title": title,
        "body": inner(body),
        "data": trusted(data),
        "run": account,
        "tag": tag or "",
        "note": note or "",
        "words": "",
    }


def _found(desk: Desk, account: Account) -> Parts:
    return parts_of(desk.settings.cache_dir, desk.url, [account.run_id], lambda: _drawn(desk, account))


def _drawn(desk: Desk, account: Account) -> Parts:
    if account.last_session is None:
        raise FixConfigError(f"run {account.run_id} has no booked close yet: nothing to draw")
    run = desk.read(lambda reader: read_run(reader, account.run_id))
    panel = None if run is None else bars_again(run, account.last_session)
    return draw_again(desk.url, desk.database(), account.run_id, panel)


def _marks(desk: Desk, account: Account) -> tuple[str | None, str | None]:
    with desk.database().connect() as connection:
        row = connection.execute(select(m.Run.tag, m.Run.note).where(m.Run.id == account.run_id)).first()
    return (None, None) if row is None else (row[0], row[1])


def inner(body: str) -> object:
    """Return a page's body for the desk's frame, which has a main element of its own."""
    return trusted(body.replace("<main>", '<div class="inner">').replace("</main>", "</div>"))


def compare(desk: Desk, request: Request) -> Context:
    """Return two to six runs beside each other.

    Raises
    ------
    NotThereError
        A run is not there.
    FixConfigError
        Too few or too many, or nothing to compare.
    """
    wanted = list(dict.fromkeys(request.query_params.getlist("run")))
    if not all(text.isascii() and text.isdigit() and len(text) < 19 for text in wanted):
        raise NotThereError("A run is named by its number.")
    if not FEWEST <= len(wanted) <= MOST:
        raise FixConfigError(f"choose {FEWEST} to {MOST} runs to compare, was {len(wanted)}")
    numbers = [int(text) for text in wanted]
    known = {account.run_id: account for account in desk.accounts()}
    for number in numbers:
        if number not in known:
            raise NotThereError(f"There is no run {number} in this database.")
    key = (desk.url, "compare", *((n, known[n].last_session, known[n].equity) for n in numbers))

    def draw() -> Parts:
        return comparison_parts(read_comparison(desk.place, numbers))

    title, body, data = KEPT.get(key, lambda: parts_of(desk.settings.cache_dir, desk.url, numbers, draw))
    return {"title": title, "body": inner(body), "data": trusted(data)}
