"""The table of codes in docs/risk.md, from `DenialCode`. Rewrite it with ``python -m tests.risk_docs``."""

from __future__ import annotations

from pathlib import Path

from trading_platform.core.risk.denial_codes import DenialCode

PAGE = Path(__file__).parents[1] / "docs" / "risk.md"
START, END = "<!-- codes -->\n", "<!-- /codes -->\n"


def table() -> str:
    """Return the codes as Markdown."""
    rows = [f"| `{code}` | {code.meaning} |" for code in DenialCode if code is not DenialCode.OK]
    return "\n".join(["| code | meaning |", "|---|---|", *rows]) + "\n"


def written(page: str) -> str:
    """Return the table that `page` holds."""
    return page.partition(START)[2].partition(END)[0]


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(START)
    PAGE.write_text(head + START + table() + END + rest.partition(END)[2], encoding="utf-8")
