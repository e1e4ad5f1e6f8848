"""The stream of trade updates: as alpaca-py hears it, as bytes, and with everything that may go wrong with it."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from alpaca_world import KEY, SECRET, flat, make_server, market
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from trading_platform.alpaca_server.behaviour import Behaviour
from trading_platform.alpaca_server.server import AlpacaServer
from trading_platform.alpaca_server.websocket import ClosedError, Opcode, accept_token, encode, read_frame

HEADERS = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}
BUY = {"symbol": "AAA", "qty": 10, "side": "buy", "type": "market", "time_in_force": "day"}
PATIENCE = 20.0  # seconds for a message that must come


@pytest.fixture
def server() -> Iterator[AlpacaServer]:
    with make_server(market({"AAA": flat(100.0), "BBB": flat(50.0)})) as running:
        yield running


def address(server: AlpacaServer) -> str:
    return server.url.replace("http", "ws", 1) + "/stream"


def post(server: AlpacaServer, **changes: object) -> dict[str, Any]:
    answer = requests.post(f"{server.url}/v2/orders", json={**BUY, **changes}, headers=HEADERS, timeout=5)
    assert answer.status_code == 200, answer.text
    sent: dict[str, Any] = answer.json()
    return sent


def spoil(server: AlpacaServer, **wish: object) -> None:
    assert requests.post(f"{server.url}/admin/stream", json=wish, timeout=5).status_code == 200


def hear(socket: ClientConnection) -> dict[str, Any]:
    heard: dict[str, Any] = json.loads(socket.recv(timeout=PATIENCE))
    return heard


def event(socket: ClientConnection) -> tuple[str, str]:
    data = hear(socket)["data"]
    return data["event"], data["order"]["status"]


@contextmanager
def listening(server: AlpacaServer, **options: Any) -> Iterator[ClientConnection]:
    with connect(address(server), **options) as socket:
        socket.send(json.dumps({"action": "authenticate", "data": {"key_id": KEY, "secret_key": SECRET}}))
        assert hear(socket)["data"]["status"] == "authorized"
        socket.send(json.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}}))
        assert hear(socket) == {"stream": "listening", "data": {"streams": ["trade_updates"]}}
        yield socket


# ---------------------------------------------------------------- what is told


def test_life_of_an_order_is_told_with_its_fill(server: AlpacaServer) -> None:
    with listening(server) as socket:
        sent = post(server)
        assert event(socket) == ("pending_new", "accepted")
        server.advance_to_open()
        assert event(socket) == ("new", "new")
        data = hear(socket)["data"]
        assert (data["event"], data["price"], data["qty"], data["position_qty"]) == ("fill", "100", "10", "10")
        assert (data["order"]["id"], data["order"]["filled_qty"]) == (sent["id"], "10")
        assert data["timestamp"] == "2024-01-03T14:30:00.000000Z"


def test_alpaca_trade_api_asks_for_the_stream_with_a_slash_behind_and_is_served(server: AlpacaServer) -> None:
    with connect(address(server) + "/") as socket:
        socket.send(json.dumps({"action": "authenticate", "data": {"key_id": KEY, "secret_key": SECRET}}))
        assert hear(socket)["data"]["status"] == "authorized"
    with pytest.raises(InvalidStatus, match="401"), connect(address(server) + "s"):
        pass


def test_cancellations_replacements_and_ends_are_told(server: AlpacaServer) -> None:
    server.advance_to_open()
    with listening(server) as socket:
        resting = post(server, type="limit", limit_price=50.0)
        assert event(socket) == ("new", "new")
        requests.patch(f"{server.url}/v2/orders/{resting['id']}", json={"qty": 5}, headers=HEADERS, timeout=5)
        assert event(socket) == ("replaced", "replaced")
        server.advance_to_close()
        assert event(socket) == ("expired", "expired")


def test_pending_cancellation_is_told_before_the_end() -> None:
    with make_server(market({"AAA": flat(100.0)}), behaviour=Behaviour(late_cancels=True)) as server:
        server.advance_to_open()
        resting = post(server, type="limit", limit_price=50.0, time_in_force="gtc")
        server.advance_to_close()
        with listening(server) as socket:
            requests.delete(f"{server.url}/v2/orders/{resting['id']}", headers=HEADERS, timeout=5)
            assert event(socket) == ("pending_cancel", "pending_cancel")
            server.advance_to_open()
            assert event(socket) == ("canceled", "canceled")


def test_wrong_keys_hear_nothing(server: AlpacaServer) -> None:
    with connect(address(server)) as socket:
        socket.send(json.dumps({"action": "authenticate", "data": {"key_id": KEY, "secret_key": "wrong"}}))
        assert hear(socket)["data"]["status"] == "unauthorized"
        socket.send(json.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}}))
        socket.send("words that are no JSON")
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=PATIENCE)


# ---------------------------------------------------------------- what goes wrong


def test_messages_are_lost_doubled_and_swapped_on_demand(server: AlpacaServer) -> None:
    server.advance_to_open()
    with listening(server) as socket:
        spoil(server, lose=1)
        post(server, type="limit", limit_price=50.0)  # nobody hears of it
        spoil(server, double=1)
        post(server, type="limit", limit_price=51.0)
        assert [hear(socket)["data"]["order"]["limit_price"] for _ in range(2)] == ["51", "51"]
        spoil(server, swap=1)
        post(server, type="limit", limit_price=52.0)
        post(server, type="limit", limit_price=53.0)
        assert [hear(socket)["data"]["order"]["limit_price"] for _ in range(2)] == ["53", "52"]


def test_connection_is_closed_and_refused_on_demand(server: AlpacaServer) -> None:
    with listening(server) as socket:
        spoil(server, disconnect=True, refuse=1)
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=PATIENCE)
    with pytest.raises(InvalidStatus, match="429"):
        connect(address(server)).close()
    with listening(server) as again:
        post(server)
        assert event(again) == ("pending_new", "accepted")


def test_some_messages_go_astray_in_the_realistic_profile_and_the_same_each_time() -> None:
    def astray(seed: int) -> list[int]:
        with make_server(market({"AAA": flat(1.0)}), behaviour=Behaviour(stream_faults=0.5), seed=seed) as server:
            return [int(server.updates._fate() != "") for server.updates.sent in range(200)]

    assert 70 < sum(astray(1)) < 130
    assert astray(1) == astray(1) != astray(2)


def test_fault_of_the_stream_that_is_unknown_is_refused(server: AlpacaServer) -> None:
    assert requests.post(f"{server.url}/admin/stream", json={"sing": 1}, timeout=5).status_code == 400


# ---------------------------------------------------------------- how it is told


def test_paper_host_speaks_binary_and_a_client_may_ask_for_msgpack(server: AlpacaServer) -> None:
    import msgpack

    server.advance_to_open()
    with (
        listening(server) as plain,
        connect(address(server), additional_headers={"Content-Type": "application/msgpack"}) as packed,
    ):
        packed.send(json.dumps({"action": "authenticate", "data": {"key_id": KEY, "secret_key": SECRET}}))
        assert msgpack.unpackb(packed.recv(timeout=PATIENCE))["data"]["status"] == "authorized"
        packed.send(json.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}}))
        packed.recv(timeout=PATIENCE)
        post(server, type="limit", limit_price=50.0)
        raw = plain.recv(timeout=PATIENCE)
        assert isinstance(raw, bytes)
        assert msgpack.unpackb(packed.recv(timeout=PATIENCE)) == json.loads(raw)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of alpaca-py's own use of websockets
def test_alpaca_pys_stream_hears_a_fill_across_a_reconnect(server: AlpacaServer) -> None:
    from alpaca.trading.stream import TradingStream

    heard: queue.Queue[Any] = queue.Queue()

    async def take(update: Any) -> None:
        heard.put((str(getattr(update.event, "value", update.event)), update.order.symbol, update.qty))

    stream = TradingStream(KEY, SECRET, url_override=address(server))
    stream._reconnect_min_backoff = 0.05
    stream.subscribe_trade_updates(take)
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    _await_listener(server)
    server.advance_to_open()
    post(server)
    assert [heard.get(timeout=PATIENCE) for _ in range(2)] == [("new", "AAA", None), ("fill", "AAA", 10.0)]
    spoil(server, disconnect=True)
    _await_listener(server)
    post(server, qty=3)
    assert [heard.get(timeout=PATIENCE) for _ in range(2)] == [("new", "AAA", None), ("fill", "AAA", 3.0)]
    stream.stop()
    thread.join(timeout=PATIENCE)
    assert not thread.is_alive()


def _await_listener(server: AlpacaServer) -> None:
    assert server.updates.arrival.wait(PATIENCE), "nobody has come to listen"
    server.updates.arrival.clear()


# ---------------------------------------------------------------- frames


class Pipe:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, size: int) -> bytes:
        taken, self.data = self.data[:size], self.data[size:]
        return taken


def masked(first: int, payload: bytes, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    body = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    head = (
        bytes([first, 0x80 | len(payload)]) if len(payload) < 126 else bytes([first, 0xFE]) + len(payload).to_bytes(2)
    )
    return head + mask + body


def test_answer_to_the_handshake_is_that_of_the_standard() -> None:
    assert accept_token("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3


@pytest.mark.parametrize("size", [0, 125, 126, 65_535])
def test_frame_is_read_as_it_was_sent(size: int) -> None:
    payload = bytes(n % 251 for n in range(size))
    frame = read_frame(Pipe(masked(0x82, payload)))
    assert (frame.opcode, frame.payload) == (Opcode.BINARY, payload)
    assert encode(Opcode.BINARY, payload).endswith(payload)


def test_message_in_pieces_is_joined() -> None:
    pipe = Pipe(masked(0x01, b"Hel") + masked(0x80, b"lo"))
    assert read_frame(pipe).payload == b"Hello"


@pytest.mark.parametrize("data", [b"", b"\x81", b"\x81\x05Hello", masked(0x83, b"x"), b"\x81\xff" + b"\xff" * 8])
def test_what_clients_do_not_send_ends_the_connection(data: bytes) -> None:
    with pytest.raises(ClosedError):
        read_frame(Pipe(data))
