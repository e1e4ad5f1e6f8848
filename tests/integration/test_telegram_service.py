"""The Telegram service against a local Bot API: who is heard, what is done, what Telegram refuses."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, select
from telegram_stub import TOKEN, Telegram, telegram

from trading_platform.configuration.environment import Secret
from trading_platform.core.errors import FixConfigError, FixCredentialsError
from trading_platform.storage import models as m
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.repository import create_run
from trading_platform.talk.bot_api import BotApi
from trading_platform.talk.conversation import Conversation
from trading_platform.talk.telegram_service import TelegramService, allowed_of

NOW = datetime(2024, 1, 2, 21, 30, tzinfo=UTC)
DAY = date(2024, 1, 2)


class Scene:
    """A bot, an account with an entry that waits, and the service between them."""

    def __init__(self, server: Telegram, folder: Path, chat: str = "-1001", token: str = TOKEN) -> None:
        self.server, self.now, self.slept = server, NOW, list[float]()
        self.database = account(folder)
        talk = Conversation(self.database, lambda run: f"report of run {run}", lambda: self.now)
        bot = BotApi(Secret(token), server.url)
        self.service = TelegramService(
            bot, allowed_of(chat, "7, 8"), talk, lambda: self.now, self.sleep, poll_seconds=0
        )

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)

    def hear(self, text: str, user: int = 7, age: float = 0.0) -> str:
        """Let a user write, and return what is said last."""
        before = len(self.server.texts)
        self.server.say(text, user=user, at=(self.now - timedelta(seconds=age)).timestamp())
        self.service.look()
        return "\n".join(self.server.texts[before:])

    def press(self, data: str, user: int = 7) -> str:
        before = len(self.server.texts)
        self.server.press(data, user=user)
        self.service.look()
        return "\n".join(self.server.texts[before:])

    @property
    def commands(self) -> list[tuple[str, str, str | None]]:
        with self.database.connect() as connection:
            rows = connection.execute(select(m.Command.kind, m.Command.actor, m.Command.subject))
            return [(kind, actor, subject) for kind, actor, subject in rows]


def account(folder: Path) -> Engine:
    database = open_database(folder / "a.db")
    migrate(database)
    texts = dict.fromkeys(("key", "source", "config_fingerprint", "data_hash", "code_version"), "x")
    told = {"config": "{}", "strategies": '["momentum"]', "sectors": "{}", "mode": "alpaca_paper", "status": "running"}
    run = {**texts, **told, "name": "savings", "started_at": NOW, "capital": 1000.0, "last_session": DAY}
    run_id = create_run(database, run, [])
    order = {
        "run_id": run_id,
        "client_order_id": "tp-20240102-AAA-buy-entry-0",
        "approval_id": "x",
        "side": "buy",
        "config_fingerprint": "x",
        "ticker": "AAA",
        "quantity": 10.0,
        "filled_quantity": 0.0,
        "limit_price": 51.0,
        "strategy": "momentum",
        "reason": "entry",
        "strength": 1.0,
        "status": "held",
        "decided_session": DAY,
        "decided_at": NOW,
        "message": "waits for a yes",
    }
    denied = {
        "run_id": run_id,
        "session": DAY,
        "ticker": "BBB",
        "strategy": "momentum",
        "strength": 1.0,
        "observed": 0.31,
        "verdict": "denied",
        "code": "SECTOR_LIMIT",
        "limit": 0.3,
        "quantity": 0.0,
    }
    with database.begin() as connection:
        connection.execute(insert(m.Order).values(**order))
        connection.execute(insert(m.SignalRow).values(**denied))
    return database


@pytest.fixture
def server() -> Iterator[Telegram]:
    with telegram() as state:
        yield state


@pytest.fixture
def scene(server: Telegram, tmp_path: Path) -> Scene:
    made = Scene(server, tmp_path)
    made.service.begin()
    return made


def test_what_waits_is_shown_once_with_buttons_and_a_yes_is_recorded_for_its_decision(scene: Scene) -> None:
    scene.service.look()
    scene.service.look()
    (shown,) = scene.server.texts
    assert shown.startswith("PAPER Alpaca paper account savings: orders for the next open")
    assert "buy 10 AAA for at most $510.00 (momentum), held: waits for a yes" in shown
    every, _, one, _ = scene.server.buttons
    assert (every, one) == ("consent 1 2024-01-02", "consent 1 2024-01-02 AAA")
    assert "AAA goes: recorded" in scene.press(one)
    assert scene.commands == [("consent", "telegram 7", "2024-01-02 AAA")]
    assert "that was the decision of 2024-01-01" in scene.press("veto 1 2024-01-01")
    assert len(scene.commands) == 1


def test_questions_are_answered_and_write_nothing(scene: Scene) -> None:
    scene.service.look()
    assert "engine: not running" in scene.hear("/status")
    assert "none" in scene.hear("/positions@my_bot")
    assert scene.hear("/report") == "report of run 1"
    assert "momentum: denied, SECTOR_LIMIT (0.31, limit 0.3)" in scene.hear("/why bbb")
    assert "nothing was decided about ZZZ" in scene.hear("/why zzz")
    assert "/status /positions" in scene.hear("hello")
    assert "no such account" in scene.hear("/status @other")
    assert scene.commands == []


def test_halt_is_done_at_once_and_flatten_needs_its_button_of_the_same_user_in_time(scene: Scene) -> None:
    scene.service.look()
    assert "halt recorded" in scene.hear("/halt holiday", age=7200.0)  # a stop is never too old
    assert "too old" in scene.hear("/flatten", age=61.0)
    assert "Good for 60 s" in scene.hear("/flatten")
    button = scene.server.buttons[-1]
    assert "for whoever asked" in scene.press(button, user=8)
    assert [kind for kind, _, _ in scene.commands] == ["halt"]
    assert "flatten recorded" in scene.press(button)
    assert "too old: nothing" in scene.press(button)  # once
    scene.hear("/resume")
    scene.now += timedelta(seconds=61)
    assert "too old: nothing" in scene.press(scene.server.buttons[-1])
    assert [kind for kind, _, _ in scene.commands] == ["halt", "flatten"]


def test_stranger_is_told_nothing_and_logged_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.service.look()
    with caplog.at_level(logging.WARNING, "trading_platform.telegram"):
        assert scene.hear("/halt", user=9) == ""
        assert scene.press("consent 1 2024-01-02", user=9) == ""
        scene.server.say("/halt", user=7, at=NOW.timestamp(), chat="-5")
        scene.service.look()
    assert scene.commands == []
    assert len(caplog.records) == 2  # one for each chat and user


def test_second_poller_is_explained_once_and_the_service_goes_on(scene: Scene) -> None:
    scene.service.look()
    scene.server.other_poller = True
    for _ in range(12):
        scene.service.look()
    told = [text for text in scene.server.texts if "409" in text]
    assert len(told) == 1 and "a bot of its own" in told[0]
    scene.server.other_poller = False
    assert "halt recorded" in scene.hear("/halt")


def test_group_that_became_a_supergroup_is_followed(server: Telegram, tmp_path: Path) -> None:
    scene = Scene(server, tmp_path)
    server.moved_to = "-1009"
    scene.service.look()
    assert "orders for the next open" in server.texts[-1]


def test_closed_topic_sends_to_the_chat_itself_and_a_rate_limit_waits(server: Telegram, tmp_path: Path) -> None:
    scene = Scene(server, tmp_path, chat="-1001:55")
    server.closed_topic = "55"
    server.busy, server.retry_after = 1, 4
    scene.service.look()
    assert "orders for the next open" in server.texts[-1]
    assert 4.0 in scene.slept


def test_wrong_token_ends_and_a_group_without_users_is_refused(server: Telegram, tmp_path: Path) -> None:
    with pytest.raises(FixCredentialsError) as caught:
        Scene(server, tmp_path, token="1:wrong").service.begin()
    assert "wrong" not in str(caught.value)
    with pytest.raises(FixConfigError, match="TELEGRAM_USER_IDS"):
        allowed_of("-5", None)
    assert allowed_of("5", None).users == {5}
