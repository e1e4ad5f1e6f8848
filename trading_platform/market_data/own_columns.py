"""Data columns and risk rules of one's own: files beside trading.toml, or modules that an installed package brings.

`columns/NAME.py` has `LOOKBACK`, the sessions that a row depends on, and `column(panel)`, which returns numbers as they
are known at each close, (T, N) or (T,); strategies read them as `panel.column("NAME")`. `rules/NAME.py` has `LOOKBACK`
and `allows(panel)`, which returns whether a ticker may be bought after each close. Only files that the settings name
are imported. Both are asked of split-adjusted bars, as strategies are, and what they say comes with the panel: so
replay, training and live trading know the same, and the proof against looking ahead sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trading_platform.core.errors import FixConfigError
from trading_platform.core.market import forward_adjusted
from trading_platform.core.types import Bools, Floats, MarketPanel
from trading_platform.machine.own_modules import answer, imported, loaded
from trading_platform.market_data.panel import with_hash

COLUMNS, RULES = "columns", "rules"  # folders, and groups of entry points: trading_platform.columns, .rules
FUNCTIONS = {COLUMNS: "column", RULES: "allows"}
LONGEST = 252  # sessions; live trading loads that much before what strategies look back on


class OwnPart(NamedTuple):
    """A column or rule: `ask` takes a panel, a row of its answer depends on `lookback` sessions."""

    name: str
    place: str
    lookback: int
    ask: Callable[[MarketPanel], object]


def own_columns(names: Sequence[str], folder: Path = Path(COLUMNS)) -> tuple[OwnPart, ...]:
    """Return the columns `names`, from files of `folder` or installed packages.

    Raises
    ------
    FixConfigError
        There is none of that name, or it lacks what it must have.
    """
    return tuple(_part(name, folder, COLUMNS) for name in names)


def own_rules(names: Sequence[str], folder: Path = Path(RULES)) -> tuple[OwnPart, ...]:
    """Return the risk rules `names`, from files of `folder` or installed packages.

    Raises
    ------
    FixConfigError
        There is none of that name, or it lacks what it must have.
    """
    return tuple(_part(name, folder, RULES) for name in names)


def with_own_columns(panel: MarketPanel, parts: Sequence[OwnPart]) -> MarketPanel:
    """Return the panel with the columns in `extra`.

    Raises
    ------
    FixConfigError
        A column is no table of numbers of the panel's shape.
    """
    if not parts:
        return panel
    return with_hash(replace(panel, extra={part.name: column_values(part, panel) for part in parts}))


def with_own_rules(panel: MarketPanel, parts: Sequence[OwnPart]) -> MarketPanel:
    """Return the panel with what the rules refuse in `no_new_risk`, and a line that tells how often each does.

    Raises
    ------
    FixConfigError
        A rule says anything but True and False in the panel's shape: what is not clearly allowed is an error.
    """
    if not parts:
        return panel
    refused = np.zeros(panel.close.shape, dtype=np.bool_)
    lines = []
    for part in parts:
        said = ~rule_values(part, panel)
        lines.append(f"your rule {part.name} lets nothing be bought in {said.mean():.1%} of all sessions and tickers")
        refused |= said
    return with_hash(replace(panel, no_new_risk=refused, warnings=(*panel.warnings, *lines)))


def column_values(part: OwnPart, panel: MarketPanel) -> Floats:
    """Return a column, (T, N) float64; it is asked of bars alone, without other columns.

    Raises
    ------
    FixConfigError
        It is no table of numbers of that shape.
    """
    said = answer(part.place, part.ask, forward_adjusted(replace(panel, extra={}, no_new_risk=None)))
    values = answer(part.place, np.array, said)
    if not np.issubdtype(values.dtype, np.number) or np.issubdtype(values.dtype, np.complexfloating):
        raise FixConfigError(f"{part.place}: column(panel) must return numbers, returned {values.dtype}")
    numbers: Floats = _shaped(part, values.astype(np.float64), panel)
    return numbers


def rule_values(part: OwnPart, panel: MarketPanel) -> Bools:
    """Return where a rule allows new risk, (T, N); it may read the columns.

    Raises
    ------
    FixConfigError
        It says anything but True and False in that shape.
    """
    said = answer(part.place, part.ask, forward_adjusted(replace(panel, no_new_risk=None)))
    values = answer(part.place, np.array, said)
    if values.dtype != np.bool_:
        raise FixConfigError(f"{part.place}: allows(panel) must return True and False, returned {values.dtype}")
    allowed: Bools = _shaped(part, values, panel)
    return allowed


def _shaped(part: OwnPart, values: Any, panel: MarketPanel) -> Any:
    if values.shape == panel.close.shape[:1]:
        values = np.repeat(values[:, None], panel.n_tickers, axis=1)
    if values.shape != panel.close.shape:
        rows, columns = panel.close.shape
        raise FixConfigError(f"{part.place}: must return ({rows}, {columns}) or ({rows},), returned {values.shape}")
    return np.ascontiguousarray(values)


def _part(name: str, folder: Path, kind: str) -> OwnPart:
    if not name.isidentifier():
        raise FixConfigError(f"{name!r} in {kind}: a name must be letters, digits and _")
    file, function = folder / f"{name}.py", FUNCTIONS[kind]
    if file.is_file():
        found, place = imported(file, f"own_{kind}_"), str(file)
    else:
        offered = {entry.name: entry for entry in entry_points(group=f"trading_platform.{kind}")}
        if name not in offered:
            raise FixConfigError(f"{name!r} in {kind}: there is no {file} with a function {function}(panel)")
        found, place = loaded(offered[name], kind), offered[name].value
    ask, lookback = getattr(found, function, None), getattr(found, "LOOKBACK", None)
    if not callable(ask):
        raise FixConfigError(f"{place}: no function {function}(panel)")
    if type(lookback) is not int or not 1 <= lookback <= LONGEST:
        raise FixConfigError(
            f"{place}: LOOKBACK, the sessions that a row depends on, its own included, must be 1 to {LONGEST}, "
            f"was {lookback!r}"
        )
    return OwnPart(name, place, lookback, ask)
