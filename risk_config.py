"""RiskConfig: every limit of the risk rules, in one frozen, validated, fingerprinted value.

The body is in `trading_platform.configuration.risk_config`, below the rooms that read settings.
"""

from trading_platform.configuration.risk_config import (
    PROFILES,
    RiskConfig,
    RiskConfigError,
    RiskConfigWarning,
    risk_config_of,
)

__all__ = ["PROFILES", "RiskConfig", "RiskConfigError", "RiskConfigWarning", "risk_config_of"]
