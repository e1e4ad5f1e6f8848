"""The embedded market: made-up tickers, no files, no network, the same on every start.

What moves it is `market_model` and `market_paths`; here it gets sessions, names and sectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np

from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import Ints, MarketPanel
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.embedded_funds import with_funds
from trading_platform.market_data.market_model import REALISTIC, MarketModel
from trading_platform.market_data.market_paths import MarketPath, generate_market, generate_stocks, index_level
from trading_platform.market_data.panel import select, with_hash
from trading_platform.market_data.schedule import FIRST_DAY, Sessions

DEFAULT_END = date(2024, 12, 31)
DEFAULT_SESSIONS = 1512
DEFAULT_TICKERS = 60
BENCHMARK = "INDEX"
FIRST_INDEX_LEVEL = 250.0
SECTORS = (
    "Communication Services",
    "Consumer Discretionary",
    "Consumer Staples",
    "Energy",
    "Financials",
    "Health Care",
    "Industrials",
    "Information Technology",
    "Materials",
    "Real Estate",
    "Utilities",
)
CONSONANTS = "BDFGKLMNPRSTVZ"
VOWELS = "AEIOU"
SYLLABLES = tuple(consonant + vowel for consonant in CONSONANTS for vowel in VOWELS)
# Coprime to the number of three-syllable names, so that stepping by it meets each name once, in a scattered order.
NAME_STEP = 62_347


class SyntheticMarketData:
    """A seeded artificial market; implements `core.ports.MarketData`.

    Parameters
    ----------
    seed
        Names the market. The same seed and model give the same bars in every process.
    n_tickers
        Number of stocks. More stocks leave the first ones as they are.
    start, end
        First and last day. A later `end` leaves all earlier bars as they are. Without `start` there are `n_sessions`
        sessions up to `end`.
    n_sessions
        Number of sessions when `start` is not given.
    model
        The market's parameters: `market_model.REALISTIC`, `REGIME_EDGES` (positive control) or `NO_STRUCTURE`
        (negative control), or your own.
    calendar
        Sessions of the exchange.
    funds
        True adds the funds of `embedded_funds` and the index as tickers, so that strategies of bonds, gold, trends and
        the market have something to trade. The stocks and the index are the same either way.

    Raises
    ------
    FixConfigError
        Fewer than one ticker or two sessions, or both `start` and `n_sessions`.
    """

    def __init__(
        self,
        seed: int = 7,
        *,
        n_tickers: int = DEFAULT_TICKERS,
        start: date | None = None,
        end: date = DEFAULT_END,
        n_sessions: int | None = None,
        model: MarketModel = REALISTIC,
        calendar: NyseCalendar | None = None,
        funds: bool = False,
    ) -> None:
        if not (1 <= n_tickers <= len(SYLLABLES) ** 3):
            raise FixConfigError(f"n_tickers must be in 1..{len(SYLLABLES) ** 3}, was {n_tickers}")
        if seed < 0:
            raise FixConfigError(f"seed must be >= 0, was {seed}")
        if start is not None and n_sessions is not None:
            raise FixConfigError(f"give start or n_sessions, not both; they were {start} and {n_sessions}")
        self.seed = seed
        self.n_tickers = n_tickers
        self.model = model
        self.funds = funds
        self._calendar = calendar or NyseCalendar()
        self._start, self._end = start, end
        self._n_sessions = DEFAULT_SESSIONS if n_sessions is None else n_sessions

    @property
    def name(self) -> str:
        """Short name for people."""
        return f"synthetic:seed={self.seed}"

    def history(
        self, tickers: Sequence[str] | None = None, start: date | None = None, end: date | None = None
    ) -> MarketPanel:
        """Return completed bars of `tickers` (all when None) for sessions in [start, end].

        Raises
        ------
        MarketDataError
            An unknown ticker, or no session in the range.
        """
        return select(self._generate(), tickers, start, end, benchmark=BENCHMARK)

    def true_regimes(self) -> Ints:
        """Return the regime that each session was drawn from, (T,): 0 bull, 1 bear, 2 consolidation. For tests only."""
        return self._market(len(self.sessions())).regimes

    def sessions(self) -> Sessions:
        """Return all sessions of this market, (T,) datetime64[D].

        Raises
        ------
        FixConfigError
            Fewer than two sessions, or more than the calendar knows.
        """
        first = FIRST_DAY if self._start is None else self._start
        known = self._calendar.sessions_between(first, self._end)
        wanted = len(known) if self._start is not None else self._n_sessions
        if not (2 <= wanted <= len(known)):
            raise FixConfigError(
                f"a synthetic market needs 2 to {len(known)} sessions between {first} and {self._end}, was {wanted}"
            )
        return known[len(known) - wanted :]

    def _market(self, n_sessions: int) -> MarketPath:
        return generate_market(self.model, self.seed, n_sessions)

    def _generate(self) -> MarketPanel:
        sessions = self.sessions()
        market = self._market(len(sessions))
        names = ticker_names(self.n_tickers)
        order = np.argsort(names)
        stocks = generate_stocks(self.model, self.seed, market, order, order % len(SECTORS))
        panel = MarketPanel(
            sessions=sessions,
            tickers=tuple(names[i] for i in order),
            **stocks._asdict(),
            vix=market.vix,
            benchmark=index_level(market, FIRST_INDEX_LEVEL),
            sectors=tuple(SECTORS[i % len(SECTORS)] for i in order),
            source=self.name,
            data_hash="",
        )
        if self.funds:
            panel = with_funds(panel, self.model, self.seed, market, BENCHMARK)
        return with_hash(panel)


def ticker_names(count: int) -> list[str]:
    """Return `count` different made-up tickers of six letters, one more than a US stock can have."""
    base = len(SYLLABLES)
    numbers = ((i + 1) * NAME_STEP % base**3 for i in range(count))
    return [SYLLABLES[n // base**2] + SYLLABLES[n // base % base] + SYLLABLES[n % base] for n in numbers]
