"""The text of settings files, however an editor has saved them."""

from __future__ import annotations


def decode_settings(data: bytes) -> str:
    """Return `data` as text: UTF-8 with or without a byte-order mark (Notepad), or UTF-16 (PowerShell's ``>``).

    Raises:
        UnicodeDecodeError: it is neither.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16").removeprefix("\ufeff")
    if b"\0" in data[:200]:
        # without a mark: the zero bytes of plain letters stand on one side
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be")
    return data.decode("utf-8-sig")
