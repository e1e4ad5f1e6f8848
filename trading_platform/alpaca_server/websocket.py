"""Just enough of RFC 6455 to serve small messages to a client: handshake, frames, ping, close."""

from __future__ import annotations

import base64
import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
LARGEST = 1 << 20  # bytes of a client's message; theirs have a hundred


class Opcode(IntEnum):
    """Kinds of frames."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Source(Protocol):
    """Where bytes come from."""

    def read(self, size: int, /) -> bytes:
        """Return `size` bytes, fewer at the end."""
        ...


class ClosedError(Exception):
    """The client has gone."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of the client."""

    opcode: Opcode
    payload: bytes


def accept_token(key: str) -> str:
    """Return the answer to a client's `Sec-WebSocket-Key`."""
    digest = hashlib.sha1((key + GUID).encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def encode(opcode: Opcode, payload: bytes) -> bytes:
    """Return a whole unmasked frame, as servers send them."""
    size = len(payload)
    head = bytes([0x80 | opcode])
    if size < 126:
        return head + bytes([size]) + payload
    if size < 1 << 16:
        return head + bytes([126]) + struct.pack("!H", size) + payload
    return head + bytes([127]) + struct.pack("!Q", size) + payload


def read_frame(source: Source) -> Frame:
    """Read one message, its continuations joined.

    Raises
    ------
    ClosedError
        The stream has ended, or the client breaks the protocol.
    """
    opcode, payload, is_last = _read_piece(source)
    while not is_last:
        _, more, is_last = _read_piece(source)
        payload += more
    return Frame(opcode, payload)


def _read_piece(source: Source) -> tuple[Opcode, bytes, bool]:
    first, second = _exactly(source, 2)
    size = second & 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", _exactly(source, 2))
    elif size == 127:
        (size,) = struct.unpack("!Q", _exactly(source, 8))
    if size > LARGEST or not second & 0x80 or first & 0x0F not in set(Opcode):
        raise ClosedError("a frame that clients do not send")
    mask = _exactly(source, 4)
    masked = _exactly(source, size)
    payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(masked))
    return Opcode(first & 0x0F), payload, bool(first & 0x80)


def _exactly(source: Source, size: int) -> bytes:
    data = source.read(size)
    if len(data) < size:
        raise ClosedError("the client has gone")
    return data
