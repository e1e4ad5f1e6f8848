"""What is split: a job with the data that its tasks share, and the place where its workers are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Generic, Literal, TypeVar

from trading_platform.core.errors import FixConfigError, TradingPlatformError

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")

AUTO = "auto"
# A task whose worker is lost runs again elsewhere; one that loses so many more is itself the cause.
MOST_LOST = 3


class WorkerLostError(TradingPlatformError):
    """A task lost its worker again and again: give it more memory, or look at what it does."""

    exit_code = 1


class ClusterUnreachableError(TradingPlatformError):
    """The cluster does not answer: start it, or leave --cluster out."""

    exit_code = 3


@dataclass(frozen=True, slots=True, eq=False)
class Job(Generic[S, T, R]):
    """One kind of task.

    Attributes
    ----------
    name
        What people call a task of it, e.g. "universe"; part of each task's fingerprint.
    run
        Does one task: (shared, task) -> result. A function of a module, since workers find it by name; pure, since a
        task may run twice.
    shared
        What every task needs. It travels once to a node, never with a task.
    identity
        Fingerprint of `shared`: whatever of it changes a result.
    kinds
        Classes that results are made of, for their way to a file and back.
    key
        What tells a task from others, as text.
    start
        How processes begin: "fork" shares the memory of `shared`, "spawn" is for what must not be forked (torch).
    """

    name: str
    run: Callable[[S, T], R]
    shared: S
    identity: str
    kinds: tuple[type, ...] = ()
    key: Callable[[T], str] = repr
    start: Literal["fork", "spawn"] = "spawn"

    def fingerprint(self, task: T) -> str:
        """Return the name of a task's result: 32 hex digits of job, shared data, task and program."""
        parts = (self.name, self.identity, self.key(task), program_fingerprint())
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Place:
    """Where tasks run: `jobs` processes of this machine (1: this one), or a Ray cluster.

    `cluster` is "" for none, "auto" for one on this machine with `jobs` workers, "ray://HOST:PORT" for the client port
    of a cluster, or "HOST:PORT" on one of its own nodes.
    """

    jobs: int = 1
    cluster: str = ""

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise FixConfigError(f"--jobs must be at least 1, was {self.jobs}")
        if self.cluster not in ("", AUTO):
            address_of(self.cluster)


def usual_jobs() -> int:
    """Return the number of processes where none is asked for: one a core."""
    return os.cpu_count() or 1


def address_of(cluster: str) -> tuple[str, int]:
    """Return (host, port) of a cluster's address.

    Raises
    ------
    FixConfigError
        It is no address.
    """
    host, colon, port = cluster.removeprefix("ray://").rpartition(":")
    if not (colon and host and port.isdigit() and 0 < int(port) < 65536) or "/" in host or "@" in host:
        raise FixConfigError(
            "--cluster must be auto, ray://HOST:PORT (a cluster's client port, usually 10001) or HOST:PORT (on one of "
            f"its nodes, usually 6379), was {_without_password(cluster)!r}"
        )
    return host.strip("[]"), int(port)


def _without_password(cluster: str) -> str:
    scheme, sign, rest = cluster.rpartition("://")
    return f"{scheme}{sign}{rest.rpartition('@')[2]}"


@cache
def program_fingerprint() -> str:
    """Return 16 hex digits of this program's own text: results of another program are other results."""
    package = Path(__file__).parents[1]
    flat = ("rl_environment.py", "rl_strategy_allocator.py", "risk_manager.py", "risk_config.py", "train_rl_model.py")
    files = [*sorted(package.rglob("*.py")), *(package.parent / name for name in flat)]
    digest = hashlib.sha256()
    for path in files:
        if path.is_file():
            digest.update(path.relative_to(package.parent).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
