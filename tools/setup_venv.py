"""Make .venv with what a job needs: `python tools/setup_venv.py core`, `... core train data report`, `... dev`.

Reads the packages from pyproject.toml and installs them at the versions of constraints.txt; with uv where it is found
(seconds), else with pip (a minute or two). Standard library only, since nothing is installed yet.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
KEPT_LINES = 25  # of pip's, shown when it fails
# uv takes torch's CUDA build from the package index (3 GB); pip heeds a local or CPU-only index that a user has set up
ONLY_PIP = ("torch", "stable-baselines3")


def main(groups: list[str]) -> int:
    """Install `groups` into .venv and return the exit code."""
    started = time.monotonic()
    wanted = requirements(groups)
    if not python().exists():
        say(f"making {VENV.name} with Python {sys.version.split()[0]} ({sys.executable})")
        make_venv()
    uv = shutil.which("uv")
    for_pip = [line for line in wanted if uv is None or name_of(line) in ONLY_PIP]
    for_uv = [line for line in wanted if line not in for_pip]
    say(f"installing {', '.join(groups)}: {len(wanted)} packages and what they need, at the tested versions")
    constraints = ["-c", str(ROOT / "constraints.txt")]
    code = 0
    if for_uv:
        assert uv is not None  # noqa: S101 - see `for_pip`
        code = subprocess.call([uv, "pip", "install", "--python", str(python()), *constraints, *for_uv])
        if code != 0:  # uv knows nothing of pip's settings: an index or proxy of the user's own
            say("uv could not; trying pip")
            for_pip, code = wanted, 0
    if for_pip:  # Python compiles what is imported, when it is: less than all of it
        code = run_pip(["install", "--no-compile", "--no-input", "--disable-pip-version-check", *constraints, *for_pip])
    if code != 0:
        say("nothing was started; mend what the lines above name, and run the same command again")
        return 1
    say(f"installed in {time.monotonic() - started:.0f} s")
    return 0


def requirements(groups: Iterable[str]) -> list[str]:
    """Return the requirement lines of `groups`: core, an extra of pyproject.toml, or dev (requirements-dev.txt)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = {"core": project["dependencies"], **project["optional-dependencies"]}
    lines: list[str] = []
    for group in groups:
        if group == "dev":
            lines += [*everything(known), *development()]
        elif group == "all":
            lines += everything(known)
        elif group in known:
            lines += known[group]
        else:
            raise SystemExit(f"error: {group!r} is no group of packages; there are {', '.join([*known, 'dev'])}")
    return list(dict.fromkeys(lines))


def everything(known: dict[str, list[str]]) -> list[str]:
    """Return the lines of all groups, but for the one that only repeats them."""
    return [line for name, lines in known.items() if name != "all" for line in lines]


def development() -> list[str]:
    """Return the lines of requirements-dev.txt that name a package."""
    text = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("-")]


def name_of(line: str) -> str:
    """Return the package that a requirement line names."""
    return re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0]


def python() -> Path:
    """Return the Python of .venv."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def make_venv() -> None:
    """Make .venv; where the system's Python lacks venv's own pip, the one line that cures it is said."""
    code = subprocess.call([sys.executable, "-m", "venv", "--clear", str(VENV)])
    if code != 0:
        raise SystemExit(f"error: {sys.executable} -m venv failed; on Debian or Ubuntu: apt install python3-venv")


def run_pip(words: list[str]) -> int:
    """Run pip and show in one line what it is at, instead of its hundreds; all of them if it fails."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [str(python()), "-m", "pip", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
    ) as pip:
        kept: list[str] = []
        screen = Screen()
        for line in pip.stdout or ():
            kept = [*kept[-KEPT_LINES:], line]
            screen.see(line)
    screen.end()
    if pip.returncode != 0:
        print("".join(kept), file=sys.stderr)
    return pip.returncode


class Screen:
    """One line that is written over on a terminal; elsewhere a line every few seconds."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._since = time.monotonic()
        self._last = 0.0
        self._count = 0
        self._megabytes = 0.0

    def see(self, line: str) -> None:
        """Take one line of pip's."""
        found = re.match(r"\s*(?:Collecting|Downloading|Using cached|Processing) (\S+)(?: \(([\d.]+) (kB|MB)\))?", line)
        if line.startswith("Installing collected packages"):
            self._show(f"unpacking {line.count(',') + 1} packages (the longest step: half a minute or more)", now=True)
        elif found is not None:
            if line.lstrip().startswith("Collecting"):
                self._count += 1
            if found[2] is not None:
                self._megabytes += float(found[2]) / (1.0 if found[3] == "MB" else 1000.0)
            name = re.split(r"[<>=!~\[;]", found[1].rpartition("/")[2], maxsplit=1)[0][:40]
            self._show(f"{self._count} packages, {self._megabytes:.0f} MB: {name}")

    def end(self) -> None:
        """Leave the line."""
        if self._is_terminal:
            print()

    def _show(self, text: str, now: bool = False) -> None:
        seconds = time.monotonic() - self._since
        if self._is_terminal:
            print(f"\r\033[K  {seconds:3.0f} s  {text}"[:78], end="", flush=True)
        elif now or seconds - self._last >= 5.0 or self._last == 0.0:
            self._last = max(seconds, 0.001)
            print(f"  {seconds:3.0f} s  {text}", flush=True)


def say(text: str) -> None:
    """Print a line of this program at once."""
    print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:] or ["core"]))
