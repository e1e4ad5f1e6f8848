"""Write what follows from the code: the limits in trading.example.toml, and the pages of docs/reference.

python tools/docs_reference.py          writes them
python tools/docs_reference.py --check  says which are out of date, exit 1
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from risk_config import RiskConfig  # noqa: E402
from risk_manager import RiskManager  # noqa: E402
from rl_environment import TradingAllocEnv  # noqa: E402
from rl_strategy_allocator import RLStrategyAllocator  # noqa: E402
from trading_platform import api  # noqa: E402
from trading_platform.core.risk.limits import RiskSettings, total_drawdown_pct  # noqa: E402
from trading_platform.runtime.command_table import COMMANDS, OPTIONS  # noqa: E402
from trading_platform.training.in_python import Training  # noqa: E402

REFERENCE = ROOT / "docs" / "reference"
EXAMPLE = ROOT / "trading.example.toml"
LIMITS_AFTER, LIMITS_BEFORE = '#profile = "conservative"\n', "\n[costs]\n"  # where the limits stand in it
MADE = "<!-- Made by tools/docs_reference.py: edit the code, then run it. -->\n\n"
FACES: tuple[tuple[type, str], ...] = (
    (RiskManager, "risk_manager"),
    (RiskConfig, "risk_config"),
    (RLStrategyAllocator, "rl_strategy_allocator"),
    (TradingAllocEnv, "rl_environment"),
)


def commands_page() -> str:
    """Return the page of commands and options."""
    rows = [
        "# Commands",
        "",
        "`python autonomous_trading_engine.py COMMAND`; as a package, `trading-engine COMMAND`.",
        "",
    ]
    rows += ["An option means the same everywhere. What a command does not name is refused, never ignored.", ""]
    for command in COMMANDS.values():
        words = " ".join(part for part in (command.words, command.subject) if part) or "(no command)"
        rows += [f"## {words}", "", command.help, ""]
        rows += ["Options: " + ", ".join(f"`{name}`" for name in command.options) + ".", ""] if command.options else []
    rows += ["## Options", "", "| option | |", "|---|---|"]
    for option in OPTIONS.values():
        shown = f"{option.name} {option.value}".strip()
        rows.append(
            f"| `{shown}` | {option.help.replace('|', '&#124;')}{' May be repeated.' if option.repeats else ''} |"
        )
    return "\n".join(rows) + "\n"


def example() -> str:
    """Return the example of settings, with every limit of `RiskSettings` as its docstring tells it."""
    head, after, rest = EXAMPLE.read_text(encoding="utf-8").partition(LIMITS_AFTER)
    _, before, tail = rest.partition(LIMITS_BEFORE)
    return head + after + "".join(f"{line}\n" for line in limit_lines()) + before + tail


def limit_lines() -> Iterator[str]:
    """Yield the lines of the limits: a heading above each group, an explanation above each setting with its default."""
    defaults = RiskConfig().to_dict()
    defaults["max_total_drawdown_pct"] = total_drawdown_pct(defaults)
    for heading, rows in limit_groups():
        yield from ("#", f"# {heading}.")
        for names, told in rows:
            yield from textwrap.wrap(f"{told[0].upper()}{told[1:]}.", 120, initial_indent="# ", subsequent_indent="# ")
            yield from (f"#{name} = {json.dumps(defaults[name])}" for name in names)


def limit_groups() -> list[tuple[str, list[tuple[list[str], str]]]]:
    """Return the groups of `RiskSettings`' docstring: heading, and its rows of (settings, what is said of them)."""
    groups: list[tuple[str, list[tuple[list[str], str]]]] = []
    for line in inspect.cleandoc(RiskSettings.__doc__ or "").splitlines()[2:]:
        if not line.startswith(" "):
            groups.append((line, []))
        elif row := re.fullmatch(r" {4}(\w+(?:, \w+)*)  +(\S.*)", line):
            groups[-1][1].append((row[1].split(", "), row[2]))
        else:
            names, told = groups[-1][1].pop()
            groups[-1][1].append((names, f"{told} {line.strip()}"))
    return groups


def settings_page() -> str:
    """Return the page of settings: the example file, which the suite holds to the settings that exist."""
    text = example()
    return f"# Settings\n\n`trading.example.toml`, whole. Copy it to `trading.toml`.\n\n```toml\n{text}```\n"


def python_page() -> str:
    """Return the page of what notebooks and scripts import."""
    rows = ["# Python", "", "## trading_platform.api", "", fenced(api.__doc__)]
    for name in ("load", "backtest", "evaluate", "train"):
        rows += entry(getattr(api, name), 3)
    values: tuple[type, ...] = (api.Market, api.Result, api.Evaluation, Training)
    for kind in values:
        rows += entry(kind, 3)
    for kind, module in FACES:
        rows += [f"## {kind.__name__}", "", f"`from {module} import {kind.__name__}`", "", fenced(kind.__doc__)]
        for name, member in vars(kind).items():
            if isinstance(member, FunctionType) and not name.startswith("_"):
                rows += entry(member, 3)
    return "\n".join(rows) + "\n"


def entry(member: object, level: int) -> list[str]:
    """Return heading, signature and docstring of a function or class."""
    name = getattr(member, "__name__", "")
    signature = f"{name}{inspect.signature(member)}" if callable(member) else name
    return [f"{'#' * level} {name}", "", fenced(signature.replace("'", ""), "python"), fenced(inspect.getdoc(member))]


def fenced(text: str | None, language: str = "text") -> str:
    """Return `text` as a block that Markdown leaves alone."""
    return f"```{language}\n{inspect.cleandoc(text or '').rstrip()}\n```\n"


def pages() -> dict[Path, str]:
    """Return file -> text."""
    made = {"commands.md": commands_page(), "settings.md": settings_page(), "api.md": python_page()}
    return {EXAMPLE: example(), **{REFERENCE / name: MADE + text for name, text in made.items()}}


def main() -> int:
    """Write the files, or compare them."""
    stale = []
    for file, text in pages().items():
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        stale.append(file.name)
        if "--check" not in sys.argv:
            REFERENCE.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    if "--check" in sys.argv and stale:
        print(f"out of date: {', '.join(stale)}; run python tools/docs_reference.py")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
