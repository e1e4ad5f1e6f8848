"""RiskConfig: every limit of the risk rules, in one frozen, validated, fingerprinted value.

Each limit stands in `core.risk.limits`, as it is set and as rules compute with it; here are profiles, files, checks.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from trading_platform.configuration.toml_tables import read_toml
from trading_platform.core import validation
from trading_platform.core.errors import HardlyMeantWarning
from trading_platform.core.risk.limits import RiskSettings

PROFILES: dict[str, dict[str, object]] = {
    "conservative": {},
    "balanced": {
        "max_drawdown_pct": 15.0,
        "recovery_drawdown_pct": 7.5,
        "max_daily_loss_pct": 3.0,
        "max_position_pct": 7.5,
        "max_exposure_pct": 90.0,
        "max_positions": 12,
        "position_volatility_pct": 3.0,
    },
    "aggressive": {
        "max_drawdown_pct": 20.0,
        "recovery_drawdown_pct": 10.0,
        "max_daily_loss_pct": 4.0,
        "max_position_pct": 10.0,
        "max_exposure_pct": 95.0,
        "max_positions": 15,
        "position_volatility_pct": 4.0,
        "max_sector_pct": 40.0,
        "vix_threshold": 30.0,
        "consecutive_loss_limit": 4,
    },
}


class RiskConfigError(validation.InvalidSettingsError, ValueError):
    """Some risk limits are wrong; `problems` holds one line for each."""


class RiskConfigWarning(HardlyMeantWarning):
    """A limit is allowed and hardly meant, such as a fraction where percent are asked for."""


# Percent below which nobody sets these limits, and in which their usual values lie when written as fractions.
FRACTION_BELOW = {
    "max_position_pct": 0.2,
    "max_sector_pct": 1.0,
    "max_exposure_pct": 1.0,
    "max_drawdown_pct": 0.5,
    "max_daily_loss_pct": 0.1,
}


@dataclass(frozen=True, slots=True)
class RiskConfig(RiskSettings):  # noqa: D101 # its docstring is that of the settings, and one sentence
    __doc__ = f"""{RiskSettings.__doc__}
    Raises `RiskConfigError` for values out of range, not finite, of a wrong type (a bool is no number), or at odds.
    """

    def __post_init__(self) -> None:
        problems = validation.problems(
            self,
            "recovery_drawdown_pct < max_drawdown_pct",
            *(["max_drawdown_pct < max_total_drawdown_pct"] if self.max_total_drawdown_pct is not None else []),
            "max_position_pct <= max_sector_pct",
            "max_position_pct <= max_exposure_pct",
            "entry_collar_pct <= price_collar_pct",
        )
        known = not problems.keys() & {"kelly_prior_win_rate", "kelly_prior_payoff"}
        if known and not ((worth := self.kelly_prior_win_rate * (1.0 + self.kelly_prior_payoff)) > 1.0):
            problems["prior"] = f"kelly_prior_win_rate x (1 + kelly_prior_payoff) must exceed 1, was {worth:g}"
        if problems:
            raise RiskConfigError(problems.values())
        for name, least in FRACTION_BELOW.items():
            if 0.0 < (value := getattr(self, name)) < least:
                cure = f"if a fraction is meant, write {name} = {100.0 * value:g}"
                warnings.warn(f"{name} = {value:g} is {value:g} % of equity; {cure}", RiskConfigWarning, stacklevel=3)

    @classmethod
    def profile(cls, name: str) -> RiskConfig:
        """Return the profile `name`: "conservative" (the defaults), "balanced" or "aggressive"."""
        return cls.from_mapping({"profile": name})

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, object]) -> RiskConfig:
        """Return the limits in `mapping` over those of its "profile" (default conservative); refuse unknown keys."""
        limits = {key: value for key, value in mapping.items() if key != "profile"}
        name = mapping.get("profile", "conservative")
        base = PROFILES.get(name, {}) if isinstance(name, str) else {}
        return validation.build(
            cls, {**base, **limits}, RiskConfigError, validation.choice_problems("profile", name, PROFILES)
        )

    @classmethod
    def from_toml(cls, path: str | Path, profile: str | None = None) -> RiskConfig:
        """Return the limits of a TOML file's [risk] table, or of its top level; `profile` wins over the file's.

        Raises `RiskConfigError` as `RiskConfig` does, every line with the file's name.
        """
        document = read_toml(Path(path))
        table = document.get("risk", document)
        if not isinstance(table, dict):
            raise RiskConfigError([f"{path}: risk must be a table, was {table!r}"])
        try:
            return cls.from_mapping(table if profile is None else {**table, "profile": profile})
        except RiskConfigError as error:
            raise RiskConfigError(f"{path}: {problem}" for problem in error.problems) from None

    def to_dict(self) -> dict[str, object]:
        """Return all limits by name, ready for JSON."""
        return asdict(self)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change exactly when a limit changes, the same in every process."""
        return validation.fingerprint(self.to_dict())


def risk_config_of(told: RiskConfig | Mapping[str, object] | None) -> RiskConfig:
    """Return limits told as such, as a mapping of settings ("profile" among them), or not at all (the defaults)."""
    if told is None:
        return RiskConfig()
    return RiskConfig.from_mapping(told) if isinstance(told, Mapping) else told
