"""The desk in a real Chromium: each screen wide and narrow, light and dark, for everybody, by keyboard alone.

Needs playwright, a Chromium (Debian's /usr/bin/chromium, or CHROMIUM) and axe-core (`npm install`, or AXE_CORE).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from desk_world import PAPER, REAL, REPLAY, world
from operator_world import environment
from test_desk_consent import hold
from test_desk_screens import add_fill

from trading_platform.storage import models as m
from trading_platform.storage.database import open_database

ROOT = Path(__file__).parents[2]
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
AXE = Path(os.environ.get("AXE_CORE", str(ROOT / "node_modules" / "axe-core" / "axe.min.js")))
PORT = 8791
PATIENCE = 120.0
SCREENS = (
    "/",
    f"/accounts/{REAL}",
    f"/accounts/{REAL}/answer",
    f"/accounts/{REAL}/risk",
    f"/accounts/{REAL}/day",
    f"/accounts/{REAL}/strategies",
    f"/accounts/{REAL}/journal?q=T0",
    f"/accounts/{REAL}/settings",
    "/runs",
    f"/runs/{REPLAY}",
    f"/compare?run={REPLAY}&run={REPLAY + 1}",
    "/allocator",
    "/health",
    "/api",
    "/accounts/99",
)
SERIOUS = ("serious", "critical")

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"no Chromium at {CHROMIUM}"),
    pytest.mark.skipif(not AXE.is_file(), reason=f"no axe-core at {AXE}"),
]


class Running(NamedTuple):
    """A desk as a process, and a browser that has come in."""

    path: Path
    process: subprocess.Popen[bytes]
    browser: Any
    cookies: list[dict[str, Any]]

    def page(self, width: int, scheme: str) -> tuple[Any, list[str]]:
        """Return an empty page, and the list of what it complains of."""
        context = self.browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.add_cookies(self.cookies)
        page, said = context.new_page(), []
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        return page, said


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    home = tmp_path_factory.mktemp("browser")
    path, said = world(home / "a.db"), home / "desk.out"
    hold(path, REAL, "AAA")
    with said.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "autonomous_trading_engine.py"), "desk", "--db", "a.db", "--port", str(PORT)],
            cwd=home,
            env=environment(home, None) | {"ALPACA_API_KEY": "PKSECRET", "ALPACA_SECRET_KEY": "s3cret"},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + PATIENCE
    while (link := re.search(r"http://\S+token=\S+", said.read_text())) is None:
        assert process.poll() is None, said.read_text()
        assert time.monotonic() < deadline, said.read_text()
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM))
        context = browser.new_context()
        page = context.new_page()
        while True:
            try:
                page.goto(link[0])
                break
            except api.Error:  # not listening yet
                assert time.monotonic() < deadline
        page.wait_for_selector("h1:has-text('Accounts')")
        yield Running(path, process, browser, context.cookies())
        browser.close()
    process.terminate()
    assert process.wait(timeout=20) in (0, -15, 130, 143)  # although a stream was open


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 420])
def test_every_screen_is_for_everybody_and_fits(running: Running, width: int, scheme: str) -> None:
    page, said = running.page(width, scheme)
    found = {}
    for path in SCREENS:
        page.goto(f"http://127.0.0.1:{PORT}{path}")
        page.wait_for_selector("main h1")
        page.evaluate(AXE.read_text(encoding="utf-8"))
        violations = page.evaluate("axe.run().then(result => result.violations)")
        wrong = [f"{v['id']}: {v['nodes'][0]['html']}" for v in violations if v["impact"] in SERIOUS]
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if wrong or overflow > 0:
            found[path] = (wrong, overflow)
    page.context.close()
    assert found == {}
    assert [line for line in said if "404" not in line] == []  # /accounts/99 is asked for on purpose


def test_axe_finds_a_planted_fault(running: Running) -> None:
    page, _ = running.page(1280, "light")
    page.goto(f"http://127.0.0.1:{PORT}/")
    page.evaluate(
        "document.querySelector('main').append(document.createElement('img'), document.createElement('button'))"
    )
    page.evaluate(AXE.read_text(encoding="utf-8"))
    violations = page.evaluate("axe.run().then(result => result.violations)")
    page.context.close()

    assert {v["id"] for v in violations if v["impact"] in SERIOUS} >= {"image-alt", "button-name"}


def test_process_holds_no_key_in_its_environment(running: Running) -> None:
    environ = Path(f"/proc/{running.process.pid}/environ")
    if not environ.is_file():
        pytest.skip("no /proc here")
    content = environ.read_bytes()

    assert b"TRADING_CACHE_DIR" in content
    assert b"PKSECRET" not in content
    assert b"s3cret" not in content


def test_halt_is_asked_by_keyboard_alone(running: Running) -> None:
    page, said = running.page(1280, "light")
    page.goto(f"http://127.0.0.1:{PORT}/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    press_until(page, "document.activeElement.textContent === 'PA-ONE'")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Ask the engine")
    press_until(page, "document.activeElement.getAttribute('href') === '#actions'")
    page.keyboard.press("Enter")
    press_until(page, "document.activeElement.name === 'kind'")
    press_until(page, "document.activeElement.id === 'reason'")
    page.keyboard.type("by keyboard")
    press_until(page, "document.activeElement.classList.contains('primary')")
    page.keyboard.press("Enter")
    page.wait_for_selector("#asked li.open")

    assert "by keyboard" in page.inner_text("#asked")
    assert said == []
    page.context.close()
    engine = open_database(running.path, read_only=True)
    with engine.connect() as connection:
        (row,) = connection.execute(m.Command.__table__.select().where(m.Command.run_id == PAPER))
    assert (row.kind, row.reason) == ("halt", "by keyboard")


def press_until(page: Any, condition: str) -> None:
    for _ in range(120):
        if page.evaluate(condition):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not reach it: {condition}")


def test_fill_comes_to_an_open_page_by_itself_and_only_one_stream_is_open(running: Running) -> None:
    page, said = running.page(1280, "light")
    page.goto(f"http://127.0.0.1:{PORT}/accounts/{REAL}")
    page.wait_for_selector("#pulse.on")
    others = [page.context.new_page() for _ in range(8)]  # more than a browser's connections to one host
    for other in others:
        other.goto(f"http://127.0.0.1:{PORT}/accounts/{REAL}")
        other.wait_for_selector("#pulse.on")

    add_fill(running.path, REAL)
    begun = time.monotonic()
    for one in (page, *others):
        one.wait_for_selector("#fills :text('NEWFILL')", timeout=30_000)
    waited = time.monotonic() - begun

    page.context.close()
    assert said == []
    print(f"nine pages showed the fill after {waited:.2f} s")  # noqa: T201 - a figure for the curious


def test_database_that_is_gone_is_said_and_the_page_comes_back(running: Running) -> None:
    page, _ = running.page(420, "dark")
    away = running.path.with_suffix(".away")
    running.path.rename(away)
    page.goto(f"http://127.0.0.1:{PORT}/runs")
    page.wait_for_selector("text=The database cannot be read")
    away.rename(running.path)
    page.wait_for_selector("h1:has-text('Runs')", timeout=30_000)  # nobody has pressed anything
    page.context.close()
