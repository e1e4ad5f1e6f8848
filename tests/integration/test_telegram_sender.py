"""Sending to Telegram: its length, its entities, its rate limit, its refusals, and a token that nobody sees."""

from __future__ import annotations

import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from report_stories import STORIES, make_report
from report_world import build
from telegram_stub import CHAT, TOKEN
from telegram_stub import Telegram as Server
from telegram_stub import telegram as run_server

from trading_platform.configuration.environment import Secret
from trading_platform.core.errors import (
    BrokerUnreachableError,
    FixConfigError,
    FixCredentialsError,
    TradingPlatformError,
)
from trading_platform.reporting.telegram import Telegram
from trading_platform.reporting.telegram_text import units

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 100


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def server() -> Iterator[Server]:
    with run_server() as state:
        yield state


@pytest.fixture
def time() -> Time:
    return Time()


def bot(server: Server, time: Time, *, token: str = TOKEN, chat: str = CHAT, seconds: float = 60.0) -> Telegram:
    return Telegram(
        Secret(token), chat, deadline=time.now + seconds, api=server.url, sleep=time.sleep, clock=time.clock
    )


@pytest.mark.parametrize("name", STORIES)
def test_every_golden_report_arrives_as_one_message(server: Server, time: Time, name: str, tmp_path: Path) -> None:
    text = make_report(name, tmp_path)["summary"]
    assert bot(server, time).send(text) == 1
    assert server.calls[0]["parse_mode"] == "HTML"
    (arrived,) = server.texts
    kept = [line for line in text.replace("**", "").replace("`", "").splitlines() if line]
    assert [line for line in arrived.splitlines() if line] == kept


def test_long_text_arrives_whole_in_parts(server: Server, time: Time) -> None:
    rows = "\n".join(f"{i:04d} <b>&amp; {'x' * 40} 😀" for i in range(300))
    count = bot(server, time).send(f"**All**\n```\n{rows}\n```\nend")
    assert count == len(server.texts) > 3
    assert max(units(text) for text in server.texts) <= 4096
    lines = [line for text in server.texts for line in text.splitlines() if line]
    assert lines == ["All", *rows.splitlines(), "end"]


def test_names_with_html_signs_arrive_as_they_are(server: Server, time: Time) -> None:
    bot(server, time).send("**<i>A&B</i>** 1 < 2\n```\n</pre><script>\n```")
    assert server.texts == ["<i>A&B</i> 1 < 2\n</pre><script>"]


def test_refused_entities_are_sent_again_as_plain_text(server: Server, time: Time) -> None:
    server.refuse_html = True
    assert bot(server, time).send("**P&L** `+1`") == 1
    assert server.texts == ["P&L +1"]
    assert [call.get("parse_mode") for call in server.calls] == ["HTML", None]


def test_rate_limit_is_waited_for_as_told(server: Server, time: Time) -> None:
    server.busy, server.retry_after = 2, 7
    bot(server, time).send("hello")
    assert time.slept == [7.0, 7.0]
    assert server.texts == ["hello"]


def test_rate_limit_past_the_deadline_is_not_waited_for(server: Server, time: Time) -> None:
    server.busy, server.retry_after = 1, 120
    with pytest.raises(BrokerUnreachableError, match="waiting 120 s would pass the deadline"):
        bot(server, time).send("hello")
    assert time.slept == []


def test_passing_failures_are_tried_again_further_apart(server: Server, time: Time) -> None:
    server.status = [502, 500]
    bot(server, time).send("hello")
    assert time.slept == [1.0, 2.0]
    assert server.texts == ["hello"]


def test_lasting_failure_ends_after_four_tries(server: Server, time: Time) -> None:
    server.status = [500] * 10
    with pytest.raises(BrokerUnreachableError, match="in 4 tries"):
        bot(server, time).send("hello")
    assert len(server.status) == 6


def test_picture_arrives_with_its_caption(server: Server, time: Time) -> None:
    bot(server, time).send_photo(PNG, "x" * 2000)
    assert server.photos == [PNG]
    assert len(server.calls[0]["caption"]) == 1024


def test_refused_picture_is_an_error(server: Server, time: Time) -> None:
    with pytest.raises(BrokerUnreachableError, match="refuses the picture"):
        bot(server, time).send_photo(b"no picture")


@pytest.mark.parametrize(
    ("token", "chat", "status", "error", "words"),
    [
        ("1:wrong", CHAT, [], FixCredentialsError, "TELEGRAM_BOT_TOKEN"),
        (TOKEN, "-999", [], FixConfigError, "TELEGRAM_CHAT_ID"),
        (TOKEN, CHAT, [403], FixConfigError, "TELEGRAM_CHAT_ID"),
        (TOKEN, CHAT, [404], FixCredentialsError, "TELEGRAM_BOT_TOKEN"),
        (TOKEN, CHAT, [302], BrokerUnreachableError, "HTTP 302"),
    ],
)
def test_refusals_say_which_setting_to_fix(
    server: Server, time: Time, token: str, chat: str, status: list[int], error: type[Exception], words: str
) -> None:
    server.status = status
    with pytest.raises(error, match=words):
        bot(server, time, token=token, chat=chat).send("hello")


def failure(server: Server, time: Time, *, seconds: float = 60.0) -> TradingPlatformError:
    with pytest.raises(TradingPlatformError) as caught:
        bot(server, time, seconds=seconds).send("hello")
    return caught.value


def everything(error: BaseException) -> str:
    """All that a traceback, a log or a debugger could show of `error` and the errors behind it."""
    chain: list[str] = []
    current: BaseException | None = error
    while current is not None:
        chain.append(repr(current) + str(current) + "".join(traceback.format_exception(current)))
        current = current.__cause__ or current.__context__
    return "\n".join(chain)


def test_no_error_shows_the_token(server: Server, time: Time) -> None:
    errors = []
    server.hang = True
    errors.append(failure(server, time, seconds=0.3))
    assert "may or may not have arrived" in str(errors[-1])
    server.hang, server.status = False, [418]
    errors.append(failure(server, time))
    server.url = "http://127.0.0.1:9"  # nobody listens there
    errors.append(failure(server, time))
    assert "check the network" in str(errors[-1])
    server.url = "http://no host"
    errors.append(failure(server, time))
    for error in errors:
        assert TOKEN not in everything(error)
        assert "secret-token" not in everything(error)


def test_deadline_that_has_passed_sends_nothing(server: Server, time: Time) -> None:
    assert "deadline passed" in str(failure(server, time, seconds=0.0))
    assert server.calls == []


def command(
    folder: Path, server: Server, *arguments: str, token: str = TOKEN, how: str = "--telegram"
) -> subprocess.CompletedProcess[str]:
    environ = {"TELEGRAM_BOT_TOKEN": token, "TELEGRAM_CHAT_ID": CHAT, "PYTHONPATH": ""}
    script = str(Path(__file__).resolve().parents[2] / "daily_report.py")
    call = [sys.executable, script, "--format", "text", how, "--telegram-api", server.url, *arguments]
    return subprocess.run(
        call, cwd=folder, env=environ, capture_output=True, text=True, encoding="utf-8", check=False, timeout=60
    )


def test_command_prints_the_report_and_sends_it_with_its_picture(server: Server, tmp_path: Path) -> None:
    build(tmp_path / "trading.db", STORIES["winning_day"].plan)
    done = command(tmp_path, server, "--png-out", "today.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("**Trading report")
    assert server.texts[0].startswith("Trading report")
    assert server.photos == [(tmp_path / "today.png").read_bytes()]


def test_command_sends_the_picture_alone_and_leaves_no_file(server: Server, tmp_path: Path) -> None:
    build(tmp_path / "trading.db", STORIES["winning_day"].plan)
    files = sorted(tmp_path.iterdir())
    done = command(tmp_path, server, how="--telegram-photo")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("**Trading report")
    assert (server.texts, len(server.photos)) == ([], 1)
    assert server.photos[0].startswith(b"\x89PNG")
    assert sorted(tmp_path.iterdir()) == files
    quiet = command(tmp_path, server, "--quiet-if-closed", "--date", "2023-01-07", how="--telegram-photo")
    assert (quiet.stdout, len(server.photos)) == ("NO_REPLY\n", 1)


def test_command_that_cannot_send_still_prints_and_says_why_without_the_token(server: Server, tmp_path: Path) -> None:
    done = command(tmp_path, server, token="1:other-secret")
    assert done.returncode == 7
    assert done.stdout.startswith("**Trading report")
    assert done.stderr == "error: Telegram refuses the bot token: check TELEGRAM_BOT_TOKEN\n"
    server.status = [500] * 9
    done = command(tmp_path, server, "--timeout", "2")
    assert done.returncode == 3
    assert "secret" not in done.stderr


def test_quiet_day_sends_nothing(server: Server, tmp_path: Path) -> None:
    done = command(tmp_path, server, "--quiet-if-closed", "--date", "2023-01-07")
    assert (done.returncode, done.stdout) == (0, "NO_REPLY\n")
    assert server.calls == []


def test_token_never_goes_unencrypted_to_another_machine(server: Server, tmp_path: Path) -> None:
    done = command(tmp_path, server, "--telegram-api", "http://example.com")
    assert done.returncode == 2
    assert "must be an https URL" in done.stderr


def test_topic_of_a_group_gets_the_message_and_once_closed_the_group_does(server: Server, time: Time) -> None:
    sender = bot(server, time, chat="-1001:55")
    sender.send("first")
    assert (server.calls[-1]["chat_id"], server.calls[-1]["message_thread_id"]) == ("-1001", "55")
    server.closed_topic = "55"
    sender.send("second")
    sender.send("third")

    assert "message_thread_id" not in server.calls[-1]
    assert server.texts == ["first", "second", "third"]


def test_group_that_became_a_supergroup_gets_the_message(server: Server, time: Time) -> None:
    server.moved_to = "-1009"
    bot(server, time).send("hello")

    assert server.calls[-1]["chat_id"] == "-1009"
    assert server.texts == ["hello"]
