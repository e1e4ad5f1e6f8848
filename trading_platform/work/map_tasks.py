"""The one port for work that splits: `workers(job, place)`, and its `map(tasks)`.

Results come as they are done, each with its task's number; who wants an order sorts. With result files, tasks that are
done already are answered from there, so that a driver that was killed is started again and goes on. A task that raises
ends the work with what it raised; a worker that is lost costs its task, which runs again elsewhere. Whoever stops
reading, by Ctrl-C or an error of his own, cancels what is in hand.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Generic

from trading_platform.work.hands import Done, Failed, Hands, OwnHands
from trading_platform.work.job import MOST_LOST, Job, Place, R, S, T, WorkerLostError
from trading_platform.work.one_thread import keep_to_one_thread
from trading_platform.work.processes import ProcessHands
from trading_platform.work.result_files import ResultFiles

log = logging.getLogger("trading_platform.work.map_tasks")

Progress = Callable[[int, int], None]  # done, of how many


class Workers(Generic[S, T, R]):
    """Workers of one job, for any number of `map`s."""

    def __init__(self, job: Job[S, T, R], hands: Hands, files: ResultFiles | None = None) -> None:
        self._job = job
        self._hands = hands
        self._files = files
        self._compiles_here = isinstance(hands, ProcessHands) and hands.are_forked

    def map(self, tasks: Sequence[T], progress: Progress | None = None) -> Generator[tuple[int, R], None, None]:
        """Yield (position in `tasks`, result) of each task as it is done.

        Raises
        ------
        WorkerLostError
            A task lost its worker `MOST_LOST` times.
        """
        waiting: deque[int] = deque()
        n_done = 0
        for number, task in enumerate(tasks):
            found = None if self._files is None else self._files.find(self._job.fingerprint(task))
            if found is not None:
                n_done += 1
                _tell(progress, n_done, len(tasks))
                yield number, found.result
            else:
                waiting.append(number)
        if self._compiles_here and waiting:
            # forked processes then have the compiled code that the first task needed
            self._compiles_here = False
            number = waiting.popleft()
            result = self._job.run(self._job.shared, tasks[number])
            self._keep(tasks[number], result)
            n_done += 1
            _tell(progress, n_done, len(tasks))
            yield number, result
        lost = dict.fromkeys(waiting, 0)
        in_hand: set[int] = set()
        try:
            while waiting or in_hand:
                while waiting and len(in_hand) < self._hands.room():
                    number = waiting.popleft()
                    in_hand.add(number)
                    self._hands.start(number, tasks[number])
                ended = self._hands.wait()
                in_hand.discard(ended.number)
                if isinstance(ended, Done):
                    self._keep(tasks[ended.number], ended.result)
                    n_done += 1
                    _tell(progress, n_done, len(tasks))
                    yield ended.number, ended.result
                elif isinstance(ended, Failed):
                    raise ended.error
                else:
                    lost[ended.number] += 1
                    log.warning("%s %d lost its worker (%s)", self._job.name, ended.number, ended.why)
                    if lost[ended.number] >= MOST_LOST:
                        raise WorkerLostError(
                            f"{self._job.name} {self._job.key(tasks[ended.number])} lost its worker {MOST_LOST} times "
                            f"(at last: {ended.why}): is there memory enough for it?"
                        )
                    waiting.appendleft(ended.number)
        finally:
            if in_hand:
                self._hands.drop()

    def _keep(self, task: T, result: R) -> None:
        if self._files is None:
            return
        try:
            self._files.keep(self._job.fingerprint(task), result)
        except OSError as error:  # a full disk costs what a restart would save, not the work
            log.warning("results are not kept, so that a restart begins anew: %s", error)
            self._files = None


@contextmanager
def workers(job: Job[S, T, R], place: Place, files: ResultFiles | None = None) -> Iterator[Workers[S, T, R]]:
    """Open workers for `job` at `place`; `files` keeps their results.

    Raises
    ------
    FixConfigError, ClusterUnreachableError
        The cluster cannot be used.
    """
    with closing(_hands(job, place)) as hands:
        yield Workers(job, hands, files)


def _hands(job: Job[Any, Any, Any], place: Place) -> Hands:
    if place.cluster:
        from trading_platform.work.ray_cluster import RayHands

        return RayHands(job, place)
    keep_to_one_thread()
    return ProcessHands(job, place.jobs) if place.jobs > 1 else OwnHands(job)


def _tell(progress: Progress | None, done: int, count: int) -> None:
    if progress is not None:
        progress(done, count)
