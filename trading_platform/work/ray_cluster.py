"""Workers of a Ray cluster, through Ray's own tasks. Nothing of Ray is imported without --cluster.

What all tasks share is put into the cluster's object store once, travels to a node once, and is unpacked once a worker
process. Ray itself repeats nothing (`max_retries=0`): a lost worker is told like any other end, `map_tasks` decides.
"""

from __future__ import annotations

import copy
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from trading_platform import __version__
from trading_platform.configuration.environment import without_secrets
from trading_platform.core.errors import FixConfigError, TradingPlatformError
from trading_platform.machine.packages import require
from trading_platform.work.hands import Done, Ended, Failed, Lost
from trading_platform.work.job import AUTO, ClusterUnreachableError, Job, Place, address_of, program_fingerprint
from trading_platform.work.one_thread import THREAD_VARIABLES, keep_to_one_thread

ANSWER_SECONDS = 10.0  # within which a cluster's port must answer
PROBE_SECONDS = 120.0  # for the first task on every node: a worker begins in 1 to 20 s
LOOK_SECONDS = 2.0  # between looks at how large the cluster is
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps memory that processes share
LEAST_STORE, MOST_STORE = 100 * 2**20, 2 * 2**30  # bytes; Ray refuses less than 75 MiB
OWN_STRATEGIES = "own_strategies_"  # how `engine.own_strategies` calls the modules of such files
# A node's next task waits there while the last one's result travels.
AHEAD = 2


class Version(NamedTuple):
    """What must be the same on every node, for the same bits."""

    python: str
    program: str
    text: str


class OtherVersionError(FixConfigError):
    """A node runs another Python or another version of this program: install the same there."""


def own_version() -> Version:
    """Return this process's."""
    return Version(".".join(map(str, sys.version_info[:3])), __version__, program_fingerprint())


class RayHands:
    """Tasks of a Ray cluster, as many at once as it has processors, and some ahead."""

    def __init__(self, job: Job[Any, Any, Any], place: Place) -> None:
        require(("ray",), f"--cluster {place.cluster}")
        with without_secrets(), _own_signals():
            self._ray = _connected(place)
        try:
            _check_versions(self._ray)
            _carry_own_strategies(self._ray)
            self._task = self._ray.remote(max_retries=0, num_cpus=1)(_do)
            self._shared = self._ray.put(job.shared)
        except BaseException:
            self._ray.shutdown()
            raise
        self._job = job
        self._in_hand: dict[Any, int] = {}
        self._looked, self._room = -LOOK_SECONDS, 1

    def room(self) -> int:
        """Return the number of processors of the cluster as it is now, and some ahead."""
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._room = AHEAD * max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        return self._room

    def start(self, number: int, task: Any) -> None:
        """Send a task."""
        self._in_hand[self._task.remote([self._shared], self._job.run, task, own_version())] = number

    def wait(self) -> Ended:
        """Return the next task that has ended, or lost its worker or node."""
        ready, _ = self._ray.wait(list(self._in_hand), num_returns=1)
        number = self._in_hand.pop(ready[0])
        try:
            # arrays of the object store are read-only; results are like those of other workers
            return Done(number, copy.deepcopy(self._ray.get(ready[0])))
        except self._ray.exceptions.RayTaskError as error:  # what the task raised, or an error of Ray that it met
            cause = error.cause if isinstance(error.cause, BaseException) else error
            if isinstance(cause, self._ray.exceptions.RayError):
                return Lost(number, _first_line(cause))
            return Failed(number, cause if isinstance(cause, TradingPlatformError) else error)
        except self._ray.exceptions.RayError as error:  # the worker, its node, or its memory
            return Lost(number, _first_line(error))

    def drop(self) -> None:
        """Cancel what is in hand."""
        for reference in self._in_hand:
            with suppress(self._ray.exceptions.RayError, ConnectionError):
                self._ray.cancel(reference, force=True)
        self._in_hand.clear()

    def close(self) -> None:
        """Leave the cluster; one of our own ends."""
        with _own_signals():
            self._ray.shutdown()


_SHARED: dict[str, Any] = {}  # of a worker process: what the last job shares, unpacked once


def _do(references: list[Any], run: Any, task: Any, expected: Version) -> Any:
    """Do a task in a worker process.

    Raises
    ------
    OtherVersionError
        This worker would give other bits.
    """
    import ray

    reference = references[0]
    if reference.hex() not in _SHARED:
        _refuse_other(own_version(), expected, socket.gethostname())
        keep_to_one_thread()
        _SHARED.clear()
        # The store's arrays are read-only, for which compiled code would be compiled anew: hence a copy.
        _SHARED[reference.hex()] = copy.deepcopy(ray.get(reference))
    return run(_SHARED[reference.hex()], task)


def _connected(place: Place) -> Any:
    """Return the module ray, connected.

    Raises
    ------
    ClusterUnreachableError, FixConfigError
        There is nothing at the address, or it is another version; or this machine has no room for one of its own.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # no calls home
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # `uv run` would start each worker by `uv run`
    os.environ["RAY_DEDUP_LOGS_SKIP_REGEX"] = "."  # what happens to workers would be printed among our results
    for name in THREAD_VARIABLES:
        os.environ[name] = "1"
    if place.cluster == AUTO:  # a cluster of our own has a token of its own, and writes none into the home folder
        os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", _own_token()
    else:
        _check_answer(place.cluster)
        if (Path.home() / ".ray" / "auth_token").is_file():  # ray start has it, or it was copied from there
            os.environ["RAY_AUTH_MODE"] = "token"
    if place.cluster.startswith("ray://"):
        require(("grpc",), "--cluster ray://")
    import ray

    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": False}
    workers = {"env_vars": dict.fromkeys(THREAD_VARIABLES, "1")}
    try:
        if place.cluster == AUTO:
            ray.init(
                address="local",
                num_cpus=place.jobs,
                include_dashboard=False,
                object_store_memory=_store_bytes(),
                **quiet,
            )
        else:
            ray.init(address=place.cluster, runtime_env=workers, **quiet)
    except (ConnectionError, TimeoutError) as error:
        raise ClusterUnreachableError(
            f"--cluster {place.cluster}: {_first_line(error)}; where it asks for "
            "a token, copy ~/.ray/auth_token from its head"
        ) from error
    except Exception as error:
        if "ersion" in str(error):
            raise OtherVersionError(f"--cluster {place.cluster}: {_one_line(error)}") from error
        raise ClusterUnreachableError(f"--cluster {place.cluster}: {_first_line(error)}") from error
    return ray


@cache
def _own_token() -> str:
    """Return the token of this process's clusters: Ray remembers the first one that it hears of."""
    return secrets.token_hex(32)


def _carry_own_strategies(ray: Any) -> None:
    """Let strategies in files of the user's own travel as they are: no other machine has these files."""
    for name, module in list(sys.modules.items()):
        if name.startswith(OWN_STRATEGIES):
            ray.cloudpickle.register_pickle_by_value(module)


def _check_answer(cluster: str) -> None:
    """Raise where nothing listens: Ray itself would try for minutes."""
    host, port = address_of(cluster)
    try:
        socket.create_connection((host, port), ANSWER_SECONDS).close()
    except OSError as error:
        raise ClusterUnreachableError(
            f"--cluster {cluster}: nothing answers at {host} port {port} ({error.strerror or error}); start the "
            "cluster (ray start --head), check address and firewall, or use --cluster auto"
        ) from error


def _store_bytes() -> int:
    """Return the size of the object store: below what shared memory has free, or Ray would fall back to a disk."""
    if not SHARED_MEMORY.is_dir():
        return MOST_STORE // 4  # macOS: no such limit
    free = shutil.disk_usage(SHARED_MEMORY).free
    if free < LEAST_STORE / 0.8:
        raise FixConfigError(
            f"--cluster auto: {SHARED_MEMORY} has {free / 2**20:.0f} MiB free, Ray needs "
            f"{LEAST_STORE / 2**20 / 0.8:.0f}; give the container more (--shm-size=2g), or use --jobs, which needs none"
        )
    return min(MOST_STORE, int(free * 0.8))


def _check_versions(ray: Any) -> None:
    """Ask every node what it runs, before any work.

    Raises
    ------
    OtherVersionError
        A node runs another version, or cannot run this program at all.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) > 0]
    ask = ray.remote(max_retries=0, num_cpus=1)(own_version)
    asked = {
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(): node
        for node in nodes
    }
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=PROBE_SECONDS) if asked else ([], [])
    if late or not asked:
        raise ClusterUnreachableError(
            f"--cluster: {', '.join(asked[reference]['NodeManagerHostname'] for reference in late) or 'no node'} did "
            f"not answer within {PROBE_SECONDS:.0f} s: has it processors that are free?"
        )
    for reference in ready:
        host = f"{asked[reference]['NodeManagerHostname']} ({asked[reference]['NodeManagerAddress']})"
        try:
            its = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise OtherVersionError(
                f"--cluster: node {host} cannot run trading-platform {__version__} ({_last_line(error)}); install the "
                "same version there, in the environment that ray start runs in"
            ) from error
        _refuse_other(its, own_version(), host)


def _refuse_other(its: Version, ours: Version, host: str) -> None:
    for name, theirs, here in (
        ("Python", its.python, ours.python),
        ("trading-platform", its.program, ours.program),
        ("a trading-platform whose files are", its.text, ours.text),
    ):
        if theirs != here:
            raise OtherVersionError(
                f"--cluster: node {host} has {name} {theirs}, this machine {here}: install the same on both, since "
                "others give other results"
            )


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep our handlers: ray.init puts its own in the place of SIGTERM's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _last_line(error: BaseException) -> str:
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
