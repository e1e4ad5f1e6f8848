"""A PostgreSQL server of the suite's own: made in a folder under the system's temporary one, gone with the run.

initdb and postgres refuse root, so as root they run as the user that Debian's package makes. The server listens in its
folder only (a socket's path has 107 bytes), on no port of the machine's; durability is off unless a test asks for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

ACCOUNT = "postgres"
LOCKED = "locked"  # the one user who needs a password; a test makes him
BINARIES = ("/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt", "/usr/pgsql")


def missing_part() -> str | None:
    """Return why no server can be had here, None if one can."""
    try:
        import psycopg  # noqa: F401 - only whether it is there
    except ImportError:
        return "psycopg is not installed: pip install 'trading-platform[postgres]'"
    if _binary("initdb") is None:
        return "no PostgreSQL server on this machine: apt-get install postgresql"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "root may not run PostgreSQL, and there is no setpriv to run it as another user"
    if os.geteuid() == 0 and not _account_exists():
        return f"root may not run PostgreSQL, and there is no user {ACCOUNT}"
    return None


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A server in `folder`. `url` names a database on it; `start`, `stop` are as an administrator does them."""

    folder: Path
    options: str = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"

    def url(self, database: str = "postgres", user: str = ACCOUNT) -> str:
        """Return the URL of a database."""
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """Make an empty database; return its URL."""
        name = f"t{uuid4().hex[:12]}"
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def sql(self, statement: str) -> None:
        """Run a statement outside any transaction."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} {self.options}"
        self._control("start", "-o", options, "-l", str(self.folder / "log"))

    def stop(self, how: str = "fast") -> None:
        """Stop it; `immediate` is a crash."""
        self._control("stop", "-m", how)

    def _control(self, *words: str) -> None:
        _as_owner(_binary("pg_ctl") or "pg_ctl", "-D", str(self.folder / "data"), "-w", "-t", "120", *words)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Make a server, run it, and take it away."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, ACCOUNT, ACCOUNT)
    server = PostgresServer(folder)
    try:
        initdb = _binary("initdb") or "initdb"
        _as_owner(initdb, "-D", str(folder / "data"), "-U", ACCOUNT, "-A", "trust", "-E", "UTF8", "--no-sync")
        access = folder / "data" / "pg_hba.conf"
        access.write_text(f"local all {LOCKED} scram-sha-256\n{access.read_text()}")
        server.start()
        try:
            yield server
        finally:
            if (folder / "data" / "postmaster.pid").exists():
                server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_owner(*words: str) -> None:
    user = ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--init-groups"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*user, *words],
        cwd="/",
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode != 0:
        raise RuntimeError(f"{words[0]} ended with {done.returncode}: {done.stdout[-2000:]}")


def _binary(name: str) -> str | None:
    known = [str(path) for folder in BINARIES for path in sorted(Path("/").glob(f"{folder[1:]}*/**/bin/{name}"))]
    return shutil.which(name) or next(reversed(known), None)


def _account_exists() -> bool:
    try:
        import pwd

        pwd.getpwnam(ACCOUNT)
    except (ImportError, KeyError):
        return False
    return True
