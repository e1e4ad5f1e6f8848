"""TOML tables to settings classes, with the file and line of every mistake."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trading_platform.configuration.settings_text import decode_settings
from trading_platform.core import validation
from trading_platform.core.errors import FixConfigError
from trading_platform.core.validation import InvalidSettingsError


def line_numbers(text: str) -> dict[str, int]:
    """Return the line on which each table and key of a TOML text stands, by dotted name."""
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\s*([\w.\-]+)\s*\]", line):
            table = header[1] + "."
            found.setdefault(header[1], number)
        elif key := re.match(r"\s*([\w.\-]+)\s*=", line):
            found.setdefault(table + key[1], number)
    return found


def apply_overrides(document: dict[str, object], overrides: Mapping[str, object]) -> list[str]:
    """Write dotted `overrides` into `document`; return problems of names that lead nowhere."""
    problems = []
    for dotted, value in overrides.items():
        *parents, key = dotted.split(".")
        table = document
        for parent in parents:
            below = table.setdefault(parent, {})
            table = below if isinstance(below, dict) else {}
        if not parents:
            problems.append(f"{dotted} is no setting: name its table, as in engine.seed")
        else:
            table[key] = list(value) if isinstance(value, tuple) else value
    return problems


def read_fields(cls: type[Any], table: Mapping[str, object]) -> tuple[object, list[str]]:
    """Return (`cls` made of `table`, or None; problems, each beginning with the key's name)."""
    hints = validation.type_hints(cls)
    values: dict[str, object] = {}
    problems = []
    for key, value in table.items():
        if key not in hints:
            problems.append(f"{key} is no setting{validation.did_you_mean(key, hints)}")
            continue
        try:
            values[key] = validation.checked(value, hints[key])
        except ValueError as problem:
            problems.append(f"{key} {problem}")
    try:
        return cls(**values), problems
    except FixConfigError as error:
        return None, [*problems, *problem_lines(error)]


def problem_lines(error: FixConfigError) -> list[str]:
    """Return one line for each problem in `error`, beginning with the key's name and not the table's."""
    lines = error.problems if isinstance(error, InvalidSettingsError) else str(error).split("; ")
    return [re.sub(r"^(costs|exits)\.", "", line) for line in lines]


def json_problem(value: object) -> str:
    """Return what is wrong with a value that could not be stored as JSON, or nothing."""
    if isinstance(value, dict):
        return next((f"holds {key}, which {text}" for key, item in value.items() if (text := json_problem(item))), "")
    if isinstance(value, list):
        return next((text for item in value if (text := json_problem(item))), "")
    if isinstance(value, float) and not math.isfinite(value):
        return f"must be a finite number, was {value!r}"
    return (
        ""
        if isinstance(value, str | bool | int | float)
        else f"must be a text, number, true, false or list, was {value}"
    )


def located(line: str, path: str | Path | None, lines: Mapping[str, int], overrides: Mapping[str, object]) -> str:
    """Return `line` with the place where the setting that it begins with was written.

    A setting that stands at its default is written nowhere; where it contradicts one that is, the place is that one's.
    """
    name = line.partition(" ")[0].rstrip(":")
    from_command_line = any(given == name or given.startswith(f"{name}.") for given in overrides)
    if path is None or (from_command_line and (name in overrides or name not in lines)):
        return line
    if " against " in line and name not in lines and (other := _written_beside(name, line, lines)):
        return f"{path}:{lines[other]}: {line} ({name.rpartition('.')[2]} is not set, that is its default)"
    while name and name not in lines:
        name = name.rpartition(".")[0]
    return f"{path}:{lines[name]}: {line}" if name else f"{path}: {line}"


def _written_beside(name: str, line: str, lines: Mapping[str, int]) -> str:
    """Return the setting of the same table that `line` speaks of and that was written; nothing if there is none."""
    table = name.rpartition(".")[0]
    words = (f"{table}.{word}" for word in re.findall(r"[a-z]\w+", line.partition(" ")[2]))
    return next((word for word in words if word in lines), "") if table else ""


def read_toml(path: Path) -> dict[str, object]:
    """Return the tables of a TOML file.

    Raises:
        FixConfigError: the file is missing, unreadable, or not TOML; the message names file and line.
    """
    text = read_settings_text(path)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FixConfigError(f"{path}: is not TOML: {error}{_cure(text, str(error))}") from error


def read_settings_text(path: Path) -> str:
    """Return the text of a settings file: UTF-8, with or without the mark that Notepad begins with, or UTF-16.

    Raises:
        FixConfigError: the file is missing, unreadable, or in another encoding.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FixConfigError(f"{path}: cannot be read ({error.strerror}): check path and permissions") from error
    try:
        return decode_settings(data)
    except UnicodeDecodeError as error:
        raise FixConfigError(f"{path}: is not UTF-8 text (byte {error.start}): save it as UTF-8") from error


def _cure(text: str, fault: str) -> str:
    """Return what to do about a line with a Windows path in double quotes, where a backslash means something else."""
    line = re.search(r"line (\d+)", fault)
    lines = text.splitlines()
    if line is None or int(line[1]) > len(lines):
        return ""
    written = lines[int(line[1]) - 1]
    if '"' not in written or "\\" not in written:
        return ""
    key, _, value = written.partition("=")
    plain = value.strip().strip('"')
    return (
        f": a backslash in double quotes begins a special sign; write {key.strip()} = '{plain}' in single quotes, "
        f'or with slashes: "{plain.replace(chr(92), "/")}"'
    )
