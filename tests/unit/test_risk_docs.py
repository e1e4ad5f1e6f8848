"""docs/risk.md says what the code says."""

from __future__ import annotations

import re
from dataclasses import fields

from tests.risk_docs import PAGE, table, written
from trading_platform.core.risk.denial_codes import DenialCode
from trading_platform.core.risk.memory import RiskMemory


def test_the_table_of_codes_is_that_of_the_enum() -> None:
    assert written(PAGE.read_text(encoding="utf-8")) == table()


def test_a_code_that_is_not_documented_is_noticed() -> None:
    page = PAGE.read_text(encoding="utf-8").replace("| `SECTOR_LIMIT` |", "| `SECTOR` |")
    assert written(page) != table()


def test_every_code_in_the_page_exists_and_every_memory_field_is_named() -> None:
    page = PAGE.read_text(encoding="utf-8")
    words = set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", page))
    assert words <= {code.value for code in DenialCode}
    assert {field.name for field in fields(RiskMemory)} <= set(re.findall(r"`(\w+)`", page))
