"""The report as one HTML file: no library, no network, light and dark, phone and desk."""

from __future__ import annotations

from html import escape
from pathlib import Path

from trading_platform.reporting.charts import Line, chart, growth_scale, key, stacked
from trading_platform.reporting.document import Report
from trading_platform.reporting.evidence import Evidence
from trading_platform.reporting.market_words import page_in_currency
from trading_platform.reporting.page_cards import day_cards, limit_cards, list_cards
from trading_platform.reporting.page_tables import tone
from trading_platform.reporting.plain import UNKNOWN, dollars, long_date, percents
from trading_platform.reporting.series import Series, build_series
from trading_platform.reporting.text import NOTHING, STOP_WORDS, benchmark_head, place_words, standing_words

STYLE = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")
BAR_SESSIONS = 120  # more bars than this are lines on a phone
COLOURS = 8
REGIME_COLOURS = {"bull": "good", "bear": "bad", "consolidation": "warn"}


def render_page(report: Report, evidence: Evidence) -> str:
    """Return the page of `report`; the charts come from the history in `evidence`."""
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Trading report {escape(report['date'])}</title>"
        f"<style>{STYLE.read_text(encoding='utf-8')}</style></head>"
        f"<body><main>{page_body(report, evidence)}</main>"
        f"<script>{SCRIPT.read_text(encoding='utf-8')}</script></body></html>\n"
    )
    return page if report["run"] is None else page_in_currency(page, report["run"]["market_data"])


def page_body(report: Report, evidence: Evidence) -> str:
    """Return what stands on the page of `report`, for a page of any frame."""
    body = [_header(report), alerts_list(report)]
    if report["source"] == "none":
        body.append(f'<section class="card"><p>{escape(NOTHING.replace("`", ""))}</p></section>')
    else:
        days = () if evidence.ledger is None else evidence.ledger.days
        series = build_series(days, evidence.history, evidence.since)
        body += [tiles(report), charts(report, series), day_cards(report), limit_cards(report), list_cards(report)]
    body.append(_footer(report))
    return "".join(body)


def _header(report: Report) -> str:
    session = report["session"]
    words = place_words(report)
    if session["is_session"] is False:
        words.append(f"the exchange is closed on {long_date(session['asked'])}")
    elif session["market_open"]:
        words.append("market open")
    elif session["close"] is not None:
        words.append(("half day, " if session["half_day"] else "") + f"close {session['close']}")
    line = escape(" · ".join(words))
    standing = "" if report["source"] == "none" else f'<p class="standing">{escape(standing_words(report))}</p>'
    return f"<header><h1>Trading report · {escape(long_date(report['date']))}</h1><p>{line}</p>{standing}</header>"


def alerts_list(report: Report) -> str:
    """Return what is wrong, or nothing."""
    items = "".join(
        f'<li class="{"stop" if text.startswith(STOP_WORDS) else ""}">{escape(text)}</li>' for text in report["alerts"]
    )
    return f'<ul class="alerts">{items}</ul>' if items else ""


def tiles(report: Report) -> str:
    """Return the figures that come first."""
    risk, account, sharpe = report["risk_status"], report["account"], report["performance"]["sharpe"]
    ratio = UNKNOWN if sharpe is None else f"{sharpe:.2f}"
    deepest = percents(risk["lifetime_drawdown_pct"], sign=False)
    return (
        '<section class="tiles">'
        + _tile("Day", dollars(report["daily_pnl"]), percents(report["daily_pnl_pct"]), report["daily_pnl"], "lead")
        + _tile("Equity", dollars(account["equity"], sign=False), f"cash {dollars(account['cash'], sign=False)}")
        + _tile("Total", dollars(report["total_pnl"]), percents(report["total_pnl_pct"]), report["total_pnl"])
        + _tile("Drawdown", percents(risk["drawdown_pct"], sign=False), f"deepest {deepest}")
        + _tile("Invested", percents(risk["exposure_pct"], 1, sign=False), f"{risk['positions_count']} positions")
        + _tile("Sharpe ratio", ratio, "over bills, since start")
        + "</section>"
    )


def _tile(name: str, value: str, note: str, signed: float | None = None, kind: str = "") -> str:
    colour = tone(signed)
    return (
        f'<div class="tile {kind}"><span class="soft">{escape(name)}</span><b class="{colour}">{escape(value)}</b>'
        f'<small class="{colour}">{escape(note)}</small></div>'
    )


def charts(report: Report, s: Series) -> str:
    """Return the lines over the sessions of `s`."""
    if not s.sessions:
        return ""
    limit = next((rule["limit"] for rule in report["risk"]["headroom"] if rule["rule"] == "exposure"), None)
    recent = f", last {BAR_SESSIONS} sessions" if len(s.sessions) > BAR_SESSIONS else ""
    growth = [
        Line("Own", s.own, "own"),
        Line(benchmark_head(report), s.benchmark, "spy"),
        Line("Equal-weight universe", s.universe, "equal"),
        Line("Equity", s.equity, "own", "$", "hidden"),
    ]
    scale = growth_scale((*s.own, *s.benchmark, *s.universe))
    drawdown = [Line("From peak", s.drawdown, "bad", kind="area")]
    profit = [Line("P&L", s.profit[-BAR_SESSIONS:], "own", "$", "bars")]
    invested = [Line("Of equity", s.exposure, "own", kind="area")]
    parts = [
        chart(
            "equity",
            "Growth",
            s.sessions,
            growth,
            height=280,
            scale=scale,
            bands=s.regimes,
            marks=s.halts,
            more=_band_keys(s),
        ),
        chart("drawdown", "Drawdown", s.sessions, drawdown, height=120),
        chart("profit", f"Daily P&L{recent}", s.sessions[-BAR_SESSIONS:], profit, unit="$", height=170),
        chart("exposure", "Invested", s.sessions, invested, height=130, limit=limit),
    ]
    if any(len(set(values)) > 1 for values in s.weights.values()):  # six flat bands say nothing
        lines = [Line(name, values, f"s{i % COLOURS}") for i, (name, values) in enumerate(s.weights.items())]
        parts.append(stacked("allocation", "Allocation", s.sessions, lines))
    return f'<section class="card">{"".join(parts)}</section>'


def _band_keys(s: Series) -> str:
    keys = [(REGIME_COLOURS.get(name, "soft"), name) for name in sorted({span.label for span in s.regimes})]
    html = "".join(key(colour, name, "band") for colour, name in keys)
    return html + (key("bad", "halted") if s.halts else "")


def _footer(report: Report) -> str:
    run = report["run"]
    words = [f"made {report['generated_at']}", f"schema {report['schema_version']}"]
    if run is not None:
        words += [f"run {run['id']} ({run['status']})", f"market data: {run['market_data']}"]
        words += [f"settings {run['config_fingerprint']}"]
        words.append(f"{run['money']}: no real money" if run["simulated"] else run["money"])
    words.append(f"{benchmark_head(report)} is a total return where the market data is adjusted for dividends")
    return f"<footer>{escape(' · '.join(words))}</footer>"
