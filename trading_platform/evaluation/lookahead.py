"""Prove that no decision looks ahead: hide the future, change it, shorten the past; what was decided may not move.

For a row t of a market a *subject* (a strategy, the regime model, the observation, ...) is asked again with the
sessions after t cut off, with those sessions replaced by something else, and with no more history than it says it
needs. Each answer up to t must be the same to the last bit. Fills are asked two more questions: they may not know the
close of their own session, and those at the open must be priced by that open.

    python -m trading_platform.evaluation.lookahead                              the embedded market
    python -m trading_platform.evaluation.lookahead --data-dir FOLDER            your bars
    python -m trading_platform.evaluation.lookahead --strategy-file my.py        and your strategies

A proof by trial finds a leak that acts on the rows tried; it counts how many of them held a decision at all.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trading_platform.core.errors import FixConfigError, TradingPlatformError
from trading_platform.core.types import MarketPanel
from trading_platform.evaluation.lookahead_proof import LookaheadError, Proof, prove, prove_fills, to_text
from trading_platform.evaluation.lookahead_subjects import all_subjects, strategy_subject
from trading_platform.strategies.base import AnyStrategy
from trading_platform.strategies.registry import active_strategies, make_strategies


def assert_causal(strategy: AnyStrategy, panel: MarketPanel, n_cuts: int = 12, seed: int = 0) -> Proof:
    """Prove a strategy causal: one line for a test of your own.

    Raises
    ------
    LookaheadError
        It looks ahead, or further back than its `lookback` says, or has no signal on any row tried.
    """
    proof = prove(strategy_subject(strategy), panel, n_cuts, seed)
    if not proof.holds:
        raise LookaheadError(f"{proof.subject}: {'; '.join(proof.leaks[:3]) or 'no signal on any row tried'}")
    return proof


def load_strategies(path: str) -> list[AnyStrategy]:
    """Return an instance of every strategy class in a Python file, made without arguments.

    A strategy class has a `lookback` and a method `signals` or `targets`, see `trading_platform.strategies.base`.

    Raises
    ------
    FixConfigError
        The file cannot be imported, or holds no strategy that can be made without arguments.
    """
    own = importlib.import_module("trading_platform.engine.own_strategies")  # reads a file: a shell, named only
    classes: list[type[Any]] = own.classes_in(Path(path))
    try:
        made: list[AnyStrategy] = [value() for value in classes]
    except TypeError as error:
        raise FixConfigError(f"{path}: a strategy must have a default for every parameter: {error}") from error
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove everything on one market; print a table; return 0, or 1 if something looks ahead."""
    options = _parser().parse_args(arguments)
    try:
        panel = _load_panel(options.data_dir, options.sessions)
        strategies, notices = active_strategies(make_strategies(), panel)
        subjects, fills = all_subjects(panel, strategies)
        if options.strategy_file is not None:
            subjects, fills = [strategy_subject(item) for item in load_strategies(options.strategy_file)], []
            notices = ()
        proofs = [prove(subject, panel, options.cuts, options.seed) for subject in subjects]
        proofs += [prove_fills(subject, panel, options.cuts, options.seed) for subject in fills]
    except TradingPlatformError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the command's answer
        return error.exit_code
    print(f"{panel.source}: {panel.n_sessions} sessions to {panel.session(-1)}, {panel.n_tickers} tickers")  # noqa: T201
    for notice in notices:
        print(notice)  # noqa: T201
    print(to_text(proofs))  # noqa: T201
    return 0 if all(proof.holds for proof in proofs) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trading_platform.evaluation.lookahead", description="Prove that no decision looks ahead."
    )
    parser.add_argument("--data-dir", help="folder of bars; the embedded market when not given")
    parser.add_argument("--strategy-file", help="prove the strategies in this Python file instead of the built-in ones")
    parser.add_argument("--sessions", type=int, default=1300, help="newest sessions that are used (1300)")
    parser.add_argument("--cuts", type=int, default=12, help="rows that are tried (12)")
    parser.add_argument("--seed", type=int, default=0, help="chooses rows and futures (0)")
    return parser


def _load_panel(folder: str | None, sessions: int) -> MarketPanel:
    """Return bars. Sources are shells, which this package does not know: they are named, not imported."""
    if folder is None:
        source = importlib.import_module("trading_platform.market_data.synthetic").SyntheticMarketData(n_tickers=30)
    else:
        source = importlib.import_module("trading_platform.market_data.files").FilesMarketData(folder)
    panel: MarketPanel = source.history()
    return panel.rows(max(0, panel.n_sessions - sessions), panel.n_sessions)


if __name__ == "__main__":
    raise SystemExit(main())
