"""What the doctor's checks return: a verdict, what was found, and the cure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from trading_platform.core.errors import TradingPlatformError


class CheckVerdict(StrEnum):
    """What a check came to."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check. `cure` says what to do; `exit_code` is that of the failure, else 0."""

    check: str
    verdict: CheckVerdict
    text: str
    cure: str = ""
    exit_code: int = 0


Check = Callable[[], Finding]


def examined(name: str, check: Check) -> Finding:
    """Return what `check` finds; an error of ours is a failure with that error's words and code."""
    try:
        return check()
    except TradingPlatformError as error:
        text, mark, cure = str(error).rpartition("; ")
        return Finding(name, CheckVerdict.FAILED, text if mark else cure, cure if mark else "", error.exit_code)


def exit_code_of(findings: Sequence[Finding]) -> int:
    """Return 0 if nothing failed, else the code of the first failure: each check rests on those above it."""
    return next((finding.exit_code for finding in findings if finding.verdict is CheckVerdict.FAILED), 0)
