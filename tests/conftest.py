"""Settings of every test: no example is timed, no test hangs, and no process outlives the run that started it.

A first example may have to compile, so Hypothesis has no deadline; pytest-timeout ends what hangs (pyproject.toml).
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings
from sqlalchemy.engine import URL

from tests.postgres_server import PostgresServer, missing_part, postgres_server

# TRADING_TESTS_AS=windows: the suite without the modules that Windows has not, in this process and in all that tests
# start (`make test-windows` also gives it a locale of cp1252). What it cannot show is Windows itself.
AS = "TRADING_TESTS_AS"
if os.environ.get(AS) == "windows":
    hiding = Path(__file__).with_name("as_windows")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(hiding), os.environ.get("PYTHONPATH"))))
    runpy.run_path(str(hiding / "sitecustomize.py"))

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SLOW_SECONDS = 3600
TOKEN = "SUITE_TOKEN"  # every process that a test starts inherits it, whatever starts it on the way
KEEPER = Path(__file__).with_name("suite_keeper.py")

_keepers: list[subprocess.Popen[bytes]] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let tests of the store run on a database server as they are."""
    parser.addoption("--postgres", action="store_true", help="each database file is a database on a server instead")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the keeper: it hears when this process ends, however it ends, and ends what it has left behind."""
    token = os.environ[TOKEN] = uuid4().hex
    _keepers.append(
        subprocess.Popen([sys.executable, str(KEEPER), token], stdin=subprocess.PIPE, start_new_session=True)
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let the keeper go, after xdist has seen its workers off."""
    for keeper in _keepers:
        assert keeper.stdin is not None
        keeper.stdin.close()
        keeper.wait(timeout=30)
    _keepers.clear()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give what is marked slow an hour, and what compiles: half a minute's work can take ten on a busy machine."""
    for item in items:
        is_long = item.get_closest_marker("slow") or item.get_closest_marker("compiles")
        if is_long and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of this run's own."""
    if (missing := missing_part()) is not None:
        pytest.skip(missing)
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, once a file and once on a real server: its URL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'd.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture(autouse=True)
def _server_for_files(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --postgres: whoever opens a database file gets a database of that name on this run's server."""
    if not request.config.getoption("--postgres"):
        return
    from trading_platform.storage import database, reader

    server: PostgresServer = request.getfixturevalue("postgres")
    plain, made = database.database_url, dict[str, str]()

    def on_server(url: str | Path) -> URL:
        known = plain(url)
        if known.get_backend_name() != "sqlite":
            return known
        name = str(known.database)
        if name not in made:
            made[name] = server.new_database()
        return plain(made[name])

    monkeypatch.setattr(database, "database_url", on_server)
    monkeypatch.setattr(reader, "sqlite_path", lambda _: None)
