"""The table of commands: every option has an effect or is refused, on either side of its command."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from trading_platform.core.errors import FixConfigError
from trading_platform.machine.stop_signals import StoppedNowError
from trading_platform.runtime.command_handlers import HANDLERS
from trading_platform.runtime.command_help import help_text
from trading_platform.runtime.command_line import bound, run
from trading_platform.runtime.command_parser import Given, parse
from trading_platform.runtime.command_table import COMMANDS, OPTIONS, OWN_LINES, Command, Kind, Option

SAMPLES = {
    Kind.TEXT: "momentum",
    Kind.FILE: "somewhere",
    Kind.NUMBER: "5000",
    Kind.WHOLE: "3",
    Kind.FIRST_DAY: "2020-01-02",
    Kind.LAST_DAY: "2020-12-31",
}
PAIRS = [(command, option) for command in COMMANDS.values() for option in OPTIONS.values()]


def sample(option: Option) -> list[str]:
    return [option.name] if option.kind is Kind.FLAG else [option.name, SAMPLES[option.kind]]


def words_of(command: Command) -> list[str]:
    subject = ["1" if word == "ID" else word.lower() for word in command.subject.strip("[]").replace("...", "").split()]
    reason = ["--reason", "why"] if "--reason" in command.options else []
    return [*command.words.split(), *subject, *reason]


@pytest.mark.parametrize(("command", "option"), PAIRS, ids=[f"{c.words or 'bare'} {o.name}" for c, o in PAIRS])
def test_every_option_of_every_command_is_heeded_or_refused(command: Command, option: Option) -> None:
    if option.name == "--reason" and option.name in command.options:
        words = words_of(command)
    else:
        words = [*sample(option), *words_of(command)]
    if option.name not in command.options:
        with pytest.raises(FixConfigError, match=rf"{option.name}; it belongs to|{option.name} needs a command"):
            parse(words)
        return
    after = words[len(sample(option)) :] + words[: len(sample(option))]
    for line in (words, after) if words[0].startswith("--") else (words,):
        given = parse(line)
        assert given.command is command
        assert option.name in given.unread()
        bound(given)  # reads all of it, or says that it does not


def test_an_option_that_no_handler_reads_is_found_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HANDLERS, "status", lambda given: lambda: 0)
    with pytest.raises(AssertionError, match="does nothing with --json"):
        bound(parse(["status", "--json"]))


def test_every_command_has_a_handler_and_every_option_a_command() -> None:
    assert HANDLERS.keys() == COMMANDS.keys()
    assert {name for command in COMMANDS.values() for name in command.options} == OPTIONS.keys()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("backtest", "there is no command backtest; the word here is replay"),
        ("backtets", "there is no command backtets; the word here is replay"),
        ("statsu", "there is no command statsu: did you mean 'status'?"),
        ("list", "the word here is runs list"),
        ("models list", "models is a program of its own here: python train_rl_model.py models"),
        ("runs shwo 3", "there is no command runs shwo: did you mean 'runs show'?"),
        ("--datadir x", "there is no option --datadir: did you mean '--data-dir'?"),
        ("halt --reasn x", "there is no option --reasn: did you mean '--reason'?"),
        ("halt --capital 5", "halt does not take --capital; it belongs to trade, replay, evaluate, search"),
        ("--account x --start 2020-01-02", "--account needs a command; it belongs to status, halt"),
        ("halt now", "halt takes no argument; 'now' is too much"),
        ("pause --reason x", "pause needs STRATEGY: say which"),
        ("--db", "--db needs its FILE"),
        ("--db --json", "--db needs its FILE"),
        ("--db a --db b", "--db is given 2 times (a, b): give it once"),
        ("--json=yes", "--json is given or not, it takes no value, was 'yes'"),
        ("--capital much", "--capital must be a number, was 'much'"),
        ("--seed 1.5", "--seed must be a whole number, was '1.5'"),
        ("--start yesterday", "--start must be a day such as 2024-03-28 (or 2024-03, or 2024), was 'yesterday'"),
        ("--start 2024-02-30", "--start must be a day"),
    ],
)
def test_a_slip_is_named_with_its_cure(line: str, words: str) -> None:
    with pytest.raises(FixConfigError) as caught:
        parse(line.split())
    assert words in str(caught.value)


def test_all_slips_of_a_line_are_told_at_once() -> None:
    with pytest.raises(FixConfigError) as caught:
        parse(["--datadir", "x", "--seed", "y", "halt", "--capital", "3"])
    assert str(caught.value).splitlines() == [
        "there is no option --datadir: did you mean '--data-dir'?",
        "halt does not take --seed; it belongs to replay, evaluate",
        "halt does not take --capital; it belongs to trade, replay, evaluate, search",
    ]


def day_of(line: str, name: str) -> date | None:
    return parse(line.split()).day(name)


def test_a_year_or_month_is_its_first_day_or_its_last() -> None:
    assert day_of("replay --from 2015", "--from") == date(2015, 1, 1)
    assert day_of("replay --to 2015", "--to") == date(2015, 12, 31)
    assert day_of("replay --end 2024-02", "--end") == date(2024, 2, 29)
    assert day_of("replay --start 2024-3-5", "--start") == date(2024, 3, 5)


def test_folders_may_be_given_several_times() -> None:
    assert parse(["--data-dir", "a", "--data-dir=b"]).files("--data-dir") == (Path("a"), Path("b"))


def test_what_the_table_does_not_name_cannot_be_read() -> None:
    with pytest.raises(ValueError, match="no option of 'status'"):
        Given(COMMANDS["status"], {}, (), help=False).flag("--yes")


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_help_fits_the_screen_and_names_everything(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for command in COMMANDS.values():
        text = help_text(command)
        assert max(map(len, text.splitlines())) < columns
        assert all(name in text for name in command.options)
    assert all(words in help_text(COMMANDS[""]) for words in (*COMMANDS, *OWN_LINES))


def test_work_that_was_stopped_is_told_as_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(_: Given) -> Callable[[], int]:
        raise StoppedNowError("Stopped after 2 of 4.")

    monkeypatch.setitem(HANDLERS, "doctor", stopped)
    assert run(["doctor"]) == 130
    assert capsys.readouterr() == ("", "Stopped after 2 of 4.\n")


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_explains_itself_without_its_argument(command: Command) -> None:
    given = parse([*command.words.split(), "--help"])
    assert (given.command, given.wants_help) == (command, True)


def test_help_and_slips_have_their_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert "Exit codes" in capsys.readouterr().out
    assert run(["halt", "--help"]) == 0
    assert "--reason" in capsys.readouterr().out
    assert run(["backtest"]) == 2
    shown = capsys.readouterr()
    assert shown.err == "error: there is no command backtest; the word here is replay\n"
    assert shown.out == ""
