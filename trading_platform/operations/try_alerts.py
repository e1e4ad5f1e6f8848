"""`alerts test`: one message to every channel that is set up, and what became of it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from trading_platform.configuration.environment import Settings, load_settings
from trading_platform.configuration.trading_config import config_path, load_config, machine_overrides
from trading_platform.core.errors import FixConfigError, TradingPlatformError
from trading_platform.machine.clocks import utc_now
from trading_platform.reporting.alert_channels import Channel, Message, Ping, channels_of
from trading_platform.reporting.status_screen import complain, say, show_json
from trading_platform.reporting.telegram import API, own_bot_api

NOTHING = (
    "no channel is set up: put TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID, TRADING_WEBHOOK_URL or TRADING_APPRISE_URLS "
    "into .env"
)


class Outcome(NamedTuple):
    """What became of one message; `code` is the exit code that its failure would have, 0 if it arrived."""

    channel: str
    code: int
    words: str


def alerts_test(config_file: Path | None, *, as_json: bool, telegram_api: str | None = None) -> int:
    """Send a test to every channel; return 0, or the exit code of the first that failed.

    Raises
    ------
    FixConfigError
        There is no channel, or `telegram_api` is an address that must not get a token.
    """
    settings = load_settings()
    config = load_config(config_path(config_file), machine_overrides(settings))
    channels = channels_of(settings, config.alerts, API if telegram_api is None else own_bot_api(telegram_api))
    ping = None if settings.ping_url is None else Ping(settings.ping_url, config.alerts.ping_minutes)
    if not channels and ping is None:
        raise FixConfigError(NOTHING)
    outcomes = [_outcome(channel.name, _sending(channel, config.account.name)) for channel in channels]
    outcomes += [] if ping is None else [_outcome("ping", ping)]
    if as_json:
        show_json([{"channel": name, "exit_code": code, "result": words} for name, code, words in outcomes])
    else:
        for name, code, words in outcomes:
            (complain if code else say)(f"{name}: {words}")
        for line in _hints(settings, config.alerts.telegram):
            say(line)
    return next((outcome.code for outcome in outcomes if outcome.code), 0)


def _sending(channel: Channel, account: str) -> Callable[[], None]:
    title = " ".join(filter(None, ("Test of alerts", account and f"of {account}")))
    note = f"This is a test from {socket.gethostname()}: alerts of the trading engine arrive here"
    return lambda: channel.send(Message(title, None, utc_now(), note=note))


def _outcome(name: str, work: Callable[[], None]) -> Outcome:
    try:
        work()
    except TradingPlatformError as error:
        return Outcome(name, error.exit_code, str(error))
    return Outcome(name, 0, "answered" if name == "ping" else "sent")


def _hints(settings: Settings, telegram: bool) -> list[str]:
    """Return what is set up in half, or switched off."""
    hints = []
    if settings.has_telegram and not telegram:
        hints.append("Telegram: switched off, telegram = false in [alerts]")
    if (settings.telegram_bot_token is None) != (settings.telegram_chat_id is None):
        hints.append("Telegram: not used, TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID are needed both")
    return hints
