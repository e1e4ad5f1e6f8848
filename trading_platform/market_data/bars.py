"""Daily bars in long form: one row a ticker and session, as files and data services deliver them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.types import Bools, Floats, Ints

PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Columns of R bars in the order of their source.

    Attributes
    ----------
    names
        Distinct tickers, sorted.
    ticker
        (R,) index into `names`.
    session
        (R,) datetime64[D].
    open, high, low, close, volume
        (R,) dollars a share and shares.
    split_ratio
        (R,) factor on the share count at the session's open, 1 = none; None when the prices are adjusted.
    dividend
        (R,) dollars a share on the ex-date, 0 = none; None when the prices are adjusted.
    place
        Names the origin of a row for people, e.g. ``us_daily.csv.gz line 12``.
    unread
        Rows with a field that is no number, and which: its value is NaN.
    """

    names: tuple[str, ...]
    ticker: Ints
    session: NDArray[np.datetime64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    place: Callable[[int], str]
    split_ratio: Floats | None = None
    dividend: Floats | None = None
    unread: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ticker)

    def name(self, row: int) -> str:
        """Return the ticker of `row`."""
        return self.names[int(self.ticker[row])]

    def day(self, row: int) -> date:
        """Return the session of `row`."""
        value: date = self.session[row].astype("datetime64[D]").item()
        return value

    def subject(self, row: int) -> str:
        """Return what `row` is about: ticker and session."""
        return f"{self.name(row)} {self.day(row)}"

    def label(self, row: int) -> str:
        """Return where `row` came from and what it is about; reads the file again, so for errors only."""
        return f"{self.place(row)}: {self.subject(row)}"

    def kept(self, rows: Bools) -> Bars:
        """Return the bars of `rows` (R,), which keep their places."""
        if rows.all():
            return self
        origin = np.flatnonzero(rows)
        new_row = np.cumsum(rows) - 1
        place = self.place
        return replace(
            self,
            ticker=self.ticker[rows],
            session=self.session[rows],
            open=self.open[rows],
            high=self.high[rows],
            low=self.low[rows],
            close=self.close[rows],
            volume=self.volume[rows],
            split_ratio=None if self.split_ratio is None else self.split_ratio[rows],
            dividend=None if self.dividend is None else self.dividend[rows],
            place=lambda row: place(int(origin[row])),
            unread={int(new_row[row]): text for row, text in self.unread.items() if rows[row]},
        )

    def renamed(self, names: Sequence[str]) -> Bars:
        """Return the bars under other names, one for each of `names`; equal names become one ticker."""
        ordered, ticker = sort_names(names, self.ticker)
        return replace(self, names=ordered, ticker=ticker)

    def without_unused_names(self) -> Bars:
        """Return the bars with the tickers that have any."""
        used = np.bincount(self.ticker, minlength=len(self.names)) > 0
        if used.all():
            return self
        renumber = np.cumsum(used) - 1
        names = tuple(name for name, is_used in zip(self.names, used, strict=True) if is_used)
        return replace(self, names=names, ticker=renumber[self.ticker])


def encode_tickers(tickers: NDArray[np.str_] | Sequence[str]) -> tuple[tuple[str, ...], Ints]:
    """Return the sorted distinct names and each row's index into them, (n,)."""
    names, codes = np.unique(np.asarray(tickers, dtype=np.str_), return_inverse=True)
    return tuple(names.tolist()), codes.astype(np.int64)


def sort_names(names: Sequence[str], codes: Ints) -> tuple[tuple[str, ...], Ints]:
    """Return `names` sorted and without repeats, and `codes` (n,) renumbered to match."""
    ordered = sorted(set(names))
    position = {name: i for i, name in enumerate(ordered)}
    renumber = np.array([position[name] for name in names], dtype=np.int64)
    return tuple(ordered), renumber[codes]


def join_bars(parts: Sequence[Bars]) -> Bars:
    """Return the rows of all `parts`, one after the other. A part without splits or dividends had none."""
    if len(parts) == 1:
        return parts[0]
    offsets = np.cumsum([0, *(len(part) for part in parts)])
    shifted = np.cumsum([0, *(len(part.names) for part in parts)])
    names, ticker = sort_names(
        [name for part in parts for name in part.names],
        np.concatenate([part.ticker + shift for part, shift in zip(parts, shifted, strict=False)]),
    )

    def place(row: int) -> str:
        part = int(np.searchsorted(offsets, row, side="right")) - 1
        return parts[part].place(row - int(offsets[part]))

    def stacked(column: str) -> Floats:
        values: Floats = np.concatenate([getattr(part, column) for part in parts])
        return values

    def filled(column: str, default: float) -> Floats | None:
        columns = [getattr(part, column) for part in parts]
        if all(values is None for values in columns):
            return None
        pairs = zip(parts, columns, strict=True)
        return np.concatenate([np.full(len(part), default) if values is None else values for part, values in pairs])

    return Bars(
        names=names,
        ticker=ticker,
        session=np.concatenate([part.session for part in parts]),
        open=stacked("open"),
        high=stacked("high"),
        low=stacked("low"),
        close=stacked("close"),
        volume=stacked("volume"),
        place=place,
        split_ratio=filled("split_ratio", 1.0),
        dividend=filled("dividend", 0.0),
        unread={
            row + int(shift): text
            for part, shift in zip(parts, offsets, strict=False)
            for row, text in part.unread.items()
        },
    )
