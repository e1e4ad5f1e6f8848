"""Threads that stand by: everything is done once, whatever happens, in parents and in children."""

from __future__ import annotations

import gc
import multiprocessing
import threading
import weakref
from functools import cache
from hashlib import sha256
from multiprocessing.connection import Connection

import numpy as np
import pytest

from rl_environment import BatchedAllocEnv
from tests.kernel_world import prepared_market
from trading_platform.core.episode_batch import EpisodeOptions
from trading_platform.core.errors import FixConfigError
from trading_platform.core.prepare import PreparedMarket
from trading_platform.machine.thread_crew import Crew

K = 3


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("n_items", [0, 1, 2, 7])
def test_every_item_is_done_once_in_the_thread_of_its_place(size: int, n_items: int) -> None:
    crew = Crew(size)
    done: dict[int, int] = {}
    for _ in range(3):
        crew.run(lambda i: done.setdefault(i, threading.get_ident()), range(n_items))
    crew.close()
    assert sorted(done) == list(range(n_items))
    for i, thread in done.items():
        assert thread == done[i % size]
        assert (thread == threading.get_ident()) == (i % size == 0)


def test_work_meanwhile_is_the_callers() -> None:
    crew = Crew(2)
    seen: list[int] = []
    crew.run(lambda i: None, range(2), meanwhile=lambda: seen.append(threading.get_ident()))
    crew.close()
    assert seen == [threading.get_ident()]


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_error_of_a_task_is_raised_when_all_are_done(bad: int) -> None:
    crew = Crew(3)
    done: list[int] = []

    def task(i: int) -> None:
        done.append(i)
        if i == bad:
            raise ZeroDivisionError(f"item {i}")

    for _ in range(2):  # the crew goes on after it
        done.clear()
        with pytest.raises(ZeroDivisionError, match=f"item {bad}"):
            crew.run(task, range(3))
        assert sorted(done) == [0, 1, 2]
    crew.close()


def threads_of_crews() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "crew"]


def test_threads_end_with_close_and_with_the_last_reference() -> None:
    before = set(threads_of_crews())
    for closed in (True, False):
        crew = Crew(3)
        crew.run(lambda i: None, range(3))
        mine = set(threads_of_crews()) - before
        assert len(mine) == 2
        if closed:
            crew.close()
        del crew
        gc.collect()
        for thread in mine:
            thread.join(10.0)
            assert not thread.is_alive()


def test_a_crew_keeps_nothing_alive_that_it_worked_on() -> None:
    class Task:
        def __call__(self, i: int) -> None:
            pass

    crew, task = Crew(2), Task()
    crew.run(task, range(2))
    crew.run(lambda i: None, range(2))  # the thread has moved on
    left = weakref.ref(task)
    del task
    gc.collect()
    assert left() is None
    crew.close()


# ---------------------------------------------------------------- the batched environment on a crew


@cache
def market(seed: int) -> PreparedMarket:
    return prepared_market(seed)


def trajectory(env: BatchedAllocEnv, steps: int = 45) -> str:
    """Return a digest of all that `env` says over more than two episodes."""
    pytest.importorskip("stable_baselines3", reason="the batched environment is an optional part")
    total = sha256(env.reset().tobytes())
    for action in np.random.default_rng(5).random((steps, env.num_envs, K)):
        observations, rewards, dones, infos = env.step(action)
        total.update(np.asarray(observations).tobytes() + rewards.tobytes() + dones.tobytes())
        total.update(b"".join(info["terminal_observation"].tobytes() for info in infos if info))
    return total.hexdigest()


@pytest.mark.compiles
@pytest.mark.parametrize("seeds", [(1,), (1, 2, 3)])
def test_trajectories_do_not_depend_on_the_number_of_threads(seeds: tuple[int, ...]) -> None:
    pytest.importorskip("stable_baselines3", reason="the batched environment is an optional part")
    digests = {}
    for threads in (1, 2, 3, 4, 9):
        env = BatchedAllocEnv([market(s) for s in seeds], 70, EpisodeOptions(cost_jitter=0.5), threads=threads)
        digests[threads] = trajectory(env)
        env.close()
    assert len(set(digests.values())) == 1
    assert digests[1] != trajectory(BatchedAllocEnv([market(s) for s in seeds], 70))  # the digest can tell


def _tell(env: BatchedAllocEnv, to: Connection) -> None:
    to.send(trajectory(env))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # python 3.12 warns; that is the test
def test_environment_with_threads_survives_a_fork() -> None:
    pytest.importorskip("stable_baselines3", reason="the batched environment is an optional part")
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system does not fork")
    env = BatchedAllocEnv([market(1)], 6, threads=3)
    trajectory(env)  # the threads are there
    env.seed(7)
    mine, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_tell, args=(env, theirs))
    child.start()
    assert mine.poll(60.0), "the child waits for threads that it does not have"
    in_child = mine.recv()
    child.join()
    assert in_child == trajectory(env)
    env.close()


def test_environment_refuses_no_threads_at_all() -> None:
    pytest.importorskip("stable_baselines3", reason="the batched environment is an optional part")
    with pytest.raises(FixConfigError, match="threads must be at least 1, was 0"):
        BatchedAllocEnv([market(1)], 6, threads=0)


def test_observations_of_a_step_are_not_overwritten_by_the_next() -> None:
    pytest.importorskip("stable_baselines3", reason="the batched environment is an optional part")
    env = BatchedAllocEnv([market(1)], 6)
    env.reset()
    for action in np.random.default_rng(1).random((25, 6, K)):  # an end of episodes among them
        first = env.step(action)[0]
        kept = np.array(first)
        env.step(action)
        assert np.array_equal(np.asarray(first), kept)
