"""VIX: sources in order, over real HTTP, and nothing made up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from trading_platform.core.errors import BrokerUnreachableError, MarketDataError
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.panel import VixHistory
from trading_platform.market_data.vix import (
    ASK_AGAIN_AFTER,
    AlpacaVix,
    Closes,
    VixService,
    VixSource,
    VixSourceError,
    YahooVix,
    cboe,
    fred,
)

CALENDAR = NyseCalendar()
START, END = date(2024, 1, 2), date(2024, 1, 5)
NOW = datetime(2024, 1, 6, tzinfo=UTC)
CBOE_CSV = (
    "DATE,OPEN,HIGH,LOW,CLOSE\n12/29/2023,12,13,12,12.45\n01/02/2024,13,14,13,13.20\n01/03/2024,13,14,13,14.04\n"
    "01/04/2024,14,15,13,14.13\n01/05/2024,14,15,13,13.35\n"
)
FRED_CSV = "observation_date,VIXCLS\n2024-01-01,.\n2024-01-02,13.20\n2024-01-03,14.04\n2024-01-04,\n"
PAGE = "<!doctype html><html>please prove that you are human</html>"


@dataclass
class Web:
    """A web server that says what it is told: path -> (status, content type, body)."""

    pages: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)
    hits: list[str] = field(default_factory=list)
    url: str = ""

    def put(self, path: str, text: str | bytes, kind: str = "text/csv", status: int = 200) -> str:
        self.pages[path] = (status, kind, text if isinstance(text, bytes) else text.encode())
        return self.url + path


@pytest.fixture
def web() -> Iterator[Web]:
    state = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.hits.append(self.path)
            status, kind, body = state.pages.get(self.path, (404, "text/plain", b"gone"))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield state
    server.shutdown()
    server.server_close()


def service(*sources: VixSource, store: Path | None = None, now: datetime = NOW) -> VixService:
    return VixService(sources, store, CALENDAR, lambda: now)


def values(history: VixHistory | None) -> dict[date, float]:
    assert history is not None
    return dict(zip(history.days.tolist(), history.values.tolist(), strict=True))


@dataclass
class Fixed:
    """A source with given closes that counts how often it is asked."""

    name: str
    known: dict[date, float] | VixSourceError
    asked: list[tuple[date, date]] = field(default_factory=list)

    def closes(self, start: date, end: date) -> Closes:
        self.asked.append((start, end))
        if isinstance(self.known, VixSourceError):
            raise self.known
        return self.known


def test_cboe_file_is_read(web: Web) -> None:
    found = values(service(cboe(web.put("/vix", CBOE_CSV))).history(START, END))
    assert found == {START: 13.20, date(2024, 1, 3): 14.04, date(2024, 1, 4): 14.13, END: 13.35}


def test_fred_file_is_read_and_its_holidays_left_out(web: Web) -> None:
    found = values(service(fred(web.put("/vix", FRED_CSV))).history(START, END))
    assert found == {START: 13.20, date(2024, 1, 3): 14.04}


BAD = [
    (PAGE, "text/html", 200, "a page"),
    (PAGE, "text/csv", 200, "a page"),
    ("", "text/csv", 200, "not the expected header"),
    ("error,reason\n1,2\n", "text/csv", 200, "not the expected header"),
    (CBOE_CSV, "text/csv", 503, "HTTP 503"),
    (CBOE_CSV.replace("13.35", "n/a"), "text/csv", 200, "line 6 cannot be read"),
    (CBOE_CSV.replace("01/05/2024", "2024-01-05"), "text/csv", 200, "line 6 cannot be read"),
    (CBOE_CSV.replace("01/04/2024", "01/03/2024"), "text/csv", 200, "dates must increase"),
    (CBOE_CSV.replace("13.35", "0"), "text/csv", 200, "outside 5..150"),
    (CBOE_CSV.replace("13.35", "nan"), "text/csv", 200, "outside 5..150"),
    (CBOE_CSV.replace("13.35", "1335"), "text/csv", 200, "outside 5..150"),
    (CBOE_CSV + "02/01/2034,1,1,1,13\n", "text/csv", 200, "yet to come"),
    ("DATE,CLOSE\n12/29/2003,12.45\n", "text/csv", 200, "no value from"),
    (b"\xff\xfe\x00\x01", "text/csv", 200, "no text"),
    (b"x" * 10_000_001, "text/csv", 200, "more than 10,000,000 bytes"),
]


@pytest.mark.parametrize(("body", "kind", "status", "words"), BAD, ids=[str(n) for n in range(len(BAD))])
def test_bad_answer_is_passed_over_and_named(web: Web, body: str | bytes, kind: str, status: int, words: str) -> None:
    bad = cboe(web.put("/vix", body, kind, status))
    chain = service(bad, Fixed("second", dict.fromkeys(CALENDAR.sessions_between(START, END).tolist(), 20.0)))
    assert set(values(chain.history(START, END)).values()) == {20.0}
    (notice,) = chain.notices
    assert notice.startswith("VIX: CBOE was passed over: ")
    assert words in notice


def test_server_that_is_gone_is_passed_over(web: Web) -> None:
    chain = service(cboe("http://127.0.0.1:9/vix"), fred(web.put("/fred", FRED_CSV)))
    assert values(chain.history(START, END))[START] == 13.20
    assert "CBOE" in chain.notices[0]


def test_nobody_has_a_value_and_none_is_made_up() -> None:
    chain = service(Fixed("a", VixSourceError("no")), Fixed("b", {}))
    assert chain.history(START, END) is None
    assert len(chain.notices) == 2


def test_second_source_fills_what_the_first_lacks() -> None:
    first = Fixed("first", {START: 13.0})
    second = Fixed("second", {START: 99.0, date(2024, 1, 3): 14.0})
    found = values(service(first, second).history(START, END))
    assert found == {START: 13.0, date(2024, 1, 3): 14.0}
    assert second.asked == [(date(2024, 1, 3), END)]


def test_sources_after_the_last_need_are_not_asked() -> None:
    whole = Fixed("whole", dict.fromkeys(CALENDAR.sessions_between(START, END).tolist(), 15.0))
    never = Fixed("never", {})
    service(whole, never).history(START, END)
    assert never.asked == []


def test_values_are_kept_and_asked_for_once(tmp_path: Path) -> None:
    store = tmp_path / "deep" / "vix.csv"
    source = Fixed("CBOE", dict.fromkeys(CALENDAR.sessions_between(START, END).tolist(), 15.0))
    service(source, store=store).history(START, END)
    silent = Fixed("CBOE", VixSourceError("down"))
    again = service(silent, store=store).history(START, END)
    assert len(values(again)) == 4
    assert silent.asked == []
    assert again is not None
    assert again.place == "VIX of CBOE"
    later = service(silent, store=store, now=NOW + timedelta(days=5))
    assert values(later.history(START, date(2024, 1, 9))) == values(again)  # the newest sessions stay unknown
    assert silent.asked == [(date(2024, 1, 8), date(2024, 1, 9))]


@pytest.mark.parametrize(
    "damage", ["", "nonsense", "date,close,source\n2024-01-02,x,CBOE\n", "date,close,source\n2024-01-02,500,CBOE\n"]
)
def test_damaged_store_is_only_a_lost_copy(tmp_path: Path, damage: str) -> None:
    store = tmp_path / "vix.csv"
    store.write_text(damage)
    source = Fixed("a", {START: 13.0})
    assert values(service(source, store=store).history(START, END)) == {START: 13.0}


def test_failing_source_is_not_asked_at_every_scan() -> None:
    now = [NOW]
    source = Fixed("a", VixSourceError("down"))
    chain = VixService([source], None, CALENDAR, lambda: now[0])
    for _ in range(5):
        chain.history(START, END)
    assert len(source.asked) == 1
    now[0] += ASK_AGAIN_AFTER
    chain.history(START, END)
    assert len(source.asked) == 2


def test_alpaca_is_asked_session_by_session_for_short_gaps_only() -> None:
    asked = []

    def ask(what: str, path: str, query: dict[str, object], version: str) -> object:
        asked.append(query)
        return {"values": {"VIX": [{"t": "x", "v": 14.5}]}, "next_page_token": None}

    source = AlpacaVix(ask, CALENDAR)
    assert source.closes(START, date(2024, 1, 3)) == {START: 14.5, date(2024, 1, 3): 14.5}
    assert [query["start"] for query in asked] == ["2024-01-02T20:45:00+00:00", "2024-01-03T20:45:00+00:00"]
    with pytest.raises(VixSourceError, match="sessions are missing"):
        source.closes(date(2023, 1, 3), END)
    assert len(asked) == 2


@pytest.mark.parametrize("answer", [{}, {"values": None}, {"values": {"VIX": [{"t": "x"}]}}, [], None])
def test_alpaca_answer_of_another_shape_is_passed_over(answer: object) -> None:
    with pytest.raises(VixSourceError):
        AlpacaVix(lambda *_: answer, CALENDAR).closes(START, END)


def test_plan_without_indices_is_passed_over() -> None:
    def refuse(*_: object) -> object:
        raise BrokerUnreachableError("VIX: Alpaca refused (HTTP 403)")

    chain = service(AlpacaVix(refuse, CALENDAR), Fixed("CBOE", {START: 13.0}))
    assert values(chain.history(START, END)) == {START: 13.0}
    assert "HTTP 403" in chain.notices[0]


def test_yahoo_that_fails_is_passed_over() -> None:
    def fail(symbol: str, start: date, end: date) -> Closes:
        raise MarketDataError("yahoo: no answer")

    chain = service(YahooVix(fail), Fixed("b", {START: 13.0}))
    assert values(chain.history(START, END)) == {START: 13.0}


HISTORY = VixHistory(np.array(["2024-01-02", "2024-01-04"], dtype="datetime64[D]"), np.array([13.0, 14.0]), "test")
