"""The service that listens to a Telegram bot: one poller, known chats and users, at-most-once commands.

Telegram gives a bot's updates to one poller at a time and answers a second with 409; this one says so and goes on.
Updates are confirmed before they are acted on, so that nothing is done twice; a halt is done first, for doing it twice
harms nobody and losing it might.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from trading_platform.core.errors import FixConfigError, FixCredentialsError
from trading_platform.reporting.telegram_text import split_messages
from trading_platform.talk.bot_api import NO_ANSWER, Answer, BotApi
from trading_platform.talk.conversation import ALWAYS, Conversation, Reply, Sender

log = logging.getLogger("trading_platform.telegram")

POLL_SECONDS = 25
ANSWER_SECONDS = 15.0  # a poll's answer may take that much longer than the poll
PAUSES = (1.0, 2.0, 5.0, 30.0)
SAY_CONFLICT_AFTER = timedelta(minutes=2)
CONFLICT = (
    "another program takes this bot's messages (HTTP 409): OpenClaw, a second service, or a webhook. "
    "Commands may not be heard here; give this service a bot of its own"
)
SENDS = 3


class Allowed(NamedTuple):
    """Who is listened to: one chat, and the users in it."""

    chat: int
    thread: int | None
    users: frozenset[int]


def allowed_of(chat: str, users: str | None) -> Allowed:
    """Return who may speak; `chat` is CHAT or CHAT:TOPIC, `users` ids with commas (a private chat is its own user).

    Raises
    ------
    FixConfigError
        Something is no number, or a group names no users: in a group anybody could press a button.
    """
    place, _, topic = chat.partition(":")
    try:
        number, thread = int(place), int(topic) if topic else None
        named = frozenset(int(text) for text in (users or "").replace(",", " ").split())
    except ValueError:
        raise FixConfigError(
            "TELEGRAM_CHAT_ID must be a number (or NUMBER:TOPIC) and TELEGRAM_USER_IDS numbers with commas"
        ) from None
    if number < 0 and not named:
        raise FixConfigError("TELEGRAM_CHAT_ID is a group: name who may command it, TELEGRAM_USER_IDS=ID,ID")
    return Allowed(number, thread, named or frozenset({number}))


class TelegramService:
    """Polls, answers, and shows what waits for consent. `sleep` and `now` are for tests."""

    def __init__(
        self,
        bot: BotApi,
        allowed: Allowed,
        talk: Conversation,
        now: Callable[[], datetime],
        sleep: Callable[[float], object] = time.sleep,
        poll_seconds: int = POLL_SECONDS,
    ) -> None:
        self._bot, self._allowed, self._talk, self._now, self._sleep = bot, allowed, talk, now, sleep
        self._poll_seconds = poll_seconds
        self._offset = 0
        self._strangers: set[tuple[object, object]] = set()
        self._conflict_since: datetime | None = None
        self._conflict_told = False
        self._failures = 0
        self._shown: set[tuple[int, str]] = set()

    def begin(self) -> None:
        """Take the bot over: no webhook, and the chat under its id of today.

        Raises
        ------
        FixCredentialsError, FixConfigError
            Telegram refuses the token; or the chat.
        """
        self._checked(self._bot.call("deleteWebhook", {"drop_pending_updates": False}))
        found = self._bot.call("getChat", {"chat_id": self._allowed.chat})
        if found.new_chat is not None:
            self._move(found.new_chat)
        elif found.status in (400, 403):
            raise FixConfigError(f"Telegram refuses the chat of TELEGRAM_CHAT_ID: {found.words}; write to the bot once")

    def look(self) -> None:
        """Show what waits, poll once, and answer what was said."""
        self._show_proposals()
        answer = self._bot.call(
            "getUpdates",
            {"offset": self._offset, "timeout": self._poll_seconds, "allowed_updates": ["message", "callback_query"]},
            self._poll_seconds + ANSWER_SECONDS,
        )
        if not answer.is_fine:
            self._failed(answer)
            return
        self._failures, self._conflict_since, self._conflict_told = 0, None, False
        updates: Sequence[dict[str, Any]] = answer.result if isinstance(answer.result, list) else []
        if not updates:
            return
        self._offset = max(int(update["update_id"]) for update in updates) + 1
        urgent = [update for update in updates if _text(update).split(" ")[0].partition("@")[0].lower() in ALWAYS]
        for update in urgent:
            self._take(update)
        if len(urgent) < len(updates):
            later = [update for update in updates if update not in urgent]
            confirmed = self._bot.call("getUpdates", {"offset": self._offset, "timeout": 0, "limit": 1})
            for update in later if confirmed.is_fine else ():
                self._take(update)
            if not confirmed.is_fine:  # not confirmed, not done: they come again
                self._offset = min(int(update["update_id"]) for update in later)

    # ------------------------------------------------------------ hearing

    def _take(self, update: dict[str, Any]) -> None:
        pressed = update.get("callback_query")
        message = (pressed or {}).get("message") if pressed else update.get("message")
        if not isinstance(message, dict):
            return
        moved = message.get("migrate_to_chat_id")
        chat, user = message.get("chat", {}).get("id"), ((pressed or message).get("from") or {}).get("id")
        if isinstance(moved, int) and chat == self._allowed.chat:
            self._move(moved)
            return
        if chat != self._allowed.chat or user not in self._allowed.users:
            if (chat, user) not in self._strangers:
                self._strangers.add((chat, user))
                log.warning("user %s in chat %s is not allowed to speak to this bot: no answer", user, chat)
            return
        sender = Sender(int(user), str(((pressed or message).get("from") or {}).get("first_name") or user)[:32])
        if pressed:
            reply = self._talk.press(sender, str(pressed.get("data", "")))
            self._bot.call("answerCallbackQuery", {"callback_query_id": pressed.get("id")})
        else:
            said_at = datetime.fromtimestamp(int(message.get("date", 0)), UTC)
            reply = self._talk.answer(sender, str(message.get("text", "")), said_at)
        self.send(reply)

    def _failed(self, answer: Answer) -> None:
        self._checked(answer)
        pause = PAUSES[min(self._failures, len(PAUSES) - 1)]
        self._failures += 1
        if answer.status == 409:
            self._conflict_since = self._conflict_since or self._now()
            if not self._conflict_told and self._now() - self._conflict_since >= SAY_CONFLICT_AFTER:
                self._conflict_told = True
                log.error("%s", CONFLICT)
                self.send(Reply(CONFLICT))  # sending is not what the other one takes away
        else:
            log.warning("Telegram: HTTP %s %s", answer.status or "-", answer.words)
        self._sleep(max(answer.retry_after, pause * random.uniform(1.0, 1.25)))  # noqa: S311 - two pollers keep apart

    def _checked(self, answer: Answer) -> None:
        if answer.status in (401, 404):
            raise FixCredentialsError("Telegram refuses the bot token: check TELEGRAM_BOT_TOKEN")

    # ------------------------------------------------------------ speaking

    def send(self, reply: Reply) -> bool:
        """Send a reply; return True if all of it arrived. What Telegram refuses is one line in the log."""
        messages = split_messages(reply.text)
        keyboard = [[{"text": b.text, "callback_data": b.data} for b in row] for row in reply.buttons]
        for n, message in enumerate(messages):
            values: dict[str, Any] = {"text": message.html, "parse_mode": "HTML", "disable_web_page_preview": True}
            if keyboard and n == len(messages) - 1:
                values["reply_markup"] = {"inline_keyboard": keyboard}
            if not self._send_one(values, message.plain):
                return False
        return True

    def _send_one(self, values: dict[str, Any], plain: str) -> bool:
        thread = self._allowed.thread
        for _ in range(SENDS + 2):
            place = {"chat_id": self._allowed.chat} | ({} if thread is None else {"message_thread_id": thread})
            answer = self._bot.call("sendMessage", {**values, **place})
            if answer.is_fine:
                return True
            self._checked(answer)
            words = answer.words.lower()
            if answer.new_chat is not None:
                self._move(answer.new_chat)
            elif answer.status == 400 and thread is not None and ("topic" in words or "thread" in words):
                log.warning("Telegram: the topic is closed or gone (%s); the chat itself gets it", answer.words)
                thread = None
            elif answer.status == 400 and "parse" in words and "parse_mode" in values:
                values = {key: value for key, value in values.items() if key != "parse_mode"} | {"text": plain}
            elif answer.status == 429 or answer.status == NO_ANSWER or answer.status >= 500:
                self._sleep(answer.retry_after or PAUSES[0])
            else:
                break
        log.error("Telegram does not take the message: HTTP %s %s", answer.status, answer.words)
        return False

    def _show_proposals(self) -> None:
        """Send the orders of the next open once for each decision, and once more after a start of the service."""
        for account in self._talk.accounts():
            reply = self._talk.proposal(account.run_id)
            if reply is None or (account.run_id, str(account.last_session)) in self._shown:
                continue
            if self.send(reply):
                self._shown.add((account.run_id, str(account.last_session)))

    def _move(self, chat: int) -> None:
        log.warning("the group has become chat %s: set TELEGRAM_CHAT_ID to it", chat)
        self._allowed = self._allowed._replace(chat=chat)


def _text(update: dict[str, Any]) -> str:
    message = update.get("message")
    return str(message.get("text", "")) if isinstance(message, dict) else ""
