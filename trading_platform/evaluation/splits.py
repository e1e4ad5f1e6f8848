"""Walk-forward splits: train on the past, choose on a purged slice of it, test on what comes next.

Every fold keeps a gap of `purged_size` + `embargo_size` sessions between train and validation and between validation
and test. The purge is as long as an episode: a training episode that starts in the last sessions before the border
would earn its reward behind it. The embargo is for what remembers: rolling statistics and resting positions. Both
are cut from the end of the earlier part, so that the test parts of all folds join without holes or overlaps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.errors import FixConfigError, MarketDataError


class WalkForwardScheme(StrEnum):
    """How train and test windows move through history."""

    YEARLY = "yearly"
    ROLLING = "rolling"


@dataclass(frozen=True, slots=True)
class SplitConfig:
    """Sizes of a walk-forward split.

    Attributes
    ----------
    scheme
        ``yearly``: train on the last `calendar_years` up to N (None = all), test on year N + 1. ``rolling``: train on
        the last `train_years` (of 252 sessions; None = all history), test on the next `test_sessions`.
    purged_size, embargo_size
        Sessions dropped at each border, as the module describes. One episode is 20 sessions.
    validation_fraction
        Share of the train window's sessions that validate: the newest ones, behind their own gap. 0 = none.
    min_train_sessions
        A fold with a shorter train part is an error, except at the start of history, where the walk begins later.
    """

    scheme: WalkForwardScheme = WalkForwardScheme.YEARLY
    purged_size: int = 20
    embargo_size: int = 5
    validation_fraction: float = 0.3
    train_years: int | None = 2
    calendar_years: int | None = 1
    test_sessions: int = 63
    min_train_sessions: int = 60

    def __post_init__(self) -> None:
        problems = []
        for name, least in (("purged_size", 0), ("embargo_size", 0), ("test_sessions", 1), ("min_train_sessions", 1)):
            if getattr(self, name) < least:
                problems.append(f"{name} must be at least {least}, was {getattr(self, name)}")
        for name in ("train_years", "calendar_years"):
            years = getattr(self, name)
            if years is not None and years < 1:
                problems.append(f"{name} must be at least 1, or None for all history, was {years}")
        if not (0.0 <= self.validation_fraction < 1.0):
            problems.append(f"validation_fraction must be in [0, 1), was {self.validation_fraction}")
        if self.scheme not in tuple(WalkForwardScheme):
            problems.append(f"scheme must be one of {', '.join(WalkForwardScheme)}, was {self.scheme!r}")
        if problems:
            raise FixConfigError("split: " + "; ".join(problems))

    @property
    def gap(self) -> int:
        """Sessions between two parts."""
        return self.purged_size + self.embargo_size


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows of one fold, as half-open ranges of consecutive sessions in time order."""

    train: range
    validation: range
    test: range


def walk_forward(sessions: NDArray[np.datetime64], config: SplitConfig | None = None) -> Iterator[Fold]:
    """Yield the folds of a walk through `sessions`, oldest first.

    Parameters
    ----------
    sessions
        Strictly increasing session dates, (T,) datetime64.
    config
        Sizes; the defaults of :class:`SplitConfig` when None.

    Raises
    ------
    MarketDataError
        History is unsorted, or too short for a single fold, or a later fold has too little to train on.

    Examples
    --------
    Train on year N, test on year N + 1. Both gaps are 25 sessions; test parts join.

    >>> sessions = np.arange("2015-01-01", "2019-01-01", dtype="datetime64[D]")
    >>> sessions = sessions[np.is_busday(sessions)]
    >>> for fold in walk_forward(sessions):
    ...     print(fold.train, fold.validation, fold.test)
    range(0, 141) range(166, 236) range(261, 522)
    range(261, 402) range(427, 497) range(522, 782)
    range(522, 662) range(687, 757) range(782, 1043)

    Train on all years up to N, test on year N + 1.

    >>> for fold in walk_forward(sessions, SplitConfig(calendar_years=None)):
    ...     print(fold.train, fold.validation, fold.test)
    range(0, 141) range(166, 236) range(261, 522)
    range(0, 323) range(348, 497) range(522, 782)
    range(0, 505) range(530, 757) range(782, 1043)

    Train on the last two years, test on the next half year; the last test ends with the history.

    >>> rolling = SplitConfig(scheme=WalkForwardScheme.ROLLING, train_years=2, test_sessions=126)
    >>> for fold in walk_forward(sessions, rolling):
    ...     print(fold.train, fold.validation, fold.test)
    range(0, 311) range(336, 479) range(504, 630)
    range(126, 437) range(462, 605) range(630, 756)
    range(252, 563) range(588, 731) range(756, 882)
    range(378, 689) range(714, 857) range(882, 1008)
    range(504, 815) range(840, 983) range(1008, 1043)

    Without validation, gap and limit, on all history so far:

    >>> bare = SplitConfig(purged_size=0, embargo_size=0, validation_fraction=0.0, train_years=None,
    ...                    test_sessions=400, scheme=WalkForwardScheme.ROLLING)
    >>> for fold in walk_forward(sessions, bare):
    ...     print(fold.train, fold.validation, fold.test)
    range(0, 400) range(400, 400) range(400, 800)
    range(0, 800) range(800, 800) range(800, 1043)
    """
    config = SplitConfig() if config is None else config
    _check_sessions(sessions)
    started = False
    for window, test in _windows(sessions, config):
        train, validation = split_window(window, config)
        if len(train) < config.min_train_sessions:
            if started:
                raise MarketDataError(
                    f"walk-forward: {len(train)} sessions to train on before {sessions[test.start]}, "
                    f"min_train_sessions is {config.min_train_sessions}; fill the gap in the history or lower it"
                )
            continue
        started = True
        yield Fold(train, validation, test)
    if not started:
        raise MarketDataError(
            f"walk-forward: {len(sessions)} sessions of history leave no fold with {config.min_train_sessions} "
            f"sessions to train on and a test behind them ({config.scheme}); start the history earlier"
        )


def split_window(window: range, config: SplitConfig) -> tuple[range, range]:
    """Split the sessions before a border into (train, validation), each followed by a gap.

    The window ends where the test begins. Validation takes `validation_fraction` of the sessions left after the last
    gap, rounded down. For a weekly retrain, which has no test yet, call it with the last two years.
    """
    usable = max(0, len(window) - config.gap)
    stop = window.start + usable
    n_validation = int(config.validation_fraction * usable)
    if n_validation == 0:
        return range(window.start, stop), range(stop, stop)
    start = stop - n_validation
    return range(window.start, max(window.start, start - config.gap)), range(start, stop)


def out_of_sample(folds: list[Fold]) -> NDArray[np.int64]:
    """Return the rows (n,) of all test parts in order: the one concatenated out-of-sample path."""
    return np.concatenate([np.arange(fold.test.start, fold.test.stop, dtype=np.int64) for fold in folds])


def _windows(sessions: NDArray[np.datetime64], config: SplitConfig) -> Iterator[tuple[range, range]]:
    """Yield (everything to learn from, test) for each step of the walk."""
    n_sessions = len(sessions)
    if config.scheme == WalkForwardScheme.YEARLY:
        years = sessions.astype("datetime64[Y]")
        borders = [0, *(np.flatnonzero(years[1:] != years[:-1]) + 1).tolist(), n_sessions]
        for n, (middle, stop) in enumerate(pairwise(borders[1:]), start=1):
            if (years[middle] - years[middle - 1]).astype(int) != 1:
                raise MarketDataError(f"walk-forward: no session in the year after {years[middle - 1]}")
            start = 0 if config.calendar_years is None else borders[max(0, n - config.calendar_years)]
            yield range(start, middle), range(middle, stop)
        return
    length = config.test_sessions if config.train_years is None else config.train_years * ANNUAL_SESSIONS
    for middle in range(length, n_sessions, config.test_sessions):
        start = 0 if config.train_years is None else middle - length
        yield range(start, middle), range(middle, min(middle + config.test_sessions, n_sessions))


def _check_sessions(sessions: NDArray[np.datetime64]) -> None:
    if sessions.ndim != 1 or len(sessions) == 0:
        raise MarketDataError(f"walk-forward: sessions must be a filled (T,) array of dates, was {sessions.shape}")
    steps = np.diff(sessions.astype("datetime64[D]").astype(np.int64))
    if np.isnat(sessions).any() or (steps <= 0).any():
        raise MarketDataError("walk-forward: sessions must be strictly increasing dates; sort and deduplicate them")
