"""An allocation and why: who decided, by which code, in which words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from trading_platform.core.served_policy import RowCode


class AllocationSource(StrEnum):
    """Who decided: the values of the database's column."""

    MODEL = "model"
    RULES = "rules"
    EQUAL_WEIGHT = "equal_weight"


class FallbackCode(StrEnum):
    """Why equal weight was served. `OK` = the model, or the published rules, decided; `CHOSEN` = it was asked for."""

    OK = "OK"
    CHOSEN = "CHOSEN"
    NO_MODEL = "NO_MODEL"
    MODEL_REFUSED = "MODEL_REFUSED"
    OTHER_STRATEGIES = "OTHER_STRATEGIES"
    OTHER_OBSERVATION = "OTHER_OBSERVATION"
    MODEL_IN_SAMPLE = "MODEL_IN_SAMPLE"
    MODEL_TOO_OLD = "MODEL_TOO_OLD"
    BAD_SESSION = "BAD_SESSION"
    STATE_SHAPE = "STATE_SHAPE"
    STATE_NOT_FINITE = "STATE_NOT_FINITE"
    STATE_OUT_OF_RANGE = "STATE_OUT_OF_RANGE"
    BAD_OUTPUT = "BAD_OUTPUT"


CODE_OF_ROW = {
    RowCode.OK: FallbackCode.OK,
    RowCode.NOT_FINITE: FallbackCode.STATE_NOT_FINITE,
    RowCode.IMPOSSIBLE: FallbackCode.STATE_OUT_OF_RANGE,
    RowCode.NEW: FallbackCode.STATE_OUT_OF_RANGE,
    RowCode.BAD_OUTPUT: FallbackCode.BAD_OUTPUT,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no model answers, in a code and in words."""

    code: FallbackCode
    message: str
    model_id: str | None = None


@dataclass(frozen=True, slots=True)
class AllocationDecision:
    """One allocation and why. `reason` starts with a `FallbackCode`; `model_id` is None when no model was asked."""

    weights: Mapping[str, float]
    source: AllocationSource
    reason: str
    model_id: str | None = None

    @property
    def code(self) -> FallbackCode:
        """The code at the head of `reason`."""
        return FallbackCode(self.reason.partition(":")[0])
