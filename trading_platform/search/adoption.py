"""From a finding to a settings file: which lines would change, and the file with them changed; on demand only."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping

from trading_platform.core.errors import FixConfigError
from trading_platform.search.plan import Value


def differences(now: Mapping[str, object], found: Mapping[str, Value]) -> list[tuple[str, object, Value]]:
    """Return (setting, its value now, the value found) of the settings that differ; None now = not known."""
    return [(name, now.get(name), value) for name, value in found.items() if now.get(name) != value]


def with_settings(text: str, found: Mapping[str, Value]) -> str:
    """Return a settings file's text with the settings in it; everything else, comments too, stays.

    Raises
    ------
    FixConfigError
        The file is written in a way in which a line cannot be put; the message has the lines to put by hand.
    """
    for setting, value in found.items():
        table, _, key = setting.rpartition(".")
        text = _with_line(text, table, key, f"{key} = {json.dumps(value)}")
    try:
        read: object = tomllib.loads(text)
        for setting, value in found.items():
            if _at(read, setting) != value:
                raise ValueError(setting)
    except (tomllib.TOMLDecodeError, ValueError, KeyError, TypeError) as error:
        lines = "\n".join(f"  {setting} = {json.dumps(value)}" for setting, value in found.items())
        raise FixConfigError(
            f"the settings file cannot be changed by itself ({error}); put by hand:\n{lines}"
        ) from error
    return text


def _with_line(text: str, table: str, key: str, line: str) -> str:
    lines = text.splitlines()
    header = re.compile(rf"\s*\[\s*{re.escape(table)}\s*\]\s*(#.*)?$")
    start = next((i for i, written in enumerate(lines) if header.match(written)), None)
    if start is None:
        return "\n".join([*lines, *([""] if lines else []), f"[{table}]", line, ""])
    stop = next((i for i in range(start + 1, len(lines)) if lines[i].lstrip().startswith("[")), len(lines))
    own = re.compile(rf"\s*{re.escape(key)}\s*=")
    at = next((i for i in range(start + 1, stop) if own.match(lines[i])), None)
    if at is None:
        lines.insert(start + 1, line)
    else:
        lines[at] = line
    return "\n".join([*lines, ""])


def _at(document: object, setting: str) -> object:
    for name in setting.split("."):
        if not isinstance(document, dict):
            raise KeyError(setting)
        document = document[name]
    return document
