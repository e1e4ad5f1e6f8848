"""Run the tests nearest to what has changed since the main branch: `python tools/quick_tests.py [--seconds N] [BASE]`.

Nearest are the changed tests, those that import a changed module themselves, and those of the architecture. They run
until the seconds are used up, unit tests first; what did not get its turn is told, and `make test` has it all. The
seconds count from the start of this program: imports and the collection of tests are part of what one waits for. A test
that is still running some seconds later is interrupted, and told: under a minute means under a minute.
"""

from __future__ import annotations

import argparse
import ast
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

BEGAN = time.monotonic()  # before pytest and its plugins are imported

import pytest  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 40.0
GRACE = 10.0  # seconds more for the test that is running when they are up
ALWAYS = tuple(f"tests/architecture/test_architecture_{name}.py" for name in ("imports", "map", "docstrings"))
ORDER = ("architecture", "unit", "property", "contract", "parity", "integration")  # from quick to slow
LEFT_OUT = "not slow and not real"
WITHOUT_TESTS = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


class Budget:
    """Ends a run of pytest once its seconds, counted from `began`, are used up; a running test gets `grace` more."""

    def __init__(self, seconds: float, began: float, grace: float = GRACE) -> None:
        self.until = began + seconds
        self.end = self.until + grace
        self.ran = 0
        self.selected = 0
        self.is_spent = False
        self.has_failed = False
        self.running = ""
        self.cut_short = ""  # the test that was interrupted

    def pytest_sessionstart(self) -> None:
        """Set the end that even a running test does not outlast."""
        self._timer = threading.Timer(max(0.0, self.end - time.monotonic()), self.interrupt)
        self._timer.daemon = True
        self._timer.start()

    def pytest_sessionfinish(self) -> None:
        """Take that end away."""
        self._timer.cancel()

    def interrupt(self) -> None:
        """End the run at once, whatever runs."""
        self.is_spent, self.cut_short = True, self.running
        os.kill(os.getpid(), signal.SIGINT)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Remember which test runs."""
        self.running = nodeid

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count what was selected."""
        self.selected = len(session.items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember a failure: a run that ends early has another exit code."""
        self.has_failed = self.has_failed or report.failed

    def pytest_runtest_logfinish(self) -> None:
        """Count what ran."""
        self.ran += 1

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """Let no other test begin when the time is up."""
        if nextitem is not None and time.monotonic() > self.until:
            self.is_spent = True
            item.session.shouldstop = "the time is up"


def main(words: list[str]) -> int:
    """Run the tests and return the exit code: 0 also when the time was up before all had their turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", nargs="?", help="what to compare with; where main and this branch parted when left out")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"time for tests ({SECONDS:g})")
    given = parser.parse_args(words)
    changed = changed_files(given.base or parting())
    chosen = nearest(changed)
    print(f"{len(changed)} files changed since {given.base or 'main'}: {len(chosen)} files of tests", flush=True)
    budget = Budget(given.seconds, BEGAN)
    code = pytest.main(["-m", LEFT_OUT, "--maxfail", "5", *ALWAYS, *chosen], plugins=[budget])
    if budget.is_spent:
        print(f"\n{given.seconds:g} s are up: {budget.ran} of {budget.selected} tests ran; `make test` runs all")
    if budget.cut_short:
        print(f"interrupted, since it took too long: {budget.cut_short}")
    return int(failed(code, budget))


def failed(code: int, budget: Budget) -> bool:
    """Return whether a run is to be told as failed; one that ran out of time is not, unless a test failed before."""
    if budget.is_spent and code == pytest.ExitCode.INTERRUPTED:
        return budget.has_failed
    return code not in WITHOUT_TESTS


def git(*words: str) -> list[str]:
    """Return the lines that git says, none when it cannot."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    return done.stdout.splitlines() if done.returncode == 0 else []


def parting() -> str:
    """Return the commit where this branch left main; on main itself, the commit before the last."""
    for main_branch in ("origin/main", "main"):
        found = git("merge-base", "HEAD", main_branch)
        if found and found != git("rev-parse", "HEAD"):
            return found[0]
    return "HEAD~1"


def changed_files(base: str) -> list[str]:
    """Return the Python files that differ from `base`, committed or not, and the new ones."""
    names = [*git("diff", "--name-only", base), *git("ls-files", "--others", "--exclude-standard")]
    return sorted({name for name in names if name.endswith(".py")})


def nearest(changed: Iterable[str]) -> list[str]:
    """Return the files of tests that are in `changed` or import a module of it, from quick to slow kinds."""
    wanted = set(changed)
    modules = set().union(*map(names_of, wanted))
    tests = [path for path in ROOT.glob("tests/*/test_*.py") if str(path.relative_to(ROOT)) not in ALWAYS]
    near = [path for path in tests if str(path.relative_to(ROOT)) in wanted or not modules.isdisjoint(imports(path))]
    return [str(path.relative_to(ROOT)) for path in sorted(near, key=lambda path: (rank(path), path))]


def names_of(name: str) -> set[str]:
    """Return what a file is imported as: by its dotted name, and what stands beside tests by its bare name, too."""
    path = Path(name).with_suffix("")
    parts = path.parts[:-1] if path.name == "__init__" else path.parts
    return {".".join(parts), *(parts[-1:] if parts[:1] == ("tests",) else ())}


@cache
def imports(path: Path) -> frozenset[str]:
    """Return the modules that a file imports itself, `from a import b` as a and as a.b."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return frozenset(found)


def rank(path: Path) -> int:
    """Return how slow a kind of tests is."""
    kind = path.parent.name
    return ORDER.index(kind) if kind in ORDER else len(ORDER)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
