"""Look before it leaves, at the desk: what waits for the next open, why, and an operator's yes or no."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from desk_world import PAPER, REAL, Visit, world
from sqlalchemy import insert, update
from test_desk_screens import words

from trading_platform.desk.access import Role, password_person, token_person
from trading_platform.storage import models as m
from trading_platform.storage.consents import answers_to
from trading_platform.storage.database import open_database

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = world(tmp_path_factory.mktemp("consent") / "a.db")
    for run in (PAPER, REAL):
        hold(path, run, "AAA", "BBB")
    return path


@pytest.fixture
def own(tmp_path: Path, shared: Path) -> Path:
    path = tmp_path / "own.db"
    path.write_bytes(shared.read_bytes())
    return path


def decided(path: Path, run: int) -> date:
    engine = open_database(path, read_only=True)
    with engine.connect() as connection:
        found: date = connection.execute(m.Run.__table__.select().where(m.Run.id == run)).one().last_session
    engine.dispose()
    return found


def hold(path: Path, run: int, *tickers: str) -> None:
    """Let entries of the newest close wait."""
    session, engine = decided(path, run), open_database(path)
    with engine.begin() as connection:
        for ticker in tickers:
            values = {
                "run_id": run,
                "client_order_id": f"tp-{session:%Y%m%d}-{ticker}-buy-entry-{run}",
                "approval_id": "x",
                "side": "buy",
                "config_fingerprint": "x",
                "ticker": ticker,
                "quantity": 10.0,
                "filled_quantity": 0.0,
                "limit_price": 51.0,
                "strategy": "momentum",
                "reason": "entry",
                "strength": 1.0,
                "status": "held",
                "decided_session": session,
                "decided_at": datetime.now(UTC),
                "message": "leaves at 14:00 UTC unless vetoed",
            }
            connection.execute(insert(m.Order).values(**values))
            signal = {
                "run_id": run,
                "session": session,
                "ticker": ticker,
                "strategy": "breakout",
                "strength": 0.4,
                "verdict": "denied",
                "code": "SECTOR_LIMIT",
                "observed": 0.31,
                "limit": 0.3,
                "quantity": 17.0,
            }
            connection.execute(insert(m.SignalRow).values(**signal))
    engine.dispose()


def said(path: Path, run: int) -> dict[str | None, list[str]]:
    engine = open_database(path, read_only=True)
    found = answers_to(engine, run, decided(path, run))
    engine.dispose()
    return {ticker: [answer.kind for answer in answers] for ticker, answers in found.items()}


def form(path: Path, run: int = PAPER, **given: str) -> dict[str, str]:
    return {"kind": "consent", "reason": "looks right", "session": str(decided(path, run)), **given}


def test_account_shows_what_waits_and_leads_to_the_answer(shared: Path) -> None:
    visit = Visit(shared).enter()
    html = visit.get(f"/accounts/{PAPER}").text

    assert "2 entries wait for your word. Look and answer" in words(html)
    assert (
        "buy 10 AAA waits for your word leaves at 14:00 UTC unless vetoed $510.00 51.00 a share momentum entry"
        in words(html)
    )
    assert f'href="/accounts/{PAPER}/answer"' in html
    page = words(visit.get(f"/accounts/{PAPER}/answer").text)
    assert "Yes, let it go" in page
    assert "breakout: denied, SECTOR_LIMIT (0.31, limit 0.3); the largest that would pass: 17 shares" in page


@pytest.mark.parametrize("ticker, about", [("", None), ("BBB", "BBB")])
@pytest.mark.parametrize("kind", ["consent", "veto"])
def test_answer_is_left_for_the_decision_that_was_seen(own: Path, kind: str, ticker: str, about: str | None) -> None:
    visit = Visit(own).enter()

    answer = visit.post(f"/accounts/{PAPER}/answer", form(own, kind=kind, subject=ticker))

    assert (answer.status_code, answer.headers["location"]) == (303, f"/accounts/{PAPER}/answer")
    assert said(own, PAPER) == {about: [kind]}
    deed = visit.rows(m.DeskAudit)[-1]
    assert (deed["actor"], deed["action"], deed["reason"]) == ("ann (desk)", kind, "looks right")
    assert kind in words(visit.get(f"/accounts/{PAPER}").text.partition("What operators asked")[2])


@pytest.mark.parametrize(
    "run, given, why",
    [
        (PAPER, {"session": "2023-01-03"}, "that was the decision of 2023-01-03"),
        (PAPER, {"subject": "ZZZ"}, "no entry in ZZZ waits"),
        (PAPER, {"reason": " "}, "say why"),
        (REAL, {}, "the account's name must be typed: PA-REAL"),
    ],
)
def test_answer_that_may_not_be_is_refused(own: Path, run: int, given: dict[str, str], why: str) -> None:
    visit = Visit(own).enter()

    answer = visit.post(f"/accounts/{run}/answer", form(own, run, **given))

    assert answer.status_code == 422
    assert why in words(answer.text)
    assert said(own, run) == {}


def test_answer_for_real_money_is_left_with_the_name_typed(own: Path) -> None:
    visit = Visit(own).enter()

    assert visit.post(f"/accounts/{REAL}/answer", form(own, REAL, typed="PA-REAL")).status_code == 303
    assert said(own, REAL) == {None: ["consent"]}


def test_answer_after_the_entry_left_says_what_became_of_it(own: Path) -> None:
    engine = open_database(own)
    with engine.begin() as connection:
        connection.execute(update(m.Order).where(m.Order.status == "held").values(status="submitted", message=None))
    engine.dispose()
    visit = Visit(own).enter()

    answer = visit.post(f"/accounts/{PAPER}/answer", form(own, subject="AAA"))

    assert answer.status_code == 422
    assert "no entry waits for an answer; buy 10 AAA for at most $510.00 (momentum), submitted" in words(answer.text)
    assert "No entry waits for an answer" in words(visit.get(f"/accounts/{PAPER}/answer").text)


def test_viewer_sees_what_waits_and_cannot_answer(own: Path) -> None:
    visit = Visit(own, (password_person("eve", Role.VIEWER, PASSWORD),))
    visit.post("/sign-in", {"name": "eve", "password": PASSWORD})

    page = words(visit.get(f"/accounts/{PAPER}/answer").text)
    answer = visit.post(f"/accounts/{PAPER}/answer", form(own))

    assert "You may look; an operator may answer." in page
    assert (answer.status_code, said(own, PAPER)) == (403, {})


def test_program_answers_by_the_api(own: Path) -> None:
    token, person = token_person("bot", Role.OPERATOR)
    visit = Visit(own, (person,))
    body: dict[str, Any] = {"kind": "veto", "reason": "earnings", "subject": "AAA", "session": str(decided(own, PAPER))}

    answer = visit.browser.post(
        f"/api/v1/accounts/{PAPER}/commands", json=body, headers={"authorization": f"Bearer {token}"}
    )

    assert answer.status_code == 201
    assert said(own, PAPER) == {"AAA": ["veto"]}


def test_journal_of_a_ticker_says_why(shared: Path) -> None:
    page = words(Visit(shared).enter().get(f"/accounts/{PAPER}/journal?q=aaa").text)

    assert "Why AAA next open: buy 10 AAA for at most $510.00 (momentum), held" in page
