"""What the documentation shows, found and carried out: files are written, commands run, and what is printed compared.

In a page, a fenced block ``console`` holds lines ``$ command``, each followed by what it prints; ``...`` stands for
anything, alone on a line for any lines. ``# exit 6`` behind a command is its exit code, ``# exit 0 or 10`` one of two.
A block with ``title="file"`` is that file; a ``python`` block without one runs as a script. Other blocks are text.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(?P<language>\w+)?(?P<more>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
EXIT = re.compile(r"\s+# exit (?P<codes>[\d or]+)$")
SERVER_PORT = "8787"  # as the pages have it; a free one takes its place
SECONDS = 280.0


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: its language ("" if it has none), the file it is, or "", its text, and its line in the page."""

    language: str
    title: str
    body: str
    line: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A command as a page shows it: what may be its exit code, and the lines that it should print."""

    command: str
    codes: frozenset[int]
    lines: tuple[str, ...]


def blocks_of(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    for found in FENCE.finditer(text):
        title = re.search(r'title="([^"]+)"', found["more"])
        line = text.count("\n", 0, found.start()) + 1
        yield Block(found["language"] or "", title[1] if title else "", found["body"], line)


def shown_in(body: str) -> Iterator[Shown]:
    """Yield the commands of a ``console`` block with what the page says that they print."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        first, *lines = part.rstrip("\n").split("\n")
        exit_ = EXIT.search(first)
        codes = frozenset(int(code) for code in exit_["codes"].split(" or ")) if exit_ else frozenset({0})
        yield Shown(EXIT.sub("", first), codes, tuple(lines))


def first_missing(lines: tuple[str, ...], printed: str) -> str | None:
    """Return the first line of a page that was not printed, in its order; None if all were."""
    left = [line.rstrip() for line in printed.splitlines()]
    for line in lines:
        if line.strip() == "...":
            continue
        pattern = re.compile(".*".join(re.escape(piece) for piece in line.rstrip().split("...")) + r"\Z")
        while left and not pattern.match(left[0]):
            left.pop(0)
        if not left:
            return line
        left.pop(0)
    return None


class Reader:
    """Somebody who follows a page in a folder of its own, step by step."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self._port = folder, port
        self._started: list[subprocess.Popen[str]] = []

    def follow(self, block: Block) -> None:
        """Do what `block` shows; an AssertionError says what was different."""
        if block.title:
            file = self.folder / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self._here(block.body), encoding="utf-8")
        elif block.language == "python":
            self._run(Shown(f"python -c {shlex.quote(block.body)}", frozenset({0}), ()))
        elif block.language == "console":
            for shown in shown_in(self._here(block.body)):
                self._step(shown)

    def close(self) -> None:
        """End what was left running."""
        for process in self._started:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=SECONDS)

    def _here(self, text: str) -> str:
        return text.replace(SERVER_PORT, str(self._port))

    def _step(self, shown: Shown) -> None:
        if shown.command.startswith("cd "):
            self.folder = self.folder / shown.command[3:]
        elif shown.command.endswith(" &"):
            self._start(shown)
        else:
            self._run(shown)

    def _start(self, shown: Shown) -> None:
        process = subprocess.Popen(
            self._words(shown.command[:-2]),
            cwd=self.folder,
            env=self._environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._started.append(process)
        assert process.stdout is not None
        printed = "".join(process.stdout.readline() for _ in shown.lines)
        missing = first_missing(shown.lines, printed)
        assert missing is None, f"$ {shown.command}\ndid not print: {missing}\nbut:\n{printed}"

    def _run(self, shown: Shown) -> None:
        done = subprocess.run(
            self._words(shown.command),
            cwd=self.folder,
            env=self._environment(),
            text=True,
            timeout=SECONDS,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert done.returncode in shown.codes, f"$ {shown.command}\nended with {done.returncode}:\n{done.stdout}"
        missing = first_missing(shown.lines, done.stdout)
        assert missing is None, f"$ {shown.command}\ndid not print: {missing}\nbut:\n{done.stdout}"

    def _words(self, command: str) -> list[str]:
        words = shlex.split(command)
        assert words[0] == "python", f"{command}: pages begin commands with python, as in a checkout"
        script = ROOT / words[1] if len(words) > 1 and (ROOT / words[1]).is_file() else Path(words[1])
        return [sys.executable, str(script), *words[2:]]

    def _environment(self) -> dict[str, str]:
        own = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
        return {**own, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
