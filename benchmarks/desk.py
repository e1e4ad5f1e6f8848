"""How long each screen of the desk takes with 20 accounts of ten years: python benchmarks/desk.py [--accounts N]

Made-up lives (tests/integration/report_world.py), one request after another, in the process of the benchmark: what a
browser adds is the network. The first look at a run draws its page, which is then kept; both are told.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "integration")]

import report_world  # noqa: E402 - found by the line above
from starlette.testclient import TestClient  # noqa: E402

from trading_platform.configuration.environment import load_settings  # noqa: E402
from trading_platform.desk.access import Access  # noqa: E402
from trading_platform.desk.application import Setup, create_application  # noqa: E402
from trading_platform.desk.place import Desk, without_keys  # noqa: E402
from trading_platform.market_data.calendar import NyseCalendar  # noqa: E402

LIMIT = 0.3  # seconds
LOOKS = 5
SESSIONS = 2520


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=20)
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "desk.db"
        begun = time.perf_counter()
        plans = [
            report_world.Plan(
                mode="alpaca_paper",
                account=f"PA-{n:02d}",
                status="running",
                seed=n,
                sessions=options.sessions,
                first=date(2013, 1, 2),
            )
            for n in range(options.accounts)
        ]
        report_world.build(
            path,
            *plans,
            report_world.Plan(sessions=options.sessions),
            report_world.Plan(seed=99, sessions=options.sessions),
        )
        with sqlite3.connect(path) as connection:  # its orders wait for ever: a life's last session has open ones
            connection.execute(
                "UPDATE orders SET status = 'filled' WHERE decided_session < "
                "(SELECT last_session FROM runs WHERE runs.id = orders.run_id)"
            )
        connection.close()
        size = path.stat().st_size / 1e6
        seconds = time.perf_counter() - begun
        print(f"{options.accounts} accounts of {options.sessions} sessions, {size:.0f} MB, made in {seconds:.0f} s")
        return measure(path, options.accounts)


def measure(path: Path, accounts: int) -> int:
    settings = without_keys(load_settings({}, None))
    now = datetime(2023, 1, 3, 22, tzinfo=UTC)
    desk = Desk(str(path), None, settings, path.parent / "rl_models", lambda: now, calendar=NyseCalendar())
    access = Access((), time.monotonic)
    browser = TestClient(create_application(desk, access, Setup()), base_url="http://127.0.0.1:8765")
    browser.get(f"/enter?token={access.new_link('benchmark')}")
    replay = accounts + 1
    screens = [
        "/",
        "/accounts/3",
        "/accounts/3/risk",
        "/accounts/3/day",
        "/accounts/3/strategies",
        "/accounts/3/journal",
        "/accounts/3/journal?q=T001",
        "/accounts/3/settings",
        "/runs",
        f"/runs/{replay}",
        f"/compare?run={replay}&run={replay + 1}",
        "/allocator",
        "/health",
        "/accounts/3?page=1",
    ]
    slow = 0
    for screen in screens:
        times = []
        for _ in range(LOOKS + 1):
            begun, cpu = time.perf_counter(), time.process_time()
            answer = browser.get(screen)
            times.append((time.perf_counter() - begun, time.process_time() - cpu))
            if answer.status_code != 200:
                raise SystemExit(f"{screen} answers {answer.status_code}")
        first, later = times[0], times[1:]
        wall, cpu = median(t[0] for t in later), median(t[1] for t in later)
        slow += cpu > LIMIT
        told = f"{1000 * wall:7.0f} ms  processor {1000 * cpu:6.0f} ms  first {1000 * first[0]:7.0f} ms"
        print(f"{screen:32} {told}  {len(answer.content) / 1000:7.0f} kB")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
