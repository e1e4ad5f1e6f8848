"""Processes of this machine. One that is killed costs its task, which another does; none outlives its parent."""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from trading_platform.work.hands import Done, Ended, Failed, Lost
from trading_platform.work.job import Job
from trading_platform.work.one_thread import keep_to_one_thread

IDLE = -1


@dataclass(slots=True, eq=False)
class _Worker:
    process: BaseProcess
    wire: Connection
    number: int = IDLE


class TaskFailedError(RuntimeError):
    """A task raised something that cannot be sent between processes; the text says what."""


class ProcessHands:
    """`jobs` processes that each do one task at a time; a process begins when there is a task for it."""

    def __init__(self, job: Job[Any, Any, Any], jobs: int) -> None:
        self._job = job
        self._jobs = jobs
        self._start = job.start if job.start in get_all_start_methods() else "spawn"
        self._workers: list[_Worker] = []

    @property
    def are_forked(self) -> bool:
        """Whether processes begin as copies of this one."""
        return self._start == "fork"

    def room(self) -> int:
        """Return the number of processes."""
        return self._jobs

    def start(self, number: int, task: Any) -> None:
        """Hand a task to a process that has none."""
        worker = next((worker for worker in self._workers if worker.number == IDLE), None) or self._begin()
        worker.number = number
        try:
            worker.wire.send(task)
        except OSError:  # gone while it was idle: `wait` finds its end
            return

    def wait(self) -> Ended:
        """Return the next end of a task, or of a process with its task."""
        busy = {worker.wire: worker for worker in self._workers if worker.number != IDLE}
        worker = busy[wait(list(busy))[0]]  # type: ignore[index]  # a closed wire is ready, too
        number, worker.number = worker.number, IDLE
        try:
            ended: Done | Failed = worker.wire.recv()
        except (EOFError, OSError):
            self._bury(worker)
            return Lost(number, f"process {worker.process.pid} ended with {_words(worker.process.exitcode)}")
        return replace(ended, number=number)

    def drop(self) -> None:
        """End the processes that are at work: half a task is worth nothing."""
        for worker in [worker for worker in self._workers if worker.number != IDLE]:
            self._bury(worker)

    def close(self) -> None:
        """End all processes."""
        for worker in list(self._workers):
            self._bury(worker)

    def _begin(self) -> _Worker:
        context = get_context(self._start)
        mine, its = context.Pipe()
        # a forked process has the ends of all wires: unless it lets go of them, nobody hears that the parent is gone
        others = [mine, *(worker.wire for worker in self._workers)] if self._start == "fork" else []
        process = context.Process(target=_serve, args=(self._job, its, others), daemon=True)  # type: ignore[attr-defined]
        process.start()
        its.close()
        worker = _Worker(process, mine)
        self._workers.append(worker)
        return worker

    def _bury(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.process.terminate()
        worker.process.join()
        worker.wire.close()


def _serve(job: Job[Any, Any, Any], wire: Connection, others: list[Connection]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in others:
        other.close()
    keep_to_one_thread()
    while True:
        try:
            task = wire.recv()
        except (EOFError, OSError):
            return  # the parent is gone, or done
        ended: Done | Failed
        try:
            ended = Done(0, job.run(job.shared, task))
        except Exception as error:  # noqa: BLE001 - handed to the parent, who raises it
            ended = Failed(0, error)
        try:
            wire.send(ended)
        except OSError:
            return
        except Exception as error:  # noqa: BLE001 - what cannot be sent is told as text
            told = ended.error if isinstance(ended, Failed) else error
            wire.send(Failed(0, TaskFailedError(f"{type(told).__name__}: {told}")))


def _words(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
