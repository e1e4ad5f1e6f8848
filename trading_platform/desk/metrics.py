"""What Prometheus reads: each account's figures, from the database at that moment. Off unless it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select

from trading_platform.core.errors import TradingPlatformError
from trading_platform.desk.live import TROUBLE, read_marks
from trading_platform.desk.overview import Row, overview, shown
from trading_platform.desk.place import Desk
from trading_platform.storage import models as m

LABELS = ("account", "money", "run")
GAUGES: Mapping[str, str] = {
    "trading_equity_dollars": "Equity at the last booked close.",
    "trading_day_profit_dollars": "Profit of the last booked session, deposits aside.",
    "trading_drawdown_ratio": "Fall from the peak, a fraction.",
    "trading_drawdown_limit_ratio": "The limit of that fall, a fraction.",
    "trading_positions": "Positions held.",
    "trading_may_trade": "1 if nothing keeps new positions out, else 0.",
    "trading_engine_running": "1 if an engine holds the account now, else 0.",
    "trading_heartbeat_age_seconds": "Seconds since the engine was last heard of.",
    "trading_alerts": "Things that are wrong now.",
    "trading_commands_waiting": "Commands that the engine has not obeyed yet.",
    "trading_fills_total": "Executions booked since the account began.",
}


def metrics(desk: Desk) -> bytes:
    """Return the figures of every traded account in Prometheus's text form."""
    registry = CollectorRegistry()  # one for each answer: nothing is kept, and a second desk in a process is no twin
    registry.register(_Accounts(desk))
    return generate_latest(registry)


class _Accounts(Collector):
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def collect(self) -> Iterator[Metric]:
        """Yield every figure; where the database cannot be read, only that."""
        is_well = TROUBLE not in read_marks(self._desk.url)
        yield GaugeMetricFamily("trading_database_readable", "1 if the database can be read.", value=float(is_well))
        try:
            found = _figures(self._desk) if is_well else []
        except TradingPlatformError:
            found = []
        for name, words in GAUGES.items():
            family = GaugeMetricFamily(name, words, labels=LABELS)
            for labels, figures in found:
                if (value := figures.get(name)) is not None:
                    family.add_metric(labels, value)
            yield family


def _figures(desk: Desk) -> list[tuple[tuple[str, str, str], dict[str, float | None]]]:
    database = desk.database()
    accounts = [account for account in shown(desk.accounts()) if not account.is_replay]
    rows = overview(database, accounts, desk.now(), None)
    with database.connect() as connection:
        counted = select(m.FillRow.run_id, func.count()).group_by(m.FillRow.run_id)
        fills = {row[0]: row[1] for row in connection.execute(counted)}
        beats = {row[0]: row[1] for row in connection.execute(select(m.Heartbeat.run_id, m.Heartbeat.at))}
    now = desk.now()
    return [
        (
            (row.name, row.money, str(row.run_id)),
            _of_row(row)
            | {
                "trading_engine_running": float(account.running),
                "trading_fills_total": float(fills.get(row.run_id, 0)),
                "trading_heartbeat_age_seconds": (now - beats[row.run_id]).total_seconds()
                if row.run_id in beats
                else None,
            },
        )
        for account, row in zip(accounts, rows, strict=True)
    ]


def _of_row(row: Row) -> dict[str, float | None]:
    return {
        "trading_equity_dollars": row.equity,
        "trading_day_profit_dollars": row.day,
        "trading_drawdown_ratio": row.drawdown,
        "trading_drawdown_limit_ratio": row.drawdown_limit,
        "trading_positions": float(row.positions),
        "trading_may_trade": float(not row.state.startswith(("halted", "being closed"))),
        "trading_alerts": float(len(row.alerts)),
        "trading_commands_waiting": float(row.waiting),
    }
