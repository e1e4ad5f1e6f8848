"""The campaign: simulated quarters, one after another, until enough has befallen the engine; its sum stands in docs.

    PYTHONPATH=.:tests/integration python tests/integration/campaign_run.py --kills 500
    PYTHONPATH=.:tests/integration python tests/integration/campaign_run.py --seed 17     # replays one quarter

Four quarters are a year's sessions, each in an account of its own. The campaign goes on where it stopped: what has
passed is kept in ``docs/campaign.json``, and every call takes the next seeds. A quarter that breaks an invariant keeps
the files of its account, and its seed replays it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from campaign_faults import FAMILIES
from campaign_quarter import QUARTER, live_a_quarter
from crash_world import ROOT, Forge

STATE = ROOT / "docs" / "campaign.json"
PAGE = ROOT / "docs" / "campaign.md"
GOAL = {"kills": 5_000, "faults": 10_000}


def main(words: Sequence[str] | None = None) -> int:
    """Live through quarters; return 0 if none broke, else 1."""
    given = _options(words)
    if given.seed is not None:
        tally = live(given.seed, given.sessions, given.home)
        print(json.dumps(tally, indent=1))  # noqa: T201 - a command
        return 1 if tally["breaches"] else 0
    before = read_state(given.state)
    wanted = sum(quarter["kills_total"] for quarter in before) + given.kills
    first = next_seed(before) if given.first is None else given.first
    with ProcessPoolExecutor(given.jobs) as pool:
        while sum(quarter["kills_total"] for quarter in before) < wanted:
            for tally in pool.map(
                live,
                *zip(*((seed, given.sessions, given.home) for seed in range(first, first + given.jobs)), strict=True),
            ):
                before.append(tally)
                write_state(given.state, given.page, before, datetime.now(UTC))
                print(line_of(tally), flush=True)  # noqa: T201 - a command
            first += given.jobs
    return 1 if any(quarter["breaches"] for quarter in before) else 0


def live(seed: int, sessions: int, home: Path | None) -> dict[str, Any]:
    """Live through the quarter of `seed`; the files of one that breaks are kept."""
    folder = Path(tempfile.mkdtemp(prefix=f"campaign-{seed}-", dir=home))
    with Forge(folder) as forge:
        tally = live_a_quarter(forge, folder / "account", seed, sessions)
    told = tally.as_json()
    if told["breaches"]:
        told["breaches"] = [f"{breach} (files: {folder.name})" for breach in told["breaches"]]
    else:
        _remove(folder)
    return {**told, "kills_total": tally.kills.total(), "faults_total": tally.faults.total()}


def read_state(path: Path) -> list[dict[str, Any]]:
    """Return the quarters so far."""
    if not path.is_file():
        return []
    quarters: list[dict[str, Any]] = json.loads(path.read_text())["quarters"]
    return quarters


def next_seed(quarters: Sequence[dict[str, Any]]) -> int:
    """Return the first seed that no quarter has had."""
    return 1 + max((int(quarter["seed"]) for quarter in quarters), default=0)


def write_state(path: Path, page: Path, quarters: Sequence[dict[str, Any]], now: datetime) -> None:
    """Write all quarters, and the page of their sum."""
    path.write_text(json.dumps({"quarters": list(quarters)}, indent=1) + "\n")
    page.write_text(page_of(quarters, now))


def line_of(quarter: dict[str, Any]) -> str:
    """Return one quarter in a line."""
    end = "; ".join(quarter["breaches"]) or "nothing broken"
    return (
        f"seed {quarter['seed']}: {quarter['sessions']} sessions, {quarter['kills_total']} kills, "
        f"{quarter['faults_total']} faults, {quarter['orders']} orders: {end}"
    )


def page_of(quarters: Sequence[dict[str, Any]], now: datetime) -> str:
    """Return the page that tells the sum."""
    kills, faults, codes = Counter[str](), Counter[str](), Counter[str]()
    for quarter in quarters:
        kills.update(quarter["kills"])
        faults.update(quarter["faults"])
        codes.update(quarter["codes"])
    broken = [quarter for quarter in quarters if quarter["breaches"]]
    sums = {name: sum(int(quarter[name]) for quarter in quarters) for name in ("sessions", "lives", "orders", "fills")}
    reached = kills.total() >= GOAL["kills"] and faults.total() >= GOAL["faults"]
    return "\n".join(
        [
            INTRODUCTION,
            f"As of {now:%Y-%m-%d}: **{kills.total():,} kills and {faults.total():,} faults** in "
            f"{len(quarters)} quarters ({sums['sessions']:,} sessions, {sums['lives']:,} processes, "
            f"{sums['orders']:,} orders, {sums['fills']:,} executions). The goal of {GOAL['kills']:,} kills and "
            f"{GOAL['faults']:,} faults is "
            f"{'reached' if reached else 'not reached yet'}. Quarters that broke something: {len(broken)}.",
            "",
            *(f"* seed {quarter['seed']}: {'; '.join(quarter['breaches'])[:400]}" for quarter in broken),
            *([""] if broken else []),
            "| killed at | times |",
            "|---|---|",
            *(f"| {_place(name)} | {count:,} |" for name, count in sorted(kills.items())),
            "",
            "| fault | times |",
            "|---|---|",
            *(
                f"| {name} | {faults[name]:,} |"
                for family in FAMILIES
                for name in sorted(faults)
                if name.startswith(f"{family}:")
            ),
            "",
            "How the looks ended: " + ", ".join(f"{_code(code)} {n:,}" for code, n in sorted(codes.items())) + ".",
            "",
        ]
    )


def _place(name: str) -> str:
    return "any call of a function" if name == "random" else f"`{name}`"


def _code(code: str) -> str:
    return code if code == "killed" else f"exit {code}"  # may say why: "3 (machine too busy)"


INTRODUCTION = """# The campaign: killed, deceived and hindered, quarter after quarter

`make campaign` lets the engine trade simulated quarters at the local Alpaca, every look a process of its own, while it
is killed with SIGKILL and everything around it goes wrong: answers, venue, storage, clock, operator, owner, corporate
events, other engines on the account. After the kills of each moment the engine must be up again and look without an
error. Every two weeks, at rest, both books are compared: no order lost or doubled, every fill booked once, shares and
cash equal to the broker's, no position given up to the owner, no halt forgotten; and at every look nothing may lack
cover for more than two looks without being told. Everything is drawn from the quarter's seed:
`make campaign SEED=17` replays one. The campaign goes on where it stopped; four quarters are a year's sessions.
This page is written by it (`docs/campaign.json` holds every quarter).

The first ten quarters (2026-11-28) each ended at their first breach. Mended in the engine: a senseless answer about
the account kept it down; a leg of unknown type was written down twice; an order's answer was read outside the
retries; a book ahead of the market ended a start with a traceback; a copy of the database that was put back did not
know the orders sent since, gave their shares to the owner and let their stops lapse (seed 1, session 40). Mended in
the check: the owner's standing shares; stops that are off on the eve of a split; his edits that a restored copy
cannot know; a look that a busy machine keeps from the local Alpaca, which is started again; and his deeds after a
close, which are in the books of the next one: the cash gap of 386.56 in seed 1 was his withdrawal of that evening
(moment 86), and a replay passes it. Seed 16 later found a fee that was booked twice (eight cents, mended), and that
the check did not wait the minute after which the engine gives up an order that a kill kept from the broker; its second
entry is the whole quarter. Executions are counted for quarters without a breach only.
"""


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=500, help="so many more (default 500)")
    parser.add_argument("--seed", type=int, help="replay this quarter, and write nothing")
    parser.add_argument("--first", type=int, help="begin at this seed again (default: the one after the last)")
    parser.add_argument("--sessions", type=int, default=QUARTER)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--home", type=Path, help="where the accounts' files lie (default: the system's folder)")
    parser.add_argument("--state", type=Path, default=STATE)
    parser.add_argument("--page", type=Path, default=PAGE)
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
