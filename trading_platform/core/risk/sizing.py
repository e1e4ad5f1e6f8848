"""How large a position may be: the smallest of its bounds, each of which counts once.

A strategy wishes for a share of equity; Kelly, volatility, correlation and the caps bound it from above. They are no
product of discounts: a slot is the scarce good, and a position is worth its slot or is not opened.

Kelly (1956) with half the optimal fraction (Thorp 2006, "The Kelly Criterion in Blackjack, Sports Betting and the
Stock Market") on trade statistics shrunk towards a prior, since a few dozen trades say little about an edge.
"""

from __future__ import annotations

from trading_platform.core.compiled import lean
from trading_platform.core.ledger import Record
from trading_platform.core.risk.caps import vix_scale
from trading_platform.core.risk.denial_codes import Measures
from trading_platform.core.risk.limits import Limits

# Scale of the prior's losses: a losing trade of the default exits loses about 3 % of its cost.
PRIOR_LOSS = 0.03


@lean
def kelly_fraction(account: Record, limits: Limits) -> float:
    """Return the full Kelly fraction f = p - (1 - p) / b from shrunken win rate p and payoff ratio b; may be <= 0."""
    prior_wins = limits.kelly_prior_trades * limits.kelly_prior_win_rate
    prior_losses = limits.kelly_prior_trades - prior_wins
    wins = account["kelly_wins"] + prior_wins
    losses = account["kelly_trades"] - account["kelly_wins"] + prior_losses
    gain = (account["kelly_gain"] + prior_wins * limits.kelly_prior_payoff * PRIOR_LOSS) / wins
    loss = (account["kelly_loss"] + prior_losses * PRIOR_LOSS) / losses
    win_rate = wins / (wins + losses)
    if not (loss > 0.0) or not (gain > 0.0):
        return 0.0
    return float(win_rate - (1.0 - win_rate) * loss / gain)


@lean
def kelly_bound(account: Record, limits: Limits) -> float:
    """Return the largest share of equity that the Kelly bet allows.

    It never falls below `min_kelly_scale` of the position cap: without trades the statistics could never recover.
    """
    return max(limits.kelly_fraction * kelly_fraction(account, limits), limits.min_kelly_scale * limits.max_position)


@lean
def volatility_bound(volatility: float, limits: Limits) -> float:
    """Return the largest share of equity for a ticker of daily `volatility`: a position's volatility is capped."""
    return limits.position_volatility / volatility


@lean
def correlation_bound(correlation: float, limits: Limits) -> float:
    """Return the largest share of equity for a ticker that moves by `correlation` with something held."""
    return limits.max_position * (1.0 - limits.correlation_discount * max(0.0, correlation))


@lean
def entry_dollars(
    account: Record, equity: float, strength: float, volatility: float, measures: Measures, limits: Limits
) -> float:
    """Return the position in dollars that a wish of `strength` slots comes to, before the caps; 0 if it is unusable.

    `strength` is the share of a whole slot (`max_position` of equity) that strategies want together, in (0, 1].
    """
    if not (strength > 0.0) or not (volatility > 0.0) or not (equity > 0.0):
        return 0.0
    share = min(strength, 1.0) * limits.max_position
    share = min(share, kelly_bound(account, limits))
    share = min(share, volatility_bound(volatility, limits))
    share = min(share, correlation_bound(measures.correlation, limits))
    return equity * share if share > 0.0 else 0.0


@lean
def worth_a_slot(equity: float, vix: float, limits: Limits) -> float:
    """Return the dollars below which a new position is not worth its slot."""
    return max(limits.min_order, limits.min_slot * limits.max_position * equity * vix_scale(vix, limits))
