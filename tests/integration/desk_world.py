"""A desk on a small database, and a browser without a screen: what tests of the desk stand on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import report_world
from sqlalchemy import select
from starlette.testclient import TestClient

from trading_platform.configuration.environment import load_settings
from trading_platform.desk.access import Access, Person
from trading_platform.desk.application import Setup, create_application
from trading_platform.desk.place import Desk, without_keys
from trading_platform.storage import models as m
from trading_platform.storage.database import open_database

NOW = datetime(2023, 3, 30, 21, 30, tzinfo=UTC)
BASE = "http://127.0.0.1:8765"
REAL, PAPER, SECOND_PAPER, REPLAY = 1, 2, 3, 4
FIRST = date(2023, 1, 3)


def world(path: Path) -> Path:
    """Write a real account, two on paper and two replays."""
    report_world.build(
        path,
        report_world.Plan(mode="alpaca_live", account="PA-REAL", status="running", sessions=40, seed=3),
        report_world.Plan(mode="alpaca_paper", account="PA-ONE", status="running", sessions=40, seed=4),
        report_world.Plan(mode="alpaca_paper", account="PA-TWO", status="running", sessions=30, seed=9),
        report_world.Plan(sessions=70, seed=5),
        report_world.Plan(sessions=70, seed=6),
    )
    return path


@dataclass
class Clock:
    """Seconds that tests let pass."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Visit:
    """A desk with somebody before it."""

    path: Path
    people: tuple[Person, ...] = ()
    setup: Setup = field(default_factory=Setup)
    base: str = BASE

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.desk = Desk(
            str(self.path),
            None,
            without_keys(load_settings({"TRADING_CACHE_DIR": str(self.path.parent)}, None)),
            self.path.parent / "rl_models",
            lambda: NOW,
            self.clock,
        )
        self.access = Access(self.people, self.clock)
        self.browser = TestClient(
            create_application(self.desk, self.access, self.setup),
            base_url=self.base,
            follow_redirects=False,
            raise_server_exceptions=False,
        )

    def enter(self) -> Visit:
        """Come in by a one-time link, as an operator."""
        answer = self.get(f"/enter?token={self.access.new_link('ann')}")
        assert answer.status_code == 200
        return self

    def get(self, path: str, **headers: str) -> Any:
        return self.browser.get(path, headers=headers)

    def csrf(self, path: str = "/") -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', self.get(path).text)
        assert found is not None
        return found[1]

    def post(self, path: str, data: dict[str, str] | None = None, **headers: str) -> Any:
        """Send a form as a page of the desk would, with the session's token if there is a session."""
        given = dict(data or {})
        if "csrf" not in given and self.get("/").status_code == 200:
            given["csrf"] = self.csrf()
        told = {"origin": self.base, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.browser.post(path, data=given, headers=told)

    def rows(self, model: type[m.Base]) -> list[dict[str, Any]]:
        """Return all rows of a table."""
        engine = open_database(self.path, read_only=True)
        with engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(select(model.__table__))]
