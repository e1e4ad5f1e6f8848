"""The days whose texts are golden: each is a plan of a run, and the moment at which the report is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from report_world import Plan, build

from daily_report import generate_daily_report
from trading_platform.configuration.environment import load_settings
from trading_platform.core.types import RiskEventKind

TEXTS = Path(__file__).resolve().parents[1] / "golden" / "report_texts"
BARE = load_settings({}, env_file=None)
EVENING = datetime(2023, 3, 27, 21, 0, tzinfo=UTC)
DRAWDOWN = "drawdown 10.15% of peak equity, limit 10.00%: halted until recovery"


@dataclass(frozen=True)
class Story:
    """A plan, the session asked for (None: the newest), and the time."""

    plan: Plan
    session: date | None = None
    now: datetime = EVENING


class Weekdays:
    """A calendar whose sessions are the weekdays: the stories need no holidays."""

    def is_session(self, day: date) -> bool:
        return day.weekday() < 5

    def next_session(self, day: date) -> date:
        following = date.fromordinal(day.toordinal() + 1)
        return following if self.is_session(following) else self.next_session(following)


STORIES = {
    "winning_day": Story(Plan(seed=21, sessions=61, moves={60: 0.021})),
    "losing_day": Story(
        Plan(
            seed=5,
            moves={59: -0.064},
            flows={59: 2_500_00},
            events=[
                (
                    59,
                    RiskEventKind.DAILY_LOSS,
                    "DAILY_LOSS_LIMIT",
                    0.0233,
                    0.02,
                    "lost 2.33% since the previous close, limit 2.00%",
                )
            ],
            warnings=("T004 2023-02-01: close 12 % above the day before",),
        )
    ),
    "halt": Story(
        Plan(
            seed=9,
            moves=dict.fromkeys(range(48, 54), -0.062),
            halted=frozenset(range(53, 60)),
            events=[(53, RiskEventKind.HALT, "DRAWDOWN_HALT", 0.1015, 0.10, DRAWDOWN)],
            half_days=frozenset({59}),
        )
    ),
    "quiet_day": Story(Plan(seed=3, still=frozenset({58, 59}), model_id=None)),
    "closed_day": Story(
        Plan(seed=7, sessions=59, mode="paper", status="running"), now=datetime(2023, 3, 25, 15, 0, tzinfo=UTC)
    ),
    "nothing_yet": Story(Plan(seed=7), session=date(2022, 12, 30)),
    "fifty_positions": Story(
        Plan(
            seed=4,
            tickers=140,
            max_positions=50,
            names=tuple(f"{a}{b}.X" for a in "ABCDEFGHIJ" for b in "KLMNOPQRSTUVWX"),
        )
    ),
}


def make_report(name: str, folder: Path) -> dict[str, Any]:
    """Return the report of a story."""
    story = STORIES[name]
    path = folder / f"{name}.db"
    build(path, story.plan)
    calendar: Any = Weekdays()
    report = generate_daily_report(path, story.session, settings=BARE, now=story.now, calendar=calendar)
    text = report["summary"].replace(str(path), "trading.db")
    return {**report, "summary": text}
