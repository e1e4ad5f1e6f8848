"""The commands `init` and `new strategy`: a folder to work in, and a strategy that runs as it is written."""

from __future__ import annotations

import keyword
import sys
from pathlib import Path

from trading_platform.core.errors import FixConfigError
from trading_platform.reporting.wrapping import wrapped

SETTINGS = """# Settings of this folder; trading.example.toml of the program has every key and its default.
# A misspelt key is an error that says what you meant.

[engine]
#initial_capital = 100000.0  # dollars of a replay or a local paper account
#replay_sessions = 252

[data]
#source = "files"            # synthetic (default), files, yahoo or alpaca
#folder = ["bars"]           # one CSV a ticker, or one for all: `data check bars` says what was read

[strategies]
#enabled = []                # empty: the default set; your own trade when they are named here
folder = "strategies"

[risk]
#profile = "conservative"    # conservative, balanced or aggressive
"""
SECRETS = """# Keys; this file is yours alone (chmod 600) and is never read by the report or the pages.
#ALPACA_API_KEY=
#ALPACA_SECRET_KEY=
#TELEGRAM_BOT_TOKEN=
#TELEGRAM_CHAT_ID=
"""
README = """# A trading folder

    {engine}                      replay the market of trading.toml
    {engine} new strategy NAME    begin a strategy in strategies/NAME.py
    {engine} strategies test NAME try it: no foresight, enough history, splits, parity
    {engine} status               the account; `daily_report` has the day in words
"""
STRATEGY = '''"""{title}: buy what rises above its average, leave when it falls below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trading_platform.core.indicators import lag, rolling_mean
from trading_platform.core.types import MarketPanel, StrategySignals
from trading_platform.strategies.base import Window, check_parameters, graded


@dataclass(frozen=True, slots=True)
class {classname}:
    """Buy a ticker that closes above its average of `window` sessions for the first time; leave it below.

    An annotated field is a parameter: `[strategies.{name}] window = 50` in trading.toml sets it.
    """

    window: Window = 100
    name: str = "{name}"

    def __post_init__(self) -> None:
        check_parameters(self)

    @property
    def lookback(self) -> int:
        """Sessions that a row of signals depends on, itself included."""
        return self.window + 1

    def signals(self, panel: MarketPanel) -> StrategySignals:
        """Return entry strength in [0, 1] and exits, (sessions, tickers); row t may use rows <= t only."""
        close = panel.close
        above = close / rolling_mean(close, self.window) - 1.0
        wanted = (above > 0.0) & (lag(above, 1) <= 0.0)
        strength = graded(wanted, 0.5 + above)  # the farther above, the sooner it is bought
        return StrategySignals(strength, (above < 0.0) & np.isfinite(close))
'''
TEST = '''"""Tests of {name}: run `python -m pytest strategies`."""

from __future__ import annotations

import numpy as np
from {name} import {classname}

from trading_platform import api
from trading_platform.evaluation.lookahead import assert_causal


def test_it_does_not_look_ahead() -> None:
    assert_causal({classname}(), api.load().panel)


def test_it_buys_nothing_that_lies_below_its_average() -> None:
    panel = api.load().panel
    strength = {classname}(window=20).signals(panel).strength
    average = np.full(panel.close.shape, np.nan)
    for t in range(19, panel.n_sessions):
        average[t] = panel.close[t - 19 : t + 1].mean(axis=0)
    bought = strength > 0.0
    assert bought.any()
    assert (panel.close[bought] >= average[bought] * (1.0 - 1e-9)).all()  # but for rounding
'''
CONFTEST = '''"""Lets the tests beside it find the program, which is not installed as a package here."""

import sys

sys.path.append({program!r})
'''


def init_folder(folder: Path, engine: str) -> int:
    """Make a folder to work in: settings, keys' example, a place for strategies. What is there stays as it is.

    Parameters
    ----------
    folder
        Made if it is not there.
    engine
        How the engine is called, for the words that people copy.

    Raises
    ------
    FixConfigError
        The folder cannot be made or written.
    """
    try:
        (folder / "strategies").mkdir(parents=True, exist_ok=True)
        texts = {"trading.toml": SETTINGS, ".env.example": SECRETS, "README.md": README.format(engine=engine)}
        for name, text in texts.items():
            _say(f"{'made' if _written(folder / name, text) else 'kept'}  {folder / name}")
    except OSError as error:
        raise FixConfigError(f"{folder}: cannot be written ({error.strerror}); name another folder") from error
    _say(f"Next: cd {folder}, then {engine} new strategy my_idea")
    return 0


def new_strategy(name: str, folder: Path, engine: str, program: Path | None = None) -> int:
    """Write a strategy that runs as it stands, and its tests, into `folder`; nothing is overwritten.

    `program` is the folder of this program where it is not installed as a package: the tests are told of it.

    Raises
    ------
    FixConfigError
        The name cannot be one, is taken, or the folder cannot be written.
    """
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith(("_", "test_")) or name != name.lower():
        raise FixConfigError(f"{name!r} cannot name a strategy: use small letters, digits and _, such as my_idea")
    file, test = folder / f"{name}.py", folder / f"test_{name}.py"
    for path in (file, test):
        if path.exists():
            raise FixConfigError(f"{path} is there already; choose another name, or remove it")
    words = {"name": name, "title": name.replace("_", " ").capitalize(), "classname": _class_name(name)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _written(file, STRATEGY.format(**words))
        _written(test, TEST.format(**words))
        if program is not None:
            _written(folder / "conftest.py", CONFTEST.format(program=str(program)))
    except OSError as error:
        raise FixConfigError(f"{folder}: cannot be written ({error.strerror})") from error
    _say(f"made  {file}\nmade  {test}")
    _say(f'Next: {engine} strategies test {name}; then enabled = ["{name}"] under [strategies] in trading.toml')
    return 0


def _class_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_")) or name


def _written(path: Path, text: str) -> bool:
    """Write a file that is not there; return whether it was not."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _say(text: str) -> None:
    sys.stdout.write(f"{wrapped(text, sys.stdout)}\n")
