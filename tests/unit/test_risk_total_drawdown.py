"""The limit that halts do not forget: the fall from the highest equity ever, which only an operator ends."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pytest

from risk_config import RiskConfig
from risk_manager import RiskManager
from tests.kernel_world import clock_of, kernel_arrays, make_rules, prepared_market, random_panel
from tests.risk_world import StoryStore, code_of, desk
from trading_platform.core.market import build_market
from trading_platform.core.risk.denial_codes import DenialCode
from trading_platform.core.simulate import Backtest, backtest, open_books

NAN = math.nan
DAY = date(2024, 6, 3)
QUIET = {"max_daily_loss_pct": 50.0, "halt_release": "equity"}


def started(**settings: object) -> RiskManager:
    """Return an account read at 100,000, whose readings move the drawdown alone."""
    risk = desk(config=RiskConfig.from_mapping({**QUIET, **settings}))
    risk.read_equity(100_000.0, NAN, DAY)
    return risk


def read(risk: RiskManager, *equities: float, first: int = 1, shadow: float = NAN) -> list[tuple[str, str]]:
    """Take one reading a session; return kind and code of what changed."""
    found = []
    for n, equity in enumerate(equities):
        session = DAY + timedelta(first + n)
        risk.start_session(session)
        found += [(event.kind.value, event.code.value) for event in risk.read_equity(equity, shadow, session)]
    return found


def rounds(risk: RiskManager) -> float:
    """Fall into a halt and be released by the shadow until the account stands still; return its equity."""
    equity, day = 100_000.0, 1
    for _ in range(5):
        equity = float(risk.account["peak_equity"]) * 0.895
        read(risk, equity, equity, first=day)
        read(risk, equity, equity, first=day + 2, shadow=1e9)
        day += 4
    return equity


def test_halts_that_the_shadow_releases_end_at_the_total_limit() -> None:
    risk = started(halt_release="shadow")
    rounds(risk)
    assert code_of(risk.can_trade()) == "TOTAL_DRAWDOWN"
    assert risk.halted


def test_without_the_total_limit_five_rounds_go_on() -> None:
    risk = started(halt_release="shadow", max_total_drawdown_pct=100.0)
    assert rounds(risk) < 75_000.0
    assert code_of(risk.can_trade()) == "OK"


@pytest.mark.parametrize(("equity", "code"), [(85_000.0, "DRAWDOWN_HALT"), (84_999.99, "TOTAL_DRAWDOWN")])
def test_the_limit_is_the_largest_fall_still_allowed(equity: float, code: str) -> None:
    risk = started()
    read(risk, 90_000.0, equity, equity)
    assert code_of(risk.can_trade()) == code


def test_one_bad_tick_stops_nothing() -> None:
    risk = started()
    read(risk, 88_000.0, 88_000.0, 84_000.0, 88_000.0, 84_000.0, 88_000.0)
    assert code_of(risk.can_trade()) == "DRAWDOWN_HALT"


def test_the_stop_is_told_as_what_it_was() -> None:
    assert read(started(), 90_000.0, 84_000.0, 84_000.0)[-1] == ("halt", "TOTAL_DRAWDOWN")


def test_nothing_but_an_operator_ends_it() -> None:
    risk = started()
    read(risk, 90_000.0, 84_000.0, 84_000.0)
    read(risk, 95_000.0, 99_000.0, 105_000.0, 115_000.0, 120_000.0, first=4, shadow=1e9)
    assert code_of(risk.can_trade()) == "TOTAL_DRAWDOWN"
    with pytest.raises(ValueError, match="reason"):
        risk.resume(" ", "ann")
    risk.resume("looked at it", "ann")
    assert code_of(risk.can_trade()) == "OK"


def test_after_the_operators_word_the_total_is_measured_from_a_new_peak() -> None:
    risk = started()
    read(risk, 90_000.0, 84_000.0, 84_000.0)
    risk.resume("go on", "ann")
    report = risk.get_risk_report()
    assert report["total_drawdown_pct"] == pytest.approx(5.0)
    assert report["lifetime_peak"] == 100_000.0
    read(risk, 80_000.0, 75_200.0, 75_200.0, first=4)
    assert code_of(risk.can_trade()) == "DRAWDOWN_HALT"  # 14.95 % below the new peak
    read(risk, 75_000.0, 75_000.0, first=7)
    assert code_of(risk.can_trade()) == "TOTAL_DRAWDOWN"


def test_an_operators_word_about_another_halt_leaves_the_total_alone() -> None:
    risk = started()
    read(risk, 89_000.0, 89_000.0)
    risk.resume("a quiet market", "ann")
    assert risk.get_risk_report()["total_drawdown_pct"] == pytest.approx(11.0)


def test_a_restart_remembers_the_stop_and_the_peak() -> None:
    store = StoryStore()
    risk = desk(config=RiskConfig.from_mapping(QUIET), store=store)
    read(risk, 100_000.0, 84_000.0, 84_000.0)
    risk.save()
    again = desk(cash=84_000.0, config=RiskConfig.from_mapping(QUIET), store=store)
    assert code_of(again.can_trade()) == "TOTAL_DRAWDOWN"
    assert again.account["total_peak"] == 100_000.0


def test_a_second_halt_within_a_year_asks_the_operator_where_it_is_wished() -> None:
    falls = (89_000.0, 89_000.0, 96_000.0, 96_000.0, 86_200.0, 86_200.0)
    asking, other = started(second_halt_asks=True), started()
    assert read(asking, *falls)[-1] == ("halt", "SECOND_HALT")
    assert read(other, *falls)[-1] == ("halt", "DRAWDOWN_HALT")
    assert code_of(asking.can_trade()) == "SECOND_HALT"
    read(asking, 99_000.0, 99_000.0, 99_000.0, first=7)
    assert code_of(asking.can_trade()) == "SECOND_HALT"


def test_a_halt_more_than_a_year_after_the_first_asks_nobody() -> None:
    risk = started(second_halt_asks=True)
    read(risk, 89_000.0, 89_000.0, *[96_000.0] * 253, 86_200.0, 86_200.0)
    assert code_of(risk.can_trade()) == "DRAWDOWN_HALT"


def test_explain_and_report_name_the_limit() -> None:
    risk = started()
    read(risk, 90_000.0, 84_000.0, 84_000.0)
    checks = {check.code: check for check in risk.explain("T00", "buy", 1.0, 100.0).checks}
    assert not checks[DenialCode.TOTAL_DRAWDOWN].passed
    report = risk.get_risk_report()
    assert [(row["code"], row["releases_when"]) for row in report["halts"]] == [
        ("TOTAL_DRAWDOWN", "ends when an operator resumes")
    ]
    assert next(row for row in report["headroom"] if row["rule"] == "total_drawdown")["limit"] == 15.0


# ---------------------------------------------------------------- a replay, where nobody can resume

TIGHT = {"max_drawdown_pct": 2.0, "recovery_drawdown_pct": 1.0, "max_daily_loss_pct": 50.0}


def fallen(rate: float = 0.0, **limits: object) -> Backtest:
    """Run the random market 3 under tight limits, cash earning `rate` percent a year."""
    rules = make_rules(**{**TIGHT, **limits})
    panel = random_panel(3)
    _, signals = kernel_arrays(panel, rules)
    market = build_market(panel, clock_of(panel), rules.limits.correlation_window)
    market = market._replace(rate=np.full(len(market.day), rate / 100.0))
    return backtest(
        market, signals, np.full(len(signals.is_target), 1.0 / len(signals.is_target)), rules, 100_000.0, 60, 420
    )


def test_a_replay_that_nobody_can_resume_goes_flat_and_earns_bills() -> None:
    run = fallen(rate=4.0)
    stop = int(np.flatnonzero(run.days["event"] == 4)[0])
    after = run.days[stop + 2 :]
    assert stop < 300
    assert run.books.accounts["halted"][0] == 2
    assert (after["positions"] == 0).all()
    assert after["equity"][-1] > after["equity"][0]
    assert after["equity"] == pytest.approx(after["cash"])


def test_without_the_limit_the_same_replay_goes_on() -> None:
    run = fallen(max_total_drawdown_pct=100.0)
    assert run.books.accounts["halted"][0] != 2
    assert run.days["positions"][-20:].any()


def test_a_replay_whose_halts_are_the_operators_goes_flat_at_the_first() -> None:
    run = fallen(halt_release="manual")
    halt = int(np.flatnonzero(run.days["event"] == 2)[0])
    assert (run.days["positions"][halt + 2 :] == 0).all()


def test_episodes_start_from_a_base_that_nothing_stops_and_have_a_total_of_their_own() -> None:
    world = prepared_market(
        3, max_drawdown_pct=2.0, recovery_drawdown_pct=1.0, max_daily_loss_pct=50.0, max_total_drawdown_pct=2.1
    )
    assert not (world.warm.accounts["halted"] > 1).any()
    deep = np.argmin(world.warm.accounts["equity"] / world.warm.accounts["lifetime_peak"])
    books = open_books(1, world.rules.limits.max_positions, world.n_strategies, len(world.market.bars), 1.0)
    world.warm.begin(books, np.zeros(1, dtype=np.int64), np.array([deep]))
    assert books.accounts["total_peak"][0] == books.accounts["peak_equity"][0] < books.accounts["lifetime_peak"][0]
