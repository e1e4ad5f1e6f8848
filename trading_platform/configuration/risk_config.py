"""RiskConfig: every limit of the risk rules, in one frozen, validated, fingerprinted value."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from trading_platform.configuration.toml_tables import read_toml
from trading_platform.core import validation
from trading_platform.core.errors import HardlyMeantWarning
from trading_platform.core.validation import Interval

Percent = Annotated[float, Interval("(0, 100]")]
Fraction = Annotated[float, Interval("[0, 1]")]
Count = Annotated[int, Interval("[1, 10000]")]

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
class RiskConfig:
    """Limits of the risk rules. A limit is the largest value still allowed; ``_pct`` is percent of equity unless said.

    Halts
        max_drawdown_pct         fall from peak equity that halts new trades; a tenth of the savings
        max_total_drawdown_pct   fall from the highest equity ever that only an operator ends; unless told, 1.5 x
                                 max_drawdown_pct: two halts in a row are one bad year, a third is none to trade through
        second_halt_asks         also leave to the operator a halt within a year of the one before
        recovery_drawdown_pct    drawdown at which that halt ends; half the limit, so that it does not flicker
        halt_release             what must recover: the "shadow" book, own "equity" (may never end); "manual" = operator
        max_daily_loss_pct       fall since the previous close, net of cash flows; ends with the next session
        consecutive_loss_limit   losing round trips in a row that pause entries
        pause_hours              length of that pause in hours of open exchange; 4 is over half a session
        confirmation_readings    readings in a row that confirm a breach or a recovery; 2 outlives one bad tick
        max_equity_jump_pct      change between readings that waits for a second one; wider than bad days at 80 %
    Caps of entries, which count positions and pending orders
        max_position_pct, max_sector_pct, max_exposure_pct, max_positions    one ticker, one sector, everything, count
        max_correlation          largest correlation of daily returns with any position held, measured over
        correlation_window       so many sessions; 30 leaves a standard error of 0.07 at a correlation of 0.8
        vix_threshold            VIX level above which sizes and the position cap shrink by threshold / VIX
        max_vix_age_sessions, max_price_age_sessions    oldest usable data; public VIX files lag a session or two
        allow_short              let sells exceed the quantity held
    Size of an entry
        kelly_fraction           part of the Kelly bet; half keeps 3/4 of the growth at half the volatility (Thorp 2006)
        kelly_prior_trades, kelly_prior_win_rate, kelly_prior_payoff    belief that results must outvote: so many
                                 trades, share of wins, mean win / mean loss
        kelly_memory_trades      trades after which a result counts 1/e
        min_kelly_scale          smallest scale after bad results, fraction; above 0 lets a strategy earn its way back
        position_volatility_pct  annual volatility of a position; 2 gives a 40 % stock the full 5 % of equity
        correlation_discount     part of the position cap that a correlation of 1 would take off it
        min_slot_pct             percent of the position cap below which a new position is not worth its slot
    Orders
        entry_collar_pct         limit price above the decision close, percent of price; caps are checked at that price
        price_collar_pct         price of an entry above or below the last close shown, percent; further is a slip or a
                                 bad tick
        min_order_dollars        smaller entries are not worth their costs
        share_step               1.0 whole shares (brackets need them), 0.0001 fractional
        max_reviews              candidates looked at per session, strongest first
        approval_seconds         life of an approval that has not been sent; none outlives its day

    Raises `RiskConfigError` for values out of range, not finite, of a wrong type (a bool is no number), or at odds.
    """

    max_drawdown_pct: Annotated[float, Interval("(0, 100)")] = 10.0
    max_daily_loss_pct: Annotated[float, Interval("(0, 100)")] = 2.0
    max_position_pct: Percent = 5.0
    max_exposure_pct: Percent = 80.0
    max_correlation: Fraction = 0.8
    consecutive_loss_limit: Count = 3
    pause_hours: Annotated[float, Interval("(0, 1000]")] = 4
    max_positions: Annotated[int, Interval("[1, 1000]")] = 10
    vix_threshold: Annotated[float, Interval("(0, 200]")] = 25.0
    max_sector_pct: Percent = 30.0
    recovery_drawdown_pct: Annotated[float, Interval("[0, 100)")] = 5.0
    halt_release: Literal["shadow", "equity", "manual"] = "shadow"
    correlation_window: Annotated[int, Interval("[5, 756]")] = 30
    confirmation_readings: Annotated[int, Interval("[1, 10]")] = 2
    max_equity_jump_pct: Percent = 15.0
    max_vix_age_sessions: Annotated[int, Interval("[0, 20]")] = 3
    max_price_age_sessions: Annotated[int, Interval("[0, 5]")] = 1
    kelly_fraction: Annotated[float, Interval("(0, 1]")] = 0.5
    kelly_prior_trades: Count = 100
    kelly_prior_win_rate: Annotated[float, Interval("(0, 1)")] = 0.53
    kelly_prior_payoff: Annotated[float, Interval("(0, 100]")] = 1.2
    kelly_memory_trades: Count = 250
    min_kelly_scale: Fraction = 0.5
    position_volatility_pct: Percent = 2.0
    correlation_discount: Fraction = 0.25
    min_slot_pct: Annotated[float, Interval("[0, 100]")] = 40.0
    entry_collar_pct: Annotated[float, Interval("[0, 20]")] = 2.0
    min_order_dollars: Annotated[float, Interval("[1, 1000000]")] = 100.0
    share_step: Annotated[float, Interval("[0.000000001, 1]")] = 1.0
    max_reviews: Count = 25
    allow_short: bool = False
    approval_seconds: Annotated[float, Interval("[1, 604800]")] = 86400.0
    max_total_drawdown_pct: Annotated[float, Interval("(0, 100]")] | None = None
    second_halt_asks: bool = False
    price_collar_pct: Annotated[float, Interval("(0, 100]")] = 20.0

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
        """Return the limits of a TOML file's [risk] table, or of its top level; `profile` wins over the file's."""
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
