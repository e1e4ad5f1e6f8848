"""`db repair`: show the rows that no engine can use, and after a backup put them right or set them aside."""

from __future__ import annotations

from pathlib import Path

from trading_platform.core.errors import RepairDatabaseError
from trading_platform.machine.clocks import utc_now
from trading_platform.operations.commands import Place, confirmed
from trading_platform.operations.safekeeping import file_of
from trading_platform.reporting.status_screen import say, show_json
from trading_platform.storage.backups import back_up
from trading_platform.storage.database_repair import BadRow, find_faults, repair
from trading_platform.storage.row_faults import Cure

ALL_KEPT = 1_000_000  # a backup before a repair rotates none away
HELP = "only a backup helps: restore FILE; a replay may be deleted (runs delete ID)"


def repair_database(place: Place, *, sure: bool, as_json: bool) -> int:
    """Show and repair; return 0 if every row is well now, else 4 (`RepairDatabaseError`'s). `--json` asks nobody."""
    database = file_of(place)
    findings = find_faults(database)
    curable = [finding for finding in findings if finding.fault.cure is not Cure.LEFT]
    left = [finding for finding in findings if finding.fault.cure is Cure.LEFT]
    if not as_json:
        _show(database, findings)
    copy = aside = None
    if curable and (sure or (not as_json and confirmed("Put these right? A backup is taken before."))):
        now = utc_now()
        copy = back_up(database, database.parent / "backups", ALL_KEPT, now)
        aside = repair(database, curable, now)
        curable = []
        if not as_json:
            say(f"done; the database as it was: {copy}" + ("" if aside is None else f"; rows set aside: {aside}"))
    if as_json:
        show_json(
            {
                "database": str(database),
                "findings": [_row(finding) for finding in findings],
                "backup": None if copy is None else str(copy),
                "set_aside": None if aside is None else str(aside),
                "left": len(left) + len(curable),
            }
        )
    return RepairDatabaseError.exit_code if left or curable else 0


def _show(database: Path, findings: list[BadRow]) -> None:
    if not findings:
        say(f"{database}: every row can be used; nothing to repair")
    for finding in findings:
        cure = HELP if finding.fault.cure is Cure.LEFT else f"will be {finding.fault.cure}"
        say(f"{finding.text}; {cure}")


def _row(finding: BadRow) -> dict[str, object]:
    return {
        "table": finding.table,
        "key": finding.name,
        "run": finding.run_id,
        "column": finding.fault.column,
        "problem": finding.fault.problem,
        "cure": finding.fault.cure.value,
    }
