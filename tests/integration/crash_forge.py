"""A fork server for lives of the engine: everything is imported once, each life is a process of its own.

Run in the root of the project, as ``python -m tests.integration.crash_forge HOME``. It reads one JSON object a line
from standard input and writes one a line: a *life* is forked, runs the engine's command (`runtime.trade.trade`) with
its own files and database connection, and ends by itself or by SIGKILL, either at a named step of an order's life or
after some seconds, wherever it is then.

A life: ``{"home", "env", "options", "kill", "hindrance"}`` with kill ``{"step", "nth"}``, ``{"call"}``, ``{"after"}``
or null. ``{"call": n}`` is death at the n-th call or return of a function of any kind, the same instant whenever the
life is the same; ``{"after"}`` counts seconds. A hindrance is what the life's storage suffers: see `hinder`.
The answer: ``{"pid", "code", "killed", "seconds", "steps", "calls"}``; `steps` are those that it passed, in order, and
`calls` how many calls there were in a life that outlived its n-th.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

from tests.postgres_server import missing_part
from trading_platform.alpaca.http import AlpacaAccess, AlpacaHttp
from trading_platform.configuration.environment import Secret
from trading_platform.core.errors import TradingPlatformError
from trading_platform.runtime.trade import trade
from trading_platform.runtime.trade_settings import TradeOptions

LONGEST_LIFE = 120.0  # seconds; a life that takes longer hangs
BROKEN = 99  # exit code of a life that ended by an exception
CALLS = "calls="
NOBODY = 65534  # who owns no file


def main() -> None:
    """Serve lives until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    warm_up(Path(sys.argv[1]))
    gc.collect()
    gc.freeze()  # else each life searches, and so copies, all that is imported: half of its time
    _say({"ready": True}, answers)
    for line in sys.stdin:
        _say(live(json.loads(line)), answers)


def warm_up(home: Path) -> None:
    """Import and compile all that a life needs: a short replay of the embedded market, and the broker's client."""
    home.mkdir(parents=True)
    os.chdir(home)
    (home / "warm.toml").write_text("[engine]\nreplay_sessions = 5\n[regime]\nfit_window = 2000\n")
    hush()
    trade(options_of({"config": Path("warm.toml"), "database": "warm.db", "source": "synthetic"}))
    assert importlib.import_module("trading_platform.runtime.trade_alpaca")  # imported when it is needed
    if missing_part() is None:
        importlib.import_module("psycopg")
    access = AlpacaAccess(Secret("PKWARM"), Secret("warm"))
    client = AlpacaHttp(access)
    assert client.trading is not None
    assert client.data is not None


def hush() -> None:
    """Send what this process prints from now on to `engine.out` in its folder."""
    speech = os.open("engine.out", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(speech, 1)
    os.dup2(speech, 2)
    os.close(speech)


def options_of(given: Mapping[str, Any]) -> TradeOptions:
    """Return the command's options; what is not given is as if it stood not on the command line."""
    return TradeOptions(**{"quiet": True, **given})


def live(wish: Mapping[str, Any]) -> dict[str, Any]:
    """Fork a life, see it end, and say how."""
    told, tell = os.pipe()
    since = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.close(told)
        _be(wish, tell)
    os.close(tell)
    deadline = LONGEST_LIFE if not (wish["kill"] or {}).get("after") else float(wish["kill"]["after"])
    steps, in_time = _listen(told, since + deadline)
    if not in_time:
        os.kill(pid, signal.SIGKILL)
        steps += _rest(told)
    os.close(told)
    _, status = os.waitpid(pid, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    code = os.waitstatus_to_exitcode(status)
    hung = not in_time and deadline == LONGEST_LIFE
    calls = [int(step.removeprefix(CALLS)) for step in steps if step.startswith(CALLS)]
    steps = [step for step in steps if not step.startswith(CALLS)]
    return {
        "pid": pid,
        "code": code,
        "killed": killed and not hung,
        "hung": hung,
        "seconds": time.monotonic() - since,
        "steps": steps,
        "calls": calls[0] if calls else None,
    }


def _listen(told: int, until: float) -> tuple[list[str], bool]:
    """Collect the steps of a life until it ends; return them, and False if `until` came first."""
    text = b""
    while True:
        ready, _, _ = select.select([told], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return text.decode().split(), False
        piece = os.read(told, 65536)
        if not piece:
            return text.decode().split(), True
        text += piece


def _rest(told: int) -> list[str]:
    text = b""
    while piece := os.read(told, 65536):
        text += piece
    return text.decode().split()


def _be(wish: Mapping[str, Any], tell: int) -> NoReturn:
    """Be the engine, and end: whatever happens, a child must not go on as its parent."""
    code = BROKEN
    try:
        code = _run(wish, tell)
    finally:
        if code == BROKEN:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(wish: Mapping[str, Any], tell: int) -> int:
    """Run the engine's command in this child. Nothing of it survives a SIGKILL but what it has written."""
    os.environ.update(wish["env"])
    os.chdir(wish["home"])
    hush()
    options = {**wish["options"], "config": Path(wish["options"]["config"])}
    hinder(wish.get("hindrance") or {})
    deadly = (wish["kill"] or {}).get("call")
    try:
        with counted_calls(deadly, tell):
            return trade(options_of(options), checkpoint(wish["kill"], tell))
    except TradingPlatformError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code


def hinder(hindrance: Mapping[str, Any]) -> None:
    """Let this process suffer: files may not grow beyond `most_bytes`, or none is its own (`stranger`)."""
    if "most_bytes" in hindrance:
        most = int(hindrance["most_bytes"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    if hindrance.get("stranger"):
        os.seteuid(NOBODY)


@contextmanager
def counted_calls(deadly: int | None, tell: int) -> Iterator[None]:
    """Kill this process at call number `deadly` of its main thread; a life that gets by tells how many there were."""
    if deadly is None:
        yield
        return
    count = 0

    def called(frame: FrameType, event: str, argument: object) -> None:
        del frame, event, argument
        nonlocal count
        count += 1
        if count == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(called)
    try:
        yield
    finally:
        sys.setprofile(None)
        os.write(tell, f"{CALLS}{count}\n".encode())


def checkpoint(kill: Mapping[str, Any] | None, tell: int) -> Callable[[str], None]:
    """Return a hook that tells each step, and kills this process at the n-th of a name."""
    seen: Counter[str] = Counter()

    def step(name: str) -> None:
        seen[name] += 1
        os.write(tell, f"{name}\n".encode())
        if kill is not None and kill.get("step") == name and seen[name] == kill["nth"]:
            os.kill(os.getpid(), signal.SIGKILL)

    return step


def _say(answer: Mapping[str, Any], answers: TextIO) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
