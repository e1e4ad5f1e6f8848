"""The MCP server as agents meet it: a process of its own, spoken to by the official client."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from operator_world import ENGINE, environment
from test_telegram_service import account

pytest.importorskip("mcp", reason="the mcp extra is not installed")
pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("default")]


async def _talk(home: Path, calls: list[tuple[str, dict[str, Any]]]) -> tuple[set[str], list[tuple[bool, str]]]:
    from mcp import ClientSession, StdioServerParameters, stdio_client

    env = {**environment(home, None), "ALPACA_API_KEY": "k", "ALPACA_SECRET_KEY": "s"}
    words = [str(ENGINE), "mcp", "--db", str(home / "a.db")]
    there = StdioServerParameters(command=sys.executable, args=words, env=env, cwd=home)
    async with stdio_client(there) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        names = {tool.name for tool in (await session.list_tools()).tools}
        answers = []
        for name, arguments in calls:
            told: Any = await session.call_tool(name, arguments)
            answers.append((bool(told.is_error), "\n".join(part.text for part in told.content)))
        return names, answers


def test_official_client_reads_and_cannot_write(tmp_path: Path) -> None:
    account(tmp_path).dispose()
    names, answers = asyncio.run(
        _talk(
            tmp_path,
            [
                ("accounts", {}),
                ("explain", {"ticker": "bbb"}),
                ("status", {}),
                ("positions", {"run": 9}),
                ("runs_compare", {"run_ids": [1]}),
            ],
        )
    )
    assert names == {"accounts", "runs", "status", "positions", "daily_report", "explain", "runs_compare", "replay"}
    (_, accounts), (_, why), (_, status), (unknown, words), (few, _) = answers
    assert json.loads(accounts)["name"] == "savings"
    assert "SECTOR_LIMIT (0.31, limit 0.3)" in why
    assert json.loads(status)["next_open"]["waiting"] == ["AAA"]
    assert unknown and "--run 9: no such run" in words
    assert few  # a comparison needs two
    with closing(sqlite3.connect(tmp_path / "a.db")) as database:
        assert database.execute("SELECT count(*) FROM commands").fetchone() == (0,)
