"""A recorded scenario: admin requests with their times, one JSON object a line, carried out again as the clock passes.

`{"at": "2024-03-05T21:30:00+00:00", "method": "POST", "path": "/admin/replace", "body": {"symbol": "AAA", ...}}`
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from trading_platform.core.errors import FixConfigError

# what moves the clock, looks, or is the scenario's own business is not recorded
UNRECORDED = ("/admin/advance", "/admin/state")


@dataclass(frozen=True, slots=True)
class Deed:
    """One admin request of a scenario."""

    at: datetime
    method: str
    path: str
    body: object

    def line(self) -> str:
        """Return the deed as a line of a scenario file."""
        return json.dumps({"at": self.at.isoformat(), "method": self.method, "path": self.path, "body": self.body})


def read_scenario(path: Path) -> tuple[Deed, ...]:
    """Read a scenario file, in the order of its times.

    Raises
    ------
    FixConfigError
        The file cannot be read, or a line is not a deed; the message names the line.
    """
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise FixConfigError(f"scenario {path} cannot be read: {error}") from error
    deeds = [_deed(path, place, line) for place, line in enumerate(lines, start=1) if line.strip()]
    return tuple(sorted(deeds, key=lambda deed: deed.at))


def due(deeds: Sequence[Deed], until: datetime) -> tuple[Sequence[Deed], Sequence[Deed]]:
    """Return (the deeds up to and including `until`, those that remain)."""
    place = sum(deed.at <= until for deed in deeds)
    return deeds[:place], deeds[place:]


def _deed(path: Path, place: int, line: str) -> Deed:
    try:
        read = json.loads(line)
        at = datetime.fromisoformat(str(read["at"]))
        target = str(read["path"])
    except (ValueError, KeyError, TypeError) as error:
        raise FixConfigError(f"{path}, line {place}: {line!r} is no deed: {error}") from error
    if at.tzinfo is None:
        raise FixConfigError(f"{path}, line {place}: at {read['at']!r} has no zone; add +00:00")
    if not target.startswith("/admin/") or target in UNRECORDED:
        raise FixConfigError(f"{path}, line {place}: path {target!r} is no admin request that a scenario can hold")
    return Deed(at, str(read.get("method", "POST")), target, read.get("body", {}))
