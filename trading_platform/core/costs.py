"""Costs, protection and trading bands: what the user sets, and the numbers that the kernel computes with."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

from trading_platform.core.errors import FixConfigError

BASIS_POINT = 1e-4


class Costs(NamedTuple):
    """Cost rates as the kernel uses them: fractions of price, dollars."""

    half_spread: float
    slippage: float
    impact: float
    commission_per_share: float
    min_commission: float
    sec_fee: float
    taf_per_share: float
    taf_max: float
    max_participation: float
    delisting_haircut: float
    special_dividend: float


@dataclass(frozen=True, slots=True)
class CostConfig:
    """Trading costs and liquidity limits.

    Attributes
    ----------
    half_spread_bps
        Half the bid-ask spread, basis points of price. 2 is typical for S&P 500 names at the open.
    slippage_bps
        Further price worsening between decision and fill, basis points. 3 makes a one-way cost of 5 bp.
    impact_bps
        Impact at 1 % of the session's volume, basis points; grows with the square root of that share.
    commission_per_share, min_commission
        Dollars a share, and at least dollars an order. Alpaca charges none.
    sec_fee_per_million
        SEC section 31 fee in dollars per million dollars sold.
    taf_per_share, taf_max
        FINRA trading activity fee on sells, dollars a share and at most dollars an order.
    max_participation_pct
        Largest part of a session's volume that one order may fill, percent. The rest stays unfilled.
    delisting_haircut_pct
        What a position loses against its last price when its ticker ends and no event says otherwise, percent. Most
        tickers that end are bought out; Shumway (1997, "The Delisting Bias in CRSP Data") finds 30 for those that fail.
    special_dividend_pct
        Dividends above so many percent of the last close lower stops, targets and limits on their ex-date.
    """

    half_spread_bps: float = 2.0
    slippage_bps: float = 3.0
    impact_bps: float = 10.0
    commission_per_share: float = 0.0
    min_commission: float = 0.0
    sec_fee_per_million: float = 27.80
    taf_per_share: float = 0.000166
    taf_max: float = 8.30
    max_participation_pct: float = 5.0
    delisting_haircut_pct: float = 0.0
    special_dividend_pct: float = 3.0

    def __post_init__(self) -> None:
        problems = [
            f"costs.{item.name} must be a finite number >= 0, was {getattr(self, item.name)!r}"
            for item in fields(self)
            if not (0.0 <= getattr(self, item.name) < math.inf)
        ]
        if not (0.0 < self.max_participation_pct <= 100.0):
            problems.append(f"costs.max_participation_pct must be in (0, 100], was {self.max_participation_pct!r}")
        if not (self.delisting_haircut_pct <= 100.0):
            problems.append(f"costs.delisting_haircut_pct must be at most 100, was {self.delisting_haircut_pct!r}")
        if problems:
            raise FixConfigError("; ".join(problems))

    def rates(self) -> Costs:
        """Return the kernel's form."""
        return Costs(
            half_spread=self.half_spread_bps * BASIS_POINT,
            slippage=self.slippage_bps * BASIS_POINT,
            impact=self.impact_bps * BASIS_POINT,
            commission_per_share=self.commission_per_share,
            min_commission=self.min_commission,
            sec_fee=self.sec_fee_per_million * 1e-6,
            taf_per_share=self.taf_per_share,
            taf_max=self.taf_max,
            max_participation=self.max_participation_pct / 100.0,
            delisting_haircut=self.delisting_haircut_pct / 100.0,
            special_dividend=self.special_dividend_pct / 100.0,
        )


@dataclass(frozen=True, slots=True)
class ExitConfig:
    """Protection of positions, fixed when an entry is approved.

    Attributes
    ----------
    stop_loss_volatilities, take_profit_volatilities
        For strategies that say nothing of their own: distance from the decision price in units of the ticker's daily
        volatility (20 sessions).
    min_stop_pct, max_stop_pct
        Their stop distance is kept inside this range, percent of price.
    max_holding_sessions
        Their positions are closed at the next open after so many sessions.
    cooling_sessions
        So many sessions after a stop-out they do not buy the ticker back.
    disaster_stop_pct
        Every position has a stop at the broker. That of a strategy which declares none lies so far below the decision
        price, percent: insurance against gaps and errors, no source of return (Kaminski & Lo 2014).
    """

    stop_loss_volatilities: float = 4.0
    take_profit_volatilities: float = 8.0
    min_stop_pct: float = 3.0
    max_stop_pct: float = 20.0
    max_holding_sessions: int = 60
    cooling_sessions: int = 5
    disaster_stop_pct: float = 30.0

    def __post_init__(self) -> None:
        problems = [
            f"exits.{item.name} must be a finite number > 0, was {getattr(self, item.name)!r}"
            for item in fields(self)
            if not (0.0 < getattr(self, item.name) < math.inf) and item.name != "cooling_sessions"
        ]
        if not (0 <= self.cooling_sessions < math.inf):
            problems.append(f"exits.cooling_sessions must be a finite number >= 0, was {self.cooling_sessions!r}")
        if not (self.min_stop_pct <= self.max_stop_pct < 100.0):
            problems.append(
                "exits.min_stop_pct <= exits.max_stop_pct < 100 must hold, was "
                f"{self.min_stop_pct!r}, {self.max_stop_pct!r}"
            )
        if not (self.disaster_stop_pct < 100.0):
            problems.append(f"exits.disaster_stop_pct must be below 100, was {self.disaster_stop_pct!r}")
        if problems:
            raise FixConfigError("; ".join(problems))

    def rates(self) -> Exits:
        """Return the kernel's form."""
        return Exits(
            stop_volatilities=float(self.stop_loss_volatilities),
            target_volatilities=float(self.take_profit_volatilities),
            min_stop=self.min_stop_pct / 100.0,
            max_stop=self.max_stop_pct / 100.0,
            max_holding=int(self.max_holding_sessions),
            cooling=int(self.cooling_sessions),
            disaster_stop=self.disaster_stop_pct / 100.0,
        )


class Exits(NamedTuple):
    """Protection as the kernel uses it: fractions and sessions."""

    stop_volatilities: float
    target_volatilities: float
    min_stop: float
    max_stop: float
    max_holding: int
    cooling: int
    disaster_stop: float


@dataclass(frozen=True, slots=True)
class SizingConfig:
    """When a position is changed at all: bands that pay for their costs.

    Attributes
    ----------
    rebalance_band_pct
        A target is followed only when it differs from what is held by more than so many percent of the larger of both.
        20: half a year of one stock's drift; at 5 bp a trade of that size costs a hundredth of a percent of it.
    replace_margin_pct
        With every slot taken, a candidate replaces the weakest position only if more is wanted of it by so many
        percent: twice as much, since to change places costs two trades and what was begun.
    unfunded_sessions
        A position whose strategy has had no capital for so many sessions is left; until then it goes to its own exit.
    """

    rebalance_band_pct: float = 20.0
    replace_margin_pct: float = 100.0
    unfunded_sessions: int = 20

    def __post_init__(self) -> None:
        problems = [
            f"sizing.{item.name} must be a finite number >= 0, was {getattr(self, item.name)!r}"
            for item in fields(self)
            if not (0.0 <= getattr(self, item.name) < math.inf)
        ]
        if not (self.rebalance_band_pct < 100.0):
            problems.append(f"sizing.rebalance_band_pct must be below 100, was {self.rebalance_band_pct!r}")
        if not (self.unfunded_sessions >= 1):
            problems.append(f"sizing.unfunded_sessions must be at least 1, was {self.unfunded_sessions!r}")
        if problems:
            raise FixConfigError("; ".join(problems))

    def rates(self) -> Sizing:
        """Return the kernel's form."""
        return Sizing(
            band=self.rebalance_band_pct / 100.0,
            replace_margin=self.replace_margin_pct / 100.0,
            unfunded=int(self.unfunded_sessions),
        )


class Sizing(NamedTuple):
    """Trading bands as the kernel uses them: fractions and sessions."""

    band: float = 0.20
    replace_margin: float = 1.0
    unfunded: int = 20


class Protection(NamedTuple):
    """How one strategy protects its own positions; 0 = it does not. The engine's disaster stop stays for all.

    Attributes
    ----------
    stop_volatilities, min_stop, max_stop
        Distance of the stop from the decision price in daily volatilities (20 sessions), kept inside the two fractions.
    target_volatilities
        Distance of the profit target, in daily volatilities.
    trailing
        Fraction below the highest close since entry at which the stop follows.
    max_holding
        Sessions after which a position is left at the next open; below 0 the strategy itself leaves (`LEAVES`).
    cooling
        Sessions after a stop-out in which the strategy does not buy the ticker back.
    """

    stop_volatilities: float = 0.0
    min_stop: float = 0.0
    max_stop: float = 1.0
    target_volatilities: float = 0.0
    trailing: float = 0.0
    max_holding: int = 0
    cooling: int = 5


NO_PROTECTION = Protection()
# Of a strategy that the account trades no longer: what it holds goes at the next open, as left without capital.
LEAVES = Protection(max_holding=-1)


def default_protection(exits: Exits) -> Protection:
    """Return how the settings protect positions of strategies that say nothing of their own."""
    return Protection(
        stop_volatilities=exits.stop_volatilities,
        min_stop=exits.min_stop,
        max_stop=exits.max_stop,
        target_volatilities=exits.target_volatilities,
        trailing=0.0,
        max_holding=exits.max_holding,
        cooling=exits.cooling,
    )
