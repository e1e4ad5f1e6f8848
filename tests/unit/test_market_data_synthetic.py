from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from trading_platform.core.errors import FixConfigError, MarketDataError
from trading_platform.core.ports import MarketData
from trading_platform.core.types import MarketPanel
from trading_platform.market_data.bars import Bars
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.market_model import REALISTIC, MarketModel
from trading_platform.market_data.notices import NoticeKind
from trading_platform.market_data.quality import check_bars
from trading_platform.market_data.synthetic import SECTORS, SyntheticMarketData, ticker_names


@pytest.fixture(scope="module")
def panel() -> MarketPanel:
    return SyntheticMarketData().history()


def bars_of(panel: MarketPanel) -> Bars:
    n_sessions, n_tickers = panel.close.shape
    return Bars(
        names=panel.tickers,
        ticker=np.tile(np.arange(n_tickers), n_sessions),
        session=np.repeat(panel.sessions, n_tickers),
        open=panel.open.ravel(),
        high=panel.high.ravel(),
        low=panel.low.ravel(),
        close=panel.close.ravel(),
        volume=panel.volume.ravel(),
        place=lambda row: f"row {row}",
    )


def test_default_market_is_sixty_stocks_over_six_years_of_sessions(panel: MarketPanel) -> None:
    calendar = NyseCalendar()

    assert panel.close.shape == (1512, 60)
    assert panel.session(-1) == date(2024, 12, 31)
    np.testing.assert_array_equal(panel.sessions, calendar.sessions_between(date(2018, 12, 28), date(2024, 12, 31)))
    assert panel.tickers == tuple(sorted(panel.tickers))
    assert set(panel.sectors) == set(SECTORS)
    assert all(values.flags.c_contiguous for values in (panel.open, panel.high, panel.low, panel.close, panel.volume))


def test_tickers_are_pronounceable_and_can_be_no_us_stock() -> None:
    names = ticker_names(5000)

    assert len(set(names)) == 5000
    assert all(len(name) == 6 and all(letter in "AEIOU" for letter in name[1::2]) for name in names)


def test_first_bars_of_the_default_market_are_these(panel: MarketPanel) -> None:
    # written out when the model was fixed; a change of the generator must be meant, and said in the changelog.
    # Prices are whole cents, so the last bit of a processor's exp() does not show.
    assert panel.tickers[:3] == ("DEFOPA", "DEGEFO", "DEGOTE")
    np.testing.assert_allclose(
        panel.close[:3, :3], [[77.04, 75.81, 221.46], [77.38, 77.71, 222.42], [78.86, 78.43, 224.46]], atol=0.011
    )
    np.testing.assert_allclose(panel.close[-1, :3], [74.34, 184.34, 377.8], atol=0.011)
    np.testing.assert_allclose(panel.vix[[0, -1]], [14.36, 13.42], atol=0.011)
    np.testing.assert_allclose(panel.benchmark[[0, -1]], [250.79, 426.83], atol=0.011)
    np.testing.assert_allclose(panel.volume[0, :3], [1993279.0, 1807926.0, 5413926.0], rtol=1e-6)


def test_same_market_in_another_process() -> None:
    code = (
        "from trading_platform.market_data.synthetic import SyntheticMarketData;"
        "print(SyntheticMarketData(3, n_tickers=5, n_sessions=50).history().data_hash)"
    )

    hashes = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    }

    assert hashes == {SyntheticMarketData(3, n_tickers=5, n_sessions=50).history().data_hash}


def test_other_seeds_are_other_markets() -> None:
    hashes = {SyntheticMarketData(seed, n_tickers=3, n_sessions=20).history().data_hash for seed in range(5)}

    assert len(hashes) == 5


def test_default_market_passes_its_own_quality_checks(panel: MarketPanel) -> None:
    kinds = {notice.kind for notice in check_bars(bars_of(panel), NyseCalendar()).notices}

    assert kinds <= {NoticeKind.LARGE_MOVE}


def test_prices_are_in_the_steps_of_the_exchanges_and_volume_in_shares(panel: MarketPanel) -> None:
    for values in (panel.open, panel.high, panel.low, panel.close):
        step = np.where(values >= 1.0, 0.01, 0.0001)
        np.testing.assert_allclose(values / step, np.round(values / step), atol=1e-6)
    np.testing.assert_array_equal(panel.volume, np.round(panel.volume))


def test_last_year_of_the_default_market_visits_all_regimes_and_stays_ordinary(panel: MarketPanel) -> None:
    regimes = SyntheticMarketData().true_regimes()[-252:]
    year = panel.benchmark[-1] / panel.benchmark[-253] - 1.0

    assert np.bincount(regimes, minlength=3).min() >= 40
    assert -0.1 < year < 0.2
    assert 9.0 < panel.vix.min() < 12.0
    assert 30.0 < panel.vix.max() < 60.0


def test_true_regimes_keep_the_mean_durations_of_the_model() -> None:
    regimes = np.concatenate([SyntheticMarketData(seed, n_sessions=8000).true_regimes() for seed in range(1, 6)])
    starts = np.flatnonzero(np.diff(regimes, prepend=-1))
    durations = np.diff(np.append(starts, len(regimes)))

    for regime, expected in enumerate(REALISTIC.mean_duration):
        assert durations[regimes[starts] == regime].mean() == pytest.approx(expected, rel=0.35)


def test_chunks_do_not_change_a_stock() -> None:
    few = SyntheticMarketData(2, n_tickers=250, n_sessions=10).history()
    many = SyntheticMarketData(2, n_tickers=300, n_sessions=10).history()

    columns = [many.tickers.index(ticker) for ticker in few.tickers]
    np.testing.assert_array_equal(many.close[:, columns], few.close)
    np.testing.assert_array_equal(many.volume[:, columns], few.volume)


def test_provider_satisfies_the_port_and_cuts_out_what_is_asked_for(panel: MarketPanel) -> None:
    port: MarketData = SyntheticMarketData()
    wanted = [panel.tickers[7], panel.tickers[3]]

    part = port.history(wanted, date(2020, 2, 29), date(2020, 3, 6))

    assert port.name == part.source == "synthetic:seed=7"
    assert part.tickers == tuple(sorted(wanted))
    assert part.session(0) == date(2020, 3, 2)
    rows = np.searchsorted(panel.sessions, part.sessions)
    np.testing.assert_array_equal(part.close, panel.close[rows][:, [3, 7]])


def test_unknown_ticker_is_refused_with_a_suggestion() -> None:
    with pytest.raises(MarketDataError, match=r"ticker 'DEFOPO' is not in synthetic:seed=7; did you mean DEFOPA\?"):
        SyntheticMarketData().history(["DEFOPO"])


def test_start_and_end_are_kept() -> None:
    market = SyntheticMarketData(n_tickers=2, start=date(2001, 9, 8), end=date(2001, 9, 18))

    assert market.history().sessions.tolist() == [date(2001, 9, 10), date(2001, 9, 17), date(2001, 9, 18)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_tickers": 0}, "n_tickers must be in 1..343000, was 0"),
        ({"n_tickers": 343_001}, "n_tickers must be in 1..343000, was 343001"),
        ({"seed": -1}, "seed must be >= 0, was -1"),
        ({"n_sessions": 1}, "needs 2 to 8817 sessions between 1990-01-01 and 2024-12-31, was 1"),
        ({"n_sessions": 100_000}, "needs 2 to 8817 sessions .*, was 100000"),
        ({"start": date(2024, 12, 31)}, "needs 2 to 1 sessions between 2024-12-31 and 2024-12-31, was 1"),
        ({"start": date(2020, 1, 2), "n_sessions": 10}, "give start or n_sessions, not both"),
    ],
)
def test_impossible_markets_are_refused(arguments: dict[str, int | date], message: str) -> None:
    with pytest.raises(FixConfigError, match=message):
        SyntheticMarketData(**arguments).history()  # type: ignore[arg-type] # the table mixes types on purpose


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean_duration": (0.5, 50.0, 50.0)}, "mean_duration: every value must be >= 1"),
        ({"volatility": (0.1, 0.0, 0.1)}, "volatility: every value must be >= 1e-06"),
        ({"volatility": (0.1, float("nan"), 0.1)}, "volatility: every value"),
        (
            {"next_regime": ((0.0, 0.5, 0.4), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))},
            "next_regime row 0 must be",
        ),
        (
            {"next_regime": ((0.5, 0.5, 0.0), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))},
            "next_regime row 0 must be",
        ),
        ({"persistence": 1.0}, r"persistence must be in \[0, 1\), was 1.0"),
        ({"overnight_share": -0.1}, "overnight_share must be in"),
        ({"own_tail": 4.0}, "own_tail must be above 4, so that kurtosis exists, was 4.0"),
    ],
)
def test_impossible_models_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(FixConfigError, match=message):
        replace(REALISTIC, **change)  # type: ignore[arg-type] # the table mixes types on purpose


def test_all_faults_of_a_model_are_reported_together() -> None:
    with pytest.raises(FixConfigError, match=r"mean_duration.*market_tail"):
        MarketModel(mean_duration=(0.0, 1.0, 1.0), market_tail=3.0)


def test_importing_the_module_is_light() -> None:
    code = (
        "import sys; import trading_platform.market_data.synthetic, trading_platform.market_data.files;"
        "print(*[name in sys.modules for name in ('pandas', 'pyarrow', 'exchange_calendars', 'scipy', 'numba')])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False"] * 5


def test_calm_premium_moves_calm_stocks_only_where_it_is_paid() -> None:
    def closes(calm: tuple[float, float, float]) -> np.ndarray:
        model = replace(REALISTIC, calm=calm)
        return np.log(SyntheticMarketData(3, n_tickers=40, n_sessions=1000, model=model).history().close)

    plain, nowhere, paid = closes(REALISTIC.calm), closes((0.0, 0.0, 0.0)), closes((0.0, 0.1, 0.0))
    assert np.array_equal(plain, nowhere)
    regimes = SyntheticMarketData(3, n_sessions=1000).true_regimes()[1:]
    extra = np.diff(paid - plain, axis=0)
    # prices are in cents, so a step of the logarithm may be off by one of them
    assert np.abs(extra[regimes != 1]).mean() < 0.05 * np.abs(extra[regimes == 1]).mean()
    volatility = np.diff(plain, axis=0).std(axis=0)
    assert np.corrcoef(extra[regimes == 1].mean(axis=0), volatility)[0, 1] < -0.8
