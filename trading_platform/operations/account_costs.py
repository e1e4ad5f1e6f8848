"""What an account's own fills have cost, for `status` and `doctor`: read as the daily report reads it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from trading_platform.operations.doctor_findings import CheckVerdict, Finding
from trading_platform.reporting.ledger_view import find_run
from trading_platform.reporting.own_costs import (
    LEAST_FILLS,
    OwnCostsPart,
    own_costs_part,
    own_costs_words,
    read_own_costs,
)
from trading_platform.storage.reader import Reader, read_database

AT_A_BROKER = ("alpaca_live", "alpaca_paper")


def account_costs(url: str, run_id: int | None, setting: float | None = None) -> OwnCostsPart | None:
    """Return the report's `own_costs` of run `run_id`, else of the newest account at a broker; None without one.

    `setting` is the cost that is set now, basis points; None takes the one with which the run was begun.
    """

    def work(reader: Reader) -> OwnCostsPart | None:
        run = find_run(reader, run_id, AT_A_BROKER)
        if run is None:
            return None
        known = run if setting is None else run._replace(cost_bps=setting)
        return own_costs_part(read_own_costs(reader, known, date.max))

    return read_database(url, work)


def costs_of_accounts(url: str, run_ids: Sequence[int]) -> dict[int, OwnCostsPart]:
    """Return `account_costs` of each run that has any, through one connection."""

    def work(reader: Reader) -> dict[int, OwnCostsPart]:
        runs = [run for run_id in run_ids if (run := find_run(reader, run_id, AT_A_BROKER)) is not None]
        parts = {run.id: own_costs_part(read_own_costs(reader, run, date.max)) for run in runs}
        return {run_id: part for run_id, part in parts.items() if part is not None}

    return read_database(url, work) or {}


def check_costs(url: str, setting: float) -> Finding:
    """Compare the cost that is set, basis points, with what the account's own fills have cost."""
    part = account_costs(url, None, setting)
    if part is None:
        return Finding(
            "costs", CheckVerdict.OK, f"cost_bps is {setting:g}; no account at a broker has fills to compare"
        )
    words = own_costs_words(part)
    every = part["every"]
    if every is None:
        told = f"cost_bps is {setting:g}; {part['fills']} fills at an open, {LEAST_FILLS} are needed to say more"
        return Finding("costs", CheckVerdict.OK, told)
    found, mark, cure = words.partition("; to take it over: ")
    if mark and abs(every["mean_bps"] - setting) > every["half_width_bps"]:
        return Finding("costs", CheckVerdict.WARNING, found, f"set {cure}")
    return Finding("costs", CheckVerdict.OK, found)
