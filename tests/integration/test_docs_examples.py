"""Every command and snippet of the start page and the tutorials does what the page shows."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from docs_examples import ROOT, Block, Reader, blocks_of, first_missing, shown_in

DOCS = ROOT / "docs"
PAGES = [DOCS / "index.md", *sorted((DOCS / "tutorials").glob("*.md"))]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.real
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_page_does_what_it_shows(page: Path, tmp_path: Path) -> None:
    reader, followed = Reader(tmp_path, free_port()), 0
    try:
        for block in blocks_of(page.read_text(encoding="utf-8")):
            reader.follow(block)
            followed += block.language == "console" or block.title != ""
    finally:
        reader.close()
    assert followed > 0 or "python" in {block.language for block in blocks_of(page.read_text(encoding="utf-8"))}


def test_output_is_held_to_its_lines_in_order() -> None:
    printed = "one\ntwo, or 2.5 %\nthree\n"
    assert first_missing(("one", "three"), printed) is None
    assert first_missing(("two, or ... %", "...", "three"), printed) is None
    assert first_missing(("three", "one"), printed) == "one"
    assert first_missing(("tw",), printed) == "tw"


def test_blocks_are_found_with_their_files_and_exit_codes() -> None:
    page = 'a\n```python title="x.py"\npass\n```\nb\n```console\n$ python x.py  # exit 0 or 6\nfine\n...\n```\n'
    file, shown = blocks_of(page)
    assert (file.title, file.body, file.line) == ("x.py", "pass\n", 2)
    [command] = shown_in(shown.body)
    assert (command.command, command.codes, command.lines) == ("python x.py", frozenset({0, 6}), ("fine", "..."))


def test_a_wrong_exit_code_and_a_wrong_line_are_told(tmp_path: Path) -> None:
    reader = Reader(tmp_path, 1)
    reader.follow(Block("python", "x.py", "print('fine')\n", 1))
    reader.follow(Block("console", "", "$ python x.py\nfine\n", 1))
    with pytest.raises(AssertionError, match="did not print: good"):
        reader.follow(Block("console", "", "$ python x.py\ngood\n", 1))
    with pytest.raises(AssertionError, match="ended with 0"):
        reader.follow(Block("console", "", "$ python x.py  # exit 6\n", 1))
