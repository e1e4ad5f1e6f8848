"""Strategies whose targets were made elsewhere: a file of weights, traded through sizing, risk rules and costs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.costs import NO_PROTECTION, Protection
from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.market_data.weights import TargetWeights, read_weights
from trading_platform.strategies.registry import STRATEGIES

FILE_NAMES = ("weights.csv", "target_weights.csv")


@dataclass(frozen=True, slots=True)
class GivenWeights:
    """One strategy of a weights file; satisfies `strategies.base.TargetStrategy`.

    A row of a date is known at that date's close and traded at the next open; it holds until the strategy's next date.
    A ticker that was renamed may go by its first name or by its newest; named by both, it is wanted twice. The file is
    read whenever the market is prepared, so a live account takes in what was written since.
    """

    name: str
    file: Path
    lookback: int = 1
    protection: Protection = NO_PROTECTION

    @property
    def digest(self) -> str:
        """What the file holds, as hex: another file is another run."""
        return hashlib.sha256(self.file.read_bytes()).hexdigest()

    def stands_aside(self, panel: MarketPanel) -> str:
        """Return what is missing: all of its tickers."""
        given = self._weights()
        wanted = self._tickers(given)
        if not wanted & _names(panel):
            return f"no bars of any of its tickers: {', '.join(sorted(wanted)[:5])}"
        return ""

    def notice(self, panel: MarketPanel) -> str:
        """Return a line about tickers that it wants and the market lacks; "" if there are none."""
        missing = sorted(self._tickers(self._weights()) - _names(panel))
        if not missing:
            return ""
        more = "" if len(missing) <= 5 else f" and {len(missing) - 5} more"
        return f"{self.file.name}: {self.name} wants {', '.join(missing[:5])}{more}, of which there are no bars"

    def targets(self, panel: MarketPanel) -> Floats:
        """Return weights (T, N); see `TargetStrategy.targets`."""
        given = self._weights()
        own = given.weights[:, given.strategies.index(self.name)]
        said = np.flatnonzero(np.isfinite(own).all(axis=1))
        weights = np.zeros(panel.close.shape)
        if not len(said):
            return weights
        row = np.searchsorted(given.days[said], panel.sessions.astype("datetime64[D]"), side="right") - 1
        for column, names in enumerate(zip(panel.tickers, panel.security_ids, strict=True)):
            for ticker in sorted({*names} & {*given.tickers}):
                told = own[said, given.tickers.index(ticker)]
                weights[:, column] += np.where(row >= 0, told[np.maximum(row, 0)], 0.0)
        known: Floats = np.where(np.isfinite(panel.close), weights, 0.0)
        return known

    def _weights(self) -> TargetWeights:
        given = read_weights(self.file)
        if self.name not in given.strategies:
            raise FixConfigError(f"{self.file}: it has no strategy {self.name} any more; put it back, or start anew")
        return given

    def _tickers(self, given: TargetWeights) -> set[str]:
        own = given.weights[:, given.strategies.index(self.name)]
        return {ticker for n, ticker in enumerate(given.tickers) if bool((own[:, n] > 0.0).any())}


def _names(panel: MarketPanel) -> set[str]:
    return {*panel.tickers, *panel.security_ids}


def weights_file(config: TradingConfig) -> Path | None:
    """Return the file of weights that is to be traded: the setting's, else the first data folder's; None: none."""
    if config.strategies.weights:
        return Path(config.strategies.weights)
    if config.data.source != "files":
        return None
    files = (folder / name for folder in config.data.folders for name in FILE_NAMES)
    return next((file for file in files if file.is_file()), None)


def given_strategies(config: TradingConfig) -> Mapping[str, GivenWeights]:
    """Return the strategies of the weights file by name.

    Raises
    ------
    MarketDataError
        The file cannot be read.
    FixConfigError
        It is not there, or one of its strategies has the name of a registered one.
    """
    file = weights_file(config)
    if file is None:
        return {}
    if not file.is_file():
        raise FixConfigError(f"strategies.weights: there is no file {file}")
    names = read_weights(file).strategies
    taken = [name for name in names if name in STRATEGIES]
    if taken:
        raise FixConfigError(f"{file}: {', '.join(taken)} is the name of a strategy of this program; choose another")
    return {name: GivenWeights(name, file) for name in names}
