"""Brokers in files of one's own: `brokers/NAME.py` beside trading.toml, or an installed package's entry point.

A file has one function, `open_broker(setup)`, which returns a `brokers.venue.Broker`. `[broker] name = "NAME"` in the
settings sends orders there; no other file is ever imported (docs/brokers.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

from trading_platform.brokers.venue import Broker, RiskDoor
from trading_platform.core.errors import FixConfigError
from trading_platform.core.session import Rules
from trading_platform.machine.own_modules import imported, loaded

GROUP = "trading_platform.brokers"  # of entry points: name -> open_broker
OPENER = "open_broker"
PREFIX = "own_brokers_"  # of the modules' names


class BrokerSetup(NamedTuple):
    """What a broker is opened with.

    `rules` are limits, exits and costs; `capital` is `[engine] initial_capital`, the dollars of an account that begins;
    `tickers` and `strategies` name the book's columns and strategy numbers; at `door` approvals are spent.
    """

    rules: Rules
    capital: float
    tickers: Sequence[str]
    strategies: Sequence[str]
    door: RiskDoor


OpenBroker = Callable[[BrokerSetup], Broker]


def own_broker(name: str, folder: Path) -> OpenBroker:
    """Return the function that opens the broker `name`: of the file in `folder`, else of an installed package.

    Raises
    ------
    FixConfigError
        Nobody offers such a broker, its file cannot be imported or lacks the function.
    """
    file = folder / f"{name}.py"
    opener: Any = None
    place = str(file)
    if file.is_file():
        opener = getattr(imported(file, PREFIX), OPENER, None)
    else:
        offered = {entry.name: entry for entry in entry_points(group=GROUP)}
        if name not in offered:
            known = ", ".join(["paper", "alpaca", *sorted(offered)])
            raise FixConfigError(
                f'[broker] name = "{name}": there are {known}, and no {file} with a function {OPENER}(setup)'
            )
        opener, place = loaded(offered[name], "broker"), offered[name].value
    if not callable(opener):
        raise FixConfigError(f"{place}: no function {OPENER}(setup) that returns the broker")
    found: OpenBroker = opener
    return found
