"""What an account's own fills have cost is read from its database by report, `status` and `doctor` alike."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from trading_platform.operations.account_costs import account_costs, check_costs
from trading_platform.operations.commands import Place, status
from trading_platform.operations.doctor_findings import CheckVerdict
from trading_platform.storage import models as m
from trading_platform.storage.database import migrate, open_database
from trading_platform.storage.run_targets import Target

AT = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)
FIRST = date(2024, 1, 2)


def database(folder: Path, fills: int, mode: str = "alpaca_paper") -> str:
    """Return a database of one run whose buys and sells of 1000 dollars each cost 78 cents at the open: 7.8 bp.

    Every open lies 20 bp above the close at which the order was decided.
    """
    engine = open_database(folder / "a.db")
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(
            insert(m.Run).values(
                id=1,
                key="k",
                mode=mode,
                source="alpaca",
                account="PA1",
                status="running",
                started_at=AT,
                capital=100_000.0,
                config_fingerprint="f",
                config="{}",
                data_hash="d",
                code_version="1",
                strategies="[]",
                sectors="{}",
            )
        )
        for i in range(fills):
            side = "buy" if i % 2 == 0 else "sell"
            amount = 1_000.78 if side == "buy" else 999.22
            connection.execute(
                insert(m.FillRow).values(
                    run_id=1,
                    client_order_id=f"o{i}",
                    broker_fill_id=f"f{i}",
                    session=FIRST + timedelta(days=i // 4),
                    filled_at=AT,
                    ticker="AAA",
                    side=side,
                    quantity=10.0,
                    price=amount / 10.0,
                    amount=amount,
                    fees=0.0,
                    realized_pnl=0.0,
                    strategy="winners",
                    reason="entry" if side == "buy" else "signal_exit",
                    slippage=0.78,
                    decision_price=100.0 / 1.002,
                    dollar_volume=1e6 if i % 3 else 1e9,
                )
            )
    engine.dispose()
    return str(folder / "a.db")


def test_status_and_doctor_say_what_fills_have_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = database(tmp_path, 200)
    part: Any = account_costs(url, 1)
    assert (part["fills"], part["setting_bps"], part["every"]["mean_bps"]) == (200, 5.0, 7.8)
    assert part["thin"]["fills"] + part["liquid"]["fills"] == 200
    assert part["delay"]["mean_bps"] == pytest.approx(0.0, abs=0.5)  # as often for it as against it
    assert status(Place(url, None), Target(run=1), as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["own_costs"] == part
    assert status(Place(url, None), Target(run=1), as_json=False) == 0
    assert "cost_bps is 5, your 200 fills cost 7.8" in capsys.readouterr().out.replace("\n", " ")
    found = check_costs(url, 5.0)
    assert (found.verdict, found.text.startswith("cost_bps is 5, your 200 fills cost 7.8")) == (
        CheckVerdict.WARNING,
        True,
    )
    assert "half_spread_bps = 3.9, slippage_bps = 3.9" in found.cure
    assert check_costs(url, 7.8).verdict is CheckVerdict.OK  # it was taken over


def test_nothing_is_said_of_few_fills_of_a_simulated_account_or_of_none(tmp_path: Path) -> None:
    url = database(tmp_path, 49)
    part = account_costs(url, 1)
    assert part is not None
    assert part["every"] is None
    assert "49 fills at an open, 50 are needed" in check_costs(url, 5.0).text
    engine = open_database(url)
    with engine.begin() as connection:
        connection.execute(update(m.Run).values(mode="paper"))
    engine.dispose()
    assert account_costs(url, 1) is None
    assert "no account at a broker" in check_costs(url, 5.0).text
    assert "no account at a broker" in check_costs(str(tmp_path / "none.db"), 5.0).text


def test_a_later_setting_counts_and_not_that_of_the_beginning(tmp_path: Path) -> None:
    url = database(tmp_path, 200)
    part: Any = account_costs(url, None, 9.0)
    assert part["setting_bps"] == 9.0
    assert 7.8 < part["every"]["shrunk_bps"] < 9.0 or part["every"]["shrunk_bps"] == pytest.approx(7.8, abs=0.01)
