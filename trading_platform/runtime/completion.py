"""`completion SHELL`: the script that lets bash, zsh or fish complete our commands, made from the command table.

A program that is started as ``python FILE`` has no name that a shell could complete, so the script gives it one:
`trading-engine`, a function that starts this very file with this very Python.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from trading_platform.core.errors import FixConfigError
from trading_platform.runtime.command_table import ALIASES, COMMANDS, OPTIONS, OWN_LINES, Command, Kind

NAME = "trading-engine"
SHELLS = ("bash", "zsh", "fish")
EVERYWHERE = ("--help", "--version")
# What an option or a command's argument may be, where it is one of a few words.
CHOICES = {"--source": ("synthetic", "files", "yahoo", "alpaca"), "--vix": ("required", "realized")}
SUBJECTS = {"SHELL": SHELLS}
FILES = ("FILE", "DIR")


def completion_script(shell: str, python: str = sys.executable, program: Path | None = None) -> str:
    """Return the script for a shell.

    Raises
    ------
    FixConfigError
        It is none that we know.
    """
    start = shlex.join([python, str(program or Path(sys.argv[0]).resolve())])
    match shell:
        case "bash":
            lines = _bash(start)
        case "zsh":
            lines = _zsh(start)
        case "fish":
            lines = _fish(start)
        case _:
            raise FixConfigError(f"completion knows {', '.join(SHELLS)}, was {shell!r}")
    return "\n".join(lines)


# ---------------------------------------------------------------- what there is to complete


def places() -> dict[tuple[str, ...], Command | None]:
    """Return the command at each place that the words before may lead to; None where another word must follow."""
    found: dict[tuple[str, ...], Command | None] = {(): COMMANDS[""]}
    for words, command in COMMANDS.items():
        if words:
            parts = tuple(words.split())
            if len(parts) > 1:
                found.setdefault(parts[:1], COMMANDS.get(ALIASES.get(parts[0], "")))
            found[parts] = command
    return found


def words_at(place: tuple[str, ...]) -> list[str]:
    """Return the words that may follow: commands, and of a command's argument the few that it may be."""
    deeper = {parts[len(place)] for parts in places() if len(parts) > len(place) and parts[: len(place)] == place}
    own = set(OWN_LINES) if not place else set()
    command = places()[place]
    subjects = set(SUBJECTS.get(command.subject.strip("[]"), ())) if command is not None else set()
    return sorted(deeper | own | subjects)


def options_at(place: tuple[str, ...]) -> list[str]:
    """Return the options of a place."""
    command = places()[place]
    return [*(command.options if command is not None else ()), *(EVERYWHERE if not place else EVERYWHERE[:1])]


def takes_file(place: tuple[str, ...]) -> bool:
    """Return True if the command's argument is a file or a folder."""
    command = places()[place]
    return command is not None and command.subject.strip("[]") in FILES


def _valued(*, files: bool) -> list[str]:
    """Return the options that have a value: those with a file, or all others without a choice."""
    return [
        name
        for name, option in OPTIONS.items()
        if option.kind is not Kind.FLAG
        and name not in CHOICES
        and (option.kind is Kind.FILE or name == "--db") == files
    ]


def _with_value() -> str:
    return "|".join(name for name, option in OPTIONS.items() if option.kind is not Kind.FLAG)


def _cases() -> Iterator[tuple[str, list[str], list[str], bool]]:
    """Yield (pattern, options, words, files?) of each place, the deepest first; a pattern is its words with spaces."""
    for place in sorted(places(), key=lambda parts: -len(parts)):
        yield " ".join(place), options_at(place), words_at(place), takes_file(place)


# ---------------------------------------------------------------- shells


def _bash(start: str) -> Iterator[str]:
    yield f'# bash completion of the trading engine. Use: eval "$({start} completion bash)"'
    yield f'{NAME}() {{ {start} "$@"; }}'
    yield "_trading_engine() {"
    yield '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" plain="" n'
    yield "  for ((n = 1; n < COMP_CWORD; n++)); do"
    yield '    case "${COMP_WORDS[n]}" in'
    yield f"      {_with_value()}) ((n++)) ;;"
    yield "      -*) ;;"
    yield '      *) plain="${plain:+$plain }${COMP_WORDS[n]}" ;;'
    yield "    esac"
    yield "  done"
    yield "  COMPREPLY=()"
    yield '  case "$before" in'
    yield f'    {"|".join(_valued(files=True))}) COMPREPLY=($(compgen -f -- "$word")); return ;;'
    for name, choices in CHOICES.items():
        yield f'    {name}) COMPREPLY=($(compgen -W "{" ".join(choices)}" -- "$word")); return ;;'
    yield f"    {'|'.join(_valued(files=False))}) return ;;"
    yield "  esac"
    yield '  local options="" words="" files=""'
    yield '  case "$plain" in'
    for pattern, options, words, files in _cases():
        flag = " files=yes" if files else ""
        yield f'    {_pattern(pattern)}) options="{" ".join(options)}" words="{" ".join(words)}"{flag} ;;'
    yield "  esac"
    yield '  if [[ "$word" == -* ]]; then'
    yield '    COMPREPLY=($(compgen -W "$options" -- "$word"))'
    yield "  else"
    yield '    COMPREPLY=($(compgen -W "$words" -- "$word"))'
    yield '    [[ -n "$files" ]] && COMPREPLY+=($(compgen -f -- "$word"))'
    yield "  fi"
    yield "  return 0"
    yield "}"
    yield f"complete -o filenames -F _trading_engine {NAME}"


def _zsh(start: str) -> Iterator[str]:
    yield f'# zsh completion of the trading engine. Use, after compinit: eval "$({start} completion zsh)"'
    yield f'{NAME}() {{ {start} "$@" }}'
    yield "_trading_engine() {"
    yield '  local plain="" n'
    yield "  for ((n = 2; n < CURRENT; n++)); do"
    yield '    case "${words[n]}" in'
    yield f"      ({_with_value()}) ((n++)) ;;"
    yield "      (-*) ;;"
    yield '      (*) plain="${plain:+$plain }${words[n]}" ;;'
    yield "    esac"
    yield "  done"
    yield '  case "${words[CURRENT-1]}" in'
    yield f"    ({'|'.join(_valued(files=True))}) _files; return ;;"
    for name, choices in CHOICES.items():
        yield f"    ({name}) compadd -- {' '.join(choices)}; return ;;"
    yield f"    ({'|'.join(_valued(files=False))}) return ;;"
    yield "  esac"
    yield "  local -a found named; local files=''"
    yield '  case "$plain" in'
    for pattern, options, words, files in _cases():
        flag = " files=yes" if files else ""
        yield f"    ({_pattern(pattern)}) found=({' '.join(options)}) named=({' '.join(words)}){flag} ;;"
    yield "  esac"
    yield '  if [[ "${words[CURRENT]}" == -* ]]; then'
    yield "    compadd -- $found"
    yield "  else"
    yield "    compadd -- $named"
    yield '    [[ -n "$files" ]] && _files'
    yield "  fi"
    yield "}"
    yield f"compdef _trading_engine {NAME}"


def _pattern(words: str) -> str:
    """Return a shell pattern for the plain words: where an argument follows, it may stand there already."""
    return f'"{words}"' if not words else f'"{words}"|"{words} "*'


def _fish(start: str) -> Iterator[str]:
    yield f"# fish completion of the trading engine. Use: {start} completion fish | source"
    yield f"function {NAME}; {start} $argv; end"
    yield "function __trading_engine_at"
    yield "  set -l plain; set -l skip 0"
    yield "  for word in (commandline -opc)[2..-1]"
    yield "    if test $skip = 1; set skip 0; continue; end"
    yield "    switch $word"
    yield f"      case {' '.join(_with_value().split('|'))}"
    yield "        set skip 1"
    yield "      case '-*'"
    yield "      case '*'"
    yield "        set plain $plain $word"
    yield "    end"
    yield "  end"
    yield "  set -l wanted (count $argv)"
    yield "  if test $wanted = 0; test (count $plain) = 0; return; end"
    yield '  test (count $plain) -ge $wanted; and test "$plain[1..$wanted]" = "$argv"'
    yield "end"
    yield f"complete -c {NAME} -f"
    for place in places():
        at = " ".join(("__trading_engine_at", *place))
        deeper = [parts[-1] for parts in places() if len(parts) == len(place) + 1 and parts[:-1] == place]
        condition = at + "".join(
            f"; and not __trading_engine_at {' '.join((*place, word))}" for word in deeper if place
        )
        for word in words_at(place):
            yield f"complete -c {NAME} -n {_quoted(condition)} -a {word} -d {_quoted(_about((*place, word)))}"
        if takes_file(place):
            yield f"complete -c {NAME} -n {_quoted(condition)} -F"
        for name in options_at(place):
            yield f"complete -c {NAME} -n {_quoted(condition)} -l {name[2:]}{_fish_value(name)}"


def _fish_value(name: str) -> str:
    option = OPTIONS.get(name)
    if option is None:
        return ""
    about = f" -d {_quoted(option.help)}"
    if option.kind is Kind.FLAG:
        return about
    if name in CHOICES:
        return f" -x -a {_quoted(' '.join(CHOICES[name]))}{about}"
    return f" -r -F{about}" if name in _valued(files=True) else f" -x{about}"


def _about(parts: Iterable[str]) -> str:
    words = " ".join(parts)
    command = COMMANDS.get(words) or COMMANDS.get(ALIASES.get(words, ""))
    return OWN_LINES.get(words, "") if command is None else command.help


def _quoted(text: str) -> str:
    """Return `text` in fish's single quotes, where only the quote and the backslash mean something."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
