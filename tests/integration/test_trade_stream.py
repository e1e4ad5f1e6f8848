"""The bell of trade updates: it rings for what happens, whatever the connection does, and ends when it is told."""

from __future__ import annotations

import socket as sockets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from alpaca_world import KEY, SECRET, flat, make_server, market
from operator_world import KEY as LIVE_KEY
from operator_world import SECRET as LIVE_SECRET
from operator_world import Trading, quiet_market
from test_alpaca_server_stream import BUY, HEADERS

from trading_platform.alpaca.trade_stream import TradeStream, stream_url
from trading_platform.alpaca_server.server import AlpacaServer
from trading_platform.configuration.environment import Secret

PATIENCE = 20.0


@pytest.fixture
def server() -> Iterator[AlpacaServer]:
    with make_server(market({"AAA": flat(100.0), "BBB": flat(50.0)})) as running:
        running.advance_to_open()
        yield running


class Bell(TradeStream):
    """A stream that can be waited for."""

    def wait(self) -> bool:
        """Return True once it rings."""
        return self._rung.wait(PATIENCE) and self.rings()


def bell(url: str, secret: str = SECRET, apart: float = 0.0, patience: float = 10.0) -> Bell:
    return Bell(url, Secret(KEY), Secret(secret), apart=apart, first_pause=0.01, patience=patience)


@contextmanager
def listening(server: AlpacaServer) -> Iterator[Bell]:
    """A bell that has begun to listen, and has rung for what may have been before."""
    with bell(stream_url(server.url, live=False)) as stream:
        assert stream.wait()
        yield stream


def buy(server: AlpacaServer) -> None:
    assert requests.post(f"{server.url}/v2/orders", json=BUY, headers=HEADERS, timeout=5).status_code == 200


def spoil(server: AlpacaServer, **wish: object) -> None:
    assert requests.post(f"{server.url}/admin/stream", json=wish, timeout=5).status_code == 200


def test_the_address_is_that_of_the_account() -> None:
    assert stream_url(None, live=False) == "wss://paper-api.alpaca.markets/stream"
    assert stream_url(None, live=True) == "wss://api.alpaca.markets/stream"
    assert stream_url("http://127.0.0.1:8123/", live=False) == "ws://127.0.0.1:8123/stream"
    assert stream_url("https://broker.example", live=True) == "wss://broker.example/stream"


def test_it_rings_once_when_it_begins_to_listen_and_once_for_what_happens(server: AlpacaServer) -> None:
    with listening(server) as stream:
        assert not stream.rings()
        buy(server)
        assert stream.wait()


def test_many_messages_are_one_ring_until_some_seconds_have_passed(server: AlpacaServer) -> None:
    seconds = [0.0]
    stream = TradeStream("ws://nowhere", Secret(KEY), Secret(SECRET), apart=5.0, steady=lambda: seconds[0])
    stream._rung.set()
    assert stream.rings()
    for _ in range(40):
        stream._rung.set()
        assert not stream.rings()
    seconds[0] = 5.0
    assert stream.rings()
    assert not stream.rings()


def test_a_connection_that_is_cut_is_made_again_and_rings_for_the_gap(server: AlpacaServer) -> None:
    with listening(server) as stream:
        spoil(server, disconnect=True, refuse=2)
        assert stream.wait()
        buy(server)
        assert stream.wait()


def test_lost_doubled_and_swapped_messages_ring_or_do_not_and_end_nothing(server: AlpacaServer) -> None:
    with listening(server) as stream:
        spoil(server, lose=1, double=1, swap=1)
        for _ in range(3):
            buy(server)
        assert stream.wait()
        buy(server)
        assert stream.wait()


@pytest.mark.parametrize(
    "raw",
    ["no JSON", "[]", "7", "{}", '{"stream": "authorization", "data": {}}', b"\xff\xfe\x00", '{"data": 1}'],
    ids=str,
)
def test_nonsense_does_not_ring_and_the_stream_goes_on(server: AlpacaServer, raw: str | bytes) -> None:
    from trading_platform.alpaca_server.websocket import Opcode, encode

    with listening(server) as stream:
        (subscriber,) = server.updates._subscribers
        text = raw if isinstance(raw, bytes) else raw.encode()
        subscriber.send_frame(encode(Opcode.BINARY, text))
        buy(server)
        assert stream.wait()  # it still listens


def test_keys_that_are_refused_are_said_once_and_tried_again(
    server: AlpacaServer, caplog: pytest.LogCaptureFixture
) -> None:
    with bell(stream_url(server.url, live=False), secret="wrong") as stream:
        tries = threading.Event()
        seen = server.updates.serve

        def count(*given: object) -> None:
            calls.append(1)
            if len(calls) == 3:
                tries.set()
            seen(*given)  # type: ignore[arg-type]

        calls: list[int] = []
        server.updates.serve = count  # type: ignore[method-assign, assignment] # counts who comes
        assert tries.wait(PATIENCE)
        assert not stream.rings()
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "trade updates: the keys are refused; polling goes on, and the stream is tried again"
    ]
    assert "wrong" not in caplog.text


@contextmanager
def mute(answer: bytes) -> Iterator[tuple[str, threading.Semaphore]]:
    """A server that takes connections, says `answer` and no more."""
    listener = sockets.create_server(("127.0.0.1", 0))
    came, held = threading.Semaphore(0), list[sockets.socket]()

    def serve() -> None:
        while True:
            try:
                held.append(listener.accept()[0])
            except OSError:
                return
            held[-1].sendall(answer)
            came.release()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/stream", came
    finally:
        listener.shutdown(sockets.SHUT_RDWR)
        listener.close()
        for connection in held:
            connection.close()
        thread.join(5)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\n\r\nhello", b"\x00" * 5000], ids=["silent", "http", "noise"]
)
def test_a_server_that_is_silent_or_speaks_nonsense_is_tried_again(answer: bytes) -> None:
    with mute(answer) as (url, came), bell(url, patience=0.05) as stream:
        for _ in range(3):
            assert came.acquire(timeout=PATIENCE)
        assert not stream.rings()


def test_no_thread_is_left_whatever_it_was_doing(server: AlpacaServer) -> None:
    def ours() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.daemon and thread not in before}

    before = set(threading.enumerate())
    with mute(b"") as (url, came):
        for _ in range(3):
            with bell(url, patience=0.05):
                assert came.acquire(timeout=PATIENCE)
    for _ in range(3):
        stream = bell(stream_url(server.url, live=False))
        with stream:
            assert stream.wait()
        assert not stream._thread.is_alive()
    for thread in ours():
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in ours())


def test_a_live_engine_looks_at_what_the_stream_tells_though_no_time_has_passed(tmp_path: Path) -> None:
    with quiet_market() as server:
        server.advance_to_open()
        engine = Trading(tmp_path, server.url)
        engine.wait_for_look()
        assert server.updates.arrival.wait(PATIENCE)
        keys = {"APCA-API-KEY-ID": LIVE_KEY, "APCA-API-SECRET-KEY": LIVE_SECRET}
        bought = requests.post(f"{server.url}/v2/orders", json=BUY, headers=keys, timeout=5)
        assert bought.status_code == 200
        engine.wait_for_word("AAA: ours 0 shares, the broker's 10 shares")
        engine.stop()


def test_nobody_there_rings_nothing_and_ends_at_once() -> None:
    with sockets.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with bell(f"ws://127.0.0.1:{port}/stream") as stream:
        assert not stream.rings()
    assert not stream._thread.is_alive()
