"""The book that all slow stock strategies keep; they differ in what they rank by."""

from __future__ import annotations

import numpy as np

from trading_platform.core.types import Bools, Floats, MarketPanel
from trading_platform.strategies.holding import best, first_of_month, held_names, sector_groups, tradable
from trading_platform.strategies.measures import stock_columns

# A name that was calm enough to be bought may become this much less so, in parts of the universe, before it leaves.
CALM_BAND = 0.2


def rankable_stocks(panel: MarketPanel) -> Bools:
    """Return where a stock is a member with a known close, (T, N)."""
    return tradable(panel, stock_columns(panel))


def monthly_stock_book(
    panel: MarketPanel, score: Floats, n_names: int, stay_share: float, volatility: Floats, calm_share: float = 1.0
) -> Floats:
    """Return weights of the `n_names` best stocks, chosen monthly and kept while near the top, (T, N).

    Bought are the best of the calmest `calm_share` of all stocks by `volatility` (T, N); kept is what is among the
    best by `score` (T, N; NaN = not wanted) of a somewhat wider part. As many places keep a name as `stay_share` of
    all stocks are, and never fewer than twice the names held.
    """
    days = first_of_month(panel.sessions)
    rankable = rankable_stocks(panel)
    measured = np.where(rankable[days], -volatility[days], np.nan)
    count = np.isfinite(measured).sum(axis=1, keepdims=True)
    calm, nearly_calm = (best(measured, np.ceil(share * count)) for share in (calm_share, calm_share + CALM_BAND))
    ranked = np.where(nearly_calm, score[days], np.nan)
    stay = best(ranked, np.maximum(np.ceil(stay_share * count), 2 * n_names))
    groups = sector_groups(panel)
    weights = held_names(ranked, calm & stay, stay, groups, n_names, days, panel.sessions, one_per_group=False)
    return np.where(rankable, weights, 0.0)
