"""The stream of trade updates: a message for each event in the life of an order, to every client that listens.

The service drops the connection of a client that comes a second time, may lose messages while a client is away, and
promises no order; so `StreamFaults` loses, doubles and swaps them on demand.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler

from trading_platform.alpaca_server.records import Json, SimOrder, stamp
from trading_platform.alpaca_server.websocket import ClosedError, Frame, Opcode, accept_token, encode, read_frame

TRADE_UPDATES = "trade_updates"
# what the service calls an event, where it differs from our status words
EVENTS = {"accepted": "pending_new"}


@dataclass(slots=True)
class StreamFaults:
    """How many of the next messages are lost, doubled, or swapped with the one after; how many connects are refused."""

    lose: int = 0
    double: int = 0
    swap: int = 0
    refuse: int = 0


class Subscriber:
    """One client that has connected; messages leave on a thread of their own, so that it can block nobody."""

    def __init__(self, write: Callable[[bytes], object], packs: bool, binary: bool) -> None:
        self._write = write
        self._packs = packs
        self._binary = binary
        self.listens = False
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._deliver, daemon=True)
        self._thread.start()

    def send(self, message: Json) -> None:
        """Queue a message."""
        if self._packs:
            import msgpack  # it comes with alpaca-py; only a client that asks for it needs it

            self._waiting.put(encode(Opcode.BINARY, msgpack.packb(message)))
        else:
            text = json.dumps(message).encode()
            self._waiting.put(encode(Opcode.BINARY if self._binary else Opcode.TEXT, text))

    def send_frame(self, frame: bytes) -> None:
        """Queue a control frame."""
        self._waiting.put(frame)

    def end(self) -> None:
        """Deliver no more."""
        self._waiting.put(None)

    def _deliver(self) -> None:
        while (frame := self._waiting.get()) is not None:
            try:
                self._write(frame)
            except OSError:
                return


class TradeUpdates:
    """The hub: hears of events and tells those who listen.

    Parameters
    ----------
    keys
        Key and secret that open the account.
    now
        The simulated time.
    drawn
        A draw for message number n, and the chance of the behaviour in force.
    """

    def __init__(
        self,
        keys: tuple[str, str],
        now: Callable[[], datetime],
        new_id: Callable[[str], str],
        drawn: Callable[[int], tuple[float, float]],
    ) -> None:
        self._keys = keys
        self._now = now
        self._new_id = new_id
        self._drawn = drawn
        self.faults = StreamFaults()
        self.sent = 0
        self.arrival = threading.Event()  # set when a client begins to listen
        self._held_back: Json | None = None
        self._subscribers: list[Subscriber] = []
        self._lock = threading.Lock()

    def hear(self, event: str, order: SimOrder, details: Json) -> None:
        """Tell an event of an order's life."""
        self.sent += 1
        data: Json = {
            "event": EVENTS.get(event, event),
            "event_id": f"{self.sent:026d}",
            "execution_id": self._new_id(f"execution/{self.sent}"),
            "timestamp": stamp(self._now()),
            "order": order.json(nested=False),
            **details,
        }
        self._spread({"stream": TRADE_UPDATES, "data": data})

    def disconnect(self) -> None:
        """Close every connection, as a reconnecting service does."""
        with self._lock:
            gone, self._subscribers = self._subscribers, []
        for subscriber in gone:
            subscriber.send_frame(encode(Opcode.CLOSE, b"\x03\xe9"))  # 1001, going away
            subscriber.end()

    @property
    def listeners(self) -> int:
        """How many clients listen."""
        with self._lock:
            return sum(subscriber.listens for subscriber in self._subscribers)

    def _spread(self, message: Json) -> None:
        fate = self._fate()
        if fate == "lose":
            return
        if fate == "swap" and self._held_back is None:
            self._held_back = message
            return
        self._send(message)
        if fate == "double":
            self._send(message)
        if self._held_back is not None:
            late, self._held_back = self._held_back, None
            self._send(late)

    def _fate(self) -> str:
        for name in ("lose", "double", "swap"):
            left = getattr(self.faults, name)
            if left > 0:
                setattr(self.faults, name, left - 1)
                return name
        draw, chance = self._drawn(self.sent)
        if draw < chance:
            return ("lose", "double", "swap")[int(draw / chance * 3.0)]
        return ""

    def _send(self, message: Json) -> None:
        with self._lock:
            for subscriber in self._subscribers:
                if subscriber.listens:
                    subscriber.send(message)

    # ------------------------------------------------------------ one connection

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Serve a websocket request until the client goes; runs on the connection's own thread."""
        handler.close_connection = True
        key = handler.headers.get("Sec-WebSocket-Key")
        if key is None or self.faults.refuse > 0:
            self.faults.refuse = max(0, self.faults.refuse - 1)
            handler.send_error(400 if key is None else 429)
            return
        handler.send_response(101)
        handler.send_header("Upgrade", "websocket")
        handler.send_header("Connection", "Upgrade")
        handler.send_header("Sec-WebSocket-Accept", accept_token(key))
        handler.end_headers()
        handler.wfile.flush()
        packs = handler.headers.get("Content-Type") == "application/msgpack"
        # The paper host sends its JSON in binary frames, the live host in text frames.
        subscriber = Subscriber(handler.connection.sendall, packs, binary=self._keys[0].startswith("PK"))
        with self._lock:
            self._subscribers.append(subscriber)
        try:
            self._listen(handler, subscriber)
        except (ClosedError, OSError, ValueError):
            pass  # gone, or words that no client of the service sends: the connection ends either way
        finally:
            with self._lock:
                if subscriber in self._subscribers:
                    self._subscribers.remove(subscriber)
            subscriber.end()

    def _listen(self, handler: BaseHTTPRequestHandler, subscriber: Subscriber) -> None:
        authorized = False
        while True:
            frame = read_frame(handler.rfile)
            match frame.opcode:
                case Opcode.PING:
                    subscriber.send_frame(encode(Opcode.PONG, frame.payload))
                case Opcode.CLOSE:
                    subscriber.send_frame(encode(Opcode.CLOSE, frame.payload[:2]))
                    return
                case Opcode.TEXT | Opcode.BINARY:
                    authorized = self._obey(_words(frame), subscriber, authorized)
                case _:
                    pass

    def _obey(self, wish: Json, subscriber: Subscriber, authorized: bool) -> bool:
        data = wish.get("data")
        asked: Json = data if isinstance(data, dict) else {}
        if wish.get("action") in ("authenticate", "auth"):
            # alpaca-trade-api says {"action": "auth", "key": ..., "secret": ...} to newer hosts
            keys = asked.get("key_id", wish.get("key")), asked.get("secret_key", wish.get("secret"))
            authorized = keys == self._keys
            status = "authorized" if authorized else "unauthorized"
            subscriber.send({"stream": "authorization", "data": {"action": "authenticate", "status": status}})
        elif wish.get("action") == "listen" and authorized:
            wanted = asked.get("streams")
            streams = [name for name in wanted if name == TRADE_UPDATES] if isinstance(wanted, list) else []
            subscriber.listens = bool(streams)
            if streams:
                self.arrival.set()
            subscriber.send({"stream": "listening", "data": {"streams": streams}})
        return authorized


def _words(frame: Frame) -> Json:
    read = json.loads(frame.payload)
    if not isinstance(read, dict):
        raise ValueError("a JSON object is wanted")
    return read
