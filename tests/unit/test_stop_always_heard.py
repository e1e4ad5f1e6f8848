"""Ctrl-C is answered also while one step of Python takes minutes, as compiling a large function does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trading_platform.machine.stop_signals import INTERRUPTED, stop_always_heard

ROOT = Path(__file__).parents[2]
WORDS = "stopped: nothing was registered"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows sends SIGINT to a whole console, the tests among it")

# one step of Python that takes half an hour; a signal that Python hears before it is begun changes nothing
DEAF = """
def work():
    try:
        print("begun", flush=True)
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
    except KeyboardInterrupt:
        work()
"""
HEARING = """
def work():
    try:
        print("begun", flush=True)
        while True:
            pass
    except KeyboardInterrupt:
        print("ended well", flush=True)
"""
PROGRAM = """
import hashlib
from trading_platform.machine.stop_signals import stop_always_heard
{work}
with stop_always_heard(lambda: {words!r}, patience={patience}):
    work()
"""


def listen() -> None:
    """Undo what a shell does to the jobs it starts in the background: they ignore SIGINT, and so do their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def stopped(work: str, patience: float) -> tuple[int, str, str]:
    """Run `work`, send SIGINT until it has ended, and return its exit code, output and errors."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(work=work, words=WORDS, patience=patience)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            while process.poll() is None:
                os.kill(process.pid, signal.SIGINT)
                try:
                    said, errors = process.communicate(timeout=1.0)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            process.kill()
    return process.returncode, said, errors


def test_a_step_that_python_cannot_leave_is_ended_with_what_there_is_to_say() -> None:
    code, said, errors = stopped(DEAF, patience=0.05)
    assert (code, errors) == (INTERRUPTED, f"{WORDS}\n")
    assert "ended well" not in said


def test_work_that_python_can_leave_ends_itself() -> None:
    code, said, errors = stopped(HEARING, patience=60.0)
    assert (code, errors) == (0, "")
    assert said == "ended well\n"


def test_where_nobody_listens_to_ctrl_c_nothing_is_changed() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_always_heard(lambda: WORDS):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_afterwards_ctrl_c_is_what_it_was() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with stop_always_heard(lambda: WORDS):
            assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_error_that_the_stop_made_of_an_import_is_the_stop() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), stop_always_heard(lambda: WORDS, patience=60.0):
            try:
                os.kill(os.getpid(), signal.SIGINT)
                while True:
                    pass
            except KeyboardInterrupt:
                raise ImportError("initialization failed") from None
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_error_of_work_that_nobody_stopped_stays_that_error() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(ImportError, match="no such module"), stop_always_heard(lambda: WORDS):
            raise ImportError("no such module")
    finally:
        signal.signal(signal.SIGINT, before)
