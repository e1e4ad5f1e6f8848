"""Regimes with fits from disk are those computed afresh, to the bit, whatever is on the disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.regime_markets import QUICK, switching_market
from trading_platform.core.types import Floats, MarketPanel
from trading_platform.engine.regime_cache import continued_regimes, file_name, load_regimes
from trading_platform.regime.config import RegimeConfig
from trading_platform.regime.hmm import RegimePath, causal_regimes
from trading_platform.regime.model import Fitted, fit_model

SEED = 7
SHOWN = 30  # rows at the end whose regimes are asked for
CONFIG = QUICK


class Fits:
    """Makes fits and counts them."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, window: Floats, config: RegimeConfig, seed: int) -> Fitted:
        self.made += 1
        return fit_model(window, config, seed)


def market() -> MarketPanel:
    return switching_market(3, 300)[0]


def same(one: RegimePath, other: RegimePath) -> bool:
    """Return True if two paths are equal to the bit."""
    return (
        one.probabilities.tobytes() == other.probabilities.tobytes()
        and one.known.tobytes() == other.known.tobytes()
        and (one.fits, one.notice) == (other.fits, other.notice)
    )


def afresh(panel: MarketPanel, config: RegimeConfig = CONFIG, seed: int = SEED) -> RegimePath:
    return causal_regimes(panel, config, seed, panel.n_sessions - SHOWN)


def fits_made(panel: MarketPanel, folder: Path, config: RegimeConfig = CONFIG, seed: int = SEED) -> int:
    """Ask for the regimes of `panel`, which must be those computed afresh; return the number of fits that it took."""
    fits = Fits()
    path = continued_regimes(panel, config, seed, panel.n_sessions - SHOWN, folder, fits)
    assert same(path, afresh(panel, config, seed))
    return fits.made


def stored(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def rewritten(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what a file holds, under a checksum that is right."""
    inner = json.loads(json.loads(path.read_text())["payload"])
    change(inner)
    payload = json.dumps(inner)
    path.write_text(json.dumps({"checksum": hashlib.sha256(payload.encode()).hexdigest(), "payload": payload}))


def poison(inner: dict[str, Any]) -> None:
    """Make every model wrong, so that whoever uses one is found out."""
    for entry in inner["fits"].values():
        entry["model"]["means"] = [[x + 0.5 for x in row] for row in entry["model"]["means"][::-1]]


def test_market_that_grows_is_fitted_at_its_refits_only(tmp_path: Path) -> None:
    whole = market()
    made = [fits_made(whole.rows(max(0, stop - 250), stop), tmp_path) for stop in range(250, 300)]
    months = whole.sessions[249:299].astype("datetime64[M]")  # of the newest session each time
    assert made[0] > 0
    assert made[1:] == (months[1:] != months[:-1]).astype(int).tolist()
    assert len(list(tmp_path.iterdir())) == 1


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_path_with_kept_fits_is_the_path_afresh(
    seed: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Also while fits are refused, since VIX has stood still, and from a history that begins later."""
    folder = tmp_path_factory.mktemp("fits")
    panel, _ = switching_market(seed, 300)
    panel.vix[data.draw(st.integers(150, 299)) :] = 21.0
    stop = data.draw(st.integers(200, 299))
    first_made = fits_made(panel.rows(0, stop), folder)
    later = panel.rows(data.draw(st.integers(0, 40)), data.draw(st.integers(stop, 300)))
    again_made = fits_made(later, folder)
    refused = any(fit.refused is not None for fit in afresh(later).fits)
    event(f"a fit was reused: {again_made < len(afresh(later).fits)}, one was refused: {refused}")
    assert first_made >= 1


def test_fit_that_was_refused_is_not_tried_again(tmp_path: Path) -> None:
    panel = market()
    panel.vix[60:] = 21.0
    assert {fit.refused for fit in afresh(panel).fits} == {"a feature does not move"}
    assert fits_made(panel, tmp_path) > 0
    assert fits_made(panel, tmp_path) == 0


def test_kept_fit_is_what_a_path_is_made_with(tmp_path: Path) -> None:
    """The control of the tests below: a wrong model that looks right does show."""
    panel = market()
    fits_made(panel, tmp_path)
    rewritten(stored(tmp_path), poison)
    path = continued_regimes(panel, CONFIG, SEED, panel.n_sessions - SHOWN, tmp_path)
    assert not same(path, afresh(panel))


@pytest.mark.parametrize("length", [0, 1, 40, 400, -1])
def test_torn_file_is_not_used_and_is_replaced(tmp_path: Path, length: int) -> None:
    panel = market()
    needed = fits_made(panel, tmp_path)
    whole = stored(tmp_path).read_bytes()
    stored(tmp_path).write_bytes(whole[:length])
    assert fits_made(panel, tmp_path) == needed
    assert stored(tmp_path).read_bytes() == whole


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"checksum": 1, "payload": 2}', "\x00\xff not json"])
def test_file_of_something_else_is_not_used(tmp_path: Path, text: str) -> None:
    panel = market()
    needed = fits_made(panel, tmp_path)
    stored(tmp_path).write_text(text)
    assert fits_made(panel, tmp_path) == needed


def test_changed_digit_is_noticed(tmp_path: Path) -> None:
    panel = market()
    needed = fits_made(panel, tmp_path)
    text = stored(tmp_path).read_text()
    place = text.index("means") + 20
    digit = next(n for n in range(place, len(text)) if text[n].isdigit())
    stored(tmp_path).write_text(text[:digit] + str((int(text[digit]) + 1) % 10) + text[digit + 1 :])
    assert fits_made(panel, tmp_path) == needed


@pytest.mark.parametrize("place", range(4))  # of the file's format, the algorithm, numpy, hmmlearn
def test_fits_of_another_version_are_not_used(tmp_path: Path, place: int) -> None:
    panel = market()
    needed = fits_made(panel, tmp_path)

    def renew(inner: dict[str, Any]) -> None:
        poison(inner)
        inner["program"][place] = "99.9"

    rewritten(stored(tmp_path), renew)
    assert fits_made(panel, tmp_path) == needed
    assert fits_made(panel, tmp_path) == 0


@pytest.mark.parametrize("row", [299 - SHOWN - 60, 250])
def test_revised_history_is_fitted_anew_where_a_fit_has_seen_it(tmp_path: Path, row: int) -> None:
    panel = market()
    needed = fits_made(panel, tmp_path)
    revised = replace(panel, benchmark=panel.benchmark.copy())
    revised.benchmark[row] *= 1.0 + 1e-12
    made = fits_made(revised, tmp_path)
    seen = [fit for fit in afresh(panel).fits if np.datetime64(fit.session, "D") > panel.sessions[row]]
    assert 0 < made == len(seen) <= needed


@pytest.mark.parametrize(
    "changed",
    [{"fit_window": 130}, {"restarts": 2}, {"iterations": 29}, {"tolerance": 0.02}, {"trend_window": 49}],
)
def test_fits_of_another_configuration_are_not_used(tmp_path: Path, changed: dict[str, Any]) -> None:
    """Not even when they lie where its own would."""
    panel, other = market(), replace(CONFIG, **changed)
    fits_made(panel, tmp_path)
    stored(tmp_path).rename(tmp_path / file_name(panel, other, SEED))
    rewritten(stored(tmp_path), poison)
    assert fits_made(panel, tmp_path, other) > 0


def test_fits_of_another_universe_or_seed_are_not_used(tmp_path: Path) -> None:
    panel = replace(market(), benchmark=np.full(300, np.nan))  # with a benchmark the universe does not matter
    fits_made(panel, tmp_path)
    fewer = panel.columns([0, 1, 2])
    stored(tmp_path).rename(tmp_path / file_name(fewer, CONFIG, SEED))
    rewritten(stored(tmp_path), poison)
    assert fits_made(fewer, tmp_path) > 0
    stored(tmp_path).rename(tmp_path / file_name(fewer, CONFIG, 8))
    rewritten(stored(tmp_path), poison)
    assert fits_made(fewer, tmp_path, seed=8) > 0


def test_universes_do_not_push_each_other_out(tmp_path: Path) -> None:
    panel = market()
    for bars in (panel, panel.columns([0, 1])):
        assert fits_made(bars, tmp_path) > 0
    for bars in (panel, panel.columns([0, 1])):
        assert fits_made(bars, tmp_path) == 0


def test_folder_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    panel = market()
    assert fits_made(panel, tmp_path / "cache") == fits_made(panel, tmp_path / "cache") > 0


@pytest.mark.parametrize("length", [0, 100])
def test_torn_path_of_a_replay_is_computed_again(tmp_path: Path, length: int) -> None:
    panel = market()
    whole = load_regimes(panel, CONFIG, SEED, 270, tmp_path)
    stored(tmp_path).write_bytes(stored(tmp_path).read_bytes()[:length])
    assert same(load_regimes(panel, CONFIG, SEED, 270, tmp_path), whole)
