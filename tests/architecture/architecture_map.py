"""The map in docs/architecture.md, from the rooms themselves.

Rewrite it with ``python tests/architecture/architecture_map.py``.

A room says in the first line of its ``__init__`` what it holds; what it imports is what its modules import.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from architecture_rules import LINE_BUDGETS, PACKAGE, ROOMS, Source, imports

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
START, END = "<!-- map -->\n", "<!-- /map -->\n"


def purpose(folder: Path) -> str:
    """Return the first line of a package's docstring."""
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def arrows(sources: Iterable[Source]) -> dict[str, set[str]]:
    """Return, for each room, the other rooms that its modules import."""
    found: dict[str, set[str]] = {room: set() for room in ROOMS}
    for source in sources:
        if source.room and not source.path.startswith(f"{PACKAGE}/brokers/alpaca_server/"):
            names = [module.split(".") for _, module, _ in imports(source) if module.startswith(f"{PACKAGE}.")]
            found[source.room] |= {parts[1] for parts in names} - {source.room}
    return found


def table() -> str:
    """Return the rooms, highest first, as Markdown."""
    paths = sorted((ROOT / PACKAGE).rglob("*.py"))
    used = arrows(Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths)
    rows = []
    for room in reversed(ROOMS):
        folder = ROOT / PACKAGE / room
        below = ", ".join(sorted(used[room], key=list(ROOMS).index)) or "nothing"
        rows.append(f"| `{room}/` | {purpose(folder)} | {below} |")
        inner = [path.parent for path in sorted(folder.glob("*/__init__.py"))]
        rows += [f"| `{room}/{part.name}/` | {purpose(part)} | |" for part in inner if purpose(part)]
    flat = ", ".join(f"`{name}`" for name in LINE_BUDGETS)
    rows.insert(1, f"| the flat modules | The public face: {flat}. | the rooms below |")
    return "\n".join(["| room | holds | imports |", "|---|---|---|", *rows]) + "\n"


def written(page: str) -> str:
    """Return the map that `page` holds."""
    return page.partition(START)[2].partition(END)[0]


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(START)
    PAGE.write_text(head + START + table() + END + rest.partition(END)[2], encoding="utf-8")
