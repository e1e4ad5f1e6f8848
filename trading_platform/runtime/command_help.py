"""What ``--help`` says, made from the table of commands and wrapped to the screen."""

from __future__ import annotations

import shutil
import textwrap

from trading_platform.runtime.command_table import COMMANDS, OPTIONS, OWN_LINES, Command

PROGRAM = "python autonomous_trading_engine.py"
NARROWEST, WIDEST = 40, 120

EXIT_CODES = (
    "Exit codes: 0 done, 2 wrong setting or option, 3 broker, data service, database server or cluster unreachable, "
    "4 database needs repair, 5 an operator is needed, 6 market data unusable, 7 keys refused, 9 the engine stood "
    "still and its watchdog ended it, 11 a command is recorded but not obeyed yet, 130 stopped by Ctrl-C (state is "
    "consistent; the same command continues)."
)


def help_text(command: Command) -> str:
    """Return the help of one command; of the bare one that of the whole program."""
    width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
    usage = " ".join(filter(None, ("Usage:", PROGRAM, command.words or "[COMMAND]", command.subject, "[OPTIONS]")))
    parts = [_wrapped(usage, width), "", _wrapped(command.help, width)]
    if not command.words:
        parts += ["", "Commands:"]
        parts += [
            _entry(" ".join(filter(None, (other.words, other.subject))), other.help, width)
            for other in COMMANDS.values()
            if other.words
        ]
        parts += [_entry(words, text, width) for words, text in OWN_LINES.items()]
    title = "Options without a command:" if not command.words else "Options:"
    parts += ["", title, *(_option(name, width) for name in command.options)]
    if not command.words:
        parts += [_entry("--version", "Print the version.", width), "", _wrapped(EXIT_CODES, width)]
    return "\n".join(parts)


def _option(name: str, width: int) -> str:
    option = OPTIONS[name]
    more = " May be given several times." if option.repeats else ""
    return _entry(f"{name} {option.value}".strip(), option.help + more, width)


def _entry(name: str, text: str, width: int) -> str:
    indent = 4 if width < 70 else 26
    if len(name) + 4 > indent:
        return f"  {name}\n{_wrapped(text, width, indent)}"
    return _wrapped(text, width, indent, f"  {name}".ljust(indent))


def _wrapped(text: str, width: int, indent: int = 0, first: str | None = None) -> str:
    return textwrap.fill(
        text,
        width - 1,
        initial_indent=" " * indent if first is None else first,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
