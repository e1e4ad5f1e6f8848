"""Half a year of weekly jobs on one folder of models, as a scheduler would start them: `python weekly_job.py FOLDER`.

Each week the trial is fed with the sessions since, and a new challenger is trained on what is known by then and enters.
A week that is done leaves a mark, so that a process that was killed is followed by one that goes on.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from risk_config import RiskConfig
from rl_environment import BatchedAllocEnv
from trading_platform.core.costs import CostConfig, ExitConfig
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules
from trading_platform.evaluation.promotion import GateConfig
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.synthetic import SyntheticMarketData
from trading_platform.storage.model_registry import ModelRegistry
from trading_platform.strategies.prepared import prepare_panel
from trading_platform.strategies.registry import make_strategies
from trading_platform.training.campaign import Campaign, plan_windows, run_campaign
from trading_platform.training.fits import Arena
from trading_platform.training.service import candidate, enter, stored_weights, update
from trading_platform.training.setup import TrainingSetup
from trading_platform.training.worlds import rules_at_cost

BEGINS = datetime(2026, 1, 5, tzinfo=UTC)
WEEKS, WEEK, COST = 26, 5, 10.0
SESSIONS = 1800  # five years of the books are known before the job begins, else nothing is bet on less risk
SETUP = TrainingSetup(algo="gradient", ridge=0.01, n_universes=0)
# Whatever is trained stands trial: what is tested is the job, not the gate.
ANYTHING = GateConfig(min_sessions=20, min_total_gain=-10.0, min_confidence=0.5, max_annual_turnover=252.0)


def market(sessions: int) -> PreparedMarket:
    """Return the first `sessions` of ten stocks, regimes unknown."""
    panel = SyntheticMarketData(3, n_tickers=10, n_sessions=SESSIONS).history().rows(0, sessions)
    clock = NyseCalendar().exchange_seconds(panel.sessions.tolist())
    rules = Rules(limits_of(RiskConfig().to_dict()), ExitConfig().rates(), CostConfig().rates())
    strategies = make_strategies(("momentum", "mean_reversion", "low_volatility"))
    unknown = np.full((panel.n_sessions, 3), np.nan)
    return prepare_panel(panel, clock, strategies, unknown, rules_at_cost(rules, COST))


def one_week(folder: Path, week: int) -> None:
    """Feed the trial, train on what is known, let the new challenger enter."""
    known, now = market(SESSIONS - (WEEKS - week) * WEEK), BEGINS + timedelta(weeks=week)
    registry = ModelRegistry(folder)
    update(registry, known, COST, now)
    outcome = run_campaign(
        Campaign(
            arena=Arena(known, (known,), SETUP, BatchedAllocEnv),
            plan=plan_windows(known, "single", 2, 0),
            seeds=(1,),
            jobs=1,
            registry=registry,
            now=now,
            data_source="test",
            data_hash="h",
            risk_fingerprint="r",
            purpose="retrain",
            gate=ANYTHING,
        )
    )
    if outcome.trial is None:
        rows, weights = outcome.judged.rows, stored_weights(registry, outcome.model_id, known)
        decision = replace(outcome.judged.decision, gain=0.1)
        entering = candidate(registry, known, outcome.model_id, decision, -10.0, weights, rows, range(0), COST, weights)
        enter(registry, entering, now)


def main(folder: Path) -> None:
    """Do the weeks that are not done, telling each."""
    for week in range(WEEKS + 1):
        mark = folder / "weeks" / str(week)
        if not mark.exists():
            one_week(folder, week)
            mark.parent.mkdir(exist_ok=True)
            mark.touch()
        print(week, flush=True)  # noqa: T201 - the parent waits for it


if __name__ == "__main__":
    main(Path(sys.argv[1]))
