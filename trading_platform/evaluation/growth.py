"""What a dollar became in each of the books that `evaluate` compares, at the end of every month: for its page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trading_platform.core.types import Floats
from trading_platform.evaluation.book_statistics import sixty_forty
from trading_platform.evaluation.evaluate import UniverseRun, Yardsticks


class Growth(NamedTuple):
    """Month ends, ISO, and by name what a dollar was worth then, (M,); `low`, `high` are the universes' extremes."""

    days: tuple[str, ...]
    worth: dict[str, Floats]
    low: Floats
    high: Floats


def growth(yardsticks: Yardsticks, runs: Sequence[UniverseRun]) -> Growth:
    """Return the growth of the book (mean over universes, and its extremes) and of what it is compared with."""
    months = yardsticks.sessions.astype("datetime64[M]").astype(np.int64)
    ends = np.flatnonzero(np.append(months[1:] != months[:-1], True))
    books = np.stack([_worth(run.run.returns)[ends] for run in runs])
    worth = {"this book": books.mean(axis=0)}
    papers = [_worth(run.paper.returns)[ends] for run in runs if run.paper is not None]
    if papers:
        worth["paper form"] = np.mean(papers, axis=0)
    worth["equal-weight universe"] = np.mean([_worth(run.equal_weight)[ends] for run in runs], axis=0)
    worth["benchmark"] = _worth(yardsticks.benchmark)[ends]
    if yardsticks.bonds is not None:
        mix = sixty_forty(yardsticks.benchmark, yardsticks.bonds, yardsticks.bills)
        worth[f"60/40 ({yardsticks.bond_fund})"] = _worth(mix)[ends]
    worth["bills"] = _worth(yardsticks.bills)[ends]
    days = tuple(str(day) for day in yardsticks.sessions[ends].astype("datetime64[D]"))
    return Growth(days, worth, books.min(axis=0), books.max(axis=0))


def _worth(returns: Floats) -> Floats:
    worth: Floats = np.cumprod(1.0 + returns).astype(np.float64)
    return worth
