"""Threads that stand by for work of a fraction of a millisecond, where a future costs as much as the work."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")
Work = Callable[[], None]


class Crew:
    """The caller and `size` - 1 threads, for the use of one thread at a time.

    Threads start with the first work. They do not cross a fork: the child starts its own. They end with `close`, with
    the last reference to the crew, or with the process.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._posts: list[_Post] = []
        weakref.finalize(self, _dismiss, self._posts)

    def run(self, task: Callable[[T], object], items: Sequence[T], meanwhile: Work | None = None) -> None:
        """Run `task` on every item, item i in thread i modulo `size`; the caller, thread 0, runs `meanwhile` before.

        An exception is raised again here, after all threads are done: the caller's own, else that of the first thread.
        """
        posts = self._gathered(min(self.size, len(items)) - 1)
        for i, post in enumerate(posts):
            post.orders.put(partial(_each, task, items[i + 1 :: self.size]))
        try:
            if meanwhile is not None:
                meanwhile()
            _each(task, items[:: self.size])
        finally:
            errors = self._reports(posts)
        for error in errors:
            if error is not None:
                raise error

    def close(self) -> None:
        """End the threads; more work would start new ones."""
        _dismiss(self._posts)

    def _gathered(self, count: int) -> list[_Post]:
        if any(not post.thread.is_alive() for post in self._posts):  # this is the child of a fork
            self._posts.clear()
        while len(self._posts) < count:
            self._posts.append(_Post())
        return self._posts[: max(0, count)]

    def _reports(self, posts: Sequence[_Post]) -> list[BaseException | None]:
        errors = []
        try:
            errors = [post.reports.get() for post in posts]
        finally:
            if len(errors) < len(posts):  # interrupted: nobody will ask these threads again
                self.close()
        return errors


class _Post:
    """A thread, its orders and its reports. The thread knows the queues only, so nothing that is dropped lives on."""

    def __init__(self) -> None:
        self.orders: SimpleQueue[Work | None] = SimpleQueue()
        self.reports: SimpleQueue[BaseException | None] = SimpleQueue()
        self.thread = threading.Thread(target=_serve, args=(self.orders, self.reports), name="crew", daemon=True)
        self.thread.start()


def _serve(orders: SimpleQueue[Work | None], reports: SimpleQueue[BaseException | None]) -> None:
    while (work := orders.get()) is not None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - whatever happened is the caller's, who raises it
            reports.put(error)
        else:
            reports.put(None)
        del work  # what it refers to must not wait for the next order


def _each(task: Callable[[T], object], items: Sequence[T]) -> None:
    for item in items:
        task(item)


def _dismiss(posts: list[_Post]) -> None:
    for post in posts:
        post.orders.put(None)
    posts.clear()
