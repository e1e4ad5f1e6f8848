"""A Bot API server with Telegram's rules: length after parsing, known tags, its rate limit, the token in the path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from html.parser import HTMLParser
from urllib.parse import parse_qs

from http_stub import Reply, Request, serve

TOKEN = "123456:secret-token"
CHAT = "-1001"
TAGS = {"b", "strong", "i", "em", "u", "s", "a", "code", "pre", "blockquote", "tg-spoiler"}


class EntityError(Exception):
    """Telegram's "can't parse entities"."""


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            raise EntityError(f'Unsupported start tag "{tag}"')
        self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack.pop() != tag:
            raise EntityError(f'Unmatched end tag "{tag}"')

    def handle_data(self, data: str) -> None:
        self.text += data


@dataclass
class Telegram:
    """The server's state: `busy` answers so many calls with 429, `status` forces answers."""

    url: str = ""
    texts: list[str] = field(default_factory=list)
    photos: list[bytes] = field(default_factory=list)
    calls: list[dict[str, str]] = field(default_factory=list)
    busy: int = 0
    retry_after: float = 3
    refuse_html: bool = False
    status: list[int] = field(default_factory=list)
    updates: list[dict[str, object]] = field(default_factory=list)  # what people say to the bot
    said: int = 0
    other_poller: bool = False  # answers getUpdates with 409
    moved_to: str = ""  # the group has become a supergroup of that id
    closed_topic: str = ""
    buttons: list[str] = field(default_factory=list)  # what the buttons of messages say back
    hang: bool = False

    def answer(self, request: Request) -> Reply:
        """Answer a call as Telegram would."""
        if not request.path.startswith(f"/bot{TOKEN}/"):
            return _reply(401, "Unauthorized")
        if self.hang:
            return Reply(hang=True)
        if self.status:
            return _reply(self.status.pop(0), "forced")
        if self.busy:
            self.busy -= 1
            wait: dict[str, object] = {"parameters": {"retry_after": self.retry_after}}
            return _reply(429, f"Too Many Requests: retry after {self.retry_after}", wait)
        method = request.path.rpartition("/")[2]
        values = _form(request)
        self.calls.append({"method": method, **{k: v for k, v in values.items() if isinstance(v, str)}})
        if method in ("deleteWebhook", "answerCallbackQuery"):
            return _reply(200, "")
        if method == "getUpdates":
            return self._updates(int(str(values.get("offset", "0"))))
        if self.moved_to and values.get("chat_id") == CHAT:
            moved: dict[str, object] = {"parameters": {"migrate_to_chat_id": int(self.moved_to)}}
            return _reply(400, "Bad Request: group chat was upgraded to a supergroup chat", moved)
        if values.get("chat_id") != (self.moved_to or CHAT):
            return _reply(400, "Bad Request: chat not found")
        if method == "getChat":
            return _reply(200, "")
        if self.closed_topic and values.get("message_thread_id") == self.closed_topic:
            return _reply(400, "Bad Request: TOPIC_CLOSED")
        if method == "sendPhoto":
            return self._photo(values)
        return self._message(values)

    def _updates(self, offset: int) -> Reply:
        if self.other_poller:
            return _reply(409, "Conflict: terminated by other getUpdates request")
        self.updates = [update for update in self.updates if int(str(update["update_id"])) >= offset]
        return Reply(200, json.dumps({"ok": True, "result": self.updates}).encode())

    def say(self, text: str, *, user: int = 7, at: float = 0.0, chat: str = CHAT) -> None:
        """Let a user write to the bot."""
        self._add({"message": {"text": text, "date": at, "chat": {"id": int(chat)}, "from": {"id": user}}})

    def press(self, data: str, *, user: int = 7) -> None:
        """Let a user press a button."""
        told = {"id": "1", "data": data, "from": {"id": user}, "message": {"chat": {"id": int(CHAT)}}}
        self._add({"callback_query": told})

    def _add(self, update: dict[str, object]) -> None:
        self.said += 1
        self.updates.append({"update_id": 100 + self.said, **update})

    def _message(self, values: dict[str, str | bytes]) -> Reply:
        text = str(values.get("text", ""))
        if values.get("parse_mode") == "HTML":
            if self.refuse_html:
                return _reply(400, "Bad Request: can't parse entities: told to")
            parser = _Parser()
            try:
                parser.feed(text)
                parser.close()
            except EntityError as error:
                return _reply(400, f"Bad Request: can't parse entities: {error}")
            if parser.stack:
                return _reply(400, "Bad Request: can't parse entities: can't find end tag")
            text = parser.text
        if not text.strip():
            return _reply(400, "Bad Request: message text is empty")
        if len(text.encode("utf-16-le")) // 2 > 4096:
            return _reply(400, "Bad Request: message is too long")
        self.texts.append(text)
        if "reply_markup" in values:
            rows = json.loads(str(values["reply_markup"]))["inline_keyboard"]
            self.buttons += [button["callback_data"] for row in rows for button in row]
        return _reply(200, "")

    def _photo(self, values: dict[str, str | bytes]) -> Reply:
        photo = values.get("photo")
        if not isinstance(photo, bytes) or not photo.startswith(b"\x89PNG"):
            return _reply(400, "Bad Request: IMAGE_PROCESS_FAILED")
        self.photos.append(photo)
        return _reply(200, "")


@contextmanager
def telegram() -> Iterator[Telegram]:
    """Run the server until the block ends."""
    state = Telegram()
    with serve(state.answer) as stub:
        state.url = stub.url
        yield state


def _reply(status: int, description: str, more: dict[str, object] | None = None) -> Reply:
    body = (
        {"ok": True, "result": {}} if status == 200 else {"ok": False, "error_code": status, "description": description}
    )
    return Reply(status, json.dumps({**body, **(more or {})}).encode())


def _form(request: Request) -> dict[str, str | bytes]:
    kind = request.headers.get("Content-Type", "")
    if kind.startswith("application/json"):
        told = json.loads(request.body)
        return {key: json.dumps(value) if isinstance(value, dict | list) else str(value) for key, value in told.items()}
    if not kind.startswith("multipart/form-data"):
        return {key: values[0] for key, values in parse_qs(request.body.decode(), keep_blank_values=True).items()}
    message = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + request.body)
    found: dict[str, str | bytes] = {}
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            found[name] = content if part.get_filename() else content.decode()
    return found
