"""Splits, dividends and adjusted closes: which of them a table's prices already contain, told from the prices.

A split that is in the prices leaves no gap at the open of its day; one that is not leaves one by its factor. So every
table is asked, instead of its vendor's name: yfinance's prices are always adjusted for splits and sometimes for
dividends, Tiingo's and Quandl's raw ones for neither. Dividends are too small to be seen one by one; all of them
together are, where there are many or a large one. Where nothing is seen, the column's usual meaning decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trading_platform.core.types import Bools, Floats, Ints
from trading_platform.market_data.columns import Role
from trading_platform.market_data.notices import Notice, NoticeKind

SEEN_ERROR = 0.3  # standard error of the dividends' mark below which the prices themselves decide
SAME = 1e-6  # relative difference of adjusted and plain close that is rounding


@dataclass(frozen=True, slots=True, eq=False)
class Actions:
    """Columns (R,) of a table: index of the ticker, session, prices, and what is told of splits and dividends."""

    ticker: Ints
    session: NDArray[np.datetime64]
    prices: Mapping[Role, Floats]
    adj_close: Floats | None = None
    split: Floats | None = None
    dividend: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """Prices and actions that belong together: either adjusted prices and no actions, or raw ones with them."""

    prices: Mapping[Role, Floats]
    split: Floats | None
    dividend: Floats | None
    notices: tuple[Notice, ...]


def settle_actions(told: Actions, *, names: Sequence[str], adjustment: str, file: str, own_names: bool) -> Settled:
    """Return prices and actions on one basis.

    Parameters
    ----------
    told
        The columns.
    names
        Tickers by their index.
    adjustment
        "auto", "raw" (prices and actions as they stand, the adjusted close unused) or "adjusted" (by the adjusted
        close, actions unused).
    file
        Name of the table, for notices.
    own_names
        True for split_ratio and dividend, which speak of raw prices by definition.
    """
    split, dividend = _plain_split(told.split), _plain_dividend(told.dividend)
    if own_names:
        return Settled(told.prices, split, dividend, ())
    has_split = split is not None and bool(np.any(split != 1.0))
    has_dividend = dividend is not None and bool(np.any(dividend != 0.0))
    ratio = _ratio(told)
    by_ratio = adjustment == "adjusted" or (adjustment == "auto" and not has_split and not has_dividend)
    if ratio is not None and by_ratio:
        return _adjusted(told, ratio, names, file, has_split or has_dividend)
    order = np.lexsort((told.session.astype(np.int64), told.ticker))
    before = _previous_close(told, order)
    notices: list[Notice] = []
    if adjustment == "auto" and has_split and split is not None and _is_contained(told, before, np.log(split)):
        what = "prices are adjusted for splits already: the split of {:g} of {} is not applied again"
        notices.append(_told(NoticeKind.CONTAINED, told, names, split != 1.0, split, f"{file}: {what}"))
        split, has_split = None, False
    # nobody adjusts prices for dividends and leaves splits in: a split that is still there settles both
    open_question = adjustment == "auto" and has_dividend and not has_split
    if open_question and dividend is not None and _dividends_contained(told, before, dividend):
        what = "prices are adjusted for dividends already: the dividend of ${:g} of {} is not paid again"
        notices.append(_told(NoticeKind.CONTAINED, told, names, dividend != 0.0, dividend, f"{file}: {what}"))
        dividend, has_dividend = None, False
    unused = "; the adjusted close is not used" if ratio is not None else ""
    if has_split and split is not None:
        what = f"prices stand as they traded, with the split of {{:g}} of {{}}{unused}"
        notices.append(_told(NoticeKind.NOT_ADJUSTED, told, names, split != 1.0, split, f"{file}: {what}"))
    elif has_dividend and dividend is not None:
        what = f"prices stand as they traded, with the dividend of ${{:g}} of {{}}{unused}"
        notices.append(_told(NoticeKind.NOT_ADJUSTED, told, names, dividend != 0.0, dividend, f"{file}: {what}"))
    elif ratio is not None:
        notices.append(Notice(NoticeKind.COLUMN_SKIPPED, 1, f"{file}: the adjusted close"))
    return Settled(told.prices, split if has_split else None, dividend if has_dividend else None, tuple(notices))


def _told(kind: NoticeKind, told: Actions, names: Sequence[str], marked: Bools, figures: Floats, text: str) -> Notice:
    """Return a notice on the tickers of `marked` rows (R,), with the figure and the closes around the first of them."""
    row = int(np.flatnonzero(marked)[0])
    own = (told.ticker == told.ticker[row]) & (told.session < told.session[row])
    close = told.prices[Role.CLOSE]
    before = f"{close[own][np.argmax(told.session[own])]:g} -> " if own.any() else ""
    where = f"{names[told.ticker[row]]} on {told.session[row]} (closes {before}{close[row]:g})"
    return Notice(kind, len(np.unique(told.ticker[marked])), text.format(figures[row], where))


def _adjusted(told: Actions, ratio: Floats, names: Sequence[str], file: str, has_actions: bool) -> Settled:
    with np.errstate(invalid="ignore"):
        moved = np.abs(ratio - 1.0) > SAME
    if not np.any(moved):
        return Settled(told.prices, None, None, ())
    prices = {
        role: np.where(moved | ~np.isfinite(ratio), values * ratio, values) for role, values in told.prices.items()
    }
    row = int(np.flatnonzero(moved)[0])
    before, after = told.prices, prices
    text = (
        f"{file}: by the adjusted close, e.g. {names[told.ticker[row]]} {told.session[row]} "
        f"open {before[Role.OPEN][row]:g} -> {after[Role.OPEN][row]:.6g}, "
        f"close {before[Role.CLOSE][row]:g} -> {after[Role.CLOSE][row]:.6g}"
        + ("; splits and dividends are not used" if has_actions else "")
    )
    return Settled(prices, None, None, (Notice(NoticeKind.ADJUSTED, len(np.unique(told.ticker[moved])), text),))


def _ratio(told: Actions) -> Floats | None:
    """Return adjusted close / close (R,), NaN where one is missing or not above 0."""
    if told.adj_close is None:
        return None
    close = told.prices[Role.CLOSE]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = told.adj_close / close
        good = np.isfinite(ratio) & (ratio > 0.0)
    return np.where(good, ratio, np.nan)


def _plain_split(split: Floats | None) -> Floats | None:
    """Return ratios with 1 for none: blanks, and zeros where most are zero, as yfinance writes them."""
    if split is None:
        return None
    out: Floats = np.where(np.isnan(split), 1.0, split)
    return np.where(out == 0.0, 1.0, out) if np.count_nonzero(out == 0.0) > 0.5 * len(out) else out


def _plain_dividend(dividend: Floats | None) -> Floats | None:
    return None if dividend is None else np.where(np.isnan(dividend), 0.0, dividend)


def _previous_close(told: Actions, order: Ints) -> Floats:
    """Return the close of the same ticker's bar before (R,), NaN where there is none."""
    close = told.prices[Role.CLOSE][order]
    same = told.ticker[order][1:] == told.ticker[order][:-1]
    before = np.full(len(order), np.nan)
    before[order[1:]] = np.where(same, close[:-1], np.nan)
    return before


def _gap(told: Actions, before: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        gap: Floats = np.log(told.prices[Role.OPEN] / before)
    return gap


def _is_contained(told: Actions, before: Floats, marks: Floats) -> bool:
    """Return True if most splits leave no gap by their factor at the open."""
    gap = _gap(told, before)
    seen = (marks != 0.0) & np.isfinite(gap) & np.isfinite(marks)
    if not np.any(seen):
        return False
    return bool(np.mean(np.abs(gap[seen]) < np.abs(gap[seen] + marks[seen])) > 0.5)


def _dividends_contained(told: Actions, before: Floats, dividend: Floats) -> bool:
    """Return True if prices do not fall by dividends at the open.

    The share of the dividends that the gaps show is regressed, with the spread of all gaps as its noise. Where that
    says nothing, dividends beside an adjusted close speak of closes that are not adjusted for them, and dividends
    without one come from yfinance's adjusted history.
    """
    gap = _gap(told, before)
    with np.errstate(invalid="ignore", divide="ignore"):
        mark = np.log1p(-dividend / before)
    seen = (dividend != 0.0) & np.isfinite(gap) & np.isfinite(mark)
    weight = float(np.sum(mark[seen] ** 2))
    usual = gap[np.isfinite(gap) & (dividend == 0.0)]
    noise = 1.4826 * float(np.median(np.abs(usual - np.median(usual)))) if len(usual) else np.inf
    if weight > 0.0 and noise / np.sqrt(weight) < SEEN_ERROR and told.adj_close is None:
        share = float(np.sum(gap[seen] * mark[seen])) / weight
        return share < 0.5
    return told.adj_close is None
