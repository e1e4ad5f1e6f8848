"""A live engine at the local Alpaca tells a halt, its end, and that it is back after a kill: each once."""

from __future__ import annotations

import json
import queue
import signal
from pathlib import Path
from typing import Any

from http_stub import Reply, Request, serve
from operator_world import PATIENCE, Trading, command, quiet_market


def test_halt_and_resume_and_a_kill_are_told_once_each(tmp_path: Path) -> None:
    arrived: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def answer(request: Request) -> Reply:
        if request.body:
            arrived.put(json.loads(request.body))
        return Reply()

    def next_one() -> tuple[list[str], list[str]]:
        body = arrived.get(timeout=PATIENCE)
        return [state["kind"] for state in body["began"]], [state["kind"] for state in body["over"]]

    with serve(answer) as hook, quiet_market() as server:
        env = f"TRADING_WEBHOOK_URL={hook.url}/secret-path\nTRADING_PING_URL={hook.url}/ping\n"
        (tmp_path / ".env").write_text(env)
        (tmp_path / ".env").chmod(0o600)
        (tmp_path / "trading.toml").write_text("[alerts]\nquiet_minutes = 0\n")
        engine = Trading(tmp_path, server.url)
        engine.wait_for_look()
        assert command(tmp_path, "halt", "--db", "a.db", "--reason", "lunch").returncode == 0
        assert next_one() == (["halt"], [])
        engine.process.send_signal(signal.SIGKILL)
        engine.process.wait(timeout=PATIENCE)
        said = engine.said.read_text()
        engine = Trading(tmp_path, server.url)
        assert next_one() == ([], ["engine_down"])  # and not the halt once more
        assert command(tmp_path, "resume", "--db", "a.db", "--reason", "back").returncode == 0
        assert next_one() == ([], ["halt"])
        said += engine.stop()
    assert arrived.empty()
    assert "secret-path" not in said
    assert any(request.path == "/ping" for request in hook.requests)
