"""The two controls: markets where there is something to learn, and markets where there is nothing.

A positive control world has regimes that each favour another strategy, plainly visible in volatility; the oracle knows
the regime of every session and the strategy that does best in it. A negative control world has one regime, independent
shocks and exchangeable stocks. Each world has a registry of its own, so that its trials are counted alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from trading_platform.core.metrics import sharpe_ratio
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.session import Rules
from trading_platform.core.types import Floats, Ints
from trading_platform.core.validation import fingerprint
from trading_platform.engine.regime_cache import load_regimes
from trading_platform.evaluation.comparison import REFERENCE
from trading_platform.evaluation.promotion import GateConfig, Objective
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.market_model import NO_STRUCTURE, REGIME_EDGES
from trading_platform.market_data.synthetic import SyntheticMarketData
from trading_platform.regime.hmm import RegimeConfig
from trading_platform.storage.model_registry import ModelRegistry
from trading_platform.strategies.base import AnyStrategy
from trading_platform.strategies.prepared import prepare_panel
from trading_platform.strategies.registry import FIRST_SET, make_strategies
from trading_platform.training.campaign import Campaign, plan_windows, run_campaign
from trading_platform.training.fits import Arena, MakeEnv
from trading_platform.training.judging import POLICY
from trading_platform.training.paths import equal_weights, run_path
from trading_platform.training.setup import TrainingSetup
from trading_platform.training.worlds import rules_at_cost
from trading_platform.work.job import Job, Place
from trading_platform.work.map_tasks import workers
from trading_platform.work.result_files import ResultFiles

N_REGIMES = 3
# The world of the positive control, chosen on worlds 1 to 12 and then left alone; results are of worlds 101 onwards.
# Each regime pays one strategy and charges the others: trends pay in bull markets, buying losers in bear markets, calm
# stocks in between. A regime lasts half a year on average, so that what an honest observer needs to notice it costs
# little, and VIX shows it with little noise. At the package's own edges five years of validation cannot tell a policy
# that has learned all there is from luck at the gate's confidence; a control has to show what the machinery does when
# there is something to find.
PLAIN_EDGES = replace(
    REGIME_EDGES,
    mean_duration=(120.0, 120.0, 120.0),
    drift=(0.12, 0.0, 0.06),
    volatility=(0.09, 0.30, 0.165),
    momentum=(0.12, -0.06, -0.06),
    reversal=(-0.08, 0.14, -0.08),
    calm=(-0.05, -0.05, 0.12),
    persistence=0.5,
    clustering=0.02,
    leverage=0.02,
    vix_noise=0.02,
)
# Five years to fit regimes on, since a control has them, and a week of returns to notice a turn: the default of twenty
# sessions lags two weeks behind, and two years may hold a regime once. A week of trend, which says next to nothing: the
# bear market of this world is afraid, but does not fall.
REGIMES = RegimeConfig(fit_window=1260, trend_window=5, feature_window=5, refit_months=12)
FIRST_POSITIVE, FIRST_NEGATIVE = 101, 1001
# What is planted there is return, by regime and large, which the product's own bound and features do not look for.
CONTROL_OPTIONS = (
    "n_universes=0", "features=regime", "hidden=16", "action_scale=6", "objective=return", "earned_tilt=true",
    "base=minimum_variance",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ControlWorld:
    """Which artificial market: `kind` is "positive" or "negative"; `n_sessions` of which the last quarter tests."""

    kind: str
    seed: int
    n_sessions: int = 6300
    n_tickers: int = 60

    @property
    def test_sessions(self) -> int:
        """Sessions kept back for the test."""
        return self.n_sessions // 4


@dataclass(frozen=True, slots=True)
class ControlResult:
    """Sharpe ratios on the sessions kept back; `share` is the policy's gain over the oracle's. NaN without oracle."""

    world: ControlWorld
    admitted: bool
    validation_gain: float
    policy: float
    equal_weight: float
    oracle: float
    failed: str

    @property
    def share(self) -> float:
        """Part of the oracle's gain over equal weight that the policy recovered."""
        room = self.oracle - self.equal_weight
        return (self.policy - self.equal_weight) / room if room > 0.0 else math.nan


def run_control(
    control: ControlWorld,
    setup: TrainingSetup,
    strategies: Sequence[AnyStrategy],
    rules: Rules,
    seeds: tuple[int, ...],
    make_env: MakeEnv,
    registry: Path,
    cache: Path | None,
    now: datetime,
    train_years: int | None = None,
) -> ControlResult:
    """Train and judge in one artificial market as in any other, then look at the sessions kept back."""
    model = PLAIN_EDGES if control.kind == "positive" else NO_STRUCTURE
    data = SyntheticMarketData(control.seed, model=model, n_tickers=control.n_tickers, n_sessions=control.n_sessions)
    panel = data.history()
    regimes = load_regimes(panel, REGIMES, 7, 0, cache)
    clock = NyseCalendar().exchange_seconds(panel.sessions.tolist())
    known = np.where(regimes.known[:, None], regimes.probabilities, np.nan)
    world = prepare_panel(panel, clock, strategies, known, rules_at_cost(rules, setup.cost_bps))
    campaign = Campaign(
        arena=Arena(world, (world,), setup, make_env),
        plan=plan_windows(world, "single", train_years, control.test_sessions),
        seeds=seeds,
        jobs=1,
        registry=ModelRegistry(registry),
        now=now,
        data_source=panel.source,
        data_hash=panel.data_hash,
        risk_fingerprint="control",
        purpose="control",
        gate=GateConfig(objective=Objective.RETURN),  # what is planted is return
        checkpoints=False,
    )
    outcome = run_campaign(campaign)
    test = campaign.plan.final.test
    oracle = math.nan
    if control.kind == "positive":
        oracle = sharpe_ratio(run_path(world, oracle_weights(world, data.true_regimes()), test).returns)
    tested = outcome.held_back.paths if outcome.held_back is not None else {}
    return ControlResult(
        world=control,
        admitted=outcome.judged.decision.admitted,
        validation_gain=outcome.judged.gain,
        policy=sharpe_ratio(tested[POLICY].returns),
        equal_weight=sharpe_ratio(tested[REFERENCE].returns),
        oracle=oracle,
        failed=", ".join(f"{reason.code} {reason.observed:.3f}" for reason in outcome.judged.decision.failed),
    )


def run_controls(
    positive: int,
    negative: int,
    setup: TrainingSetup,
    rules: Rules,
    seeds: int,
    place: Place,
    make_env: MakeEnv,
    line: Callable[[str], None],
    train_years: int | None = None,
    unfinished: Path | None = None,
) -> bool:
    """Run so many worlds of each kind, telling `line` of each; return True if both criteria are met.

    `train_years` limits what is trained on; the criteria are meant for all history. Worlds that are done wait in a
    folder below `unfinished` until all are, so that a run that was killed goes on.
    """
    worlds = [ControlWorld("positive", FIRST_POSITIVE + n) for n in range(positive)]
    worlds += [ControlWorld("negative", FIRST_NEGATIVE + n, n_sessions=3150) for n in range(negative)]
    lab = Lab(setup, rules, tuple(range(1, seeds + 1)), make_env, train_years)
    identity = fingerprint({"setup": setup.fingerprint, "lab": repr((rules, lab.seeds, train_years))})
    job = Job("control", _run_alone, lab, identity, (ControlResult, ControlWorld))
    files = None if unfinished is None else ResultFiles(unfinished / f"controls-{identity}", job.kinds)
    results = []
    with workers(job, place, files) as opened:
        for _, result in opened.map(worlds):
            results.append(result)
            line(
                f"{result.world.kind} {result.world.seed}: {'admitted' if result.admitted else 'refused'} "
                f"({result.failed or 'every criterion passed'}), validation gain {result.validation_gain:+.2f}, test "
                f"{result.policy:.2f} against {result.equal_weight:.2f}, oracle {result.oracle:.2f}"
            )
    if files is not None:
        files.clear()
    return summary(results, line)


@dataclass(frozen=True, slots=True)
class Lab:
    """What all controls of a run share."""

    setup: TrainingSetup
    rules: Rules
    seeds: tuple[int, ...]
    make_env: MakeEnv
    train_years: int | None


def _run_alone(lab: Lab, world: ControlWorld) -> ControlResult:
    strategies = make_strategies(FIRST_SET)  # the controls are built on what these books do
    with TemporaryDirectory() as folder:
        registry, now = Path(folder), datetime(2026, 1, 5, tzinfo=UTC)
        return run_control(
            world, lab.setup, strategies, lab.rules, lab.seeds, lab.make_env, registry, None, now, lab.train_years
        )


def oracle_weights(world: PreparedMarket, regimes: Ints) -> Floats:
    """Return (T, K): all capital to the strategy that does best, in hindsight, in each session's true regime.

    Each strategy is run alone through the kernel over all known sessions; best is the highest mean return in sessions
    of the regime over the strategy's deviation there.
    """
    rows = range(world.first + 1, world.n_sessions)
    alone = np.eye(world.n_strategies)
    returns = np.array([run_path(world, np.tile(only, (world.n_sessions, 1)), rows).returns for only in alone])
    during = regimes[rows.start : rows.stop]
    best = []
    for regime in range(N_REGIMES):
        chosen = returns[:, during == regime]
        deviation = chosen.std(axis=1) if chosen.shape[1] > 1 else np.zeros(len(alone))
        score = np.where(deviation > 0.0, chosen.mean(axis=1) / np.where(deviation > 0.0, deviation, 1.0), 0.0)
        best.append(int(np.argmax(score)))
    weights = equal_weights(world)
    weights[rows.start :] = alone[[best[int(regime)] for regime in during]]
    return weights


def summary(results: Sequence[ControlResult], line: Callable[[str], None]) -> bool:
    """Tell `line` what the controls showed; return True if both criteria of each kind present are met."""
    met = True
    positive = [result for result in results if result.world.kind == "positive"]
    negative = [result for result in results if result.world.kind == "negative"]
    if positive:
        gains = sum(r.policy - r.equal_weight for r in positive)
        room = sum(r.oracle - r.equal_weight for r in positive)
        share, admitted = gains / room, sum(r.admitted for r in positive) / len(positive)
        line(
            f"positive control, {len(positive)} worlds: {share:.0%} of the oracle's gain "
            f"({gains / len(positive):+.2f} of {room / len(positive):+.2f}), admitted in {admitted:.0%}"
        )
        met = met and share >= 0.7 and admitted >= 0.9
    if negative:
        admitted = sum(r.admitted for r in negative) / len(negative)
        gain = sum(r.policy - r.equal_weight for r in negative) / len(negative)
        line(f"negative control, {len(negative)} worlds: admitted in {admitted:.0%}, mean test gain {gain:+.2f}")
        met = met and admitted <= 0.05
    return met
