"""The Python face does what the command line does, to the cent, and leaves nothing behind."""

from __future__ import annotations

import html
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trading_platform import api
from trading_platform.core.errors import FixConfigError, MarketDataError
from trading_platform.runtime.command_line import run
from trading_platform.strategies.registry import make_strategies

SHORT = {"engine.replay_sessions": 40}
FRAME_TICKERS = 8


@pytest.fixture(scope="module", autouse=True)
def _empty_folder(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("notebook"))
        for name in ("DATABASE_URL", "ALPACA_API_KEY", "ALPACA_SECRET_KEY"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="module")
def market() -> api.Market:
    return api.load()


@pytest.fixture(scope="module")
def result(market: api.Market) -> api.Result:
    return api.backtest(market, config=SHORT)


def frame_of(market: api.Market) -> pd.DataFrame:
    """Return bars of a few tickers as a frame with a row a bar."""
    panel = market.panel
    parts = [
        pd.DataFrame(
            {
                "date": panel.sessions.astype("datetime64[D]"),
                "ticker": panel.tickers[j],
                **{name: getattr(panel, name)[:, j] for name in ("open", "high", "low", "close", "volume")},
            }
        )
        for j in range(FRAME_TICKERS)
    ]
    return pd.concat(parts).dropna()


def test_the_result_is_that_of_the_command_line(
    result: api.Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "short.toml").write_text("[engine]\nreplay_sessions = 40\n", encoding="utf-8")
    words = ["replay", "--json", "--db", str(tmp_path / "runs.db"), "--config", str(tmp_path / "short.toml")]
    assert run(words) == 0
    told, printed = json.loads(json.dumps(result.metrics)), json.loads(capsys.readouterr().out)
    assert told == {name: printed[name] for name in told}
    assert set(printed) - set(told) <= {
        "bars",
        "bars_per_second",
        "data_warnings",
        "elapsed_seconds",
        "page",
        "simulated",
    }


def test_frames_add_up_to_the_figures(result: api.Result) -> None:
    assert result.equity["equity"].iloc[-1] == result.metrics["final_equity"]
    assert len(result.equity) == result.metrics["sessions"] == 40
    assert (len(result.orders), len(result.fills), len(result.trades)) == (
        result.metrics["orders"],
        result.metrics["fills"],
        result.metrics["trades"],
    )
    assert np.prod(1.0 + result.returns) - 1.0 == pytest.approx(result.metrics["total_return"], abs=1e-9)


def test_nothing_is_left_in_the_folder(result: api.Result) -> None:
    assert [path.name for path in Path.cwd().iterdir() if path.suffix == ".db"] == []


def test_a_database_that_is_named_keeps_the_run(market: api.Market, tmp_path: Path) -> None:
    kept = api.backtest(market, config=SHORT, database=tmp_path / "kept.db")
    assert (tmp_path / "kept.db").stat().st_size > 0
    again = api.backtest(market, config=SHORT, database=tmp_path / "kept.db")
    assert {**again.metrics, "run_id": 1} == kept.metrics


def test_a_frame_is_read_like_a_folder_of_the_same_bars(market: api.Market, tmp_path: Path) -> None:
    frame = frame_of(market)
    frame.to_csv(tmp_path / "bars.csv", index=False)
    from_frame = api.load(frame, vix="realized")
    from_folder = api.load(tmp_path, vix="realized")
    assert from_frame.tickers == from_folder.tickers == market.tickers[:FRAME_TICKERS]
    pd.testing.assert_frame_equal(from_frame.closes, from_folder.closes)
    chosen = ["momentum", "breakout"]
    one = api.backtest(from_frame, config=SHORT, strategies=chosen)
    two = api.backtest(from_folder, config=SHORT, strategies=chosen)
    assert one.equity["equity"].tolist() == two.equity["equity"].tolist()


def test_strategies_are_names_or_objects(market: api.Market) -> None:
    by_name = api.backtest(market, config=SHORT, strategies=["momentum"], allocation={"momentum": 1.0})
    by_object = api.backtest(market, config=SHORT, strategies=make_strategies(["momentum"]), allocation="momentum")
    assert by_name.equity["equity"].tolist() == by_object.equity["equity"].tolist()
    assert set(by_name.metrics["strategies"]) == {"momentum"}


def test_days_and_costs_are_heeded(market: api.Market) -> None:
    dear = api.backtest(market, start="2024-03-01", end="2024-04-30", cost_bps=50.0)
    cheap = api.backtest(market, start="2024-03-01", end="2024-04-30", cost_bps=0.0)
    assert (dear.metrics["first_session"], dear.metrics["last_session"]) == ("2024-03-01", "2024-04-30")
    assert dear.metrics["costs"]["spread"] > cheap.metrics["costs"]["spread"] == 0.0


def test_a_result_and_a_market_show_themselves_in_a_notebook(market: api.Market, result: api.Result) -> None:
    shown = result._repr_html_()
    assert "SIMULATED" in shown and "<svg" in shown and "Sharpe ratio over bills" in shown
    assert all(line.split(";")[0] in shown for line in result.critique)
    assert repr(market).startswith("<Market synthetic:seed=7: 69 tickers")
    assert "<li>" in market._repr_html_()


def test_a_result_writes_its_page_where_it_is_asked_to(result: api.Result, tmp_path: Path) -> None:
    page = result.page(tmp_path / "mine.html")
    assert page == tmp_path / "mine.html"
    text = page.read_text(encoding="utf-8")
    assert "SIMULATED" in text and result.metrics["last_session"][:4] in text
    assert result.page(tmp_path / "pages") == tmp_path / "pages" / f"run-{result.metrics['run_id']}.html"
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


def test_an_evaluation_has_the_figures_of_the_command(market: api.Market) -> None:
    judged = api.evaluate(market, universes=2, universe_size=30, start="2022-01-03")
    assert judged.figures["universes"] == 2
    assert set(judged.figures["sharpe"]) >= {"mean", "sd", "low", "high"}
    assert "Sharpe" in str(judged) and "<pre>" in judged._repr_html_()


def test_a_training_is_judged_kept_and_shown(
    market: api.Market, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training = api.train(
        market, algo="gradient", episodes=4, eval_freq=4, options={"n_universes": 0}, models_dir=tmp_path / "models"
    )

    assert (tmp_path / "models" / training.model_id).is_dir()
    assert training.admitted is training.figures["gate"]["admitted"]
    assert training.verdict.startswith("PASSED" if training.admitted else "REFUSED")
    shown = training._repr_html_()
    assert "equal weight" in shown and html.escape(training.verdict) in shown
    assert capsys.readouterr() == ("", "")  # a notebook asks for the bar with shown=True


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"algo": "pppo"}, "algo must be one of"),
        ({"options": {"gama": 1}}, "did you mean .gamma"),
        ({"walk_forward": "daily"}, "walk_forward must be"),
    ],
)
def test_a_wrong_training_is_refused_before_any_work(
    market: api.Market, wrong: dict[str, object], words: str, tmp_path: Path
) -> None:
    with pytest.raises(FixConfigError, match=words):
        api.train(market, models_dir=tmp_path / "models", **wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"strategies": "momentum"}, "must be a list"),
        ({"strategies": []}, "none is given"),
        ({"strategies": ["momentum", "momentum"]}, "momentum is there twice"),
        ({"strategies": ["momentun"]}, "did you mean .momentum"),
        ({"start": "tomorrow-ish"}, "is no day"),
        ({"end": "1999-01-04"}, "no session until then"),
        ({"allocation": {"momentum": 0.5}, "strategies": ["momentum"]}, "sum to 1"),
        ({"config": {"risk.max_drawdwn_pct": 3.0}}, "max_drawdown_pct"),
    ],
)
def test_a_wrong_argument_is_refused_with_the_cure(market: api.Market, wrong: dict[str, object], words: str) -> None:
    with pytest.raises(FixConfigError, match=words):
        api.backtest(market, **wrong)  # type: ignore[arg-type]


def test_a_frame_without_prices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError):
        api.load(pd.DataFrame({"date": ["2020-01-02"], "ticker": ["AAA"], "note": ["x"]}))
    with pytest.raises((FixConfigError, MarketDataError), match="nowhere"):
        api.load(tmp_path / "nowhere")
