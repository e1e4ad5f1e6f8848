"""Strategies in a folder of one's own: begun, listed, tried, traded; what looks ahead does not trade."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from trading_platform import api
from trading_platform.core.errors import FixConfigError
from trading_platform.engine.own_strategies import own_strategies
from trading_platform.runtime.command_line import run

SHORT = "[engine]\nreplay_sessions = 10\n"
AHEAD = """
from dataclasses import dataclass
import numpy as np
from trading_platform.core.types import StrategySignals

@dataclass(frozen=True, slots=True)
class Prophet:
    name: str = "prophet"

    @property
    def lookback(self):
        return 2

    def signals(self, panel):
        tomorrow = np.roll(panel.close, -1, axis=0)
        rises = np.isfinite(tomorrow) & (tomorrow > panel.close)
        return StrategySignals(rises.astype(float), ~rises)
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "ALPACA_API_KEY", "ALPACA_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_folder_is_made_and_nothing_in_it_is_overwritten(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "mine").mkdir()
    (home / "mine" / "trading.toml").write_text(SHORT, encoding="utf-8")
    assert run(["init", "mine"]) == 0
    told = capsys.readouterr().out
    assert "kept  mine/trading.toml" in told and "made  mine/README.md" in told
    assert (home / "mine" / "trading.toml").read_text(encoding="utf-8") == SHORT
    assert (home / "mine" / "strategies").is_dir()


def test_the_settings_that_init_writes_are_settings(home: Path) -> None:
    assert run(["init", "."]) == 0
    text = (home / "trading.toml").read_text(encoding="utf-8")
    uncommented = "\n".join(line.removeprefix("#") for line in text.splitlines()[3:])
    (home / "trading.toml").write_text(uncommented, encoding="utf-8")
    from trading_platform.configuration.trading_config import load_config

    assert load_config(home / "trading.toml").strategies.folder == "strategies"


def test_a_new_strategy_holds_is_listed_and_trades(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["new", "strategy", "my_idea"]) == 0
    assert run(["strategies", "test", "my_idea", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["holds"] is True
    assert [each["check"] for each in told["checks"] if each["holds"]] == [
        "no foresight",
        "history",
        "repeatable",
        "splits",
        "says something",
        "parity",
    ]
    (home / "trading.toml").write_text(
        SHORT + '[strategies]\nenabled = ["my_idea", "momentum"]\n[strategies.my_idea]\nwindow = 30\n', encoding="utf-8"
    )
    assert run(["strategies", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert (listed["my_idea"]["from"], listed["my_idea"]["trades"], listed["breakout"]["trades"]) == (
        "your own",
        True,
        False,
    )
    assert run(["replay", "--json", "--db", "runs.db"]) == 0
    assert set(json.loads(capsys.readouterr().out)["strategies"]) == {"my_idea", "momentum"}


def test_the_tests_that_come_with_a_new_strategy_pass(home: Path) -> None:
    assert run(["new", "strategy", "my_idea"]) == 0
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "strategies"]
    done = subprocess.run(words, cwd=home, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_a_strategy_is_known_to_notebooks_by_its_name(home: Path) -> None:
    assert run(["new", "strategy", "my_idea"]) == 0
    result = api.backtest(strategies=["my_idea"], config={"engine.replay_sessions": 10})
    assert set(result.metrics["strategies"]) == {"my_idea"}


def test_another_text_of_the_file_is_another_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["new", "strategy", "my_idea"]) == 0
    (home / "trading.toml").write_text(SHORT + '[strategies]\nenabled = ["my_idea"]\n', encoding="utf-8")
    assert run(["replay", "--once", "--quiet", "--db", "runs.db"]) in (0, 130)
    file = home / "strategies" / "my_idea.py"
    file.write_text(file.read_text(encoding="utf-8").replace("= 100", "= 50"), encoding="utf-8")
    assert run(["replay", "--once", "--quiet", "--db", "runs.db"]) in (0, 130)
    capsys.readouterr()
    assert run(["runs", "--json", "--db", "runs.db"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_what_looks_ahead_does_not_trade_and_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "strategies").mkdir()
    (home / "strategies" / "prophet.py").write_text(AHEAD, encoding="utf-8")
    (home / "trading.toml").write_text(SHORT + '[strategies]\nenabled = ["prophet"]\n', encoding="utf-8")
    assert run(["replay", "--quiet", "--db", "runs.db"]) == 2
    told = capsys.readouterr().err
    assert "the strategy prophet uses what it cannot know" in told and "strategies test prophet" in told
    assert run(["strategies", "test", "prophet"]) == 1
    assert "NO   no foresight" in capsys.readouterr().out


def installed(site: Path, text: str) -> None:
    """Lay down what pip leaves of a package with one module that offers its strategy."""
    name = text.split('name: str = "')[1].split('"')[0]
    (site / f"{name}_pack.py").write_text(text, encoding="utf-8")
    facts = site / f"{name}_pack-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-pack\nVersion: 1.0\n", encoding="utf-8")
    offer = f"[trading_platform.strategies]\n{name} = {name}_pack:{text.split('class ')[1].split(':')[0]}\n"
    (facts / "entry_points.txt").write_text(offer, encoding="utf-8")


def test_a_strategy_of_an_installed_package_is_listed_and_trades_and_one_that_looks_ahead_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = home / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    installed(site, AHEAD)
    installed(site, AHEAD.replace("prophet", "follower").replace("Prophet", "Follower").replace("-1, axis", "1, axis"))
    assert run(["strategies", "--json"]) == 0
    listed = {row["name"]: row["from"] for row in json.loads(capsys.readouterr().out)}
    assert (listed["follower"], listed["prophet"]) == ("your own", "your own")

    (home / "trading.toml").write_text(SHORT + '[strategies]\nenabled = ["follower"]\n', encoding="utf-8")
    assert run(["replay", "--json", "--db", "runs.db"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["strategies"]) == {"follower"}
    assert told["orders"] > 0

    (home / "trading.toml").write_text(SHORT + '[strategies]\nenabled = ["prophet"]\n', encoding="utf-8")
    assert run(["replay", "--quiet", "--db", "runs.db"]) == 2
    assert "the strategy prophet uses what it cannot know" in capsys.readouterr().err


def test_the_default_set_imports_no_file_of_the_folder(home: Path) -> None:
    (home / "strategies").mkdir()
    (home / "strategies" / "broken.py").write_text("raise SystemExit('imported')\n", encoding="utf-8")
    assert api.backtest(config={"engine.replay_sessions": 2}).metrics["sessions"] == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def (:\n", "cannot be imported: SyntaxError"),
        ("import no_such_thing\n", "cannot be imported: ModuleNotFoundError"),
        ("1 / 0\n", "cannot be imported: ZeroDivisionError"),
        ("x = 1\n", "no class with a lookback and a method"),
        (AHEAD.replace('"prophet"', '"momentum"'), "the strategy name 'momentum' is taken by this program"),
        (AHEAD.replace('"prophet"', '"two words"'), "needs a name of letters, digits and _"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_cure(home: Path, text: str, words: str) -> None:
    folder = home / "strategies"
    folder.mkdir()
    (folder / "mine.py").write_text(text, encoding="utf-8")
    with pytest.raises(FixConfigError) as caught:
        own_strategies(folder, ["momentum"])
    assert str(caught.value).startswith(str(folder / "mine.py"))
    assert words in str(caught.value)


def test_one_name_in_two_files_names_both(home: Path) -> None:
    folder = home / "strategies"
    folder.mkdir()
    for name in ("one.py", "two.py"):
        (folder / name).write_text(AHEAD, encoding="utf-8")
    with pytest.raises(FixConfigError, match=r"two\.py: the strategy name 'prophet' is taken by .*one\.py"):
        own_strategies(folder)


@pytest.mark.parametrize("name", ["My-Idea", "test_it", "class", "2nd", "_hidden"])
def test_a_name_that_no_strategy_can_have_is_refused(home: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["new", "strategy", name]) == 2
    assert "cannot name a strategy" in capsys.readouterr().err
    assert not (home / "strategies").exists()


def test_a_strategy_that_is_there_is_not_overwritten(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["new", "strategy", "my_idea"]) == 0
    before = (home / "strategies" / "my_idea.py").read_bytes()
    assert run(["new", "strategy", "my_idea"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert (home / "strategies" / "my_idea.py").read_bytes() == before


def test_an_unknown_strategy_is_told_with_those_that_are(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["strategies", "test", "momentun"]) == 2
    assert "did you mean 'momentum'" in capsys.readouterr().err


def test_the_strategy_of_the_readme_holds_as_printed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    block = next(part for part in readme.split("```python\n")[1:] if part.startswith("# strategies/gap_fade.py"))
    (home / "strategies").mkdir()
    (home / "strategies" / "gap_fade.py").write_text(block.split("```")[0], encoding="utf-8")
    assert run(["strategies", "test", "gap_fade"]) == 0, capsys.readouterr().out
