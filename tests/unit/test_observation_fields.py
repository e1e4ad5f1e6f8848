"""The observation: every entry has a name and a place, and live and training read the same numbers."""

from __future__ import annotations

from functools import cache
from itertools import groupby

import numpy as np
import pytest

from tests.kernel_world import STRATEGIES, kernel_arrays, make_rules, prepared_market, random_panel
from trading_platform.core.episode_batch import EpisodeBatch, EpisodeOptions
from trading_platform.core.ledger import new_books
from trading_platform.core.market import MARKET_CORRELATION
from trading_platform.core.observation import (
    Episode,
    Observer,
    episode_of,
    exogenous_matrix,
    observation_schema,
)
from trading_platform.core.prepare import PreparedMarket
from trading_platform.core.shadow_books import lookback_sessions
from trading_platform.core.theory_features import Theory, theory_lookback

NAMES = ("trend", "reversal", "jump")


@cache
def world() -> PreparedMarket:
    return prepared_market(2, 900)  # long enough for the features of two years


def test_schema_has_the_contract_s_parts_first_and_in_order() -> None:
    schema = observation_schema(NAMES)
    runs = [(group, len(list(fields))) for group, fields in groupby(field.group for field in schema)]
    assert runs == [
        ("regime", 3),
        ("strategy:trend", 4),
        ("strategy:reversal", 4),
        ("strategy:jump", 4),
        ("portfolio", 5),
        ("market", 10),
        ("episode", 6),
        ("slow_market", 2),
        ("strategy:trend", 3),
        ("strategy:reversal", 3),
        ("strategy:jump", 3),
        ("rules", 3),
    ]
    assert len(schema) == 50
    assert len(set(schema.names)) == 50
    assert all(field.unit and field.description for field in schema)
    assert schema.strategies == NAMES


def test_fingerprint_moves_with_a_name() -> None:
    assert observation_schema(NAMES).fingerprint == observation_schema(NAMES).fingerprint
    assert observation_schema(NAMES).fingerprint != observation_schema(("trend", "reversal", "leap")).fingerprint


def test_unknown_entries_become_neutral() -> None:
    schema = observation_schema(NAMES)
    theory = Theory(np.full((2, 2), np.nan), np.full((2, 3, 3), np.nan))
    regimes, statistics, features = np.full((2, 3), np.nan), np.full((2, 3, 4), np.nan), np.full((2, 10), np.nan)
    unknown = exogenous_matrix(schema, regimes, statistics, features, theory, np.full((2, 3), np.nan))
    values = dict(zip((schema.names[i] for i in schema.exogenous), unknown[0], strict=True))
    assert values["regime_bull"] == pytest.approx(1 / 3)
    assert values["trend_win_rate"] == 0.5
    assert values["trend_sharpe"] == 0.0
    assert values["vix"] == 17.0
    assert (values["two_year_return"], values["trend_beta"]) == (0.15, 0.25)
    assert np.isfinite(unknown).all()


def test_portfolio_and_episode_entries_have_known_values() -> None:
    rules = make_rules()
    market, _ = kernel_arrays(random_panel(0, 60), rules)
    accounts, slots, _ = new_books(1, 4, 3, 100_000.0)
    account = accounts[0]
    account["cash"], account["equity"], account["peak_equity"] = 97_000.0, 98_000.0, 100_000.0
    for s, (ticker, value) in enumerate([(3, 250.0), (5, 750.0)]):
        slots[0, s]["ticker"], slots[0, s]["quantity"], slots[0, s]["value"] = ticker, 10.0, value
    slots[0, 2]["ticker"], slots[0, 2]["pending"] = 7, 5.0  # not held yet
    schema = observation_schema(NAMES)
    observer = Observer(schema, np.zeros((60, 39)), market)
    episode = Episode(start_equity=96_000.0, sessions=10, total=0.02, squares=0.0004)
    seen = dict(
        zip(schema.names, observer.observe(50, account, slots[0], episode, np.array([0.5, 0.5, 0.0])), strict=True)
    )
    correlations = market.bars[:, 50, MARKET_CORRELATION]
    assert seen["total_pnl"] == pytest.approx(98 / 96 - 1)
    assert seen["drawdown"] == pytest.approx(0.02)
    assert seen["cash_ratio"] == pytest.approx(97 / 98)
    assert seen["position_count"] == 2.0
    assert seen["portfolio_correlation"] == pytest.approx(0.25 * correlations[3] + 0.75 * correlations[5], rel=1e-6)
    assert seen["episode_progress"] == 0.5
    mean = 0.02 / 15
    assert seen["episode_mean"] == pytest.approx(mean)
    assert seen["episode_volatility"] == pytest.approx(np.sqrt((0.0004 + 5 * 0.003**2) / 15 - mean**2))
    assert [seen[f"{name}_weight"] for name in NAMES] == [0.5, 0.5, 0.0]


def test_observer_sees_what_the_environment_shows() -> None:
    market = world()
    batch = EpisodeBatch([market], 1, EpisodeOptions())
    batch.reset(np.zeros(1, dtype=np.int64), np.array([market.first + 3]))
    observer = Observer(market.schema, market.exogenous, market.market)
    equity = [float(batch.episodes["equity"][0])]
    for t in range(market.first + 4, market.first + 15):
        batch.step(np.random.default_rng(t).random((1, 3)))
        equity.append(float(batch.episodes["equity"][0]))
        own = observer.observe(
            t, batch.books.accounts[0], batch.books.slots[0], episode_of(np.array(equity)), batch.weights[0]
        )
        assert own.astype(np.float32).tobytes() == batch.observations[0].tobytes()


@pytest.mark.parametrize(("n", "sessions"), [(1, 0), (2, 1), (20, 19), (21, 0), (22, 1), (45, 4)])
def test_live_book_is_read_in_stretches_of_twenty_sessions(n: int, sessions: int) -> None:
    equity = np.power(1.01, np.arange(n, dtype=np.float64)) * 100.0
    episode = episode_of(equity)
    assert episode.sessions == sessions
    assert episode.start_equity == pytest.approx(equity[n - 1 - sessions])
    assert episode.total == pytest.approx(0.01 * sessions)
    assert episode.squares == pytest.approx(0.0001 * sessions)


def test_observations_are_finite_and_move() -> None:
    market = world()
    batch = EpisodeBatch([market], 32, EpisodeOptions())
    batch.reset(np.arange(32))
    seen = [batch.observations.copy()]
    for t in range(20):
        batch.step(np.random.default_rng(t).random((32, 3)))
        seen.append(batch.observations.copy())
    everything = np.concatenate(seen)
    assert np.isfinite(everything).all()
    moved = everything.std(axis=0) > 0.0
    moved[market.schema.groups["rules"]] = True  # no rule is about strategies of no known family
    moved[market.schema.names.index("bill_rate")] = True  # this market has none
    assert moved.all()


def test_shorter_past_gives_the_same_observation_bits() -> None:
    from tests.kernel_world import clock_of
    from trading_platform.strategies.prepared import prepare_panel

    n_sessions, cut = 1400, 300
    panel = random_panel(4, n_sessions)
    regimes = np.random.default_rng(0).dirichlet(np.ones(3), n_sessions)
    whole = prepare_panel(panel, clock_of(panel), STRATEGIES, regimes, make_rules())
    tail = panel.rows(cut, n_sessions)
    short = prepare_panel(tail, clock_of(tail), STRATEGIES, regimes[cut:], make_rules())
    needed = theory_lookback(lookback_sessions(max(strategy.lookback for strategy in STRATEGIES)))
    assert short.first < needed < n_sessions - cut - 300
    rows = slice(needed, None)
    values = dict(zip((short.schema.names[i] for i in short.schema.exogenous), short.exogenous[needed], strict=True))
    assert values["two_year_return"] != 0.15
    assert values["jump_momentum_year"] != 0.03
    assert short.exogenous[rows].tobytes() == np.ascontiguousarray(whole.exogenous[cut:][rows]).tobytes()
    assert short.strategy_returns[rows].tobytes() == whole.strategy_returns[cut:][rows].tobytes()
