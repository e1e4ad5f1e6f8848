"""Shell completion and the version: what real shells complete from the scripts that the command table makes."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
import typing
from collections.abc import Callable
from pathlib import Path

import pytest

import trading_platform
from trading_platform.configuration.market_tables import DataConfig
from trading_platform.core.errors import FixConfigError
from trading_platform.runtime.command_line import run
from trading_platform.runtime.command_table import COMMANDS
from trading_platform.runtime.completion import CHOICES, SHELLS, completion_script, options_at, places, words_at

ROOT = Path(__file__).parents[2]
Complete = Callable[..., set[str]]


def script(shell: str) -> str:
    return completion_script(shell, "/opt/my python", Path("/opt/engine.py"))


def in_shell(shell: str, text: str) -> set[str]:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    options = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    done = subprocess.run([shell, *options], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return {line.partition("\t")[0] for line in done.stdout.splitlines() if line}


def bash(*words: str) -> set[str]:
    said = " ".join(f"'{word}'" for word in ("trading-engine", *words))
    tail = f'COMP_WORDS=({said}); COMP_CWORD={len(words)}; _trading_engine; printf "%s\\n" "${{COMPREPLY[@]}}"'
    return {word for word in in_shell("bash", f"{script('bash')}\n{tail}\n") if word.startswith(words[-1])}


def zsh(*words: str) -> set[str]:
    head = "compdef() { }\ncompadd() { shift; print -l -- $@ }\n_files() { print -- FILES }\n"
    said = " ".join(f"'{word}'" for word in ("trading-engine", *words))
    found = in_shell("zsh", f"{head}{script('zsh')}\nwords=({said}); CURRENT={len(words) + 1}; _trading_engine\n")
    return {word for word in found if word.startswith(words[-1])}


def fish(*words: str) -> set[str]:
    return in_shell("fish", f"{script('fish')}\ncomplete -C '{' '.join(('trading-engine', *words))}'\n")


SHELL_CALLS = pytest.mark.parametrize("complete", [bash, zsh, fish], ids=["bash", "zsh", "fish"])


@SHELL_CALLS
def test_commands_are_completed_by_their_beginning(complete: Complete) -> None:
    assert complete("re") == {"replay", "resume", "restore"}
    assert complete("runs", "") >= {"list", "show", "compare", "tag", "note", "delete"}
    assert complete("alerts", "t") == {"test"}
    assert complete("completion", "") >= set(SHELLS)


@SHELL_CALLS
def test_options_are_those_of_the_command_wherever_other_options_stand(complete: Complete) -> None:
    assert complete("halt", "--re") == {"--reason"}
    assert complete("--db", "other.db", "halt", "--re") == {"--reason"}
    assert complete("status", "--re") == set()
    assert complete("runs", "delete", "--y") == {"--yes"}
    assert complete("flatten", "AAPL", "--no") == {"--no-wait"}
    assert complete("--ver") == {"--version"}


@SHELL_CALLS
def test_values_are_completed_where_they_are_a_few_words(complete: Complete) -> None:
    assert complete("--source", "y") == {"yahoo"}
    assert complete("replay", "--vix", "re") == {"required", "realized"}


def test_the_name_of_the_script_starts_this_program(tmp_path: Path) -> None:
    program = tmp_path / "my engine.sh"
    program.write_text('echo "heard: $@"\n')
    for shell in SHELLS:
        if shutil.which(shell) is not None:
            text = completion_script(shell, "sh", program)
            head = "compdef() { }\n" if shell == "zsh" else ""
            assert in_shell(shell, f"{head}{text}\ntrading-engine halt --reason why\n") == {"heard: halt --reason why"}


def test_every_command_and_option_of_the_table_can_be_completed() -> None:
    for words, command in COMMANDS.items():
        place = tuple(words.split())
        assert set(options_at(place)) >= set(command.options)
        if place:
            assert place[-1] in words_at(place[:-1])
    assert places()[("runs",)] is COMMANDS["runs list"]


def test_choices_are_those_of_the_settings() -> None:
    hints = typing.get_type_hints(DataConfig)
    assert set(CHOICES["--source"]) == set(typing.get_args(hints["source"]))
    assert set(CHOICES["--vix"]) == set(typing.get_args(hints["vix"]))


def test_a_shell_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(FixConfigError, match="bash, zsh, fish"):
        completion_script("tcsh")
    assert run(["completion", "tcsh"]) == 2


def test_the_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    written = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert trading_platform.__version__ == written
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"trading-platform {written} (database ")
