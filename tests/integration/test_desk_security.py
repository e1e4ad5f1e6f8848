"""Who may look at the desk, who may command, and what a page of elsewhere can do to it: nothing."""

from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from desk_world import BASE, PAPER, REAL, REPLAY, Visit, world
from sqlalchemy import delete, insert, text, update
from sqlalchemy.exc import DatabaseError

from trading_platform.core.errors import FixConfigError
from trading_platform.desk.access import (
    LOCKED_SECONDS,
    TRIES,
    Person,
    Role,
    password_person,
    read_people,
    token_person,
    write_person,
)
from trading_platform.desk.application import Setup
from trading_platform.desk.serve import DeskOptions, check_people, check_place
from trading_platform.operations.commands import Place
from trading_platform.storage import models as m
from trading_platform.storage.desk_pen import PenError, guarded

REFUSED = re.compile("not authorized|prohibited")
PASSWORD = "a long enough password"
HALT = {"kind": "halt", "reason": "looks odd"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world(tmp_path_factory.mktemp("desk") / "a.db")


@pytest.fixture
def own(tmp_path: Path, shared: Path) -> Path:
    path = tmp_path / "own.db"
    path.write_bytes(shared.read_bytes())
    return path


def test_page_without_a_session_leads_to_the_door(shared: Path) -> None:
    answer = Visit(shared).get("/accounts/1")

    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")


def test_link_is_spent_after_one_use(shared: Path) -> None:
    visit = Visit(shared)
    token = visit.access.new_link("ann")

    first, second = visit.get(f"/enter?token={token}"), Visit.get(visit, f"/enter?token={token}")

    assert (first.status_code, second.status_code) == (200, 403)
    assert visit.get("/").status_code == 200


def test_cookie_is_strict_private_and_named_by_port(shared: Path) -> None:
    visit = Visit(shared, setup=Setup(port=9001))

    cookie = visit.get(f"/enter?token={visit.access.new_link('ann')}").headers["set-cookie"]

    assert cookie.startswith("desk-9001=")
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    assert "secure" not in cookie.lower()


def test_cookie_behind_tls_is_secure_for_other_names(shared: Path) -> None:
    visit = Visit(shared, setup=Setup(names=("desk.example",), behind_tls=True), base="https://desk.example")

    cookie = visit.get(f"/enter?token={visit.access.new_link('ann')}").headers["set-cookie"]

    assert "secure" in cookie.lower()


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil:8765", "", "[::1", "a:b:c"])
@pytest.mark.parametrize("path", ["/", "/events", "/static/desk.css", "/sign-in", "/api/v1/accounts", "/metrics"])
def test_foreign_host_is_refused_before_anything_else(shared: Path, host: str, path: str) -> None:
    assert Visit(shared).enter().get(path, host=host).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:1", "[::1]:8765", "192.168.0.7", "Desk.Example"])
def test_own_names_and_numbers_are_answered(shared: Path, host: str) -> None:
    visit = Visit(shared, setup=Setup(names=("desk.example",)))

    assert visit.get("/sign-in", host=host).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:9999"},  # another program of this machine: the same site to a browser
        {"origin": "null"},
        {"origin": BASE, "sec_fetch_site": "same-site"},
        {"origin": BASE, "sec_fetch_site": "cross-site"},
    ],
)
def test_form_from_elsewhere_is_refused_and_writes_nothing(own: Path, headers: dict[str, str]) -> None:
    visit = Visit(own).enter()

    answer = visit.post(f"/accounts/{PAPER}/actions", HALT, **headers)

    assert answer.status_code == 403
    assert visit.rows(m.Command) == []


def test_form_without_origin_is_refused(own: Path) -> None:
    visit = Visit(own).enter()

    answer = visit.browser.post(f"/accounts/{PAPER}/actions", data={**HALT, "csrf": visit.csrf()})

    assert answer.status_code == 403
    assert visit.rows(m.Command) == []


@pytest.mark.parametrize("path", [f"/accounts/{PAPER}/actions", f"/runs/{REPLAY}/mark", "/sign-out"])
@pytest.mark.parametrize("token", ["", "guess"])
def test_form_without_the_sessions_token_is_refused(own: Path, path: str, token: str) -> None:
    visit = Visit(own).enter()

    answer = visit.post(path, {**HALT, "action": "tag", "text": "x", "csrf": token})

    assert answer.status_code == 403
    assert visit.rows(m.Command) == []
    assert visit.get("/").status_code == 200  # still signed in


def test_token_of_another_session_is_refused(own: Path) -> None:
    visit = Visit(own).enter()
    former = visit.csrf()
    visit.enter()

    assert visit.post(f"/accounts/{PAPER}/actions", {**HALT, "csrf": former}).status_code == 403


def test_every_post_route_refuses_without_session(shared: Path) -> None:
    visit = Visit(shared)
    paths = [f"/accounts/{PAPER}/actions", f"/runs/{REPLAY}/mark", "/sign-out"]

    assert [visit.post(path, HALT).status_code for path in paths] == [401, 401, 401]


def test_large_or_other_bodies_are_refused(own: Path) -> None:
    visit = Visit(own).enter()
    path = f"/accounts/{PAPER}/actions"

    large = visit.post(path, {**HALT, "reason": "x" * 70_000})
    json = visit.browser.post(path, json=HALT, headers={"origin": BASE})
    put = visit.browser.put(path, headers={"origin": BASE})

    assert [large.status_code, json.status_code, put.status_code] == [413, 415, 405]


def test_pages_forbid_scripts_of_elsewhere_and_frames(shared: Path) -> None:
    headers = Visit(shared).enter().get("/").headers

    assert headers["content-security-policy"].startswith("default-src 'self';")
    assert "unsafe" not in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_templates_hold_nothing_that_the_policy_would_refuse() -> None:
    folder = Path(__file__).parents[2] / "trading_platform" / "desk" / "templates"
    texts = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.html")}

    assert texts
    for name, found in texts.items():
        assert not re.search(r"<script(?![^>]*\bsrc=)", found), name
        assert not re.search(r"\s(style|on\w+|hx-on[:\w-]*)=", found), name
        assert "js:" not in found, name
        assert not re.search(r"(src|href)=\"https?:", found), name
        assert "| safe" not in found, name


# ---------------------------------------------------------------- passwords


def people() -> tuple[Person, ...]:
    return (password_person("ann", Role.OPERATOR, PASSWORD), password_person("vic", Role.VIEWER, PASSWORD))


@pytest.fixture(scope="module")
def known() -> tuple[Person, ...]:
    return people()


def sign_in(visit: Visit, name: str, password: str) -> int:
    return int(visit.post("/sign-in", {"name": name, "password": password}).status_code)


def test_password_lets_in_and_a_wrong_one_does_not(own: Path, known: tuple[Person, ...]) -> None:
    visit = Visit(own, known)

    assert sign_in(visit, "ann", "wrong password") == 403
    assert sign_in(visit, "nobody", PASSWORD) == 403
    assert sign_in(visit, "ann", PASSWORD) == 200
    assert "ann, operator" in visit.get("/").text
    told = [(row["actor"], row["action"], row["origin"], row["outcome"][:4]) for row in visit.rows(m.DeskAudit)]
    assert told[-3:] == [
        ("ann", "sign-in", "testclient", "refu"),
        ("nobody", "sign-in", "testclient", "refu"),
        ("ann", "sign-in", "testclient", "done"),
    ]


def test_sign_in_from_another_page_is_refused(own: Path, known: tuple[Person, ...]) -> None:
    answer = Visit(own, known).post("/sign-in", {"name": "ann", "password": PASSWORD}, origin="http://evil.example")

    assert answer.status_code == 403


def test_wrong_tries_lock_out_before_anything_is_compared_and_the_lock_ends(own: Path) -> None:
    visit = Visit(own, (password_person("ann", Role.OPERATOR, PASSWORD),))
    for _ in range(TRIES):
        visit.get("/enter?token=guess")  # as bad a try as a wrong password, and quick

    locked = visit.post("/sign-in", {"name": "ann", "password": PASSWORD})

    assert locked.status_code == 429
    assert 0 < int(locked.headers["retry-after"]) <= LOCKED_SECONDS + 1
    visit.clock.seconds += LOCKED_SECONDS
    assert sign_in(visit, "ann", PASSWORD) == 200


def test_wrong_tokens_of_programs_lock_no_people_out(own: Path) -> None:
    visit = Visit(own)
    answers = [visit.get("/api/v1/accounts", authorization="Bearer guess").status_code for _ in range(TRIES + 1)]

    assert answers == [401] * TRIES + [429]
    assert visit.enter().get("/").status_code == 200


def test_open_page_alone_keeps_no_session_alive(own: Path) -> None:
    visit = Visit(own).enter()
    cookie = visit.browser.cookies["desk-8765"]
    for _ in range(13):
        visit.clock.seconds += 3600
        visit.access.lives(cookie)

    assert not visit.access.lives(cookie)


def test_session_ends_when_nobody_has_come_for_long(own: Path) -> None:
    visit = Visit(own).enter()
    visit.clock.seconds += 12 * 3600 + 1

    assert visit.get("/").status_code == 303


def test_sign_out_ends_the_session_for_a_stolen_cookie_too(own: Path) -> None:
    visit = Visit(own).enter()
    cookie = visit.browser.cookies["desk-8765"]

    visit.post("/sign-out")

    assert visit.get("/", cookie=f"desk-8765={cookie}").status_code == 303


def test_viewer_sees_no_form_and_cannot_command(own: Path, known: tuple[Person, ...]) -> None:
    visit = Visit(own, known)
    sign_in(visit, "vic", PASSWORD)

    page = visit.get(f"/accounts/{PAPER}").text
    answers = [visit.post(f"/accounts/{PAPER}/actions", HALT), visit.post(f"/runs/{REPLAY}/mark", {"action": "tag"})]

    assert "/actions" not in page
    assert [answer.status_code for answer in answers] == [403, 403]
    assert visit.rows(m.Command) == []
    assert visit.rows(m.DeskAudit)[-1]["outcome"] == "refused: a viewer"


def test_password_file_is_private_and_names_its_faults(tmp_path: Path) -> None:
    path = tmp_path / "people"
    write_person(path, password_person("ann", Role.VIEWER, PASSWORD))
    token, person = token_person("bot", Role.VIEWER)
    write_person(path, person)
    write_person(path, password_person("ann", Role.OPERATOR, PASSWORD))

    assert path.stat().st_mode & 0o777 == 0o600
    assert {(one.name, one.role, one.kind) for one in read_people(path)} == {
        ("ann", Role.OPERATOR, "password"),
        ("bot", Role.VIEWER, "token"),
    }
    assert PASSWORD not in path.read_text()
    assert token not in path.read_text()
    if os.name == "posix":
        path.chmod(0o644)
        with pytest.raises(FixConfigError, match="chmod 600"):
            read_people(path)


@pytest.mark.parametrize(
    "text", ["nonsense", '{"name": "a"}', '{"name":"a","role":"king","kind":"token","secret":"x"}']
)
def test_password_file_with_a_bad_line_is_refused_by_its_number(tmp_path: Path, text: str) -> None:
    path = tmp_path / "people"
    path.write_text(f"\n{text}\n")
    path.chmod(0o600)

    with pytest.raises(FixConfigError, match=":2:"):
        read_people(path)


@pytest.mark.parametrize("name, password", [("ann", "short"), ("", PASSWORD), ("x" * 41, PASSWORD)])
def test_short_password_and_bad_name_are_refused(name: str, password: str) -> None:
    with pytest.raises(FixConfigError):
        password_person(name, Role.VIEWER, password)


# ---------------------------------------------------------------- where it may be reached from

HERE = Place("a.db", None)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_own_addresses_need_nothing(host: str) -> None:
    check_place(DeskOptions(HERE, host=host))


@pytest.mark.parametrize(
    "options, lacking",
    [
        (DeskOptions(HERE, host="0.0.0.0"), "--password-file and --behind-tls"),  # noqa: S104
        (DeskOptions(HERE, host="192.168.0.7", behind_tls=True), "--password-file"),
        (DeskOptions(HERE, host="::", password_file=Path("p")), "--behind-tls"),
    ],
)
def test_other_addresses_are_refused_without_passwords_and_tls(options: DeskOptions, lacking: str) -> None:
    with pytest.raises(FixConfigError, match=lacking):
        check_place(options)
    check_place(DeskOptions(HERE, host=options.host, password_file=Path("p"), behind_tls=True))


def test_desk_that_others_reach_needs_somebody_with_a_password() -> None:
    options = DeskOptions(HERE, host="192.168.0.7", password_file=Path("p"), behind_tls=True)
    _, program = token_person("bot", Role.VIEWER)

    with pytest.raises(FixConfigError, match="nobody in it has a password"):
        check_people(options, (program,))
    check_people(options, (program, Person("ann", Role.VIEWER, "password", "hash")))
    check_people(DeskOptions(HERE), (program,))


# ---------------------------------------------------------------- commands


def test_halt_leaves_the_terminals_row_and_a_record(own: Path) -> None:
    visit = Visit(own).enter()

    answer = visit.post(f"/accounts/{PAPER}/actions", HALT)

    assert (answer.status_code, answer.headers["location"]) == (303, f"/accounts/{PAPER}#actions")
    (command,) = visit.rows(m.Command)
    assert {name: command[name] for name in ("run_id", "kind", "actor", "reason", "subject", "handled_at")} == {
        "run_id": PAPER,
        "kind": "halt",
        "actor": "ann (desk)",
        "reason": "looks odd",
        "subject": None,
        "handled_at": None,
    }
    deed = visit.rows(m.DeskAudit)[-1]
    assert (deed["actor"], deed["origin"], deed["action"], deed["reason"]) == (
        "ann (desk)",
        "testclient",
        "halt",
        "looks odd",
    )
    page = visit.get(f"/accounts/{PAPER}").text
    assert "not obeyed yet" in page
    assert "looks odd" in page


@pytest.mark.parametrize(
    "run, form",
    [
        (PAPER, {"kind": "flatten", "reason": "out"}),
        (PAPER, {"kind": "flatten", "reason": "out", "typed": "PA-TWO"}),
        (REAL, {"kind": "halt", "reason": "out"}),
        (REAL, {"kind": "resume", "reason": "in", "typed": "pa-real"}),
        (PAPER, {"kind": "halt", "reason": "  "}),
        (PAPER, {"kind": "buy", "reason": "more"}),
        (PAPER, {"kind": "leave", "reason": "an upgrade's word", "subject": "momentum"}),
        (PAPER, {"kind": "pause", "reason": "odd"}),
        (PAPER, {"kind": "pause", "reason": "odd", "subject": "no_such"}),
        (PAPER, {"kind": "halt", "reason": "odd", "subject": "momentum"}),
        (PAPER, {"kind": "flatten", "reason": "odd", "subject": "ZZZ", "typed": "PA-ONE"}),
        (REPLAY, {"kind": "halt", "reason": "over"}),
    ],
)
def test_command_that_may_not_be_is_refused_and_recorded(own: Path, run: int, form: dict[str, str]) -> None:
    visit = Visit(own).enter()

    answer = visit.post(f"/accounts/{run}/actions", form)

    assert answer.status_code == 422
    assert "Not done" in answer.text or run == REPLAY
    assert visit.rows(m.Command) == []
    assert visit.rows(m.DeskAudit)[-1]["outcome"].startswith("refused: ")


@pytest.mark.parametrize(
    "run, form",
    [
        (PAPER, {"kind": "flatten", "reason": "out", "typed": "PA-ONE"}),
        (REAL, {"kind": "halt", "reason": "out", "typed": "PA-REAL"}),
        (PAPER, {"kind": "pause", "reason": "odd", "subject": "momentum"}),
    ],
)
def test_command_with_its_confirmation_is_left(own: Path, run: int, form: dict[str, str]) -> None:
    visit = Visit(own).enter()

    assert visit.post(f"/accounts/{run}/actions", form).status_code == 303
    (command,) = visit.rows(m.Command)
    assert (command["run_id"], command["kind"], command["subject"]) == (run, form["kind"], form.get("subject"))


def test_reason_of_a_stranger_is_shown_as_text(own: Path) -> None:
    visit = Visit(own).enter()
    visit.post(f"/accounts/{PAPER}/actions", {"kind": "halt", "reason": "<script>alert(1)</script>"})

    page = visit.get(f"/accounts/{PAPER}").text

    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page


# ---------------------------------------------------------------- the pen


@pytest.mark.parametrize(
    "statement",
    [
        update(m.Run).values(status="finished"),
        update(m.Run).values(note="x", mode="replay"),
        update(m.Command).values(handled_at=None),
        delete(m.DeskAudit),
        delete(m.Order),
        insert(m.RiskStateRow).values(run_id=1, version=1, saved_at=None, payload="", checksum=""),
        text("DROP TABLE orders"),
        text("CREATE TABLE x (y INTEGER)"),
        text("ATTACH DATABASE '/tmp/x' AS other"),
        text("WITH a AS (SELECT 1) DELETE FROM orders"),
    ],
)
def test_pen_refuses_what_the_desk_may_not_write(own: Path, statement: object) -> None:
    before = own.read_bytes()
    engine = guarded(str(own))
    try:
        with pytest.raises((PenError, DatabaseError)) as caught, engine.begin() as connection:
            connection.execute(statement)  # type: ignore[call-overload]  # any of SQLAlchemy's
    finally:
        engine.dispose()
    assert isinstance(caught.value, PenError) or REFUSED.search(str(caught.value))
    assert own.read_bytes() == before


def test_pen_is_held_by_the_database_itself_too(own: Path) -> None:
    engine = guarded(str(own))
    try:
        raw = engine.raw_connection()
        driver: Any = raw.driver_connection
        with pytest.raises(sqlite3.DatabaseError, match=REFUSED):
            driver.execute("UPDATE runs SET note = 'x', status = 'finished'")
        with pytest.raises(sqlite3.DatabaseError, match=REFUSED):
            driver.execute("DELETE FROM orders")
        driver.execute("UPDATE runs SET note = 'x' WHERE id = 1")  # this it may
        raw.close()
    finally:
        engine.dispose()
