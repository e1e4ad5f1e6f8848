"""`telegram`: the service that listens to a bot. It reads, leaves command rows, and has no broker key."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from trading_platform.configuration.environment import broker_free, load_settings
from trading_platform.core.errors import FixConfigError, OperatorNeededError
from trading_platform.machine.clocks import utc_now
from trading_platform.machine.stop_signals import INTERRUPTED
from trading_platform.operations.commands import Place, database_place, existing_database
from trading_platform.reporting.status_screen import say
from trading_platform.reporting.telegram import API, own_bot_api
from trading_platform.storage.run_locks import KernelLock
from trading_platform.talk.bot_api import BotApi
from trading_platform.talk.conversation import Conversation
from trading_platform.talk.telegram_service import TelegramService, allowed_of


def serve_telegram(place: Place, api: str | None = None) -> int:
    """Listen until Ctrl-C; return the exit code.

    Raises
    ------
    FixConfigError, FixCredentialsError
        No bot, no chat or no user is set; Telegram refuses them.
    OperatorNeededError
        Another service of this machine listens to this bot.
    """
    if api is not None:
        own_bot_api(api)
    settings = broker_free(load_settings())  # nobody here has a use for them
    if settings.telegram_bot_token is None or settings.telegram_chat_id is None:
        raise FixConfigError("telegram needs TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID in the environment or .env")
    allowed = allowed_of(settings.telegram_chat_id, settings.telegram_user_ids)
    where = database_place(place)
    database = existing_database(place, read_only=False)

    def report(run_id: int) -> str:
        from daily_report import generate_daily_report

        return str(generate_daily_report(where, run=run_id, settings=settings)["summary"])

    name = hashlib.sha256(settings.telegram_bot_token.reveal().encode()).hexdigest()[:16]
    lock = KernelLock(Path(tempfile.gettempdir()) / f"trading-telegram-{name}.lock")
    if not lock.acquire():
        raise OperatorNeededError("a service on this machine listens to this bot already: stop it, or use another bot")
    try:
        bot = BotApi(settings.telegram_bot_token, api or API)
        service = TelegramService(bot, allowed, Conversation(database, report, utc_now), utc_now)
        service.begin()
        say(f"listening to the bot for chat {allowed.chat}, {len(allowed.users)} user(s); Ctrl-C stops")
        while True:
            service.look()
    except KeyboardInterrupt:
        say("stopped: commands that were recorded stay so")
        return INTERRUPTED
    finally:
        lock.release()
