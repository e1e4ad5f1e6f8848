"""Compare books on the same out-of-sample sessions: every figure with its uncertainty, against one reference.

The rows are what training reports and documents print. All books are resampled together, so that the intervals of
the differences profit from what the books have in common.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.metrics import annual_return, annual_turnover, max_drawdown, sharpe_ratio, volatility
from trading_platform.core.types import Floats
from trading_platform.evaluation.bootstrap import (
    DEFAULT_RESAMPLES,
    bootstrap_sharpes,
    difference_verdict,
    optimal_block_length,
    percentile_interval,
)
from trading_platform.evaluation.deflated import deflated_sharpe, return_shape
from trading_platform.evaluation.sharpe_tests import effective_sessions, influence, matched_difference

REFERENCE = "equal_weight"
CONFIDENCE = 0.95  # of all intervals


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """One book: daily returns and one-way turnover, (T,), after costs; and from how many trials it was chosen.

    `turnover` None when it is not known. `trial_sharpe_variance` is that of the trials' annualised Sharpe ratios of the
    matched difference to the reference, as `trials.summarise` returns it; a single trial needs none.
    """

    returns: Floats
    turnover: Floats | None = None
    n_trials: float = 1.0
    trial_sharpe_variance: float = math.nan


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """Figures of one book. Fractions a year, Sharpe ratios annualised; NaN = unknown, or the reference itself.

    `gain` and its interval are the Sharpe ratio minus the reference's, `gain_p_value` two-sided,
    `gain_probability` the share of resamples with a positive gain. `deflated_sharpe` is the probability that the
    volatility-matched gain beats the luckiest of the book's trials.
    """

    name: str
    n_sessions: int
    sharpe: float
    sharpe_low: float
    sharpe_high: float
    annual_return: float
    volatility: float
    max_drawdown: float
    annual_turnover: float
    gain: float
    gain_low: float
    gain_high: float
    gain_p_value: float
    gain_probability: float
    deflated_sharpe: float

    def to_dict(self) -> dict[str, str | int | float | None]:
        """Return JSON-ready values; None where unknown."""
        values: dict[str, str | int | float] = asdict(self)
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def compare(
    contenders: Mapping[str, Contender],
    rng: np.random.Generator,
    reference: str = REFERENCE,
    n_resamples: int = DEFAULT_RESAMPLES,
) -> tuple[ComparisonRow, ...]:
    """Compare every contender with the one named `reference`, in the given order.

    The block length is the longest of those that the differences ask for. A contender with a NaN has unknown figures
    and leaves those of the others untouched.

    Raises
    ------
    ValueError
        No such reference, or series of different lengths.
    """
    _check(contenders, reference)
    base = contenders[reference].returns
    returns = np.column_stack([contender.returns for contender in contenders.values()])
    block = _common_block(returns, base)
    resampled = bootstrap_sharpes(returns, block, n_resamples, rng)
    base_column = resampled[:, list(contenders).index(reference)]
    rows = []
    for column, (name, contender) in enumerate(contenders.items()):
        gains = None if name == reference else resampled[:, column] - base_column
        rows.append(_row(name, contender, base, resampled[:, column], gains, block))
    return tuple(rows)


def _row(
    name: str,
    contender: Contender,
    base: Floats,
    resampled: Floats,
    gains: Floats | None,
    block: float,
) -> ComparisonRow:
    returns = contender.returns
    sharpe = sharpe_ratio(returns)
    low, high = percentile_interval(resampled, CONFIDENCE)
    gain = gain_low = gain_high = p_value = probability = deflated = math.nan
    if gains is not None and math.isfinite(sharpe - sharpe_ratio(base)):
        verdict = difference_verdict(sharpe - sharpe_ratio(base), gains, block, CONFIDENCE)
        gain, gain_low, gain_high = verdict.difference, verdict.low, verdict.high
        p_value, probability = verdict.p_value, verdict.probability_positive
        counted = effective_sessions(returns, base, verdict.standard_error)
        shape = return_shape(matched_difference(returns, base), counted)
        deflated = deflated_sharpe(shape, contender.n_trials, contender.trial_sharpe_variance / ANNUAL_SESSIONS)
    return ComparisonRow(
        name=name,
        n_sessions=len(returns),
        sharpe=sharpe,
        sharpe_low=low,
        sharpe_high=high,
        annual_return=annual_return(returns),
        volatility=volatility(returns),
        max_drawdown=max_drawdown(returns),
        annual_turnover=math.nan if contender.turnover is None else annual_turnover(contender.turnover),
        gain=gain,
        gain_low=gain_low,
        gain_high=gain_high,
        gain_p_value=p_value,
        gain_probability=probability,
        deflated_sharpe=deflated,
    )


def _common_block(returns: Floats, base: Floats) -> float:
    """Longest block length that any paired difference asks for; unknown differences ask for nothing."""
    lengths = [optimal_block_length(influence(np.ascontiguousarray(column), base)).stationary for column in returns.T]
    known = [length for length in lengths if math.isfinite(length)]
    return max(known, default=1.0)


def _check(contenders: Mapping[str, Contender], reference: str) -> None:
    if reference not in contenders:
        raise ValueError(f"comparison: no contender named {reference!r} among {sorted(contenders)}")
    shapes = {name: contender.returns.shape for name, contender in contenders.items()}
    if len(set(shapes.values())) != 1 or len(shapes[reference]) != 1:
        raise ValueError(f"comparison: all returns must be (T,) on the same sessions, were {shapes}")
