"""Alerts on their way: Telegram, webhook, apprise and ping at local doubles; nothing waits for them, nothing ends."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from http_stub import Reply, Request, Stub, serve
from operator_world import ENGINE, environment
from sqlalchemy import Engine, select, text
from telegram_stub import CHAT, TOKEN
from telegram_stub import Telegram as Server
from telegram_stub import telegram as run_server

from tests.alert_world import NOW, database_with_a_run
from trading_platform.configuration.environment import Secret, load_settings
from trading_platform.configuration.running_tables import AlertsConfig
from trading_platform.core.alert_states import AlertKind, AlertState
from trading_platform.core.errors import BrokerUnreachableError, FixConfigError
from trading_platform.core.ports import DifferenceRow
from trading_platform.operations.try_alerts import alerts_test
from trading_platform.reporting.alert_channels import (
    AppriseChannel,
    Channel,
    Message,
    Ping,
    TelegramChannel,
    WebhookChannel,
    channels_of,
)
from trading_platform.reporting.alert_post import AlertPost
from trading_platform.storage import models as m
from trading_platform.storage.account_states import account_states
from trading_platform.storage.alert_log import AlertLog
from trading_platform.storage.difference_store import DifferenceStore

HALT = AlertState(AlertKind.HALT, "operator", NOW, "HALTED by an operator: lunch")
NO_STOP = AlertState(AlertKind.UNPROTECTED, "AAA", NOW, "AAA has no stop")
PATIENCE = 20.0
CONFIG = AlertsConfig(quiet_minutes=0.0)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return database_with_a_run(tmp_path)


@pytest.fixture
def telegram() -> Iterator[Server]:
    with run_server() as state:
        yield state


class Hook:
    """A webhook's other side."""

    def __init__(self) -> None:
        self.status = 200
        self.hang = False
        self.bodies: list[dict[str, object]] = []
        self.arrived = threading.Semaphore(0)

    def answer(self, request: Request) -> Reply:
        if self.hang:
            self.arrived.release()
            return Reply(hang=True)
        if request.body:
            self.bodies.append(json.loads(request.body))
        self.arrived.release()
        return Reply(self.status)


@contextmanager
def hooked() -> Iterator[tuple[Hook, Stub, WebhookChannel]]:
    hook = Hook()
    with serve(hook.answer) as stub:
        yield hook, stub, WebhookChannel(Secret(f"{stub.url}/secret-path"))


def post_of(
    engine: Engine,
    *channels: Channel,
    ping: Callable[[], None] | None = None,
    before: Iterable[AlertState] = (),
) -> AlertPost:
    return AlertPost(
        AlertLog(engine, 1),
        lambda: account_states(engine, 1),
        channels,
        ping,
        CONFIG,
        "Alpaca paper account PA1",
        1,
        lambda: datetime.now(UTC),
        before,
    )


# ---------------------------------------------------------------- channels


def test_telegram_gets_one_message_with_the_account_in_front(telegram: Server) -> None:
    channel = TelegramChannel(Secret(TOKEN), CHAT, telegram.url)
    channel.send(Message("Alpaca paper account PA1", 1, NOW, (HALT, NO_STOP)))
    (arrived,) = telegram.texts
    assert arrived.splitlines() == [
        "Alpaca paper account PA1",
        "HALTED by an operator: lunch; since 2024-07-03 17:00 UTC",
        "AAA has no stop; since 2024-07-03 17:00 UTC",
    ]


def test_the_webhook_gets_states_as_json() -> None:
    with hooked() as (hook, stub, channel):
        channel.send(Message("PA1", 1, NOW, (HALT,), (NO_STOP,)))
        (request,) = stub.requests
    assert (request.method, request.path, request.headers["Content-Type"]) == (
        "POST",
        "/secret-path",
        "application/json",
    )
    (body,) = hook.bodies
    assert body["began"] == [
        {"kind": "halt", "subject": "operator", "since": NOW.isoformat(), "words": "HALTED by an operator: lunch"}
    ]
    assert body["text"] == (
        "PA1\nHALTED by an operator: lunch; since 2024-07-03 17:00 UTC\n"
        "Stops rest again (AAA); it was so since 2024-07-03 17:00 UTC"
    )
    assert (body["account"], body["run"], body["version"]) == ("PA1", 1, 1)


@pytest.mark.parametrize(
    ("status", "error"), [(404, FixConfigError), (302, BrokerUnreachableError), (500, BrokerUnreachableError)]
)
def test_a_webhook_that_refuses_is_told_without_its_address(status: int, error: type[Exception]) -> None:
    with hooked() as (hook, _, channel):
        hook.status = status
        with pytest.raises(error, match="HTTP") as caught:
            channel.send(Message("PA1", 1, NOW, (HALT,)))
    assert "secret-path" not in str(caught.value)


def test_a_webhook_that_is_not_there_is_told_without_its_address() -> None:
    with hooked() as (_, stub, channel):
        address = stub.url
    with pytest.raises(BrokerUnreachableError, match="cannot be reached") as caught:
        channel.send(Message("PA1", 1, NOW, (HALT,)))
    assert address.partition("://")[2] not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_apprise_delivers_to_a_service_of_its_own() -> None:
    pytest.importorskip("apprise", reason="an optional extra")
    hook = Hook()
    with serve(hook.answer) as stub:
        channel = AppriseChannel(Secret(stub.url.replace("http", "json") + "/x"), 1)
        channel.send(Message("PA1", 1, NOW, (HALT,)))
        assert channel.name == "apprise 1 (json)"
    (body,) = hook.bodies
    assert (body["title"], body["message"]) == ("PA1", "HALTED by an operator: lunch; since 2024-07-03 17:00 UTC")


def test_apprise_that_cannot_deliver_or_does_not_understand_says_so_without_the_url() -> None:
    pytest.importorskip("apprise", reason="an optional extra")
    with hooked() as (_, stub, _channel):
        dead = stub.url.replace("http", "json")
    for url, words, error in (
        (f"{dead}/secret-path", "could not deliver", BrokerUnreachableError),
        ("nonsense://secret-path", "does not understand", FixConfigError),
    ):
        with pytest.raises(error, match=words) as caught:
            AppriseChannel(Secret(url), 1).send(Message("PA1", 1, NOW, (HALT,)))
        assert "secret-path" not in str(caught.value)


def test_apprise_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(FixConfigError, match="pip install apprise"):
        AppriseChannel(Secret("ntfys://topic"), 1).send(Message("PA1", 1, NOW, (HALT,)))


def test_channels_are_those_of_the_environment() -> None:
    values = {
        "TELEGRAM_BOT_TOKEN": TOKEN,
        "TELEGRAM_CHAT_ID": CHAT,
        "TRADING_WEBHOOK_URL": "https://example.org/x",
        "TRADING_APPRISE_URLS": "ntfys://one discord://two",
    }
    names = [channel.name for channel in channels_of(load_settings(values, None), AlertsConfig())]
    assert names == ["Telegram", "webhook", "apprise 1 (ntfys)", "apprise 2 (discord)"]
    silent = channels_of(load_settings(values, None), AlertsConfig(telegram=False))
    assert [channel.name for channel in silent] == names[1:]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRADING_WEBHOOK_URL", "example.org/secret"),
        ("TRADING_PING_URL", "ftp://example.org/secret"),
        ("TRADING_APPRISE_URLS", "secret"),
        ("TRADING_APPRISE_URLS", "tgram://secret/"),
    ],
)
def test_addresses_that_cannot_be_are_refused_without_being_shown(name: str, value: str) -> None:
    with pytest.raises(FixConfigError, match=name) as caught:
        load_settings({name: value}, None)
    assert "secret" not in str(caught.value)


# ---------------------------------------------------------------- the post


def test_a_look_is_told_once_over_restarts_and_so_is_its_end(engine: Engine) -> None:
    with hooked() as (hook, _, channel):
        for states in ([HALT], [HALT, NO_STOP], [NO_STOP], [NO_STOP]):
            with post_of(engine, channel) as post:  # a restart each time
                post.look(states, complete=True)
                post.drain(PATIENCE)
    told = [([s["subject"] for s in body["began"]], [s["subject"] for s in body["over"]]) for body in hook.bodies]  # type: ignore[attr-defined]
    assert told == [(["operator"], []), (["AAA"], []), ([], ["operator"])]


def test_books_that_differ_at_one_look_only_are_no_news_and_a_restart_ends_nothing(engine: Engine) -> None:
    differs = AlertState(AlertKind.QUARANTINE, "AAA", NOW, "No new risk in AAA")
    with hooked() as (hook, _, channel):
        for looks in ([[differs], []], [[differs], [differs]], [[differs], []]):
            with post_of(engine, channel) as post:
                for states in looks:
                    post.look(states, complete=True)
                    post.drain(PATIENCE)
    told = [(len(body["began"]), len(body["over"])) for body in hook.bodies]  # type: ignore[arg-type]
    assert told == [(1, 0), (0, 1)]


def test_books_that_differed_when_the_process_before_ended_are_told_by_the_first_look_of_the_next(
    engine: Engine,
) -> None:
    row = DifferenceRow("position_unexplained", "AAA", "10 shares", "8 shares", "no new risk", stands=True)
    DifferenceStore(engine, 1).note([row], date(2024, 7, 3), datetime.now(UTC))
    with hooked() as (hook, _, channel):
        for before, told in (([], 0), (account_states(engine, 1), 1)):
            with post_of(engine, channel, before=before) as post:
                post.look((), complete=True)
                post.drain()
            assert len(hook.bodies) == told


def test_a_channel_that_hangs_holds_up_neither_looks_nor_the_end(engine: Engine) -> None:
    with hooked() as (hook, _, channel):
        hook.hang = True
        with post_of(engine, channel) as post:
            post.look([HALT], complete=True)
            assert hook.arrived.acquire(timeout=PATIENCE)
            for _ in range(1000):  # the thread is stuck in the channel
                post.look([HALT], complete=True)
        with engine.connect() as connection:
            assert connection.execute(select(m.Alert.told_at)).scalars().all() == [None]  # the next start tells it


def test_one_channel_that_fails_is_logged_once_and_the_other_is_told(
    engine: Engine, telegram: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with hooked() as (hook, _, channel):
        hook.status = 500
        with (
            caplog.at_level(logging.INFO),
            post_of(engine, TelegramChannel(Secret(TOKEN), CHAT, telegram.url), channel) as post,
        ):
            for states in ([HALT], [HALT, NO_STOP]):
                post.look(states, complete=True)
                post.drain(PATIENCE)
    assert len(telegram.texts) == 2
    lines = [record.getMessage() for record in caplog.records if record.name.endswith("alert_post")]
    assert lines == ["webhook: the webhook answered HTTP 500"]


def test_what_did_not_arrive_anywhere_is_sent_by_the_next_start(engine: Engine) -> None:
    with hooked() as (hook, _, channel):
        hook.status = 503
        with post_of(engine, channel) as post:
            post.look([HALT], complete=True)
            post.drain(PATIENCE)
        hook.status = 200
        hook.bodies.clear()
        with post_of(engine, channel) as post:
            post.look([HALT], complete=True)
            post.drain(PATIENCE)
    assert [body["began"][0]["subject"] for body in hook.bodies] == ["operator"]  # type: ignore[index]


def test_a_fault_is_told_before_the_engine_ends_and_its_return_after(engine: Engine) -> None:
    with hooked() as (hook, _, channel):
        with pytest.raises(BrokerUnreachableError), post_of(engine, channel):
            raise BrokerUnreachableError("nobody answers")
        with post_of(engine, channel) as post:
            post.look([], complete=True)
            post.drain(PATIENCE)
    down, up = (str(body["text"]) for body in hook.bodies)
    assert "The engine is DOWN: nobody answers" in down
    assert "The engine is up again" in up


def test_an_engine_that_is_stopped_by_people_tells_nothing(engine: Engine) -> None:
    with hooked() as (hook, _, channel), pytest.raises(KeyboardInterrupt), post_of(engine, channel):
        raise KeyboardInterrupt
    assert hook.bodies == []


def test_a_database_that_fails_costs_a_log_line_and_the_last_word_leaves_all_the_same(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE alerts"))
    with hooked() as (hook, _, channel), post_of(engine, channel) as post:
        post.look([HALT], complete=True)
        post.drain(PATIENCE)
        post.look([HALT], complete=True)
        post.drain(PATIENCE)
        post.last_word("the disk is gone", PATIENCE)
    assert [record.getMessage() for record in caplog.records] == ["alerts: OperationalError"]
    assert ["The engine is DOWN: the disk is gone" in str(body["text"]) for body in hook.bodies] == [True]


def test_a_ping_is_asked_after_complete_looks_only_and_not_too_often(engine: Engine) -> None:
    seconds = [0.0]
    hook = Hook()
    with serve(hook.answer) as stub:
        ping = Ping(Secret(f"{stub.url}/ping"), 10.0, lambda: seconds[0])
        with post_of(engine, ping=ping) as post:
            for at, complete in ((0.0, False), (1.0, True), (300.0, True), (600.0, True), (601.0, True)):
                seconds[0] = at
                post.look([], complete=complete)
                post.drain(PATIENCE)
        assert [(r.method, r.path) for r in stub.requests] == [("GET", "/ping")] * 2


def test_a_ping_that_fails_is_asked_again_at_the_next_look() -> None:
    hook = Hook()
    hook.status = 503
    with serve(hook.answer) as stub:
        ping = Ping(Secret(f"{stub.url}/ping"), 10.0, lambda: 0.0)
        with pytest.raises(BrokerUnreachableError, match="HTTP 503"):
            ping()
        hook.status = 200
        ping()
        ping()
        assert len(stub.requests) == 2


# ---------------------------------------------------------------- alerts test


def test_alerts_test_says_what_became_of_each_and_returns_the_first_failure(
    telegram: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with hooked() as (hook, stub, _):
        hook.status = 500
        monkeypatch.setenv("TELEGRAM_BOT_TOKEN", TOKEN)
        monkeypatch.setenv("TELEGRAM_CHAT_ID", CHAT)
        monkeypatch.setenv("TRADING_WEBHOOK_URL", f"{stub.url}/secret-path")
        assert alerts_test(None, as_json=True, telegram_api=telegram.url) == 3
        told = json.loads(capsys.readouterr().out)
        assert [(row["channel"], row["exit_code"]) for row in told] == [("Telegram", 0), ("webhook", 3)]
        assert "This is a test" in telegram.texts[0]
        hook.status = 200
        assert alerts_test(None, as_json=False, telegram_api=telegram.url) == 0
        monkeypatch.setenv("TELEGRAM_CHAT_ID", "another")
        assert alerts_test(None, as_json=False, telegram_api=telegram.url) == 2
    assert "secret-path" not in "".join(capsys.readouterr())


def test_alerts_test_without_a_channel_says_how_to_set_one_up(tmp_path: Path) -> None:
    import subprocess

    done = subprocess.run(
        [sys.executable, str(ENGINE), "alerts", "test"],
        cwd=tmp_path,
        env=environment(tmp_path, None),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 2
    assert "TRADING_WEBHOOK_URL" in done.stderr
    assert done.stdout == ""
