"""The market that a live scan prepares: its regimes are those computed afresh, by the fits of the scan before."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from alpaca_world import flat, market

from risk_config import RiskConfig
from trading_platform.configuration.environment import load_settings
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.costs import CostConfig, ExitConfig
from trading_platform.core.errors import MarketDataError
from trading_platform.core.realistic_fills import draw_fills
from trading_platform.core.risk.limits import limits_of
from trading_platform.core.session import Rules
from trading_platform.engine.engine_market import EngineMarket
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.regime.config import RegimeConfig
from trading_platform.regime.hmm import causal_regimes
from trading_platform.runtime.open_run import CATCH_UP_SESSIONS, check_newest_session, live_market
from trading_platform.strategies.registry import make_strategies

CALENDAR = NyseCalendar()
RULES = Rules(limits_of(RiskConfig().to_dict()), ExitConfig().rates(), CostConfig().rates())
REGIME = {"fit_window": 126, "refit_months": 1, "restarts": 1, "iterations": 30}
MONDAY, TUESDAY = date(2023, 6, 12), date(2023, 6, 13)
CONFIG = replace(TradingConfig(), regime=REGIME)


def scan(session: date, folder: Path) -> EngineMarket:
    settings = load_settings({"TRADING_CACHE_DIR": str(folder)}, None)
    return live_market(CONFIG, settings, RULES, CALENDAR, make_strategies(None), session)


def test_simulated_account_may_have_realistic_fills_and_a_broker_s_market_has_none(tmp_path: Path) -> None:
    settings = load_settings({"TRADING_CACHE_DIR": str(tmp_path)}, None)
    config = replace(CONFIG, engine=replace(CONFIG.engine, fills="realistic"))
    arguments = config, settings, RULES, CALENDAR, make_strategies(("momentum",)), MONDAY
    assert live_market(*arguments).market.draws.size == 0
    drawn = live_market(*arguments, fills=config.engine.fills)
    assert drawn.market.draws.tobytes() == draw_fills(drawn.panel, config.engine.seed).tobytes()


def afresh(world: EngineMarket) -> np.ndarray:
    """Return the regime probabilities of a world's panel, computed without a cache."""
    first = world.panel.n_sessions - CATCH_UP_SESSIONS
    path = causal_regimes(world.panel, RegimeConfig.from_mapping(REGIME), CONFIG.engine.seed, first)
    assert path.known[-1]
    return np.where(path.known[:, None], path.probabilities, np.nan)


def fits_file(folder: Path) -> Path:
    (path,) = (folder / "regimes").iterdir()
    return path


def test_next_session_has_the_regimes_computed_afresh_without_a_fit(tmp_path: Path) -> None:
    before = scan(MONDAY, tmp_path)
    assert before.regime_probabilities.tobytes() == afresh(before).tobytes()
    kept = fits_file(tmp_path).read_bytes()
    written = fits_file(tmp_path).stat().st_mtime_ns
    after = scan(TUESDAY, tmp_path)
    assert after.sessions[-1] == TUESDAY
    assert after.regime_probabilities.tobytes() == afresh(after).tobytes()
    assert (fits_file(tmp_path).read_bytes(), fits_file(tmp_path).stat().st_mtime_ns) == (kept, written)


def test_session_whose_bars_are_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match="not out yet"):
        scan(date(2025, 1, 8), tmp_path)


def test_session_whose_bars_are_out_for_a_few_tickers_only_is_waited_for() -> None:
    for absent, is_out in ((1, True), (2, True), (3, False)):
        bars = {f"T{n}": flat(50.0) if n >= absent else [*flat(50.0, 7), None] for n in range(4)}
        if is_out:
            check_newest_session(market(bars))
        else:
            with pytest.raises(MarketDataError, match="are out for 1 of 4 tickers so far"):
                check_newest_session(market(bars))
