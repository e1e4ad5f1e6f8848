"""The page of `evaluate`: whole, self-contained, and of the numbers that its document holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluate_books import ASKED, SLEEVES, on_paper, told
from tests.strategy_markets import mixed_panel
from trading_platform.configuration.trading_config import load_config
from trading_platform.evaluation.evaluate import RunBook, evaluate
from trading_platform.evaluation.evaluate_document import document
from trading_platform.evaluation.growth import Growth, growth
from trading_platform.machine.stop_signals import StoppedNowError
from trading_platform.market_data.exchange import Exchange
from trading_platform.reporting.evaluate_page import render_evaluate_page
from trading_platform.runtime import evaluate as command
from trading_platform.work.job import Place

LONDON = Exchange("XLON", "GBP", "ISF")
VOID = {"meta", "path", "br"}


def judged(run_book: RunBook = told, **changes: Any) -> tuple[dict[str, Any], Growth]:
    yardsticks, runs = evaluate(replace(mixed_panel(2, 600), **changes), SLEEVES, run_book, ASKED)
    return document(yardsticks, runs, ASKED), growth(yardsticks, runs)


class Balance(HTMLParser):
    """Fails where a tag is closed that is not open; collects all that a reader sees."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert {name for name, _ in attrs}.isdisjoint({"style", "src", "href", "onclick"})
        self.open += [tag] if tag not in VOID else []

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.seen.append(data)


def read(page: str) -> str:
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    return " ".join(parser.seen)


def test_page_is_whole_needs_nothing_and_tells_the_document() -> None:
    result, grown = judged()
    page = render_evaluate_page(result, grown)
    seen = read(page)
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    for words in (
        "3 random universes of 6 stocks",
        f"{result['sharpe']['mean']:.2f}",
        "no strategy wants it",
        "30.0 %",
        "every slot is taken",
        "halts by drawdown",
        "managed_market",
        "equal-weight universe",
        "Universe by universe",
    ):
        assert words in seen, words
    assert not re.search(r"\bnan\b|-0\.0 %|None", seen)


def test_loss_of_the_page_is_that_of_the_document() -> None:
    result, grown = judged()
    total = result["sharpe"]["mean"] - result["paper_form"]["mean"]
    assert f"{total:+.3f}" in read(render_evaluate_page(result, grown))


def test_what_is_not_known_is_said_and_not_drawn() -> None:
    result, grown = judged(on_paper)
    seen = read(render_evaluate_page(result, grown))
    assert "Not told by this book." in seen
    assert "has no paper form" in seen


def test_growth_is_the_product_of_the_returns_at_month_ends() -> None:
    yardsticks, runs = evaluate(mixed_panel(2, 600), SLEEVES, told, ASKED)
    grown = growth(yardsticks, runs)
    last = np.mean([np.prod(1.0 + run.run.returns) for run in runs])
    assert grown.worth["this book"][-1] == pytest.approx(last)
    assert grown.worth["bills"][-1] == pytest.approx(np.prod(1.0 + yardsticks.bills))
    assert len(grown.days) == len({day[:7] for day in grown.days})
    assert grown.days[-1] == str(yardsticks.sessions[-1])
    assert (grown.low <= grown.worth["this book"]).all()
    assert (grown.worth["this book"] <= grown.high).all()


def test_page_of_another_exchange_counts_its_own_money_and_no_dollars() -> None:
    result, grown = judged()

    assert "$" in read(render_evaluate_page(result, grown, "files:bars"))
    seen = read(render_evaluate_page(result, grown, LONDON.marked("files:bars")))
    assert f"£{sum(result['not_invested_because'].values()):,.0f}" in seen
    assert not re.search(r"\$|dollar", seen)


def test_page_that_cannot_be_written_costs_nobody_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result, grown = judged()
    monkeypatch.setattr(command, "REPORTS", tmp_path / "here")
    path = command._written_page(result, grown, "")
    assert path is not None
    assert path.read_text(encoding="utf-8").endswith("</html>\n")
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(command, "REPORTS", tmp_path / "file")
    assert command._written_page(result, grown, "") is None
    assert "no page" in capsys.readouterr().err


class Stopped:
    """Workers that judge two universes before Ctrl-C."""

    def __enter__(self) -> Stopped:
        return self

    def __exit__(self, *_: object) -> None: ...

    def map(self, _: object, __: object) -> Iterator[tuple[int, object]]:
        yield from ((0, object()), (1, object()))
        raise KeyboardInterrupt


def test_evaluation_that_is_stopped_says_how_much_of_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yardsticks, _ = evaluate(mixed_panel(2, 600), SLEEVES, told, ASKED)
    bench = command.Bench(mixed_panel(2, 600), (), None, yardsticks, 0, ASKED)  # type: ignore[arg-type] # nobody plays it
    config = load_config(None, {})
    monkeypatch.setattr(command, "workers", lambda *_: Stopped())

    with pytest.raises(StoppedNowError, match=r"Stopped after 2 of 3 universes; they are kept, .* goes on"):
        command._judged(bench, config, Place(1), tmp_path, shown=False)
    with pytest.raises(KeyboardInterrupt):  # from Python nothing is kept, and nothing said
        command._judged(bench, config, Place(1), None, shown=False)
