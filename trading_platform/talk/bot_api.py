"""Telegram's Bot API as the service speaks it. The token is part of every URL, so no error of the library passes."""

from __future__ import annotations

from typing import Any, NamedTuple

from trading_platform.configuration.environment import Secret
from trading_platform.machine.time_outs import TO_CONNECT
from trading_platform.reporting.telegram import API

NO_ANSWER = 0


class Answer(NamedTuple):
    """What Telegram said: the HTTP status (0: nothing), the result, and what is written beside a refusal."""

    status: int
    result: Any = None
    words: str = ""
    retry_after: float = 0.0
    new_chat: int | None = None

    @property
    def is_fine(self) -> bool:
        """True if it did what it was asked."""
        return self.status == 200


class BotApi:
    """One bot. `api` is for tests and for a Bot API server of one's own."""

    def __init__(self, token: Secret, api: str = API) -> None:
        self._token, self._api = token, api.rstrip("/")

    def call(self, method: str, values: dict[str, Any], seconds: float = 15.0) -> Answer:
        """Return the answer to a call, `NO_ANSWER` where there is none within `seconds`."""
        import requests

        url = f"{self._api}/bot{self._token.reveal()}/{method}"
        try:  # a connection of its own: a long poll must not keep a message waiting
            told = requests.post(url, json=values, timeout=(TO_CONNECT, seconds), allow_redirects=False)
            body = told.json()
        except requests.ConnectionError:
            return Answer(NO_ANSWER, words="not reached")
        except (requests.RequestException, ValueError) as error:
            return Answer(NO_ANSWER, words=type(error).__name__)
        return read_answer(told.status_code, body)


def read_answer(status: int, body: Any) -> Answer:
    """Return an answer as it matters here; fields decide, since Telegram's words change."""
    if not isinstance(body, dict):
        return Answer(NO_ANSWER, words="no JSON object")
    if status == 200 and body.get("ok") is True:
        return Answer(200, body.get("result"))
    beside = body.get("parameters")
    beside = beside if isinstance(beside, dict) else {}
    wait, chat = beside.get("retry_after"), beside.get("migrate_to_chat_id")
    return Answer(
        status if status != 200 else 500,
        None,
        str(body.get("description", ""))[:200],
        float(wait) if isinstance(wait, int | float) else 0.0,
        chat if isinstance(chat, int) else None,
    )
