"""How large a new position should be: fractional Kelly, a volatility budget, VIX and correlation, then the caps.

Kelly (1956) with half the optimal fraction (Thorp 2006, "The Kelly Criterion in Blackjack, Sports Betting and the
Stock Market") on trade statistics shrunk towards a prior, since a few dozen trades say little about an edge.
"""

from __future__ import annotations

from trading_platform.core.compiled import lean
from trading_platform.core.ledger import Record
from trading_platform.core.risk.rules import Limits, Measures, vix_scale

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
def entry_dollars(
    account: Record, equity: float, strength: float, volatility: float, vix: float, measures: Measures, limits: Limits
) -> float:
    """Return the wished notional of a new position in dollars, before the caps; 0 if any input is unusable.

    The Kelly part never falls below `min_kelly_scale` of the position cap: with no trades at all the statistics could
    never recover.
    """
    if not (strength > 0.0) or not (volatility > 0.0) or not (equity > 0.0):
        return 0.0
    kelly = max(limits.kelly_fraction * kelly_fraction(account, limits), limits.min_kelly_scale * limits.max_position)
    budget = limits.position_volatility / volatility
    correlation = max(0.0, measures.correlation)
    discount = 1.0 - limits.correlation_discount * correlation
    dollars = equity * min(kelly, budget) * min(strength, 1.0) * vix_scale(vix, limits) * discount
    return dollars if dollars > 0.0 else 0.0
