"""A baseline that knows the future: the control that no honest one may beat, and that proves of causality must find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trading_platform.core.types import Floats, Ints
from trading_platform.evaluation.baselines import check_inputs, equal_rows
from trading_platform.evaluation.covariance import FLAT_VARIANCE, ledoit_wolf_covariance, tangency_weights


@dataclass(frozen=True, slots=True, eq=False)
class Oracle:
    """Know the true regime of each row and, in hindsight, the best mix after it. Looks ahead: for controls only.

    `true_regimes` (T,) holds any integer labels. For each label the mix is the long-only one with the highest Sharpe
    ratio over the sessions that follow it. Rows of a label followed by fewer than two known sessions get equal weight.
    """

    true_regimes: Ints
    name: str = "oracle"

    def weights(self, returns: Floats, regime_probabilities: Floats) -> Floats:
        """Return weights (T, K): for each row the hindsight mix of its true regime.

        Raises
        ------
        ValueError
            `true_regimes` has another length than `returns`.
        """
        known = check_inputs(returns, regime_probabilities)
        if self.true_regimes.shape != (len(returns),):
            raise ValueError(f"true_regimes must be ({len(returns)},), was {self.true_regimes.shape}")
        rows = equal_rows(returns)
        for label in np.unique(self.true_regimes):
            after = returns[1:][(self.true_regimes[:-1] == label) & known[1:]]
            trades = after.var(axis=0) > FLAT_VARIANCE if len(after) >= 2 else np.zeros(returns.shape[1], bool)
            if trades.any():
                mix = np.zeros(returns.shape[1])
                mix[trades] = tangency_weights(ledoit_wolf_covariance(after[:, trades]), after[:, trades].mean(axis=0))
                rows[self.true_regimes == label] = mix
        return rows
