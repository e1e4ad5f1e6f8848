"""From the words of a command line to a command and its options; every mistake in one message, with its cure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path

from trading_platform.core.errors import FixConfigError
from trading_platform.core.written_days import written_day
from trading_platform.runtime.command_table import (
    ALIASES,
    COMMANDS,
    ELSEWHERE,
    OPTIONS,
    OWN_LINES,
    SAME_AS,
    Command,
    Kind,
    Option,
)

HELP = ("-h", "--help")
MORE = "..."  # of a command's argument: more of them may follow

Work = Callable[[], int]  # what a handler returns, with its options in it: run, it gives the exit code
Value = bool | str | Path | float | int | date | tuple[Path, ...]


class Given:
    """A command with the options and the argument that were given; knows which of them nobody has looked at."""

    def __init__(self, command: Command, values: Mapping[str, Value], subjects: Sequence[str], *, help: bool) -> None:
        self.command = command
        self.subjects = tuple(subjects)
        self.wants_help = help
        self._values = dict(values)
        self._unread = set(values)

    def unread(self) -> list[str]:
        """Return the options that were given and not read: each would be taken without effect."""
        return sorted(self._unread)

    def flag(self, name: str) -> bool:
        """Return True if the flag was given."""
        return self._read(name) is not None

    def text(self, name: str) -> str | None:
        """Return a text option."""
        value = self._read(name)
        return value if isinstance(value, str) else None

    def file(self, name: str) -> Path | None:
        """Return a file option that is given once."""
        value = self._read(name)
        return value if isinstance(value, Path) else None

    def files(self, name: str) -> tuple[Path, ...]:
        """Return a file option that may be given several times."""
        value = self._read(name)
        return value if isinstance(value, tuple) else ()

    def number(self, name: str) -> float | None:
        """Return a number."""
        value = self._read(name)
        return float(value) if isinstance(value, int | float) else None

    def whole(self, name: str) -> int | None:
        """Return a whole number."""
        value = self._read(name)
        return value if isinstance(value, int) else None

    def day(self, name: str) -> date | None:
        """Return a day."""
        value = self._read(name)
        return value if isinstance(value, date) else None

    def _read(self, name: str) -> Value | None:
        if name not in self.command.options:
            raise ValueError(f"{name} is read but no option of {self.command.words!r} in the table")
        self._unread.discard(name)
        return self._values.get(name)


def parse(words: Sequence[str]) -> Given:
    """Return what `words` ask for; options may stand on either side of the command.

    Raises
    ------
    FixConfigError
        Unknown commands and options, options of another command, wrong values: all of them at once.
    """
    problems: list[str] = []
    given: dict[str, list[str | None]] = {}
    plain: list[str] = []
    wants_help = False
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in HELP:
            wants_help = True
        elif word == "--" or not word.startswith("-") or word == "-":
            plain += [word] if word != "--" else []
        else:
            name, sign, value = word.partition("=")
            option = OPTIONS.get(name)
            if option is None:
                problems.append(f"there is no option {name}{_near(name, OPTIONS)}")
                if not sign and rest and not rest[0].startswith("-") and rest[0] not in COMMANDS:
                    rest.pop(0)  # what was meant as its value is no command
            elif option.kind is Kind.FLAG:
                problems += [f"{name} is given or not, it takes no value, was {value!r}"] if sign else []
                given.setdefault(name, []).append(None)
            elif sign or (rest and not rest[0].startswith("--")):
                given.setdefault(name, []).append(value if sign else rest.pop(0))
            else:
                problems.append(f"{name} needs its {option.value or 'value'}")
    command, subjects, found = _command(plain)
    problems += found if command is None or not wants_help else []  # whoever asks for help does not know the argument
    values: dict[str, Value] = {}
    if command is not None and not wants_help:
        for name, texts in given.items():
            value_of, found = _value(OPTIONS[name], texts, command)
            problems += found
            if value_of is not None:
                values[name] = value_of
    if problems:
        raise FixConfigError("\n".join(dict.fromkeys(problems)))
    return Given(command or COMMANDS[""], values, subjects, help=wants_help)


def _command(plain: Sequence[str]) -> tuple[Command | None, list[str], list[str]]:
    """Return (command, its arguments, problems) of the words that are no options."""
    if not plain:
        return COMMANDS[""], [], []
    two = " ".join(plain[:2])
    words = two if two in COMMANDS and len(plain) > 1 else ALIASES.get(plain[0], plain[0])
    command = COMMANDS.get(words) if words else None
    if command is None or (plain[0] in ALIASES and two not in COMMANDS and len(plain) > 1):
        return None, [], [_unknown(plain)]
    subjects = list(plain[2 if words == two else 1 :])
    wanted = [word for word in command.subject.strip("[]").split() if word != MORE]
    if command.needs_subject and len(subjects) < len(wanted):
        return command, subjects, [f"{command.words} needs {command.subject}: say which"]
    if len(subjects) > len(wanted) and MORE not in command.subject:
        extra = subjects[len(wanted)]
        return command, subjects, [f"{command.words} takes {command.subject or 'no argument'}; {extra!r} is too much"]
    return command, subjects, []


def _unknown(plain: Sequence[str]) -> str:
    word = plain[0]
    if word in ELSEWHERE:
        return f"{word} is a program of its own here: {ELSEWHERE[word]}"
    if word in OWN_LINES:
        return f"{word} stands before every option, and has its own: see `{word} --help`"
    if word in SAME_AS:
        return f"there is no command {word}; the word here is {SAME_AS[word]}"
    below = [words for words in COMMANDS if words.startswith(f"{word} ")]
    if below:
        said = " ".join(plain[:2])
        hint = _near(said, below) or f"; there are {', '.join(below)}"
        return f"there is no command {said}{hint}"
    names = [*(words for words in COMMANDS if words), *OWN_LINES]
    hint = _near(word, [*names, *SAME_AS])
    near = re.search(r"'(\w+)'", hint)
    if near is not None and near[1] in SAME_AS:
        hint = f"; the word here is {SAME_AS[near[1]]}"
    return f"there is no command {word}{hint or '; commands: ' + ', '.join(names)}"


def _value(option: Option, texts: Sequence[str | None], command: Command) -> tuple[Value | None, list[str]]:
    """Return (value, problems) of one option."""
    name = option.name
    if name not in command.options:
        return None, [_misplaced(name, command)]
    if option.kind is Kind.FLAG:
        return True, []
    if len(texts) > 1 and not option.repeats:
        return None, [f"{name} is given {len(texts)} times ({', '.join(map(str, texts))}): give it once"]
    try:
        values = [_converted(option, str(text)) for text in texts]
    except ValueError as error:
        return None, [f"{name} {error}"]
    if option.repeats:
        return tuple(value for value in values if isinstance(value, Path)), []
    return values[0], []


def _misplaced(name: str, command: Command) -> str:
    homes = [words for words, other in COMMANDS.items() if words and name in other.options]
    where = f"{command.words} does not take {name}" if command.words else f"{name} needs a command"
    return f"{where}; it belongs to {', '.join(homes)}"


def _converted(option: Option, text: str) -> Value:
    """Return the value that `text` writes.

    Raises
    ------
    ValueError
        It is no such value; the message goes on behind the option's name.
    """
    match option.kind:
        case Kind.NUMBER:
            try:
                return float(text)
            except ValueError:
                raise ValueError(f"must be a number, was {text!r}") from None
        case Kind.WHOLE:
            try:
                return int(text)
            except ValueError:
                raise ValueError(f"must be a whole number, was {text!r}") from None
        case Kind.FIRST_DAY | Kind.LAST_DAY:
            return written_day(text, last=option.kind is Kind.LAST_DAY)
        case Kind.FILE:
            if not text:
                raise ValueError("must name a file or folder, was empty")
            return Path(text)
    return text


def _near(word: str, known: Mapping[str, object] | Sequence[str]) -> str:
    from trading_platform.core.validation import did_you_mean  # only after a slip

    return did_you_mean(word, known)
