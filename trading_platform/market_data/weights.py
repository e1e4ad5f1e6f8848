"""Targets made elsewhere (``weights.csv``): by date, strategy and ticker the wanted share of the strategy's capital."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.errors import MarketDataError
from trading_platform.core.types import Floats
from trading_platform.market_data.columns import Role, key_of, roles_of
from trading_platform.market_data.notices import refuse
from trading_platform.market_data.numbers import decimals_of, parse_numbers
from trading_platform.market_data.reading_rules import Rules, settled_days
from trading_platform.market_data.sources import Source
from trading_platform.market_data.text_tables import RawTable, read_text_table
from trading_platform.market_data.tickers import canonical

SUM_TOLERANCE = 1e-6  # weights written with six decimals may sum to a little more than 1


@dataclass(frozen=True, slots=True, eq=False)
class TargetWeights:
    """Targets of S strategies on D dates for N tickers.

    Attributes
    ----------
    days
        (D,) datetime64[D], increasing: dates on which targets are given; each holds until the strategy's next.
    strategies
        Names, sorted.
    tickers
        Sorted.
    weights
        (D, S, N) share of the strategy's capital, >= 0, sums to at most 1 over the last axis; NaN rows are dates on
        which the strategy says nothing, and a ticker that it does not name on its date is 0.
    """

    days: NDArray[np.datetime64]
    strategies: tuple[str, ...]
    tickers: tuple[str, ...]
    weights: Floats


def read_weights(path: Path) -> TargetWeights:
    """Read a weights file.

    Raises
    ------
    MarketDataError
        Missing columns, dates or weights that are none, negative weights, sums above 1, a row given twice: all in one.
    """
    return weights_of(read_text_table(Source(path, path.name)), Rules())


def weights_of(table: RawTable, rules: Rules) -> TargetWeights:
    """Return the targets in `table`; see `read_weights`.

    Raises
    ------
    MarketDataError
        Columns are missing, or there is no row.
    """
    name = table.source.name
    roles = roles_of(table.header)
    keys = [key_of(cell) for cell in table.header]
    places = {
        "date": roles.get(Role.DATE),
        "strategy": keys.index("strategy") if "strategy" in keys else None,
        "ticker": roles.get(Role.TICKER),
        "weight": keys.index("weight") if "weight" in keys else None,
    }
    missing = [column for column, place in places.items() if place is None]
    if missing:
        raise MarketDataError(
            f"{name}: column {', '.join(missing)} is missing, the header has {', '.join(table.header)}; "
            "a weights file needs date,strategy,ticker,weight"
        )
    texts = {column: table.texts(place) for column, place in places.items() if place is not None}
    days = settled_days(texts["date"], rules, name)
    values, wrong = parse_numbers(texts["weight"], decimals_of([texts["weight"]], table.separator))
    problems = list(table.problems)
    problems += [
        f"{table.place(row)}: date {texts['date'][row]!r} is no date; correct or delete the line"
        for row in [*days.wrong.tolist(), *days.blank.tolist()]
    ]
    unread = set(wrong.tolist())
    rows: dict[tuple[str, str, str], tuple[int, float]] = {}
    for row, (day, strategy, ticker) in enumerate(
        zip(days.day.tolist(), texts["strategy"], texts["ticker"], strict=True)
    ):
        strategy, ticker, value = strategy.strip(), canonical(ticker), float(values[row])
        what = f"{table.place(row)}: {strategy or 'a strategy'} {ticker} {day}"
        if not strategy or not ticker:
            problems.append(f"{table.place(row)}: the strategy or the ticker is missing; fill it in or delete the line")
        elif row in unread or not 0.0 <= value <= 1.0:
            text = texts["weight"][row].strip() or "empty"
            problems.append(f"{what}: weight {text} is not a share from 0 to 1; correct it")
        elif day is not None:
            first = rows.setdefault((str(day), strategy, ticker), (row, value))
            if first[0] != row and first[1] != value:
                problems.append(f"{what}: has {value:g}, and {first[1]:g} in {table.place(first[0])}; delete one")
    sums: dict[tuple[str, str], float] = {}
    for (day_text, strategy, _), (_, value) in rows.items():
        sums[day_text, strategy] = sums.get((day_text, strategy), 0.0) + value
    problems += [
        f"{name}: {strategy} {day_text}: weights sum to {total:.6g}, more than 1; scale them down"
        for (day_text, strategy), total in sums.items()
        if total > 1.0 + SUM_TOLERANCE
    ]
    refuse(problems)
    if not rows:
        raise MarketDataError(f"{name} has a header and no weights; add some or remove the file")
    dates = sorted({key[0] for key in rows})
    strategies = tuple(sorted({key[1] for key in rows}))
    tickers = tuple(sorted({key[2] for key in rows}))
    grid = np.full((len(dates), len(strategies), len(tickers)), np.nan)
    at = {text: place for place, text in enumerate(dates)}
    for (day_text, strategy, ticker), (_, value) in rows.items():
        cell = grid[at[day_text], strategies.index(strategy)]
        cell[np.isnan(cell)] = 0.0
        cell[tickers.index(ticker)] = value
    return TargetWeights(np.array(dates, dtype="datetime64[D]"), strategies, tickers, grid)
