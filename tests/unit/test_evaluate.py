"""`evaluate` on small random markets with a book that is handed in: keys, pairing, seams, what is said of gaps."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from tests.evaluate_books import ASKED, SLEEVES, equal_weight, on_paper, told
from tests.strategy_markets import mixed_panel
from trading_platform.core.errors import FixConfigError
from trading_platform.core.types import MarketPanel
from trading_platform.evaluation.evaluate import BookRun, EvaluateSettings, RunBook, evaluate, traded_rows
from trading_platform.evaluation.evaluate_document import document, table
from trading_platform.strategies.base import AnyStrategy
from trading_platform.strategies.breakout import Breakout
from trading_platform.strategies.managed_market import ManagedMarket

# What the issue names, key by key.
SUMMARIES = ("sharpe", "paper_form", "equal_weight_universe", "benchmark")
NUMBERS = ("universes", "max_drawdown", "avg_exposure", "avg_exposure_calm", "alpha_t", "stopped_for_good", "trials")


def judged(
    run_book: RunBook = on_paper,
    settings: EvaluateSettings = ASKED,
    strategies: tuple[AnyStrategy, ...] = SLEEVES,
    **changes: Any,
) -> dict[str, Any]:
    panel = replace(mixed_panel(2, 600), **changes)
    yardsticks, runs = evaluate(panel, strategies, run_book, settings)
    return document(yardsticks, runs, settings)


def test_document_has_every_key_and_is_json() -> None:
    result = judged()
    for key in SUMMARIES:
        assert set(result[key]) == {"mean", "sd", "low", "high"}
        assert all(isinstance(value, float) for value in result[key].values())
    assert set(result["gain_over_equal_weight_universe"]) == {"mean", "low", "high"}
    assert all(isinstance(result[key], int | float) for key in NUMBERS)
    assert set(result["per_strategy"]) == {"managed_market", "real_assets"}
    assert (result["universes"], result["trials"], result["stopped_for_good"]) == (3, 4, 0)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_same_question_gets_the_same_answer_and_another_seed_another() -> None:
    assert judged() == judged()
    assert judged(settings=replace(ASKED, seed=6))["equal_weight_universe"] != judged()["equal_weight_universe"]


def test_book_that_is_its_paper_form_keeps_all_of_it() -> None:
    result = judged()
    assert result["sharpe"]["mean"] == result["paper_form"]["mean"]
    assert result["kept_of_paper_form"] == 1.0


def test_book_that_is_the_equal_weight_universe_gains_nothing_over_it() -> None:
    result = judged(equal_weight)
    assert result["gain_over_equal_weight_universe"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert result["sharpe"]["mean"] == result["equal_weight_universe"]["mean"]
    assert result["avg_exposure"] == 1.0


def test_every_book_gets_the_same_universes() -> None:
    seen: list[tuple[tuple[str, ...], int, int]] = []

    def looking(panel: MarketPanel, start: int, seed: int) -> BookRun:
        seen.append((panel.tickers, start, seed))
        return equal_weight(panel, start, seed)

    judged(looking)
    judged(looking, strategies=(Breakout(),))
    assert seen[:3] == seen[3:]
    assert len(set(seen[:3])) == 3


def test_strategy_of_entries_has_no_paper_form_and_that_is_said() -> None:
    result = judged(strategies=(Breakout(), ManagedMarket()))
    assert result["paper_form"] is None
    assert result["kept_of_paper_form"] is None
    assert any("no paper form" in note for note in result["notes"])


def test_strategy_that_stands_aside_is_told_and_its_capital_works_elsewhere() -> None:
    result = judged(asset_classes=())
    assert result["per_strategy"]["real_assets"]["stands_aside"] == "needs a fund of gold or real estate"
    assert result["per_strategy"]["real_assets"]["paper_sharpe"] is None
    assert any(note.startswith("real_assets stands aside: it needs") for note in result["notes"])


def test_books_that_stopped_for_good_are_counted() -> None:
    def stops(panel: MarketPanel, start: int, seed: int) -> BookRun:
        return replace(equal_weight(panel, start, seed), stopped_for_good=seed % 2 == 0)

    result = judged(stops)
    assert result["stopped_for_good"] == 2  # of the seeds 5000, 5001, 5002
    assert any("stopped for good in" in note for note in result["notes"])


def test_sixty_forty_without_bonds_is_left_out_and_said() -> None:
    result = judged()
    assert [row["name"] for row in result["comparisons"]][:2] == ["this book", "bills"]
    assert not any(row["name"].startswith("60/40") for row in result["comparisons"])
    assert any(note.startswith("60/40 is left out") for note in result["notes"])


def test_sixty_forty_takes_ief_where_agg_is_missing() -> None:
    panel = mixed_panel(2, 600)
    names = list(panel.tickers)
    names[14] = "IEF"  # a fund of government bonds
    result = judged(tickers=tuple(names))
    assert [row["name"] for row in result["comparisons"]][-1] == "60/40 (IEF)"


def test_benchmark_at_the_same_beta_has_the_books_beta() -> None:
    rows = {row["name"]: row for row in judged()["comparisons"]}
    assert rows["benchmark at the same beta"]["beta"] == pytest.approx(rows["this book"]["beta"])
    assert rows["benchmark"]["beta"] == pytest.approx(1.0)
    assert rows["bills"]["sharpe"] is None


def test_realistic_fills_are_told_where_they_were_run() -> None:
    def realistic(panel: MarketPanel, start: int, seed: int) -> BookRun:
        run = equal_weight(panel, start, seed)
        return replace(run, realistic=run.returns - 1e-4, sharpe_if_ended_lost_30=0.25)

    result = judged(realistic)
    told, exact = result["sharpe_realistic"], result["sharpe"]
    assert set(told) == {"mean", "sd", "low", "high"}
    assert all(told[name] < exact[name] for name in ("mean", "low", "high"))
    assert result["sharpe_if_ended_lost_30"] == 0.25
    assert "with realistic fills" in table(result)
    assert judged()["sharpe_realistic"] is None
    assert "with realistic fills" not in table(judged())


def test_run_that_fills_the_same_either_way_has_one_ratio_and_interval() -> None:
    def alike(panel: MarketPanel, start: int, seed: int) -> BookRun:
        run = equal_weight(panel, start, seed)
        return replace(run, realistic=run.returns)

    result = judged(alike)
    assert result["sharpe_realistic"] == result["sharpe"]


def test_document_and_table_say_which_fills_the_figures_are_of() -> None:
    assert judged()["fill_model"] == "exact"
    assert "realistic" not in table(judged()).splitlines()[0]
    result = judged(settings=replace(ASKED, fills="realistic"))
    assert result["fill_model"] == "realistic"
    assert "realistic fills, seed 5" in table(result).splitlines()[0]


def test_run_of_another_length_is_refused() -> None:
    def short(panel: MarketPanel, start: int, seed: int) -> BookRun:
        return equal_weight(panel, start + 1, seed)

    with pytest.raises(ValueError, match="a run must cover"):
        judged(short)


def test_years_that_leave_too_little_are_refused() -> None:
    with pytest.raises(FixConfigError, match="leave 0 sessions, at least 60 are needed; the data has 2010-01-04"):
        judged(settings=replace(ASKED, start=date(2030, 1, 1)))


def test_history_before_the_start_is_kept_and_what_follows_the_end_is_not() -> None:
    panel = mixed_panel(2, 600)
    cut, start = traded_rows(panel, EvaluateSettings(start=date(2010, 6, 1), end=date(2011, 3, 31)))
    assert (cut.session(start), cut.session(cut.n_sessions - 1)) == (date(2010, 6, 1), date(2011, 3, 31))
    assert cut.session(0) == panel.session(0)


def test_table_shows_what_the_document_holds() -> None:
    text = table(judged())
    for words in ("3 universes of 6 stocks", "this book", "on paper", "trials 4", "managed_market"):
        assert words in text
    assert " nan" not in text


def test_document_tells_what_is_lost_and_what_is_not_invested_by_cause() -> None:
    result = judged(told)
    assert result["not_invested_share"] == pytest.approx(
        {"no_signal": 0.3, "slots": 0.1, "caps": 0.05, "size": 0.03, "halts": 0.02}
    )
    assert sum(result["not_invested_because"].values()) == pytest.approx(75_000.0)
    assert set(result["lost_to"]) == {"halts", "caps", "orders"}
    lost = result["paper_form"]["mean"] - result["sharpe"]["mean"]
    assert sum(result["lost_to"].values()) == pytest.approx(lost)
    assert result["lost_to"]["halts"] != 0.0
    assert result["lost_to"]["caps"] == pytest.approx(-result["lost_to"]["halts"])
    text = table(result)
    assert "lost of the paper form to" in text
    assert "no signal 30.0 %, slots 10.0 %" in text


def test_a_book_that_tells_no_causes_has_none() -> None:
    result = judged()
    assert (result["lost_to"], result["not_invested_because"], result["not_invested_share"]) == (None, None, None)
    assert "lost of the paper form" not in table(result)


def test_interest_counts_as_bills() -> None:
    idle = judged(lambda panel, start, seed: replace(equal_weight(panel, start, seed), returns=bills(panel, start)))
    assert idle["excess_return"] == pytest.approx(0.0, abs=1e-12)
    assert idle["annual_return"] > 0.0
    assert idle["sharpe"]["mean"] is None


def bills(panel: MarketPanel, start: int) -> Any:
    rates = panel.cash_rate
    assert rates is not None
    days = np.diff(panel.sessions.astype("datetime64[D]").astype(int))[start - 1 :]
    return rates[start - 1 : -1] / 100.0 * days / 365.0


def test_unknown_is_none_and_not_a_number() -> None:
    result = judged(equal_weight, settings=replace(ASKED, universes=1))
    assert not any(isinstance(value, float) and math.isnan(value) for value in result.values())


def split_unevenly(panel: MarketPanel, start: int, seed: int) -> BookRun:
    """Return a book whose split gains 1 bp a session over equal weight, a quarter of it by its average."""
    made = on_paper(panel, start, seed)
    return replace(made, at_equal_weight=made.returns - 1e-4, at_average_weights=made.returns - 0.75e-4)


def test_the_gain_of_a_split_is_its_tilt_and_its_timing() -> None:
    result = judged(split_unevenly)
    parts = result["allocation_gain"]
    assert set(parts) == {"gain", "tilt", "timing"}
    assert parts["gain"]["mean"] == pytest.approx(parts["tilt"]["mean"] + parts["timing"]["mean"])
    assert parts["timing"]["mean"] == pytest.approx(3.0 * parts["tilt"]["mean"], rel=1e-6)
    assert parts["gain"]["low"] > 0.0
    assert "split against equal weight" in table(result)
    assert "sleeves at equal weight" in {row["name"] for row in result["comparisons"]}


def test_a_book_at_equal_weight_has_no_split_to_judge() -> None:
    result = judged()
    assert result["allocation_gain"] is None
    assert "split against" not in table(result)
