"""Settings of the regime model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated

from trading_platform.core import validation
from trading_platform.core.regime_meaning import REGIME_REVISION
from trading_platform.core.validation import Interval, InvalidSettingsError

MONTH_SESSIONS = 23  # no calendar month has more


@dataclass(frozen=True, slots=True)
class RegimeConfig:
    """Settings of the regime model.

    Attributes
    ----------
    fit_window
        Sessions a fit sees; two years let the anchors count for a third where one state fills them (`states.py`).
    trend_window
        Sessions of the mean and of the high that the market's level is compared with.
    feature_window
        Sessions of the volatility that is observed; as many sessions count as one observation.
    refit_months
        A fit at the first session of every so many months, counted from January.
    keep_refits
        Refits in a row that may fail while the last good model goes on; then the regime is unknown.
    restarts, iterations, tolerance
        Starts of the EM algorithm (the anchors, then random ones near them), its steps at most, and the gain in log
        likelihood below which it has converged.

    Raises
    ------
    InvalidSettingsError
        Naming every setting that is out of range or of a wrong type.
    """

    fit_window: Annotated[int, Interval("[126, 5040]")] = 504
    trend_window: Annotated[int, Interval("[5, 504]")] = 200
    feature_window: Annotated[int, Interval("[5, 126]")] = 20
    refit_months: Annotated[int, Interval("[1, 12]")] = 3
    keep_refits: Annotated[int, Interval("[0, 12]")] = 2
    restarts: Annotated[int, Interval("[1, 50]")] = 1
    iterations: Annotated[int, Interval("[5, 1000]")] = 100
    tolerance: Annotated[float, Interval("(0, 10]")] = 1e-3

    def __post_init__(self) -> None:
        problems = validation.problems(self)
        if problems:
            raise InvalidSettingsError(problems.values())

    @classmethod
    def from_mapping(cls, table: Mapping[str, object]) -> RegimeConfig:
        """Return the settings in `table` over the defaults; refuse unknown keys."""
        return validation.build(cls, dict(table), InvalidSettingsError)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change with any setting, and with the program's own way of fitting."""
        return validation.fingerprint({"revision": REGIME_REVISION, **asdict(self)})

    @property
    def reach(self) -> int:
        """Sessions before its own that a row's features depend on."""
        return max(self.trend_window - 1, self.feature_window)

    @property
    def lookback(self) -> int:
        """Sessions, itself included, that a row's probabilities depend on: features, fit, and the time since it."""
        served = (1 + self.keep_refits) * self.refit_months * MONTH_SESSIONS
        return self.reach + self.fit_window + served
