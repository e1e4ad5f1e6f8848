"""A halt asked at the desk and obeyed by an engine that trades the local Alpaca; and two accounts at one desk."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from desk_world import Visit
from operator_world import PATIENCE, Trading, quiet_market
from test_desk_screens import words

from trading_platform.storage import models as m

pytestmark = pytest.mark.slow  # an engine as a process: its start alone may take a minute on a cold machine


def until(visit: Visit, path: str, wanted: str) -> str:
    """Return what a page says once it says `wanted`."""
    deadline = time.monotonic() + PATIENCE
    while wanted not in (said := words(visit.get(path).text)):
        assert time.monotonic() < deadline, said
    return said


def test_halt_asked_at_the_desk_is_obeyed_by_a_living_engine(tmp_path: Path) -> None:
    with quiet_market() as server:
        engine = Trading(tmp_path, server.url)
        try:
            engine.wait_for_look()
            visit = Visit(tmp_path / "a.db").enter()
            visit.desk.now = lambda: datetime.now(UTC)
            (run,) = visit.rows(m.Run)
            path = f"/accounts/{run['id']}"
            assert "trading" in words(visit.get(path).text)

            asked = visit.post(f"{path}/actions", {"kind": "halt", "reason": "tried from the desk"})
            said = until(visit, path, "halted by an operator")
            until(visit, path, "obeyed ")

            assert asked.status_code == 303
            assert "ann (desk)" in said
            assert "tried from the desk" in words(visit.get(f"{path}/risk").text)
            visit.post(f"{path}/actions", {"kind": "resume", "reason": "well again"})
            until(visit, path, "well again ann (desk) · done")
            assert "Nothing keeps new positions out" in words(visit.get(f"{path}/risk").text)
            stopped = visit.post(f"{path}/actions", {"kind": "stop", "reason": "holiday"})
            assert stopped.status_code == 303
            assert engine.process.wait(timeout=PATIENCE) == 0  # told to stop: no supervisor starts it again
        finally:
            engine.process.kill()
            engine.process.wait()
        assert "nobody watches it until you start the engine again" in engine.said.read_text()
        assert "no engine runs" in words(visit.get(path).text)
        again = visit.post(f"{path}/actions", {"kind": "stop", "reason": "twice"})
        assert (again.status_code, "there is nothing to stop" in words(again.text)) == (422, True)
    rows = visit.rows(m.Command)
    assert [(row["kind"], row["actor"], str(row["result"]).partition(" at ")[0]) for row in rows] == [
        ("halt", "ann (desk)", "done"),
        ("resume", "ann (desk)", "done"),
        ("stop", "ann (desk)", "stopped"),
    ]
