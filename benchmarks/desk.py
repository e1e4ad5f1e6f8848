"""How long each screen of the desk takes with 20 accounts of ten years: python benchmarks/desk.py [--accounts N]

With --postgres the accounts are in a PostgreSQL server of the benchmark's own; `status --all` is timed beside them.
Made-up lives (tests/integration/report_world.py), one request after another, in the process of the benchmark: what a
browser adds is the network. The first look at a run draws its page, which is then kept; both are told.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack, redirect_stdout
from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "integration")]

import report_world  # noqa: E402 - found by the line above
from sqlalchemy import text  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402

from tests.postgres_server import postgres_server  # noqa: E402
from trading_platform.configuration.environment import load_settings  # noqa: E402
from trading_platform.desk.access import Access  # noqa: E402
from trading_platform.desk.application import Setup, create_application  # noqa: E402
from trading_platform.desk.place import Desk, without_keys  # noqa: E402
from trading_platform.market_data.calendar import NyseCalendar  # noqa: E402
from trading_platform.operations.commands import Place, status  # noqa: E402
from trading_platform.storage.database import open_database  # noqa: E402
from trading_platform.storage.run_targets import Target  # noqa: E402

LIMIT = 0.3  # seconds
LOOKS = 5
SESSIONS = 2520


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=20)
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--looks", type=int, default=LOOKS)
    options = parser.parse_args()
    with TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "desk.db"
        url = stack.enter_context(postgres_server()).new_database() if options.postgres else str(path)
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
            url,
            *plans,
            report_world.Plan(sessions=options.sessions),
            report_world.Plan(seed=99, sessions=options.sessions),
        )
        close_orders(url)
        size = "PostgreSQL" if options.postgres else f"{path.stat().st_size / 1e6:.0f} MB"
        seconds = time.perf_counter() - begun
        print(f"{options.accounts} accounts of {options.sessions} sessions, {size}, made in {seconds:.0f} s")
        return measure(url, Path(folder), options.accounts, options.looks)


def close_orders(url: str) -> None:
    """Fill what waits: the orders of such a life wait for ever, where a life's last session has a few open ones."""
    engine = open_database(url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE orders SET status = 'filled' WHERE decided_session < "
                "(SELECT last_session FROM runs WHERE runs.id = orders.run_id)"
            )
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))  # as a server does by itself after some minutes
    engine.dispose()


def measure(url: str, folder: Path, accounts: int, looks: int) -> int:
    settings = without_keys(load_settings({"TRADING_CACHE_DIR": str(folder)}, None))
    now = datetime(2023, 1, 3, 22, tzinfo=UTC)
    desk = Desk(url, None, settings, folder / "rl_models", lambda: now, calendar=NyseCalendar())
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
        for _ in range(looks + 1):
            begun, cpu = time.perf_counter(), time.process_time()
            answer = browser.get(screen)
            times.append((time.perf_counter() - begun, time.process_time() - cpu))
            if answer.status_code != 200:
                print(f"{screen:32} answers {answer.status_code}")
                break
        if len(times) <= 1:
            slow += 1
            continue
        first, later = times[0], times[1:]
        wall, cpu = median(t[0] for t in later), median(t[1] for t in later)
        slow += cpu > LIMIT
        told = f"{1000 * wall:7.0f} ms  processor {1000 * cpu:6.0f} ms  first {1000 * first[0]:7.0f} ms"
        print(f"{screen:32} {told}  {len(answer.content) / 1000:7.0f} kB")
    slow += time_status(url, now, looks) > LIMIT
    return 1 if slow else 0


def time_status(url: str, now: datetime, looks: int) -> float:
    """Time `status --all` in this process, which has imported what it needs; return its processor seconds."""
    times = []
    for _ in range(looks + 1):
        begun, cpu = time.perf_counter(), time.process_time()
        with redirect_stdout(StringIO()) as said:
            status(Place(url, None), Target(everything=True), as_json=False)
        times.append((time.perf_counter() - begun, time.process_time() - cpu))
    wall, cpu = median(t[0] for t in times[1:]), median(t[1] for t in times[1:])
    size = len(said.getvalue()) / 1000
    print(f"{'status --all':32} {1000 * wall:7.0f} ms  processor {1000 * cpu:6.0f} ms  {size:26.0f} kB")
    return cpu


if __name__ == "__main__":
    sys.exit(main())
