"""Every screen of the desk: what it shows, and what it says when something is not there."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import pytest
import report_world
from desk_world import PAPER, REAL, REPLAY, Visit, world
from sqlalchemy import insert, update

from trading_platform.desk.access import Role, token_person
from trading_platform.desk.application import Setup
from trading_platform.desk.live import TROUBLE, Marks, Watch, changed, read_marks
from trading_platform.desk.overview import Row, totals
from trading_platform.storage import models as m
from trading_platform.storage.database import migrate, open_database

ACCOUNT = f"/accounts/{REAL}"
SCREENS = (
    "/",
    ACCOUNT,
    f"{ACCOUNT}/answer",
    f"{ACCOUNT}/risk",
    f"{ACCOUNT}/day",
    f"{ACCOUNT}/strategies",
    f"{ACCOUNT}/journal",
    f"{ACCOUNT}/settings",
    "/runs",
    f"/runs/{REPLAY}",
    f"/compare?run={REPLAY}&run={REPLAY + 1}",
    "/allocator",
    "/health",
    "/api",
)
READING = tuple(path for path in SCREENS if path not in ("/allocator", "/health", "/api"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world(tmp_path_factory.mktemp("desk") / "a.db")


@pytest.fixture(scope="module")
def visit(shared: Path) -> Visit:
    return Visit(shared).enter()


@pytest.fixture
def own(tmp_path: Path, shared: Path) -> Path:
    return Path(shutil.copy(shared, tmp_path / "own.db"))


def words(html: str) -> str:
    """Return what a page says, without its markup."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


@pytest.mark.parametrize("path", SCREENS)
def test_screen_is_there_and_has_one_title(visit: Visit, path: str) -> None:
    answer = visit.get(path)

    assert answer.status_code == 200
    assert answer.text.count("<h1") == 1
    assert answer.text.count("<main") == 1
    assert not re.search(r"\sstyle=\"", answer.text)
    assert not re.search(r"<script(?![^>]*\b(src=|type=\"application/json\"))", answer.text)


@pytest.mark.parametrize("path", [path for path in SCREENS if path.startswith("/accounts")])
def test_money_stands_on_every_page_of_an_account_by_word_and_colour(visit: Visit, path: str) -> None:
    html = visit.get(path).text

    assert 'class="money real">REAL MONEY' in html
    assert 'account-bar real"' in html


def test_accounts_show_the_equity_of_the_report_and_sum_only_like_money(visit: Visit) -> None:
    text = words(visit.get("/").text)

    for run in (REAL, PAPER):
        equity = visit.desk.report(run)[0]["account"]["equity"]
        assert f"${equity:,.2f}" in text
    assert "PAPER MONEY 2 accounts" in text
    assert "REAL MONEY 1 accounts" not in text
    assert "2 replays under Runs" in text


def test_totals_of_different_money_are_never_added() -> None:
    def row(money: str, equity: float | None) -> Row:
        rest = dict.fromkeys(Row._fields, None) | {"money": money, "money_class": "", "equity": equity, "day": 1.0}
        return Row(**rest)  # type: ignore[arg-type]  # what a sum does not read stays empty

    found = totals([row("REAL MONEY", 1.0), row("PAPER MONEY", 2.0), row("PAPER MONEY", 3.0), row("PAPER MONEY", None)])

    assert [(total.money, total.accounts, total.equity, total.day) for total in found] == [("PAPER MONEY", 2, 5.0, 2.0)]


def test_account_shows_positions_orders_and_executions_of_the_database(visit: Visit) -> None:
    text = words(visit.get(ACCOUNT).text)
    report = visit.desk.report(REAL)[0]

    assert report["positions"]
    for position in report["positions"]:
        assert position["ticker"] in text
    assert "For the next open" in text
    assert "Last executions" in text


def test_risk_shows_used_limit_and_room_of_every_rule(visit: Visit) -> None:
    text = words(visit.get(f"{ACCOUNT}/risk").text)
    rules = visit.desk.report(REAL)[0]["risk"]["headroom"]
    drawdown = next(rule for rule in rules if rule["rule"] == "drawdown")

    assert f"{drawdown['observed']:.2f}% of {drawdown['limit']:.2f}% room {drawdown['headroom']:.2f}%" in text
    assert len(rules) == visit.get(f"{ACCOUNT}/risk").text.count('class="room"')


def test_refused_candidate_is_shown_with_the_largest_size_that_would_pass(own: Path) -> None:
    engine = open_database(own)
    with engine.begin() as connection:
        last = connection.execute(m.Run.__table__.select().where(m.Run.id == PAPER)).one().last_session
        values = {
            "run_id": PAPER,
            "session": last,
            "ticker": "BIG",
            "strategy": "momentum",
            "strength": 0.9,
            "verdict": "denied",
            "code": "SECTOR_LIMIT",
            "observed": 0.31,
            "limit": 0.3,
            "quantity": 17.0,
        }
        connection.execute(insert(m.SignalRow).values(**values))
    engine.dispose()

    text = words(Visit(own).enter().get(f"/accounts/{PAPER}/risk").text)

    assert "BIG 17 SECTOR_LIMIT 0.31 0.3 momentum 0.90 the sector's positions" in text


def test_day_is_the_report_of_that_day(visit: Visit) -> None:
    day = visit.desk.report(REAL)[1].ledger
    assert day is not None
    session = day.days[5].session

    text = words(visit.get(f"{ACCOUNT}/day?date={session}").text)

    assert f"${day.days[5].equity / 100:,.2f}" in text
    assert f"← {day.days[4].session}" in text
    assert f"{day.days[6].session} →" in text


def test_journal_finds_by_ticker_and_turns_pages(own: Path) -> None:
    engine = open_database(own)
    with engine.begin() as connection:
        (first,) = connection.execute(m.Order.__table__.select().where(m.Order.run_id == PAPER).limit(1))
        values = dict(first._mapping)
        del values["id"]
        rows = [values | {"client_order_id": f"many-{n}", "ticker": "MANY" if n % 2 else "ODD"} for n in range(120)]
        connection.execute(insert(m.Order), rows)
    engine.dispose()
    visit = Visit(own).enter()

    page = visit.get(f"/accounts/{PAPER}/journal?q=many").text
    older = re.search(r'href="(\?q=many&amp;before=\d+)"', page)

    assert page.count("<details") == 50
    assert older is not None
    second = visit.get(f"/accounts/{PAPER}/journal{unescape(older[1])}").text
    assert second.count("<details") == 50
    assert "many-119" in page
    assert "many-119" not in second
    assert "No order is found" in visit.get(f"/accounts/{PAPER}/journal?q=%25").text  # a sign, no pattern


def test_settings_say_where_each_value_came_from(own: Path) -> None:
    visit = Visit(own).enter()
    engine = open_database(own)
    config = {"risk": {"profile": "conservative", "max_positions": 3}, "engine": {"seed": 8, "fills": "exact"}}
    with engine.begin() as connection:
        connection.execute(update(m.Run).where(m.Run.id == PAPER).values(config=json.dumps(config)))
    engine.dispose()
    file = own.with_name("trading.toml")
    file.write_text("[engine]\nseed = 8\n")
    visit.desk.config_file = file

    text = words(visit.get(f"/accounts/{PAPER}/settings").text)

    assert "seed 8 settings file 7" in text
    assert "fills exact default exact" in text
    assert "max_positions 3 command line or environment at the start" in text


def test_runs_are_found_by_their_note_and_marked(own: Path) -> None:
    visit = Visit(own).enter()

    visit.post(f"/runs/{REPLAY}/mark", {"action": "tag", "text": "cheap"})
    visit.post(f"/runs/{REPLAY}/mark", {"action": "note", "text": "half the <b>costs</b>"})

    page = visit.get("/runs?q=half the").text
    assert f"/runs/{REPLAY}" in page
    assert f"/runs/{REPLAY + 1}" not in page
    assert "half the &lt;b&gt;costs&lt;/b&gt;" in page
    assert "cheap" in words(visit.get(f"/runs/{REPLAY}").text)  # and not the page that was kept
    assert [row["action"] for row in visit.rows(m.DeskAudit)[-2:]] == ["tag", "note"]


def test_too_long_a_tag_is_refused(own: Path) -> None:
    assert Visit(own).enter().post(f"/runs/{REPLAY}/mark", {"action": "tag", "text": "x" * 65}).status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        "/accounts/99",
        "/accounts/99/risk",
        "/accounts/99/day",
        "/accounts/99/journal",
        "/accounts/99/settings",
        "/accounts/99/strategies",
        "/runs/99",
        "/compare?run=1&run=99",
        f"{ACCOUNT}/day?date=yesterday",
        "/nowhere",
        "/accounts/0",
        "/accounts/99999999999999999999999",
        "/accounts/-1",
        "/accounts/x",
        "/shared/secret.py",
        "/static/../desk.py",
        "/compare?run=x&run=y",
        "/static/nothing.css",
        "/metrics",
    ],
)
def test_what_is_not_there_is_said_with_404(visit: Visit, path: str) -> None:
    answer = visit.get(path)

    assert answer.status_code == 404
    assert "Not found" in answer.text


@pytest.mark.parametrize("path", ["/compare", "/compare?run=4", "/compare?run=4&run=4", "/compare?" + "run=4&" * 3])
def test_compare_of_too_few_runs_is_said(visit: Visit, path: str) -> None:
    assert visit.get(path).status_code == 422


# ---------------------------------------------------------------- databases that are not well


def break_newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()


def break_older(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()


def break_gone(path: Path) -> None:
    path.unlink()


def break_other(path: Path) -> None:
    path.write_bytes(b"no database at all " * 100)


@pytest.mark.parametrize(
    "break_it, said",
    [
        (break_newer, "was written by a newer version"),
        (break_older, "start the engine once"),
        (break_gone, "does not exist"),
        (break_other, "cannot be"),
    ],
)
@pytest.mark.parametrize("path", ["/", ACCOUNT, "/runs", f"{ACCOUNT}/journal"])
def test_database_that_cannot_be_read_is_said_and_the_page_comes_back_by_itself(
    own: Path, break_it: object, said: str, path: str
) -> None:
    visit, whole = Visit(own).enter(), own.read_bytes()
    assert callable(break_it)
    break_it(own)

    broken = visit.get(path)

    assert broken.status_code == 503
    assert said in unescape(broken.text)
    assert '<meta http-equiv="refresh" content="3">' in broken.text
    own.write_bytes(whole)
    assert visit.get(path).status_code == 200


def test_locked_database_refuses_a_command_with_words_and_obeys_it_later(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trading_platform.storage.sqlite.BUSY_TIMEOUT_SECONDS", 0.05)
    visit = Visit(own).enter()
    form = {"kind": "halt", "reason": "odd", "csrf": visit.csrf()}
    other = sqlite3.connect(own, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    locked = visit.post(f"/accounts/{PAPER}/actions", form)

    other.execute("ROLLBACK")
    other.close()
    assert (locked.status_code, "locked by another program" in locked.text) == (503, True)
    assert visit.post(f"/accounts/{PAPER}/actions", form).status_code == 303
    assert len(visit.rows(m.Command)) == 1


def test_empty_database_is_no_failure(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    engine = open_database(path)
    migrate(engine)
    engine.dispose()
    visit = Visit(path).enter()

    assert "No account is traded here yet" in visit.get("/").text
    assert "No run yet" in visit.get("/runs").text
    assert [visit.get(path).status_code for path in ("/allocator", "/health", "/accounts/1")] == [200, 200, 404]


def test_account_before_its_first_close_has_every_page(tmp_path: Path) -> None:
    path = tmp_path / "young.db"
    report_world.build(path, report_world.Plan(mode="alpaca_paper", account="PA-NEW", status="running", sessions=1))
    with sqlite3.connect(path) as connection:
        for table in (
            "equity",
            "positions",
            "lots",
            "fills",
            "orders",
            "signals",
            "rl_allocations",
            "regimes",
            "trades",
        ):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names above
        connection.execute("UPDATE runs SET last_session = NULL, first_session = NULL")
    connection.close()
    visit = Visit(path).enter()

    for page in ("", "/risk", "/day", "/strategies", "/journal", "/settings"):
        assert visit.get(f"/accounts/1{page}").status_code == 200, page
    assert visit.get("/runs/1").status_code == 200


HOSTILE = "<img src=x onerror=alert(1)>\"'&{{7*7}}"


def test_hostile_names_are_shown_as_text_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "hostile.db"
    plan = report_world.Plan(
        mode="alpaca_paper", account=HOSTILE[:40], status="running", sessions=12, names=[HOSTILE, "A"]
    )
    report_world.build(path, plan, report_world.Plan(sessions=70, names=[HOSTILE, "B"]))
    visit = Visit(path).enter()

    shown = [visit.get(f"/accounts/1{page}") for page in ("", "/risk", "/day", "/strategies", "/journal", "/settings")]
    shown += [visit.get(page) for page in ("/", "/runs", "/runs/2", "/compare?run=1&run=2", "/health")]

    assert [answer.status_code for answer in shown] == [200] * len(shown)
    for answer in shown:
        assert "<img" not in answer.text
    assert "&lt;img src=x" in shown[0].text
    assert "7*7" in shown[0].text  # no template of a stranger is run


def test_ten_thousand_positions_are_shown_by_pages(own: Path) -> None:
    engine = open_database(own)
    with engine.begin() as connection:
        last = connection.execute(m.Run.__table__.select().where(m.Run.id == PAPER)).one().last_session
        row = {
            "run_id": PAPER,
            "session": last,
            "strategy": "momentum",
            "quantity": 1.0,
            "entry_price": 10.0,
            "price": 11.0,
            "cost": 10.0,
            "value": 11.0,
            "dividends": 0.0,
            "entry_session": last,
        }
        connection.execute(insert(m.PositionRow), [row | {"ticker": f"X{n:05d}"} for n in range(10_000)])
    engine.dispose()
    visit = Visit(own).enter()

    page = visit.get(f"/accounts/{PAPER}")

    assert page.status_code == 200
    assert len(page.content) < 200_000
    assert "Page 1 of 101" in page.text


@pytest.mark.parametrize("page", ["999", "x", "0", "-1", "99999999999999999999"])
def test_page_of_positions_that_is_not_there_is_no_failure(visit: Visit, page: str) -> None:
    assert visit.get(f"{ACCOUNT}?page={page}").status_code == 200


# ---------------------------------------------------------------- live


def add_fill(path: Path, run: int) -> None:
    engine = open_database(path)
    at = datetime(2023, 3, 1, 14, 30, tzinfo=UTC)
    values = {
        "run_id": run,
        "client_order_id": "new",
        "broker_fill_id": "new",
        "session": at.date(),
        "filled_at": at,
        "ticker": "NEWFILL",
        "side": "buy",
        "quantity": 3.0,
        "price": 10.0,
        "amount": 30.0,
        "fees": 0.0,
        "realized_pnl": 0.0,
        "strategy": "momentum",
        "reason": "entry",
    }
    with engine.begin() as connection:
        connection.execute(insert(m.FillRow).values(**values))
    engine.dispose()


def test_fill_is_told_to_the_browser_and_is_on_the_page(own: Path) -> None:
    watch = Watch(str(own), time.monotonic, look_seconds=0.01)

    async def listen() -> tuple[str, str]:
        events = watch.events()
        hello = await anext(events)
        told = asyncio.ensure_future(anext(events))
        while TROUBLE not in marks_of(watch) and not marks_of(watch):
            await asyncio.sleep(0)  # until the watcher knows what was there before
        await asyncio.to_thread(add_fill, own, PAPER)
        change = await asyncio.wait_for(told, 20)
        watch.stop()
        return hello, change

    hello, change = asyncio.run(listen())

    assert hello.startswith("retry: 2000\nevent: hello\n")
    assert change == f'event: change\ndata: {{"runs": ["{PAPER}"]}}\n\n'
    assert "NEWFILL" in Visit(own).enter().get(f"/accounts/{PAPER}").text


def test_tabs_that_come_for_one_change_get_one_drawing(own: Path) -> None:
    visit, path, again = Visit(own).enter(), f"/accounts/{PAPER}", {"HX-Request": "true"}
    first = visit.browser.get(path, headers=again).text
    add_fill(own, PAPER)  # nobody has been told of it yet
    assert visit.browser.get(path, headers=again).text == first
    assert "NEWFILL" not in first
    assert "NEWFILL" in visit.get(path).text  # who loads the page sees what is there
    other = Visit(own).enter()
    assert "NEWFILL" in other.browser.get(path, headers=again).text


def marks_of(watch: Watch) -> Marks:
    return watch.told


def test_stopping_ends_every_stream_at_once(own: Path) -> None:
    watch = Watch(str(own), time.monotonic, look_seconds=0.01)

    async def listen() -> list[str]:
        first, second = watch.events(), watch.events()
        found = [await anext(first), await anext(second)]
        asyncio.get_running_loop().call_soon(watch.stop)
        found += [line async for line in first]
        found += [line async for line in second]
        return found

    assert len(asyncio.run(asyncio.wait_for(listen(), 20))) == 2


def test_marks_tell_trouble_and_its_end(own: Path) -> None:
    before = read_marks(str(own))
    content = own.read_bytes()
    own.unlink()
    gone = read_marks(str(own))
    own.write_bytes(content)

    assert list(gone) == [TROUBLE]
    assert TROUBLE in changed(before, gone)
    assert read_marks(str(own)) == before


# ---------------------------------------------------------------- programs


@pytest.fixture(scope="module")
def tokens(shared: Path) -> Iterator[tuple[Visit, dict[str, str], dict[str, str]]]:
    look, viewer = token_person("bot", Role.VIEWER)
    act, operator = token_person("hand", Role.OPERATOR)
    visit = Visit(shared, (viewer, operator), Setup(metrics=True))
    yield visit, {"authorization": f"Bearer {look}"}, {"authorization": f"Bearer {act}"}


READ = (
    "/accounts",
    "/accounts/1",
    "/accounts/1/report",
    "/accounts/1/positions",
    "/accounts/1/risk",
    "/accounts/1/equity",
    "/accounts/1/fills",
    "/accounts/1/orders?q=T0&limit=3",
    "/accounts/1/denials",
    "/accounts/1/commands",
    "/runs",
    "/runs/4",
    "/compare?run=4,5",
)


@pytest.mark.parametrize("path", READ)
def test_api_answers_json_to_a_token_and_nobody_else(
    tokens: tuple[Visit, dict[str, str], dict[str, str]], path: str
) -> None:
    visit, viewer, _ = tokens

    answer, stranger = visit.get(f"/api/v1{path}", **viewer), visit.get(f"/api/v1{path}")

    assert answer.status_code == 200
    assert isinstance(answer.json(), dict)
    assert stranger.status_code == 401


def test_api_describes_exactly_what_it_has(tokens: tuple[Visit, dict[str, str], dict[str, str]]) -> None:
    visit, *_ = tokens
    document = visit.get("/api/v1/openapi.json").json()

    assert document["openapi"] == "3.1.0"
    asked = {re.sub(r"/\d+", "/{run_id}", path.partition("?")[0], count=1) for path in READ}
    assert {path.removeprefix("/api/v1") for path in document["paths"]} == asked


@pytest.mark.parametrize(
    "path, status",
    [
        ("/accounts/99", 404),
        ("/accounts/x", 404),
        ("/accounts/0", 404),
        ("/accounts/9223372036854775808", 404),
        ("/accounts/1/report?date=2023-1-1", 422),
        ("/accounts/1/orders?limit=0", 422),
        ("/accounts/1/orders?colour=red", 422),
        ("/compare", 422),
        ("/compare?run=4", 422),
        ("/compare?run=4,99", 404),
        ("/compare?run=4,4", 422),
    ],
)
def test_api_says_what_is_wrong(tokens: tuple[Visit, dict[str, str], dict[str, str]], path: str, status: int) -> None:
    visit, viewer, _ = tokens
    answer = visit.get(f"/api/v1{path}", **viewer)

    assert answer.status_code == status
    assert answer.json()["error"]


def test_api_takes_commands_from_operators_only(own: Path) -> None:
    look, viewer = token_person("bot", Role.VIEWER)
    act, operator = token_person("hand", Role.OPERATOR)
    visit, path = Visit(own, (viewer, operator)), f"/api/v1/accounts/{PAPER}/commands"
    body = {"kind": "halt", "reason": "odd"}

    def send(token: str, content: object, **headers: str) -> int:
        told = {"authorization": f"Bearer {token}", **headers}
        return int(visit.browser.post(path, json=content, headers=told).status_code)

    assert send(look, body) == 403
    assert send(act, {"kind": "halt"}) == 422
    assert send(act, {**body, "extra": "x"}) == 422
    assert send(act, {"kind": "flatten", "reason": "out"}) == 422  # without the account's name
    assert send(act, body, origin="http://evil.example") == 403
    assert visit.rows(m.Command) == []
    assert send(act, body) == 201
    assert send(act, {"kind": "flatten", "reason": "out", "account": "PA-ONE"}) == 201
    assert [(row["kind"], row["actor"]) for row in visit.rows(m.Command)] == [
        ("halt", "hand (desk)"),
        ("flatten", "hand (desk)"),
    ]


def test_metrics_are_off_by_default_and_tell_every_account(
    tokens: tuple[Visit, dict[str, str], dict[str, str]],
) -> None:
    visit, viewer, _ = tokens
    text = visit.get("/metrics", **viewer).text
    equity = visit.desk.report(REAL)[0]["account"]["equity"]

    assert visit.get("/metrics").status_code == 401
    found = re.search(r'trading_equity_dollars\{account="PA-REAL",money="REAL MONEY",run="1"\} (\S+)', text)
    assert found is not None
    assert float(found[1]) == equity
    assert text.count("\ntrading_equity_dollars{") == 3
    assert "trading_database_readable 1.0" in text


def test_dashboard_shows_only_figures_that_there_are(tokens: tuple[Visit, dict[str, str], dict[str, str]]) -> None:
    visit, viewer, _ = tokens
    text = visit.get("/metrics", **viewer).text
    file = Path(__file__).parents[2] / "deploy" / "grafana-desk.json"
    asked = set(re.findall(r"trading_[a-z_]+", file.read_text(encoding="utf-8")))

    assert asked
    assert asked <= set(re.findall(r"^# TYPE (trading_[a-z_]+)", text, re.MULTILINE))


def test_report_is_made_once_for_pages_that_ask_together_and_anew_after_a_write(own: Path) -> None:
    visit = Visit(own).enter()
    first = visit.desk.report(REAL)
    assert visit.desk.report(REAL) is first

    add_fill(own, REAL)
    assert visit.desk.report(REAL) is not first
    assert visit.desk.report(PAPER)[0] != first[0]
