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
        if values.get("chat_id") != CHAT:
            return _reply(400, "Bad Request: chat not found")
        if method == "sendPhoto":
            return self._photo(values)
        return self._message(values)

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
