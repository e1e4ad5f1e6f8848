"""The end of every live desk: an engine that has been made recovers, scans until it is stopped, and lets its run go."""

from __future__ import annotations

from trading_platform.live import LiveLoop
from trading_platform.makers import INTERRUPTED, DeskEngine
from trading_platform.replay import stop_signals
from trading_platform.reporting.status_screen import say
from trading_platform.storage.runs import RunLock
from trading_platform.world import World


def run_live(engine: DeskEngine, lock: RunLock, world: World, loop: LiveLoop, welcome: str, *, once: bool) -> int:
    """Trade until stopped, or for one scan; return the exit code.

    Parameters
    ----------
    engine, lock
        Who trades, and its hold on the run; released whatever happens.
    world
        The market that the engine was made with: it recovers to its newest session.
    loop
        The engine's scans.
    welcome
        Said to the operator once the engine has recovered.
    """
    try:
        engine.recover(len(world.sessions) - 1)
        say(welcome)
        with stop_signals(loop.stop):
            if once:
                loop.scan()
            else:
                loop.run()
    finally:
        lock.release()
    return INTERRUPTED if engine.stopped else 0
