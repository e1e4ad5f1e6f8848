"""What a configuration comes to as rules of the decision core: limits, exits, costs and sizes."""

from __future__ import annotations

from trading_platform.configuration.risk_config import RiskConfig
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules


def rules_of(config: TradingConfig) -> Rules:
    """Return the rules by which `config` trades, whoever runs them.

    Raises
    ------
    FixConfigError
        A risk limit that is out of its range, or none.
    """
    limits = limits_of(RiskConfig.from_mapping(config.risk).to_dict())
    return Rules(limits, config.exits.rates(), config.costs.rates(), config.sizing.rates())
