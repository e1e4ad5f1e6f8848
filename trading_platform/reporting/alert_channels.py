"""Where alerts go: the bot's chat, a webhook, and whatever apprise knows. No address is ever shown: they are secrets.

Every channel ends within seconds, whatever the other side does, and says what went wrong without naming the address:
the libraries' own errors do, so none of them is passed on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from trading_platform.configuration.environment import Secret, Settings
from trading_platform.configuration.running_tables import AlertsConfig
from trading_platform.core.alert_states import AlertState, lines_begun, lines_over
from trading_platform.core.errors import BrokerUnreachableError, FixConfigError
from trading_platform.machine.time_outs import TIMEOUT
from trading_platform.reporting.telegram import API, Telegram

TELEGRAM_SECONDS = 20.0
FORMAT = 1  # of the webhook's JSON


class Message(NamedTuple):
    """One message: which account, when, and what of it began or is over."""

    account: str
    run_id: int | None
    at: datetime
    began: tuple[AlertState, ...] = ()
    over: tuple[AlertState, ...] = ()
    note: str = ""

    @property
    def lines(self) -> list[str]:
        """What it says, the most urgent first."""
        return [*([self.note] if self.note else []), *lines_begun(self.began), *lines_over(self.over)]

    @property
    def document(self) -> dict[str, object]:
        """It as JSON values."""
        return {
            "version": FORMAT,
            "account": self.account,
            "run": self.run_id,
            "at": self.at.isoformat(),
            "text": "\n".join([self.account, *self.lines]),
            "began": [_values(state) for state in self.began],
            "over": [_values(state) for state in self.over],
        }


class Channel(Protocol):
    """A way to reach people. `name` holds no secret."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def send(self, message: Message) -> None:
        """Send; raise a `TradingPlatformError` that says what to do where it did not arrive."""
        ...


class TelegramChannel:
    """The bot's chat, by the sender of the daily report."""

    name = "Telegram"

    def __init__(self, token: Secret, chat: str, api: str = API) -> None:
        self._token, self._chat, self._api = token, chat, api

    def send(self, message: Message) -> None:
        """Send."""
        bot = Telegram(self._token, self._chat, deadline=time.monotonic() + TELEGRAM_SECONDS, api=self._api)
        bot.send("\n".join([f"**{message.account}**", *message.lines]))


class WebhookChannel:
    """A URL that takes JSON by POST."""

    name = "webhook"

    def __init__(self, url: Secret) -> None:
        self._url = url

    def send(self, message: Message) -> None:
        """Send.

        Raises
        ------
        BrokerUnreachableError
            No answer, or none that takes the message: later, perhaps.
        FixConfigError
            Refused, or not to be sent with these settings: somebody must mend them.
        """
        status = request("POST", self._url, message.document)
        if status is None:
            raise BrokerUnreachableError("the webhook cannot be reached or does not answer; check TRADING_WEBHOOK_URL")
        if status in (401, 403, 404, 405, 410):
            raise FixConfigError(f"the webhook refuses (HTTP {status}); check TRADING_WEBHOOK_URL")
        if not 200 <= status < 300:
            raise BrokerUnreachableError(f"the webhook answered HTTP {status}")


class AppriseChannel:
    """One of the services that the package apprise knows."""

    def __init__(self, url: Secret, number: int) -> None:
        self._url = url
        self.name = f"apprise {number} ({url.reveal().partition('://')[0]})"

    def send(self, message: Message) -> None:
        """Send.

        Raises
        ------
        BrokerUnreachableError
            No answer, or none that takes the message: later, perhaps.
        FixConfigError
            Refused, or not to be sent with these settings: somebody must mend them.
        """
        try:
            import apprise
        except ModuleNotFoundError:
            raise FixConfigError(
                "TRADING_APPRISE_URLS is set, and the package apprise is not installed: pip install apprise"
            ) from None
        service = apprise.Apprise()
        if not service.add(self._url.reveal()):
            raise FixConfigError(f"{self.name}: apprise does not understand this URL of TRADING_APPRISE_URLS")
        if not service.notify(body="\n".join(message.lines), title=message.account):
            raise BrokerUnreachableError(f"{self.name}: apprise could not deliver the message")


def channels_of(settings: Settings, config: AlertsConfig, telegram_api: str = API) -> list[Channel]:
    """Return the channels that are set up."""
    found: list[Channel] = []
    if config.telegram and settings.telegram_bot_token is not None and settings.telegram_chat_id is not None:
        found.append(TelegramChannel(settings.telegram_bot_token, settings.telegram_chat_id, telegram_api))
    if settings.webhook_url is not None:
        found.append(WebhookChannel(settings.webhook_url))
    found += [AppriseChannel(url, number) for number, url in enumerate(settings.apprise_urls, start=1)]
    return found


class Ping:
    """A URL that is asked while the engine works: whoever waits for it notices when the whole machine is gone.

    Parameters
    ----------
    url
        As healthchecks.io and its like hand out.
    minutes
        It is asked at most once in so many.
    steady
        Seconds that only grow.
    """

    def __init__(self, url: Secret, minutes: float, steady: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._pause = 60.0 * minutes
        self._steady = steady
        self._asked: float | None = None

    def __call__(self) -> None:
        """Ask, if it is due.

        Raises
        ------
        BrokerUnreachableError
            No answer, or none that is a yes; the next look asks again.
        """
        now = self._steady()
        if self._asked is not None and now - self._asked < self._pause:
            return
        status = request("GET", self._url)
        if status is None or not 200 <= status < 300:
            answer = "does not answer" if status is None else f"answered HTTP {status}"
            raise BrokerUnreachableError(f"the ping's URL {answer}; check TRADING_PING_URL")
        self._asked = now


def request(method: str, url: Secret, values: dict[str, object] | None = None) -> int | None:
    """Return the status of one request; None if there was no answer."""
    import requests  # not needed by an engine that tells nobody

    try:
        answer = requests.request(
            method, url.reveal(), json=values, timeout=TIMEOUT, allow_redirects=False, stream=True
        )
        answer.close()
    except (requests.RequestException, UnicodeError, ValueError):  # their words name the address
        return None
    return answer.status_code


def _values(state: AlertState) -> dict[str, str]:
    return {
        "kind": state.kind.value,
        "subject": state.subject,
        "since": state.since.isoformat(),
        "words": state.words,
    }


def names_of(channels: Sequence[Channel]) -> str:
    """Return the channels for people."""
    return ", ".join(channel.name for channel in channels) or "none"
