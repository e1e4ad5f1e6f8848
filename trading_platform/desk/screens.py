"""What each page shows: facts in, the names that its template reads out."""

from __future__ import annotations

from datetime import date

from starlette.requests import Request

from trading_platform.core.types import OrderStatus
from trading_platform.desk.actions import OF_STRATEGY, done_words, meaning, needs_name, recent
from trading_platform.desk.frame import Context, json_block, meter, trusted
from trading_platform.desk.lists import recent_fills, refusals
from trading_platform.desk.overview import (
    drawdown_limits,
    money_class,
    overview,
    row_of,
    shown,
    totals,
)
from trading_platform.desk.place import Desk, NotThereError
from trading_platform.operations.commands import account_state
from trading_platform.reporting.charts import embedded
from trading_platform.reporting.document import Report
from trading_platform.reporting.evidence import Evidence
from trading_platform.reporting.market_words import benchmark_name, market_words, mode_words, money_words
from trading_platform.reporting.page import tiles
from trading_platform.reporting.risk_document import RulePart
from trading_platform.reporting.series import build_series
from trading_platform.reporting.text import RULES
from trading_platform.storage.run_targets import Account

POSITIONS_A_PAGE = 100
UNSURE = (OrderStatus.INTENT.value, OrderStatus.UNCERTAIN.value)
UNITS = {"%": "%", "count": "", "trades": "", "points": "", "": ""}


def all_accounts_page(desk: Desk, _: Request) -> Context:
    """Return every account that is traded, a row each."""
    database = desk.database()
    accounts = desk.accounts(database)
    rows = overview(database, shown(accounts), desk.now(), desk.calendar)
    return {
        "title": "Accounts",
        "rows": [(row, meter(row.used, f"drawdown, {100 * (row.used or 0):.0f} % of its limit used")) for row in rows],
        "totals": totals(rows),
        "replays": sum(account.is_replay for account in accounts),
    }


def account_frame(desk: Desk, account: Account) -> Context:
    """Return what stands above every page of an account."""
    return {
        "account": account,
        "account_name": account.name if account.name != str(account.run_id) else f"Run {account.run_id}",
        "money": money_words(account.mode),
        "money_class": money_class(account.mode),
        "words": f"{mode_words(account.mode)} · {market_words(account.source)} · run {account.run_id}",
    }


def found_account(desk: Desk, request: Request) -> Account:
    """Return the account of a page's address."""
    return desk.account(int(request.path_params["run_id"]))


def account_now(desk: Desk, request: Request) -> Context:
    """Return an account as it is now: equity, positions, orders, what was done last, and what can be asked."""
    account = found_account(desk, request)
    database, now = desk.database(), desk.now()
    state = account_state(database, account, now)
    row = row_of(account, state, drawdown_limits(database).get(account.run_id), now, desk.calendar)
    report, evidence = desk.report(account.run_id, history=False)
    page = page_of(request)
    positions = report["positions"]
    chosen = positions[(page - 1) * POSITIONS_A_PAGE : page * POSITIONS_A_PAGE]
    fills = desk.read(lambda reader: recent_fills(reader, account.run_id))
    return {
        **account_frame(desk, account),
        "title": f"{account.name} now",
        "page_name": "",
        "row": row,
        "state": state,
        "report": report,
        "alerts": row.alerts,
        "notes": [text for text in report["alerts"] if text not in row.alerts],
        "tiles": trusted(tiles(report)) if report["source"] != "none" else "",
        "curve": curve(report, evidence),
        "positions": chosen,
        "n_positions": len(positions),
        "page": page,
        "pages": max(1, -(-len(positions) // POSITIONS_A_PAGE)),
        "fills": fills,
        "orders": state["open_orders"],
        "unsure": [order for order in state["open_orders"] if order["status"] in UNSURE],
        "next_open": state["next_open"]["orders"],
        "waiting": state["next_open"]["waiting"] if not account.is_finished else [],
        "answers": done_words(recent(database, account.run_id)),
        "meaning": meaning,
        "can_ask": not account.is_finished,
        "can_stop": account.running and not account.is_replay,
        "must_type": {kind: needs_name(account, kind) for kind in ("halt", "resume", "flatten", *OF_STRATEGY)},
        "strategies": state["run"]["strategies"],
        "wrong": "",
        "tried": None,
    }


def page_of(request: Request) -> int:
    """Return the page's number in the address, 1 where there is none that makes sense."""
    text = request.query_params.get("page", "1")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 7 else 1


def curve(report: Report, evidence: Evidence) -> Context | None:
    """Return growth against the market and equal weight for the script that draws it, and the ends as figures."""
    if evidence.ledger is None:
        return None
    series = build_series(evidence.ledger.days, None)
    if len(series.sessions) < 2:
        return None
    name = benchmark_name(evidence.ledger.run.source)
    lines = [
        ("Account", series.own, "own"),
        (name, series.benchmark, "spy"),
        ("Equal weight", series.universe, "equal"),
    ]
    data = {
        "days": [day.isoformat() for day in series.sessions],
        "lines": [
            {"name": title, "colour": colour, "values": [None if v is None else round(v, 3) for v in values]}
            for title, values, colour in lines
        ],
    }
    ends = [(title, colour, values[-1]) for title, values, colour in lines]
    periods = report["performance"]["periods"]
    return {
        "data": json_block("curve-data", embedded(data)),
        "ends": ends,
        "first": series.sessions[0],
        "last": series.sessions[-1],
        "benchmark": name,
        "periods": [(key, periods[key]) for key in periods if periods[key] is not None],
    }


def risk(desk: Desk, request: Request) -> Context:
    """Return every rule with what is used of it, what halts and what ends that, and what was refused."""
    account = found_account(desk, request)
    report, evidence = desk.report(account.run_id)
    booked = None if evidence.view.booked is None else evidence.view.booked.session
    denied = desk.read(lambda reader: refusals(reader, account.run_id, booked))
    return {
        **account_frame(desk, account),
        "title": f"Risk of {account.name}",
        "page_name": "risk",
        "rules": [_rule(rule) for rule in report["risk"]["headroom"]],
        "halts": report["risk"]["halts"],
        "sectors": [
            (line, meter((line["pct"] or 0.0) / 100, f"{line['sector']}, part of equity"))
            for line in report["risk"]["sectors"]
        ],
        "denied": denied,
        "counts": report["denials_today"],
        "booked": booked,
        "events": report["risk"]["events_today"],
        "can_trade": not report["risk"]["halts"],
    }


def _rule(rule: RulePart) -> Context:
    unit = UNITS.get(rule["unit"], rule["unit"])
    used = rule["observed"] / rule["limit"] if rule["limit"] and rule["observed"] is not None else None
    name = RULES.get(rule["rule"], rule["rule"].replace("_", " ").capitalize())

    def words(value: float | None) -> str:
        return "unknown" if value is None else f"{value:.2f}{unit}" if unit or value % 1 else f"{value:.0f}"

    return {
        "name": name,
        "observed": words(rule["observed"]),
        "limit": "none" if rule["limit"] is None else words(rule["limit"]),
        "room": words(rule["headroom"]),
        "note": rule["note"],
        "is_known": rule["headroom"] is not None,
        "is_over": rule["headroom"] is not None and rule["headroom"] < 0,
        "over": "positions are scaled down" if rule["rule"] == "vix" else "over the limit",
        "meter": meter(used, f"{name}: {words(rule['observed'])} of {words(rule['limit'])}"),
    }


def day_of(request: Request) -> date | None:
    """Return the day of an address, None where none is given.

    Raises
    ------
    NotThereError
        It is no day.
    """
    text = request.query_params.get("date", "")
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise NotThereError("That is no day: write it as 2024-03-28.") from None
