"""Send the report to Telegram directly, for those who run cron without OpenClaw. The token is never shown.

Telegram's rules: 4096 units a message, HTTP 429 with ``retry_after`` when too fast, HTTP 400 when it cannot parse the
entities. The token is part of every URL, so no error of the HTTP library may pass: they name the URL.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from trading_platform.configuration.environment import Secret
from trading_platform.core.errors import BrokerUnreachableError, FixConfigError, FixCredentialsError
from trading_platform.machine.time_outs import TO_CONNECT
from trading_platform.reporting.telegram_text import split_messages

API = "https://api.telegram.org"
TIMEOUT = (TO_CONNECT, 15.0)
CAPTION_LIMIT = 1024
# Failures that pass: a few tries, further apart each time.
TRIES = 4
PAUSE_SECONDS = 1.0
NO_ANSWER = 0
# What a refusal (HTTP 400) that is not the text's fault speaks of: the chat, its topics, the bot's rights in it.
OF_THE_CHAT = ("chat not found", "topic", "thread", "not enough rights", "chat_write_forbidden", "peer_id_invalid")
OF_THE_TOPIC = ("topic", "thread")


def own_bot_api(url: str) -> str:
    """Return the address of a Bot API server of one's own.

    Raises
    ------
    FixConfigError
        It must not get a token: neither https nor this machine.
    """
    if not url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        raise FixConfigError("--bot-api must be an https URL, or http on this machine: it receives the token")
    return url


class Telegram:
    """A bot that writes to one chat until `deadline` (monotonic seconds).

    `api`, `sleep` and `clock` are for tests and for a Bot API server of one's own.
    """

    def __init__(
        self,
        token: Secret,
        chat: str,
        *,
        deadline: float,
        api: str = API,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token, self._api = token, api.rstrip("/")
        self._chat, _, self._topic = chat.partition(":")  # a topic of a group is written CHAT:TOPIC
        self._deadline, self._sleep, self._clock = deadline, sleep, clock

    def send(self, markdown: str) -> int:
        """Send `markdown` as one or more messages and return their number.

        Raises
        ------
        FixCredentialsError, FixConfigError
            Telegram refuses the token, or the chat.
        BrokerUnreachableError
            Telegram cannot be reached, or asks to wait past the deadline; parts may have arrived.
        """
        messages = split_messages(markdown)
        for message in messages:
            html = {**self._place(), "text": message.html, "parse_mode": "HTML", "disable_web_page_preview": True}
            if self._call("sendMessage", html) is None:
                plain = {**self._place(), "text": message.plain, "disable_web_page_preview": True}
                if self._call("sendMessage", plain) is None:
                    raise BrokerUnreachableError("Telegram refuses the message, also as plain text (HTTP 400)")
        return len(messages)

    def send_photo(self, png: bytes, caption: str = "") -> None:
        """Send a picture; errors as in `send`.

        Raises
        ------
        BrokerUnreachableError
            Telegram refuses the picture, or cannot be reached.
        """
        values = {**self._place(), "caption": caption[:CAPTION_LIMIT]}
        if self._call("sendPhoto", values, {"photo": ("report.png", png, "image/png")}) is None:
            raise BrokerUnreachableError("Telegram refuses the picture (HTTP 400)")

    def _place(self) -> dict[str, Any]:
        return {"chat_id": self._chat, **({"message_thread_id": self._topic} if self._topic else {})}

    def _call(self, method: str, values: dict[str, Any], files: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """Return Telegram's answer, or None when it refuses the content (HTTP 400)."""
        for attempt in range(TRIES):
            status, answer = self._post(method, values, files)
            if status == 200 and answer.get("ok") is True:
                return answer
            if status == 400 and (moved := _moved_to(answer)) is not None:
                self._chat = values["chat_id"] = moved  # the group has become a supergroup, with another id
                continue
            said = str(answer.get("description", ""))[:200]
            if status == 400 and "message_thread_id" in values and any(word in said.lower() for word in OF_THE_TOPIC):
                self._topic = ""  # it is closed or gone: the chat itself gets the message
                del values["message_thread_id"]
                continue
            if status == 400 and not any(word in said.lower() for word in OF_THE_CHAT):
                return None
            if status in (401, 404):
                raise FixCredentialsError("Telegram refuses the bot token: check TELEGRAM_BOT_TOKEN")
            if status in (400, 403):
                raise FixConfigError(
                    f"Telegram refuses the chat ({said}): check TELEGRAM_CHAT_ID, and write to the bot once"
                )
            if status not in (NO_ANSWER, 429) and status < 500:
                raise BrokerUnreachableError(f"Telegram answered HTTP {status}")
            self._wait(_retry_after(answer, PAUSE_SECONDS * 2**attempt), status)
        raise BrokerUnreachableError(f"Telegram did not take the message in {TRIES} tries; check the network")

    def _post(self, method: str, values: dict[str, Any], files: dict[str, Any] | None) -> tuple[int, dict[str, Any]]:
        """Return status and answer; `NO_ANSWER` where Telegram could not be reached, so that nothing arrived."""
        import requests

        left = self._deadline - self._clock()
        if left <= 0:
            raise BrokerUnreachableError("the deadline passed before Telegram took the message")
        failure, answer = "", None
        try:
            answer = requests.post(
                f"{self._api}/bot{self._token.reveal()}/{method}",
                data=values,
                files=files,
                timeout=(min(TIMEOUT[0], left), min(TIMEOUT[1], left)),
                allow_redirects=False,
            )
        except requests.ConnectionError:  # also a timeout while connecting
            return NO_ANSWER, {}
        except requests.RequestException as error:
            failure = type(error).__name__
        if answer is None:  # outside the handler: the error, which names the URL, must not be chained
            raise BrokerUnreachableError(
                f"Telegram did not answer ({failure}); the message may or may not have arrived"
            )
        try:
            body = answer.json()
        except ValueError:
            body = {}
        return answer.status_code, body if isinstance(body, dict) else {}

    def _wait(self, seconds: float, status: int) -> None:
        if self._clock() + seconds >= self._deadline:
            raise BrokerUnreachableError(
                f"Telegram is busy or unreachable (HTTP {status}), and waiting {seconds:.0f} s would pass the deadline"
            )
        self._sleep(seconds)


def _moved_to(answer: dict[str, Any]) -> str | None:
    """Return the chat's new id; the field tells it, whatever the words are."""
    parameters = answer.get("parameters")
    chat = parameters.get("migrate_to_chat_id") if isinstance(parameters, dict) else None
    return str(chat) if isinstance(chat, int) else None


def _retry_after(answer: dict[str, Any], otherwise: float) -> float:
    parameters = answer.get("parameters")
    value = parameters.get("retry_after") if isinstance(parameters, dict) else None
    return float(value) if isinstance(value, int | float) and value >= 0 else otherwise
