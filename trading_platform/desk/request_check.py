"""What is asked of every request: which host was meant, where a form came from, how large it is; and what browsers
may do with the answer.

A page on another site, or on another port of this machine, can make a browser send requests here. Names other than
this machine's own can be pointed here by whoever owns them (DNS rebinding), so a Host is allowed by a list; a POST
must come from a page of that very host and port; and the session's own token must be in it (`access`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST_BODY = 64_000  # bytes: a note has 2,000 signs
OWN_NAMES = frozenset({"localhost"})
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=()",
}
SAFE = frozenset({"GET", "HEAD"})


class RequestCheck:
    """Lets requests through to `application` that this desk may answer.

    Parameters
    ----------
    names
        Host names beside this machine's own by which the desk is reached, in lower case.
    """

    def __init__(self, application: Application, names: Iterable[str] = ()) -> None:
        self._application = application
        self._names = OWN_NAMES | {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 4xx, or pass the request on."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(send, *refusal)
            return
        await self._application(scope, _bounded(receive), _with_headers(send))

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not is_allowed_host(host, self._names):
            return 421, "This desk is not called by that name. Name it with --name, or use 127.0.0.1."
        if scope["method"] in SAFE:
            return None
        if scope["method"] != "POST":
            return 405, "GET and POST only."
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > LARGEST_BODY:
            return 413, "That is too much."
        if not is_own_form(headers, host):
            return 403, "This did not come from a page of this desk, so nothing was done."
        return None


def is_allowed_host(host: str, names: Iterable[str]) -> bool:
    """Tell whether a Host header names this machine, or a name that the operator has listed."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        _ = urlsplit(f"//{host}").port
    except ValueError:
        return False
    if name in names:
        return True
    try:
        ip_address(name)  # a number cannot be pointed elsewhere by anybody
    except ValueError:
        return False
    return True


def is_own_form(headers: dict[str, str], host: str) -> bool:
    """Tell whether a POST was sent by a page of this host and port, or by a program with a bearer token."""
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).scheme in ("http", "https") and urlsplit(origin).netloc.lower() == host.lower()
    if "sec-fetch-site" in headers:
        return True
    return headers.get("authorization", "").lower().startswith("bearer ") and "cookie" not in headers


def _bounded(receive: Receive) -> Receive:
    """Return `receive` that ends a body beyond the limit: a length may be missing, or a lie."""
    got = 0

    async def bounded() -> Message:
        nonlocal got
        message = await receive()
        if message["type"] == "http.request":
            got += len(message.get("body", b""))
            if got > LARGEST_BODY:
                return {"type": "http.disconnect"}
        return message

    return bounded


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            known = {key.lower() for key, _ in message["headers"]}
            own = {**HEADERS, "cache-control": "no-store"}
            message["headers"] = [
                *message["headers"],
                *((k.encode(), v.encode()) for k, v in own.items() if k.encode() not in known),
            ]
        await send(message)

    return sending


async def _refuse(send: Send, status: int, words: str) -> None:
    body = words.encode()
    headers = {**HEADERS, "content-type": "text/plain; charset=utf-8", "cache-control": "no-store"}
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
