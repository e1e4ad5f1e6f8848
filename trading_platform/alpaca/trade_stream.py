"""Alpaca's stream of trade updates, as a bell: it says *look now*, and nothing else.

Polling alone stays right. The stream promises neither completeness nor order, and drops the older of two listeners, so
nothing that it tells is used: each message only brings the next look at the account forward, which reads what is so.
Messages that are lost, doubled, reordered or nonsense can therefore do no harm, and a stream that is silent or away
costs nothing but the wait for the next look. After each gap the bell rings once.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from trading_platform.configuration.environment import Secret

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

log = logging.getLogger("trading_platform.alpaca.trade_stream")

TRADE_UPDATES = "trade_updates"
ANSWER_SECONDS = 10.0  # for the handshake, and for each of the two words before listening
ALIVE_SECONDS = 20.0  # between pings; a peer that is silent to one for so long is gone
CLOSING_SECONDS = 0.3  # a stop is not held up by the other side's manners
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between tries, doubled while none is answered
LOOKS_APART = 5.0  # seconds: forty fills at an open are a few looks, and not forty
PAPER, LIVE = "wss://paper-api.alpaca.markets", "wss://api.alpaca.markets"


def stream_url(base_url: str | None, *, live: bool) -> str:
    """Return where the stream is, of a server of one's own or of Alpaca."""
    if base_url is None:
        return f"{LIVE if live else PAPER}/stream"
    return f"{base_url.rstrip('/').replace('http', 'ws', 1)}/stream"


class TradeStream:
    """Listens on a thread of its own; a context manager around an engine's life.

    Parameters
    ----------
    url, key_id, secret_key
        Where, and whose account.
    apart
        Seconds between looks that it asks for.
    first_pause
        Seconds before the second try.
    patience
        Seconds that the other side has to answer.
    steady
        Seconds that only grow.
    """

    def __init__(
        self,
        url: str,
        key_id: Secret,
        secret_key: Secret,
        *,
        apart: float = LOOKS_APART,
        first_pause: float = FIRST_PAUSE,
        patience: float = ANSWER_SECONDS,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url, self._key_id, self._secret_key = url, key_id, secret_key
        self._apart, self._first_pause, self._patience, self._steady = apart, first_pause, patience, steady
        self._ended = threading.Event()
        self._rung = threading.Event()
        self._answered = float("-inf")
        self._lock = threading.Lock()
        self._socket: ClientConnection | None = None
        self._trouble = ""
        self._thread = threading.Thread(target=self._serve, name="trade-updates", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        with self._lock:
            socket = self._socket
        if socket is not None:
            socket.close()
        self._thread.join(2.0 * CLOSING_SECONDS)  # one that is connecting just now ends by itself

    def rings(self) -> bool:
        """Return True if a look is worth it now: once for all that was told since the last True."""
        now = self._steady()
        if not self._rung.is_set() or now - self._answered < self._apart:
            return False
        self._rung.clear()
        self._answered = now
        return True

    # ------------------------------------------------------------ the thread

    def _serve(self) -> None:
        from websockets.exceptions import WebSocketException

        pause = self._first_pause
        while not self._ended.is_set():
            begun = self._steady()
            try:
                self._listen()
                trouble = "the connection was closed"
            except (
                OSError,
                EOFError,
                WebSocketException,
                ValueError,
                RecursionError,
            ) as error:  # words that are no JSON
                trouble = str(error) if isinstance(error, _RefusedError) else type(error).__name__
            if self._ended.is_set():
                return
            self._tell(trouble)
            lasted = self._steady() - begun
            pause = self._first_pause if lasted > LONGEST_PAUSE else min(pause, LONGEST_PAUSE)
            self._ended.wait(pause)
            pause *= 2.0

    def _listen(self) -> None:
        """Connect and listen until the connection ends."""
        from websockets.exceptions import ConnectionClosed
        from websockets.sync.client import connect

        with connect(
            self._url,
            open_timeout=self._patience,
            close_timeout=CLOSING_SECONDS,
            ping_interval=ALIVE_SECONDS,
            ping_timeout=ALIVE_SECONDS,
        ) as socket:
            with self._lock:
                self._socket = socket
            try:
                if self._ended.is_set():
                    return
                self._begin(socket)
                self._tell("")
                self._rung.set()  # what happened while nobody listened is found by a look
                while True:
                    if _is_update(socket.recv()):
                        self._rung.set()
            except ConnectionClosed:
                return
            finally:
                with self._lock:
                    self._socket = None

    def _begin(self, socket: ClientConnection) -> None:
        keys = {"key_id": self._key_id.reveal(), "secret_key": self._secret_key.reveal()}
        socket.send(json.dumps({"action": "authenticate", "data": keys}))
        if _field(socket.recv(timeout=self._patience), "status") != "authorized":
            raise _RefusedError("the keys are refused")
        socket.send(json.dumps({"action": "listen", "data": {"streams": [TRADE_UPDATES]}}))
        if _field(socket.recv(timeout=self._patience), "streams") != [TRADE_UPDATES]:
            raise _RefusedError("listening is refused")

    def _tell(self, trouble: str) -> None:
        """Say what changed: once when it goes, once when it comes."""
        if trouble and not self._trouble:
            log.warning("trade updates: %s; polling goes on, and the stream is tried again", trouble)
        elif not trouble:
            log.info("trade updates: listening")
        self._trouble = trouble


class _RefusedError(ValueError):
    """The other side does not let us listen."""


def _is_update(raw: str | bytes) -> bool:
    """Return True if a message tells of an order; of what cannot be read nobody knows, so it does not ring."""
    try:
        heard = json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return isinstance(heard, dict) and heard.get("stream") == TRADE_UPDATES


def _field(raw: str | bytes, name: str) -> object:
    heard = json.loads(raw)
    data = heard.get("data") if isinstance(heard, dict) else None
    return data.get(name) if isinstance(data, dict) else None
