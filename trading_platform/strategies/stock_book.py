"""The book that all slow stock strategies keep; they differ in what they rank by."""

from __future__ import annotations

import numpy as np

from trading_platform.core.types import Bools, Floats, MarketPanel
from trading_platform.strategies.holding import best, first_of_week, held_names, sector_groups, slots, tradable
from trading_platform.strategies.measures import stock_columns


def rankable_stocks(panel: MarketPanel) -> Bools:
    """Return where a stock is a member with a known close, (T, N)."""
    return tradable(panel, stock_columns(panel))


def calmer(volatility: Floats, rankable: Bools, share: float) -> Bools:
    """Return which rankable stocks are among the calmest `share` by `volatility`, (T, N)."""
    return best(np.where(rankable, -volatility, np.nan), share, 1)


def weekly_stock_book(panel: MarketPanel, score: Floats, allowed: Bools, n_names: int, stay_share: float) -> Floats:
    """Return weights of the `n_names` best stocks, chosen weekly and kept while among the best `stay_share`, (T, N).

    `score` (T, N) counts where `allowed`. The band is never narrower than twice the names held.
    """
    rankable = rankable_stocks(panel)
    ranked = np.where(allowed & rankable, score, np.nan)
    stay = best(ranked, stay_share, 2 * n_names)
    conviction = held_names(
        ranked, stay, stay, sector_groups(panel), n_names, first_of_week(panel.sessions), panel.sessions, False
    )
    return np.where(rankable, slots(conviction, n_names), 0.0)
