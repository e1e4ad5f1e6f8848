"""One HTTP request at the local server: keys, limits, faults, and the answer on the wire."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

from trading_platform.alpaca_server.faults import CHANGES_PAGES, STRIKES_AFTER, Fault, FaultKind, FaultPlan
from trading_platform.core.errors import FixConfigError

HTML_502 = b"<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"


class Service(Protocol):
    """What the handler needs of the server behind it."""

    @property
    def faults(self) -> FaultPlan:
        """Faults in force."""
        ...

    @property
    def stopping(self) -> threading.Event:
        """Set when the server shuts down, so that hanging requests end."""
        ...

    @property
    def keys(self) -> tuple[str, str]:
        """Key and secret that open the account."""
        ...

    def rate_headers(self, path: str) -> tuple[bool, dict[str, str]]:
        """Count a request; return (whether it is within the limit of its host, the limit headers)."""
        ...

    def stream(self, handler: BaseHTTPRequestHandler) -> None:
        """Serve a websocket request until its client goes."""
        ...

    def answer(self, method: str, target: str, body: bytes, fault: Fault | None) -> tuple[int, object]:
        """Answer a request that carries the right keys."""
        ...

    def note(self, method: str, path: str, status: int) -> None:
        """Remember a request; status 0 = the connection was dropped."""
        ...


class LocalHttp(ThreadingHTTPServer):
    """A thread a connection, on this machine only."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], owner: Service) -> None:
        try:
            super().__init__(address, handler)
        except OSError as error:
            raise FixConfigError(f"port {address[1]} cannot be opened: {error}; pass another --port") from error
        self.owner = owner

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent when a client hangs up: faults and short timeouts make that ordinary here."""


class Handler(BaseHTTPRequestHandler):
    """Serves one connection."""

    protocol_version = "HTTP/1.1"
    # Head and body in one packet: two small writes would wait 40 ms for each other (Nagle and delayed ACK).
    wbufsize = -1
    disable_nagle_algorithm = True
    server: LocalHttp

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: the server remembers requests itself."""

    def do_GET(self) -> None:
        """Serve a GET, or the stream."""
        path = self.path.partition("?")[0].rstrip("/")  # alpaca-trade-api asks for /stream/
        if path == "/stream" and self.headers.get("Upgrade", "").lower() == "websocket":
            self.server.owner.stream(self)
        else:
            self._serve()

    def do_POST(self) -> None:
        """Serve a POST."""
        self._serve()

    def do_PUT(self) -> None:
        """Serve a PUT."""
        self._serve()

    def do_PATCH(self) -> None:
        """Serve a PATCH."""
        self._serve()

    def do_DELETE(self) -> None:
        """Serve a DELETE."""
        self._serve()

    def _serve(self) -> None:
        owner = self.server.owner
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        is_admin = self.path.startswith("/admin/")
        fault = None if is_admin else owner.faults.strike(self.command, self.path)
        allowed, headers = (True, {}) if is_admin else owner.rate_headers(self.path)
        if fault is not None and self._strikes_first(fault, headers):
            return
        if not is_admin and not self._has_keys():
            self._reply(401, {"code": 40110000, "message": "request is not authorized"}, {})
            return
        if not allowed:
            self._reply(429, {"code": 42910000, "message": "rate limit exceeded"}, headers)
            return
        status, answer = owner.answer(self.command, self.path, body, fault)
        if fault is not None and fault.kind in STRIKES_AFTER:
            self._strike_after(fault, status, headers)
            return
        self._reply(status, answer, headers)

    def _has_keys(self) -> bool:
        return (self.headers.get("APCA-API-KEY-ID"), self.headers.get("APCA-API-SECRET-KEY")) == self.server.owner.keys

    def _strikes_first(self, fault: Fault, headers: dict[str, str]) -> bool:
        """Apply a fault that comes before the work; return True if the request ends here."""
        stopping = self.server.owner.stopping
        match fault.kind:
            case FaultKind.LATENCY:
                stopping.wait(fault.seconds)
                return False
            case FaultKind.HANG:
                self._drop()
                stopping.wait(fault.seconds or 60.0)
            case FaultKind.DROP_BEFORE:
                self._drop()
            case FaultKind.STATUS_BEFORE:
                self._reply_status(fault, headers)
            case FaultKind.HTML:
                self._send(fault.status if fault.status != 500 else 502, HTML_502, "text/html", headers)
            case _:
                assert fault.kind in STRIKES_AFTER | CHANGES_PAGES  # noqa: S101 - the match above is complete
                return False
        return True

    def _strike_after(self, fault: Fault, status: int, headers: dict[str, str]) -> None:
        match fault.kind:
            case FaultKind.DROP_AFTER:
                self._drop()
            case FaultKind.STATUS_AFTER:
                self._reply_status(fault, headers)
            case FaultKind.GARBAGE_AFTER:
                self._send(status, b'{"id": "cut off', "application/json", headers)
            case _:
                self._send(status, b"", "application/json", headers)

    def _reply_status(self, fault: Fault, headers: dict[str, str]) -> None:
        if fault.status == 429:
            headers = {**headers, "X-Ratelimit-Remaining": "0", **(fault.headers or {"Retry-After": "0"})}
        else:
            headers = {**headers, **(fault.headers or {})}
        self._reply(fault.status, {"code": fault.code, "message": fault.message}, headers)

    def _drop(self) -> None:
        self._note(0)
        self.close_connection = True

    def _reply(self, status: int, answer: object, headers: dict[str, str]) -> None:
        content = b"" if answer is None else json.dumps(answer).encode()
        self._send(status, content, "application/json", headers)

    def _send(self, status: int, content: bytes, kind: str, headers: dict[str, str]) -> None:
        self._note(status)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _note(self, status: int) -> None:
        self.server.owner.note(self.command, self.path, status)
