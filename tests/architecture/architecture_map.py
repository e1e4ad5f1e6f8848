"""The map in docs/architecture.md, from the rooms themselves.

Rewrite it with ``python tests/architecture/architecture_map.py``.

A room says in the first line of its ``__init__`` what it holds; what it imports is what its modules import.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from architecture_rules import ABOVE_FLAT, LINE_BUDGETS, PACKAGE, ROOMS, Source, imports

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
START, END = "<!-- map -->\n", "<!-- /map -->\n"
DRAWING, DRAWN = "<!-- drawing -->\n", "<!-- /drawing -->\n"


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
    used = _measured()
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


def drawing() -> str:
    """Return the rooms by height: a room stands one floor above the highest that its modules import."""
    used = _measured()
    floors: dict[str, int] = {}
    for room in ROOMS:  # from the lowest: nothing is imported from above
        floors[room] = 1 + max((floors[below] for below in used[room]), default=-1)
    lines = []
    for floor in range(max(floors.values()), -1, -1):
        rooms = [room for room in ROOMS if floors[room] == floor]
        told = "   ".join(f"{room}/ ({len(used[room])})" for room in rooms)
        lines.append(f"{floor:>2}  {told}" + ("   above the flat modules" if ABOVE_FLAT in rooms else ""))
    return "```text\n" + "\n".join(lines) + "\n```\n"


def _measured() -> dict[str, set[str]]:
    paths = sorted((ROOT / PACKAGE).rglob("*.py"))
    return arrows(Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths)


def written(page: str, start: str = START, end: str = END) -> str:
    """Return what `page` holds between two marks: the map, as they are when left out."""
    return page.partition(start)[2].partition(end)[0]


def rewritten(page: str) -> str:
    """Return `page` with the map and the drawing as the rooms are now."""
    for start, end, made in ((START, END, table()), (DRAWING, DRAWN, drawing())):
        head, _, rest = page.partition(start)
        page = head + start + made + end + rest.partition(end)[2]
    return page


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
