"""Which market and whose money: the same words on every screen, picture and page. Imports nothing slow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

from trading_platform.market_data.exchange import DOLLAR, Exchange, exchange_of_source, without_exchange
from trading_platform.market_data.notices import COUNTED, Group, fold

# Kinds of runs: a replay and the local paper account trade nobody's money, Alpaca's paper account plays at a broker.
MONEY = {
    "replay": "SIMULATED",
    "paper": "SIMULATED",
    "alpaca_paper": "PAPER MONEY",
    "alpaca_live": "REAL MONEY",
    "own_broker": "MONEY AT YOUR BROKER",
}
MODES = {
    "replay": "replay",
    "paper": "local paper account",
    "alpaca_paper": "Alpaca",
    "alpaca_live": "Alpaca",
    "own_broker": "a broker of your own",
}
SYNTHETIC = "synthetic"
_SCRIPT = re.compile(r"(<script.*?</script>)", re.DOTALL)
_DOLLAR = re.compile(r"\$(?=\d)|(?<=, )\$|(?<=>)\$(?=<)")  # before an amount, or the unit of a table


def money_words(mode: str) -> str:
    """Return whose money a run of `mode` trades; an unknown mode is said as it is."""
    return MONEY.get(mode, mode)


def mode_words(mode: str) -> str:
    """Return what kind of run it is."""
    return MODES.get(mode, mode)


def market_words(source: str) -> str:
    """Return where bars come from, e.g. ``embedded market (seed 7)``, ``files in market-data``."""
    exchange = exchange_of_source(source)
    source = without_exchange(source)
    name, _, rest = source.partition(":")
    if name == SYNTHETIC:
        return f"embedded market (seed {rest.removeprefix('seed=')})" if rest else "embedded market"
    if name == "files":
        place = "" if exchange == Exchange() else f", {exchange.calendar} in {exchange.currency}"
        return f"files in {folder_names(rest)}{place}"
    if name == "yahoo":
        return "Yahoo"
    return f"Alpaca's bars ({rest})" if name == "alpaca" and rest else source


def folder_names(folders: str) -> str:
    """Return the last parts of paths that commas part; a comma inside a path makes no folder of what follows it."""
    names = [PurePath(path).name or path for path in re.split(r",(?=[/\\.~]|[A-Za-z]:)", folders)]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def benchmark_name(source: str) -> str:
    """Return what the market's benchmark is called: the embedded market has no SPY."""
    return "market (synthetic)" if is_synthetic(source) else exchange_of_source(source).benchmark


def benchmark_short(source: str) -> str:
    """Return the benchmark's name for the head of a narrow column."""
    return "market" if is_synthetic(source) else exchange_of_source(source).benchmark


def in_currency(text: str, source: str) -> str:
    """Return words that count in dollars in the currency of the run's bars: every ``$`` becomes its sign."""
    exchange = exchange_of_source(source)
    if exchange.currency == DOLLAR:
        return text
    return re.sub(r"\bdollars\b", exchange.currency, text.replace("$", exchange.sign))


def page_in_currency(html: str, source: str) -> str:
    """Return a page in the currency of the run's bars; its scripts, whose hashes it holds, ask the root element."""
    exchange = exchange_of_source(source)
    if exchange.currency == DOLLAR:
        return html
    parts = _SCRIPT.split(html)
    words = [part if part.startswith("<script") else _DOLLAR.sub(exchange.sign, part) for part in parts]
    return "".join(words).replace("<html ", f'<html data-currency="{exchange.currency}" ', 1)


def is_synthetic(source: str) -> bool:
    """Tell whether prices were made up by a program."""
    return source.partition(":")[0] == SYNTHETIC


def data_words(warnings: Sequence[str]) -> str:
    """Return whether bars are fit to trade on, in one line: verdict and count of `data check`, and the first notice.

    What cannot be true was refused when they were read.
    """
    folded = fold(warnings)
    verdict = folded.verdict.removeprefix("data: ")
    first = next(iter((*folded.attention, *folded.rest)), "")
    if not first:
        return verdict
    older = COUNTED.match(first)
    shown = first if older is None else first.replace(older[1], older[1].replace("_", " "), 1)
    return f"{verdict}; {shown}" if first.startswith(Group.GUESS) else f"{verdict}, first: {shown}"
