"""Further pages of an account: its day, strategies, journal of orders, settings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import Any

from sqlalchemy import select
from starlette.requests import Request

from trading_platform.configuration.toml_tables import read_toml
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.errors import FixConfigError
from trading_platform.core.regime_meaning import regime_words
from trading_platform.desk.frame import Context, meter, trusted
from trading_platform.desk.lists import journal as read_journal
from trading_platform.desk.lists import signals_by_strategy
from trading_platform.desk.place import Desk
from trading_platform.desk.screens import account_frame, day_of, found_account
from trading_platform.operations.commands import account_state
from trading_platform.reporting.allocation_results import SOURCES
from trading_platform.reporting.charts import Line, key, stacked
from trading_platform.reporting.gather import complete_limits
from trading_platform.reporting.how_alike import YEAR, read_brought
from trading_platform.reporting.page import COLOURS, REGIME_COLOURS, page_body
from trading_platform.reporting.run_page_tables import alike_table
from trading_platform.reporting.series import build_series
from trading_platform.reporting.why import why_lines
from trading_platform.storage import models as m
from trading_platform.storage.consents import next_open

MOST_REASONS = 40  # tickers of the next open whose reasons are told


def day(desk: Desk, request: Request) -> Context:
    """Return the report of a day, the newest without one."""
    account = found_account(desk, request)
    wanted = day_of(request)
    report, evidence = desk.report(account.run_id, wanted, history=True)
    days = () if evidence.ledger is None else evidence.ledger.days
    sessions = [line.session for line in days]
    return {
        **account_frame(desk, account),
        "title": f"Day of {account.name}",
        "page_name": "day",
        "body": trusted(
            page_body(report, evidence).replace("<footer>", '<p class="soft made">').replace("</footer>", "</p>")
        ),
        "day": report["session"]["date"] or "",
        "first": sessions[0] if sessions else "",
        "last": account.last_session or "",
        "before": _beside(desk, account.run_id, sessions[-1] if sessions else None, later=False),
        "after": _beside(desk, account.run_id, sessions[-1] if sessions else None, later=True),
    }


def _beside(desk: Desk, run_id: int, session: date | None, *, later: bool) -> date | None:
    """Return the booked session next to one."""
    if session is None:
        return None
    column = m.EquityRow.session
    query = select(column).where(m.EquityRow.run_id == run_id)
    query = (
        query.where(column > session).order_by(column)
        if later
        else query.where(column < session).order_by(column.desc())
    )
    with desk.database().connect() as connection:
        return connection.execute(query.limit(1)).scalar()


def strategies(desk: Desk, request: Request) -> Context:
    """Return each strategy: its share now and over time, what it brought, and what it wanted at the last close."""
    account = found_account(desk, request)
    report, evidence = desk.report(account.run_id, history=True)
    state = account_state(desk.database(), account, desk.now())
    booked = None if evidence.view.booked is None else evidence.view.booked.session
    wants = desk.read(lambda reader: signals_by_strategy(reader, account.run_id, booked))
    days = () if evidence.ledger is None else evidence.ledger.days
    series = build_series(days, evidence.history)
    brought_by_day = desk.read(lambda reader: read_brought(reader, account.run_id, series.sessions[-YEAR:]))
    names = list(state["run"]["strategies"])
    earned = [] if report["attribution"] is None else report["attribution"]["strategies"]
    brought = {line["name"]: line for line in earned}
    records = {line["strategy"]: line for line in report["strategy_records"]}
    held = Counter(name for position in report["positions"] for name in position["strategies"])
    weights = report["rl_allocations"]
    lines = [Line(name, values, f"s{n % COLOURS}") for n, (name, values) in enumerate(series.weights.items())]
    bands = "".join(
        key(REGIME_COLOURS.get(label, "soft"), label) for label in sorted({s.label for s in series.regimes})
    )
    chart = stacked(
        "weights",
        "Shares over time, regimes below",
        series.sessions,
        lines,
        height=240,
        marks=series.regimes,
        more=bands,
    )
    allocation = report["allocation"]
    influences = {} if allocation is None else allocation["influences"] or {}
    return {
        **account_frame(desk, account),
        "title": f"Strategies of {account.name}",
        "page_name": "strategies",
        "rows": [
            {
                "name": name,
                "weight": weights.get(name),
                "brought": brought.get(name),
                "record": records.get(name),
                "held": held.get(name, 0),
                "wants": wants.get(name),
                "is_paused": name in state["standing"]["paused"],
                "is_leaving": name in state["standing"]["leaving"],
                "meter": meter(weights.get(name), f"share of {name}"),
            }
            for name in names
        ],
        "chart": trusted(chart) if lines and series.sessions else "",
        "regime": None if report["regime"] is None else regime_words(report["regime"]),
        "source": None if allocation is None else SOURCES.get(allocation["source"], allocation["source"]),
        "reason": "" if allocation is None else allocation["reason"],
        "influences": sorted(influences.items(), key=lambda item: -abs(item[1])),
        "session_of": booked,
        "alike": trusted(alike_table(brought_by_day)),
        "alike_sessions": len(series.sessions[-YEAR:]),
    }


def journal(desk: Desk, request: Request) -> Context:
    """Return orders with their whole life, by pages, that the words of the address find."""
    account = found_account(desk, request)
    wanted = request.query_params.get("q", "").strip()[:80]
    text = request.query_params.get("before", "")
    before = int(text) if text.isascii() and text.isdigit() and len(text) < 18 else None
    page = desk.read(lambda reader: read_journal(reader, account.run_id, wanted, before))
    ticker = wanted.upper()
    return {
        **account_frame(desk, account),
        "title": f"Journal of {account.name}",
        "page_name": "journal",
        "orders": page.orders,
        "older": page.older,
        "q": wanted,
        "why": why_lines(desk.database(), account.run_id, ticker) if ticker and before is None else [],
        "ticker": ticker,
        "is_first": before is None,
    }


def answer(desk: Desk, request: Request) -> Context:
    """Return the orders of the next open, why they were decided, and what an operator can say to those that wait."""
    account = found_account(desk, request)
    database = desk.database()
    ahead = next_open(database, account.run_id)
    waiting = ahead["waiting"] if not account.is_finished else []
    tickers = list(dict.fromkeys(order["ticker"] for order in ahead["orders"]))[:MOST_REASONS]
    return {
        **account_frame(desk, account),
        "title": f"Before it leaves: {account.name}",
        "page_name": "",
        "session_of": ahead["session"],
        "orders": ahead["orders"],
        "waiting": waiting,
        "reasons": [(ticker, why_lines(database, account.run_id, ticker)) for ticker in tickers],
        "wrong": "",
        "tried": None,
    }


def settings(desk: Desk, request: Request) -> Context:
    """Return every setting in force for the account, and where its value came from."""
    account = found_account(desk, request)
    with desk.database().connect() as connection:
        row = connection.execute(
            select(m.Run.config, m.Run.config_fingerprint, m.Run.code_version).where(m.Run.id == account.run_id)
        ).one()
    stored = _object(row[0])
    in_file, problem = _file(desk)
    return {
        **account_frame(desk, account),
        "title": f"Settings of {account.name}",
        "page_name": "settings",
        "tables": _tables(stored, in_file),
        "fingerprint": row[1],
        "version": row[2],
        "file": str(desk.config_file) if desk.config_file else "",
        "problem": problem,
    }


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _file(desk: Desk) -> tuple[dict[str, object], str]:
    """Return what the settings file says now, and what is wrong with it."""
    if desk.config_file is None:
        return {}, ""
    try:
        return read_toml(desk.config_file), ""
    except FixConfigError as error:
        return {}, str(error)


def _tables(stored: Mapping[str, Any], in_file: Mapping[str, Any]) -> list[tuple[str, list[Context]]]:
    """Return the settings by table: value, default, and where it came from."""
    defaults = TradingConfig().to_dict()
    told = dict(stored)
    profile = complete_limits({"profile": _part(stored, "risk").get("profile", "conservative")})
    if isinstance(told.get("risk"), dict):
        told["risk"] = complete_limits(told["risk"])
    defaults["risk"] = profile
    return [
        (name, [_setting(field, value, _part(defaults, name), _part(in_file, name)) for field, value in table.items()])
        for name, table in told.items()
        if isinstance(table, dict) and table
    ]


def _part(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _setting(field: str, value: object, defaults: Mapping[str, Any], in_file: Mapping[str, Any]) -> Context:
    is_default = field in defaults and defaults[field] == value
    if field in in_file:
        origin = "settings file" if in_file[field] == value else "start; the file says otherwise now"
    elif is_default:
        origin = "default"
    else:
        origin = "command line or environment at the start" if field in defaults else "start"
    now = in_file.get(field)
    return {
        "name": field,
        "value": _written(value),
        "default": _written(defaults[field]) if field in defaults else "",
        "origin": origin,
        "is_default": is_default,
        "now": _written(now) if field in in_file and now != value else "",
    }


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return "none"
    return value if isinstance(value, str) else json.dumps(value, default=str)
