"""Locks that the kernel frees: a process that dies, however it dies, leaves none behind.

Each run of a database file has a lock file beside it. What counts is the operating system's lock on it and never that
the file exists, so one that a killed process, a stopped container or a reboot left behind keeps nobody out.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import Engine

from trading_platform.core.errors import RepairDatabaseError

# Whoever only looks whether a run is held holds it for microseconds; an engine that starts just then waits this long.
PATIENCE_SECONDS = 1.0


def lock_path(database: Path, run_id: int) -> Path:
    """Return the lock file of a run."""
    return database.with_name(f"{database.name}-run{run_id}.lock")


def lock_paths(database: Path) -> list[Path]:
    """Return the lock files there are beside a database."""
    return sorted(database.parent.glob(f"{database.name}-run*.lock"))


def file_of(engine: Engine) -> Path | None:
    """Return the file of a SQLite database; None for a server."""
    return Path(str(engine.url.database)) if engine.url.get_backend_name() == "sqlite" else None


class KernelLock:
    """The operating system's exclusive lock on one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Never the library's stand-in by existence: a killed process would leave it behind for ever.
        self._lock = FileLock(path, mode=0o600, thread_local=False, fallback_to_soft=False)

    def acquire(self, patience: float = PATIENCE_SECONDS) -> bool:
        """Take the lock; return False if another process holds it.

        Raises
        ------
        RepairDatabaseError
            The lock file cannot be made or locked.
        """
        try:
            self._lock.acquire(timeout=patience, poll_interval=0.02)
        except Timeout:
            return False
        except OSError as error:
            raise RepairDatabaseError(
                f"the lock file {self.path} cannot be used ({error.strerror or error}); check the folder's permissions "
                "and that its file system knows locks"
            ) from error
        return True

    def release(self) -> None:
        """Give the lock back and take its file away, while it is held: whoever waits on it looks for a new one."""
        if not self._lock.is_locked:
            return
        with suppress(OSError):  # Windows keeps a file that is open: it stays, unlocked
            self.path.unlink()
        self._lock.release()


def is_held(path: Path) -> bool:
    """Return True if a living process holds the lock on `path`."""
    if not path.exists():
        return False
    probe = KernelLock(path)
    try:
        if not probe.acquire(patience=0.0):
            return True
    except RepairDatabaseError:
        return True  # a lock of another user: it is there, and who may not look cannot say that nobody has it
    probe.release()
    return False
