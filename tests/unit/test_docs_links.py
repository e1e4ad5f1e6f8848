"""Links inside the documentation and the README lead somewhere, and the pages made from code are up to date."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
NAMED = re.compile(r"`(?P<file>docs/[\w./-]+\.\w+)`")


def anchors_of(text: str) -> set[str]:
    """Return the anchors of a page's headings, as sites and GitHub make them."""
    headings = re.findall(r"^#+\s+(.+?)\s*$", text, re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()) for heading in headings)
    return {word.strip().replace(" ", "-") for word in words}


def dead_links(page: Path) -> Iterator[str]:
    """Yield the links of `page`, and the files that it names, that are not there."""
    text = page.read_text(encoding="utf-8")
    for found in LINK.finditer(text):
        target, _, anchor = found["target"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = page if not target else (page.parent / target).resolve()
        if not file.exists() or (anchor and anchor not in anchors_of(file.read_text(encoding="utf-8"))):
            yield found["target"]
    for named in NAMED.finditer(text):
        if not (ROOT / named["file"]).exists():
            yield named["file"]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    assert list(dead_links(page)) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One\n[a](#one) [b](#two) [c](none.md) [d](https://example.org) `docs/none.md`\n")
    assert list(dead_links(page)) == ["#two", "none.md", "docs/none.md"]


def test_reference_pages_follow_the_code() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "docs_reference.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
