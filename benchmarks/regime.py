"""What the market regime means and what it is worth beside VIX, on forward fits; the table of docs/regime.md.

Run: python -m benchmarks.regime FOLDER [--start 2003-01-02] [--end 2017-12-29] [--write]

Every probability is the one that would have been served on its day. Coefficients of forecasts are fitted each quarter
on the sessions whose outcome was known by then. ``--write`` puts the tables into docs/regime.md, between its markers.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks.regime_variants import VARIANTS
from trading_platform.core.day_count import ANNUAL_SESSIONS
from trading_platform.core.types import Bools, Floats, Ints, MarketPanel
from trading_platform.evaluation.bootstrap import circular_block_indices, percentile_interval
from trading_platform.evaluation.calibration import (
    falls,
    first_run,
    fit_logistic,
    log_scores,
    logistic_chances,
    reliability,
)
from trading_platform.market_data.files import FilesMarketData
from trading_platform.regime.config import RegimeConfig
from trading_platform.regime.features import AT_THE_HIGH, TREND, VIX, refit_rows, regime_features
from trading_platform.regime.features import FALL as FALLEN
from trading_platform.regime.hmm import RegimePath
from trading_platform.regime.states import LABELS

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "regime.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"

AHEAD = 20  # sessions of a forecast
STORMY = 0.20  # a year
FALL = 0.10
MONTH = 10  # sessions on each side of the one whose volatility is looked at
HALF, LOSS = 31, 0.05  # sessions on each side of a hostile quarter's middle, and what it loses
SCORED_FROM = np.datetime64("2005-01-01")
RUN = 5  # sessions in a row that make a turn
TURNS = {"2007-08": np.datetime64("2007-10-01"), "2011": np.datetime64("2011-04-01")}  # the high comes after
SHOWN = ("3", "4")  # variants whose reliability is shown
EDGES = (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0)
BLOCK, RESAMPLES, CONFIDENCE = 120, 2_000, 0.90
BULL, BEAR = 0, 1


@dataclass(frozen=True, eq=False)
class Market:
    """What is measured against: (T,) closes, log VIX, the next day's return, and what the next sessions brought.

    `ahead_volatility` is a year's, `ahead_return` a fraction; NaN where they reach beyond the end. `judged` are the
    rows of the tables, `falling` those of falls that hindsight dates, `hostile` those of quarters that fall and swing,
    `as_said` those of which the words for bear are true.
    """

    panel: MarketPanel
    log_vix: Floats
    features: Floats
    next_return: Floats
    ahead_volatility: Floats
    ahead_return: Floats
    falling: Bools
    hostile: Bools
    as_said: Bools
    judged: Bools

    @property
    def close(self) -> Floats:
        return self.panel.benchmark


def load(folder: Path, start: date, end: date) -> Market:
    """Read SPY and VIX, and look ahead."""
    panel = FilesMarketData(folder).history()
    close = panel.benchmark
    daily = np.append(close[1:] / close[:-1] - 1.0, np.nan)  # of the day after each row
    rows = np.arange(len(close))[:, None] + np.arange(AHEAD)
    month = np.where(rows < len(close), daily[np.minimum(rows, len(close) - 1)], np.nan)
    sessions = panel.sessions
    features = regime_features(panel, RegimeConfig().feature_window, RegimeConfig().trend_window)
    return Market(
        panel=panel,
        log_vix=features[:, VIX],
        features=features,
        next_return=daily,
        ahead_volatility=np.sqrt((month**2).mean(axis=1) * ANNUAL_SESSIONS),
        ahead_return=(1.0 + month).prod(axis=1) - 1.0,
        falling=falls(close, FALL).falling,
        hostile=_hostile(close),
        as_said=_as_said(close, features),
        judged=(sessions >= np.datetime64(start)) & (sessions <= np.datetime64(end)),
    )


def _hostile(close: Floats) -> Bools:
    """Return the sessions (T,) whose quarter, half before and half after, lost `LOSS` or more and was stormy."""
    hostile: Bools = np.zeros(len(close), dtype=np.bool_)
    for row in range(HALF, len(close) - HALF):
        quarter = close[row - HALF : row + HALF + 1]
        daily = quarter[1:] / quarter[:-1] - 1.0
        lost = quarter[-1] <= quarter[0] * (1.0 - LOSS)
        hostile[row] = lost and daily.std() * np.sqrt(ANNUAL_SESSIONS) > STORMY
    return hostile


def _as_said(close: Floats, features: Floats) -> Bools:
    """Return the sessions (T,) below mean and high, with a stormy month around them."""
    daily = np.append(np.nan, close[1:] / close[:-1] - 1.0)
    around = np.full(len(close), np.nan)
    for row in range(MONTH + 1, len(close) - MONTH):
        around[row] = daily[row - MONTH : row + MONTH + 1].std() * np.sqrt(ANNUAL_SESSIONS)
    said: Bools = (features[:, TREND] < 0.0) & (np.exp(features[:, FALLEN]) - AT_THE_HIGH >= FALL) & (around > STORMY)
    return said


def report(market: Market) -> str:
    """Return the tables of every variant."""
    paths = {}
    seconds = {}
    for name, variant in VARIANTS.items():
        since = time.process_time()
        paths[name] = variant(market.panel)
        seconds[name] = time.process_time() - since
    dated = (
        ("a fall of 10 %", market.falling, _known_falls(market)),
        ("a falling and volatile quarter", market.hostile, _known_around(market.hostile, HALF)),
        ("a market as the words for bear say", market.as_said, _known_around(market.as_said, MONTH)),
    )
    parts = [
        f"Judged: {market.judged.sum():,} sessions, {market.panel.sessions[market.judged][0]} to "
        f"{market.panel.sessions[market.judged][-1]}. Numbers in brackets are standard errors, or 90 % intervals where "
        "there are two.",
        *(_meaning(market, name, path) for name, path in paths.items()),
        _behaviour(market, paths, seconds),
        *(_calibration(market, name, path) for name, path in paths.items() if name in SHOWN),
        *(_bear_scores(market, paths, *event) for event in dated),
        _forecasts(market, paths),
        _added_r2(market, paths),
    ]
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are numbers."""
    line = "|---|" + "---:|" * (len(header) - 1)
    return "\n".join(["| " + " | ".join(header) + " |", line, *("| " + " | ".join(row) + " |" for row in rows)])


def _meaning(market: Market, name: str, path: RegimePath) -> str:
    best, features = path.probabilities.argmax(axis=1), market.features
    rows = []
    for state, label in enumerate(LABELS):
        inside = market.judged & path.known & (best == state) & np.isfinite(market.next_return)
        count, daily = int(inside.sum()), market.next_return[inside]
        mean, error = daily.mean() * ANNUAL_SESSIONS, daily.std() / np.sqrt(max(count, 1)) * ANNUAL_SESSIONS
        trend, fall = features[inside, TREND].mean(), np.exp(features[inside, FALLEN]).mean() - AT_THE_HIGH
        rows.append(
            [
                label.value,
                f"{count / market.judged.sum():.0%}",
                f"{mean:+.0%} ({error:.0%})",
                f"{daily.std() * np.sqrt(ANNUAL_SESSIONS):.0%}",
                f"{trend:+.1%}",
                f"{fall:.1%}",
                f"{np.exp(market.log_vix[inside]).mean():.1f}",
                f"{market.falling[inside].mean():.0%}",
            ]
        )
    header = [
        f"variant {name}",
        "of sessions",
        "next day, mean a year",
        "next day, volatility a year",
        "trend",
        "below the high",
        "VIX",
        "in a fall of 10 %",
    ]
    return table(header, rows)


def _behaviour(market: Market, paths: dict[str, RegimePath], seconds: dict[str, float]) -> str:
    years = market.judged.sum() / ANNUAL_SESSIONS
    rows = []
    for name, path in paths.items():
        shown = market.judged & path.known
        best, top = path.probabilities.argmax(axis=1)[shown], path.probabilities.max(axis=1)[shown]
        delays = [_delay(market, path, since) for since in TURNS.values()]
        known = f"{shown.sum() / market.judged.sum():.1%}"
        switches = f"{(best[1:] != best[:-1]).sum() / years:.1f}"
        rows.append([name, known, f"{(top > 0.99).mean():.0%}", switches, *delays, f"{seconds[name]:.1f}"])
    header = ["variant", "known", "largest above 0.99", "switches a year", *TURNS, "CPU seconds, all fits"]
    text = (
        "\n\nUnder the years: sessions from the high to the first of five bear sessions in a row / from the close 10 % "
        "below the high / from the low to the first of five that are not."
    )
    return table(header, rows) + text


def _delay(market: Market, path: RegimePath, since: np.datetime64) -> str:
    """Return sessions from the high, from the close 10 % below it, and from the low, to the turns of the label."""
    start = int(np.searchsorted(market.panel.sessions, since))
    high = first_run(market.falling, 1, start)
    if high is None:
        return "-"
    high -= 1
    low = next(row for row in range(high + 1, len(market.falling)) if not market.falling[row + 1])
    confirmed = next(row for row in range(high, low + 1) if market.close[row] <= market.close[high] * (1.0 - FALL))
    bear: Bools = path.known & (path.probabilities.argmax(axis=1) == BEAR)
    entry, leave = first_run(bear, RUN, high), first_run(~bear, RUN, low)
    into = ["-", "-"] if entry is None else [f"{entry - high}", f"{entry - confirmed:+d}"]
    return " / ".join([*into, "-" if leave is None else f"{leave - low}"])


def _calibration(market: Market, name: str, path: RegimePath) -> str:
    shown = market.judged & path.known
    events = (market.falling, market.hostile, market.as_said)
    tables = [reliability(path.probabilities[shown, BEAR], event[shown], EDGES) for event in events]
    rows = [
        [
            f"{bins[0].low:.2f} to {bins[0].high:.2f}",
            f"{bins[0].sessions:,}",
            *(f"{share:.2f}" for share in (bins[0].mean, *(bin_.happened for bin_ in bins))),
        ]
        for bins in zip(*tables, strict=True)
    ]
    header = [f"bear probability, variant {name}", "sessions", "mean probability", "in a fall of 10 %"]
    return table([*header, "in a falling and volatile quarter", "as the words say"], rows)


def _forward(market: Market, inputs: Floats, outcome: Callable[[int], tuple[Bools, Ints]]) -> Floats:
    """Return forward probabilities (T,) of an outcome; `outcome(row)` is what was known of it at `row`, and where.

    With no input column the forecast is the frequency so far.
    """
    chances = np.full(len(inputs), np.nan)
    refits = [row for row in refit_rows(market.panel.sessions, 3) if market.panel.sessions[row] >= SCORED_FROM]
    for row, stop in zip(refits, [*refits[1:], len(inputs)], strict=True):
        happened, rows = outcome(row)
        rows = rows[np.isfinite(inputs[rows]).all(axis=1)]
        chances[row:stop] = logistic_chances(inputs[row:stop], fit_logistic(inputs[rows], happened[rows]))
    return chances


def _known_ahead(market: Market, event: Bools) -> Callable[[int], tuple[Bools, Ints]]:
    return lambda row: (event, np.arange(row - AHEAD))


def _known_falls(market: Market) -> Callable[[int], tuple[Bools, Ints]]:
    def known(row: int) -> tuple[Bools, Ints]:
        dated = falls(market.close[:row], FALL)
        return dated.falling, np.arange(dated.settled)

    return known


def _known_around(event: Bools, half: int) -> Callable[[int], tuple[Bools, Ints]]:
    return lambda row: (event, np.arange(half, row - half))


def _inputs(market: Market, path: RegimePath) -> dict[str, Floats]:
    """Return what forecasts are made from, by name; the same sessions for all of them."""
    p = np.where(path.known[:, None], path.probabilities, np.nan)
    p = np.clip(p, 1e-4, 1.0 - 1e-4)
    odds = np.log(p / (1.0 - p))[:, [BULL, BEAR]]
    vix = np.where(path.known, market.log_vix, np.nan)[:, None]
    return {
        "base": np.where(path.known, 0.0, np.nan)[:, None],
        "VIX": vix,
        "regime": odds,
        "both": np.hstack([vix, odds]),
    }


def _scored(market: Market, chances: Sequence[Floats], event: Bools, usable: Bools) -> list[Floats]:
    rows = market.judged & usable & np.all([np.isfinite(c) for c in chances], axis=0)
    return [log_scores(c[rows], event[rows]) for c in chances]


def _with_interval(scores: Floats, other: Floats) -> str:
    """Return the mean difference of two series of scores with its interval; negative where `scores` are better."""
    difference = scores - other
    rng = np.random.default_rng(7)
    means = difference[circular_block_indices(len(difference), BLOCK, RESAMPLES, rng)].mean(axis=1)
    low, high = percentile_interval(means, CONFIDENCE)
    return f"{difference.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def _bear_scores(
    market: Market,
    paths: dict[str, RegimePath],
    words: str,
    event: Bools,
    known: Callable[[int], tuple[Bools, Ints]],
) -> str:
    rows = []
    everything = np.ones(len(market.close), dtype=bool)
    for name, path in paths.items():
        inputs = _inputs(market, path)
        fitted = [_forward(market, inputs[key], known) for key in ("base", "VIX", "regime", "both")]
        raw = np.where(path.known, np.clip(path.probabilities[:, BEAR], 1e-4, 1.0 - 1e-4), np.nan)
        base, vix, regime, both, own = _scored(market, [*fitted, raw], event, everything)
        rows.append(
            [
                name,
                *(f"{x.mean():.3f}" for x in (own, base, vix, regime, both)),
                _with_interval(own, vix),
                _with_interval(both, vix),
            ]
        )
    header = [
        f"log score of being in {words}, from 2005",
        "bear probability as it is",
        "base rate",
        "VIX",
        "regime, fitted",
        "both",
        "as it is less VIX",
        "both less VIX",
    ]
    return table(header, rows)


def _events(market: Market) -> Iterator[tuple[str, Bools]]:
    stormy, down = market.ahead_volatility > STORMY, market.ahead_return < 0.0
    yield from (("stormy", stormy), ("down", down), ("stormy and down", stormy & down))


def _forecasts(market: Market, paths: dict[str, RegimePath]) -> str:
    rows = []
    usable: Bools = np.isfinite(market.ahead_volatility)
    for event_name, event in _events(market):
        for name, path in paths.items():
            inputs = _inputs(market, path)
            chances = [_forward(market, x, _known_ahead(market, event)) for x in inputs.values()]
            base, vix, regime, both = _scored(market, chances, event, usable)
            rows.append(
                [
                    f"{event_name}, {name}",
                    *(f"{x.mean():.3f}" for x in (base, vix, regime, both)),
                    _with_interval(regime, vix),
                    _with_interval(both, vix),
                ]
            )
    header = [
        "log score of the next 20 sessions",
        "base rate",
        "VIX",
        "regime",
        "both",
        "regime less VIX",
        "both less VIX",
    ]
    return table(header, rows)


def _added_r2(market: Market, paths: dict[str, RegimePath]) -> str:
    """In sample with the probabilities themselves, as was measured before; forward with the same inputs."""
    rows = []
    target = np.log(market.ahead_volatility)
    for name, path in paths.items():
        p = np.where(path.known[:, None], path.probabilities[:, [BULL, BEAR]], np.nan)
        vix = np.where(path.known, market.log_vix, np.nan)[:, None]
        both = np.hstack([vix, p])
        shown = market.judged & np.isfinite(both).all(axis=1) & np.isfinite(target)
        inside = [_r2(target[shown], _line(x[shown], target[shown], x[shown])) for x in (vix, p, both)]
        later = shown & (market.panel.sessions >= SCORED_FROM)
        forward = [_r2(target[later], _forward_line(market, x, target)[later]) for x in (vix, p, both)]
        rows.append([name, *(f"{r2:.3f}" for r2 in (*inside, *forward))])
    header = ["R2 of log volatility, 20 sessions ahead", "VIX", "regime", "both", "VIX, forward", "regime, forward"]
    return table([*header, "both, forward"], rows)


def _line(inputs: Floats, target: Floats, at: Floats) -> Floats:
    """Return least squares of `target` (n,) on `inputs` (n, F), at other inputs."""
    with_one = [np.column_stack([np.ones(len(x)), x]) for x in (inputs, at)]
    fitted: Floats = with_one[1] @ np.linalg.lstsq(with_one[0], target, rcond=None)[0]
    return fitted


def _forward_line(market: Market, inputs: Floats, target: Floats) -> Floats:
    values = np.full(len(inputs), np.nan)
    refits = [row for row in refit_rows(market.panel.sessions, 3) if market.panel.sessions[row] >= SCORED_FROM]
    for row, stop in zip(refits, [*refits[1:], len(inputs)], strict=True):
        rows = np.arange(row - AHEAD)
        rows = rows[np.isfinite(inputs[rows]).all(axis=1)]
        values[row:stop] = _line(inputs[rows], target[rows], inputs[row:stop])
    return values


def _r2(target: Floats, fitted: Floats) -> float:
    return float(1.0 - ((target - fitted) ** 2).sum() / ((target - target.mean()) ** 2).sum())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--start", type=date.fromisoformat, default=date(2003, 1, 2))
    parser.add_argument("--end", type=date.fromisoformat, default=date(2017, 12, 29))
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    text = report(load(given.folder, given.start, given.end))
    if given.write:
        before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
        DOCUMENT.write_text(before + BEGIN + "\n" + text + "\n" + END + rest.split(END)[1], encoding="utf-8")
    print(text, end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
