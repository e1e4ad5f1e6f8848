"""One data folder: what each of its files is, and the bars and side files that come of it.

Nothing is ignored without a word, and nothing stops at the first fault: the problems of all files come together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from trading_platform.core.errors import MarketDataError
from trading_platform.core.types import Bools
from trading_platform.market_data.arrow_tables import read_arrow_table
from trading_platform.market_data.bars import Bars, join_bars
from trading_platform.market_data.columns import FIELDS, PRICE_ROLES, Role, repeated
from trading_platform.market_data.dates import DateOrder
from trading_platform.market_data.events import EventTable, read_events_table
from trading_platform.market_data.forms import Form, Kind, form_of, is_intraday
from trading_platform.market_data.long_bars import Part, join_fields, read_part
from trading_platform.market_data.membership import Membership
from trading_platform.market_data.notices import Notice, NoticeKind, problems_of, refuse, shown
from trading_platform.market_data.own_form import is_own_form, read_own_form
from trading_platform.market_data.panel import VixHistory
from trading_platform.market_data.rates import RateHistory
from trading_platform.market_data.reading_rules import Rules
from trading_platform.market_data.side_files import (
    SideKind,
    kind_of_columns,
    kind_of_name,
    read_assets_table,
    read_rate_table,
    read_sectors_table,
    read_universe_table,
    read_vix_table,
)
from trading_platform.market_data.sources import Source, foreign_reason, list_files, sources_of
from trading_platform.market_data.text_tables import RawTable, read_text_table
from trading_platform.market_data.tickers import is_index, is_vix
from trading_platform.market_data.weights import TargetWeights, weights_of

FILES_NAMED = 6


@dataclass(slots=True, eq=False)
class LoadedFolder:
    """What a folder holds.

    Attributes
    ----------
    folder
        The folder.
    bars
        All bars, None if there are none.
    uses
        (file, what became of it), in the order of reading.
    skipped
        (file, why) of what was not read.
    vix, sectors, assets, rate, events, members, weights, notices
        What the side files say (ticker -> sector, ticker -> asset class), and what was noticed.
    """

    folder: Path
    bars: Bars | None = None
    vix: VixHistory | None = None
    sectors: dict[str, str] = field(default_factory=dict)
    assets: dict[str, str] = field(default_factory=dict)
    rate: RateHistory | None = None
    events: EventTable = field(default_factory=EventTable)
    members: list[Membership] | None = None
    weights: TargetWeights | None = None
    notices: list[Notice] = field(default_factory=list)
    uses: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def read_folder(folder: Path, rules: Rules, leave: Sequence[Path] = ()) -> LoadedFolder:
    """Read everything in a folder.

    Parameters
    ----------
    folder
        The folder.
    rules
        How to read where the data alone do not say.
    leave
        Folders that are not data, such as a cache inside.

    Raises
    ------
    MarketDataError
        The problems of all its files in one, or no file with bars.
    """
    return _Reader(folder, rules).read(list_files(folder, leave))


class _Reader:
    def __init__(self, folder: Path, rules: Rules) -> None:
        self.rules = rules
        self.out = LoadedFolder(folder)
        self.parts: list[Part] = []
        self.orders: set[DateOrder] = set()
        self.open: list[tuple[Part, Callable[[Rules], Part]]] = []
        self.fields: dict[Role, tuple[RawTable, Form]] = {}
        self.intraday: list[str] = []
        self.unusable: list[tuple[str, str]] = []
        self.problems: list[str] = []
        self.rate_is_discount = False

    def read(self, paths: Sequence[Path]) -> LoadedFolder:
        for path in paths:
            try:
                for source in sources_of(self.out.folder, path):
                    self._one(source)
            except MarketDataError as error:
                self.problems += problems_of(error)
        self._join_fields()
        self._settle_dates()
        bars = [part.bars for part in self.parts if part.bars is not None]
        for part in self.parts:
            self.out.notices += part.notices
            self.problems += part.problems
        below = [name for name, use in self.out.uses if use == "bars" and "/" in name.partition(":")[0]]
        if below:
            self.out.notices.append(Notice(NoticeKind.FORM, len(below), f"from subfolders: {shown(below, 3)}"))
        if self.problems:  # wrong events alone are told once it is known which tickers there are
            refuse([*self.problems, *self.out.events.problems])
        if not bars:
            self._refuse_without_bars(paths)
        self._tell_left_out()
        self.out.bars = self._without_indices(join_bars(bars))
        return self.out

    def _one(self, source: Source) -> None:
        try:
            self._understand(source)
        except MarketDataError as error:
            self.problems += problems_of(error)

    def _understand(self, source: Source) -> None:
        if reason := foreign_reason(source):
            self.out.skipped.append((source.name, reason))
            return
        named = kind_of_name(source)
        if named is not None:
            self._side(named, _whole(source))
            return
        try:
            head = read_text_table(source, head_only=True) if source.is_text else read_arrow_table(source)
        except MarketDataError as error:
            if source.suffix in (".txt", ".dat", ".prn") and " is empty" not in str(error):
                self.out.skipped.append((source.name, "no table"))
                return
            raise
        if (named := kind_of_columns(head)) is not None:
            self._side(named, _whole(source, head))
            return
        form = form_of(head)
        if form.kind in (Kind.LONG, Kind.WIDE, Kind.FIELD) and is_intraday(head, form, self.rules.zone):
            self.intraday.append(source.name)
            return
        self._bars(source, head, form)

    def _bars(self, source: Source, head: RawTable, form: Form) -> None:
        match form.kind:
            case Kind.LONG if len(head.headers) == 1 and is_own_form(source, head.header) and self._own(source, head):
                pass
            case Kind.LONG | Kind.WIDE:
                table = _whole(source, head)
                whole = form_of(table)
                if twice := repeated(table.header, whole.roles) if whole.cells is None and table.headers else []:
                    self.problems.append(f"{source.name}: column {', '.join(twice)} appears twice; remove one of them")
                elif whole.kind is not form.kind:
                    self.problems.append(
                        f"{source.name}: begins as {form.kind}, and goes on as {whole.kind}: {whole.reason}"
                    )
                elif is_intraday(table, whole, self.rules.zone):
                    self.intraday.append(source.name)
                else:
                    self._take(source.name, lambda rules: read_part(table, whole, rules))
            case Kind.FIELD:
                table = _whole(source, head)
                whole = form_of(table)
                if whole.field is not None and whole.field in self.fields:
                    self.problems.append(f"{source.name}: holds {whole.field}, and so does another file; keep one")
                elif whole.field is not None:
                    self.fields[whole.field] = table, whole
            case Kind.INCOMPLETE if sum(role in form.roles for role in PRICE_ROLES) >= 2:
                self.problems.append(f"{source.name}: {form.reason}")
            case Kind.NONE if not head.columns or not len(head):
                if head.problems:
                    self.problems += head.problems[:1]
                else:
                    self.out.skipped.append((source.name, "no rows" if head.headers else "no table"))
            case _:
                self.unusable.append((source.name, form.reason))

    def _own(self, source: Source, head: RawTable) -> bool:
        part = read_own_form(source, head.header)
        if part is None:
            return False
        self.parts.append(part)
        self.out.uses.append((source.name, "bars"))
        if head.notes:
            self.out.notices.append(Notice(NoticeKind.FORM, 1, f"{source.name}: {'; '.join(head.notes)}"))
        return True

    def _take(self, name: str, read: Callable[[Rules], Part]) -> None:
        part = read(self.rules)
        self.out.uses.append((name, "bars"))
        if part.ambiguous:
            self.open.append((part, read))
            return
        if part.order is not None:
            self.orders.add(part.order)
        if part.bars is None and not part.problems:
            self.problems.append(f"{name} has a header and no rows with bars; add bars or remove the file")
        self.parts.append(part)

    def _settle_dates(self) -> None:
        """Read files whose dates fit both orders in the one order that the other files of the folder have."""
        for part, read in self.open:
            if len(self.orders) == 1:
                self.parts.append(read(replace(self.rules, date_order=next(iter(self.orders)))))
            else:
                self.problems += part.problems

    def _join_fields(self) -> None:
        if not self.fields:
            return
        names = sorted(table.source.name for table, _ in self.fields.values())
        missing = [role for role in FIELDS if role not in self.fields]
        if missing:
            alone = set(self.fields) <= {Role.CLOSE, Role.ADJ_CLOSE, Role.VOLUME}
            reason = (
                "closes alone cannot be traded at an open: files of open, high, low and volume are needed as well"
                if alone
                else f"files of {', '.join(missing)} are missing beside {', '.join(self.fields)}"
            )
            self.unusable += [(name, reason) for name in names]
            return
        fields = self.fields
        self._take(", ".join(names), lambda rules: join_fields(fields, rules))

    def _side(self, kind: SideKind, table: RawTable) -> None:
        name = table.source.name
        out = self.out
        used = True
        match kind:
            case SideKind.VIX:
                used = out.vix is None or self._is_plain_vix(table.source)
                if used:
                    if out.vix is not None:
                        out.skipped.append((out.vix.place, "a second file of VIX"))
                    out.vix, notices = read_vix_table(table, self._side_rules())
                    out.notices += notices
                    out.notices += _vix_form(table)
            case SideKind.SECTORS:
                out.sectors = {**read_sectors_table(table), **out.sectors}
            case SideKind.ASSETS:
                out.assets = {**read_assets_table(table), **out.assets}
            case SideKind.RATE | SideKind.DISCOUNT:
                is_discount = kind is SideKind.DISCOUNT
                used = out.rate is None or (self.rate_is_discount and not is_discount)
                if used:
                    if out.rate is not None:
                        out.skipped.append((out.rate.place, "cash_rate.csv wins over it"))
                    out.rate = read_rate_table(table, self._side_rules(), is_discount=is_discount)
                    self.rate_is_discount = is_discount
            case SideKind.EVENTS:
                found = read_events_table(table, self._side_rules())
                out.events = EventTable(out.events.rows + found.rows, out.events.problems + found.problems)
            case SideKind.UNIVERSE:
                out.members = [*(out.members or []), *read_universe_table(table, self._side_rules())]
            case SideKind.WEIGHTS:
                used = out.weights is None
                if used:
                    out.weights = weights_of(table, self._side_rules())
        if used:
            out.uses.append((name, str(kind)))
        else:
            out.skipped.append((name, f"a second file of {kind}"))

    def _side_rules(self) -> Rules:
        order = self.rules.date_order or (next(iter(self.orders)) if len(self.orders) == 1 else None)
        return replace(self.rules, date_order=order)

    @staticmethod
    def _is_plain_vix(source: Source) -> bool:
        return source.stem.lower() == "vix"

    def _without_indices(self, bars: Bars) -> Bars:
        """Return the bars of what can be traded; VIX among them becomes the VIX history."""
        indices = [name for name in bars.names if is_index(name)]
        if not indices:
            return bars
        for name in indices:
            if is_vix(name) and self.out.vix is None:
                rows = bars.ticker == bars.names.index(name)
                order = bars.session[rows].argsort(kind="stable")
                days, values = bars.session[rows][order], bars.close[rows][order]
                keep = ~(values != values)
                fresh = [True, *(days[1:] != days[:-1]).tolist()]
                keep &= fresh
                self.out.vix = VixHistory(days[keep], values[keep], f"{name} among the bars")
                self.out.notices.append(Notice(NoticeKind.FORM, 1, f"{name} among the bars is VIX"))
            else:
                self.out.notices.append(Notice(NoticeKind.TICKER_SKIPPED, 1, name))
        traded = [not is_index(name) for name in bars.names]
        kept = bars.kept(_by_name(traded, bars)).without_unused_names()
        if not len(kept):
            raise MarketDataError(
                f"{self.out.folder} holds bars of {shown(indices)} alone, which cannot be traded; add stocks"
            )
        return kept

    def _tell_left_out(self) -> None:
        left = [
            *((name, "intraday bars") for name in self.intraday),
            *self.unusable,
            *self.out.skipped,
        ]
        self.out.skipped = left
        if left:
            texts = [f"{name}: {reason}" for name, reason in left]
            self.out.notices.append(
                Notice(
                    NoticeKind.FILE_SKIPPED,
                    len(left),
                    "; ".join(texts[:FILES_NAMED]) + (" ..." if len(texts) > FILES_NAMED else ""),
                )
            )

    def _refuse_without_bars(self, paths: Sequence[Path]) -> None:
        folder = self.out.folder
        if not paths:
            raise MarketDataError(
                f"{folder} holds no *.csv, *.csv.gz or *.parquet file; "
                "add one with date, ticker, open, high, low, close, volume"
            )
        if self.intraday and not self.unusable:
            raise MarketDataError(
                f"{folder} holds intraday bars ({shown(self.intraday)} has several times a day); "
                "give daily bars, one row a ticker and day"
            )
        reasons = [f"{name}: {reason}" for name, reason in (*self.unusable, *self.out.skipped)]
        reasons += [f"{name}: {use}" for name, use in self.out.uses]
        reasons += [f"{name}: intraday bars" for name in self.intraday]
        raise MarketDataError(
            f"{folder} holds no file with bars ({'; '.join(reasons[:FILES_NAMED])}); "
            "a bar file needs the columns date, ticker, open, high, low, close, volume"
        )


def _vix_form(table: RawTable) -> list[Notice]:
    """Return a notice on a VIX file that is not ``vix.csv`` with date and close."""
    notes = list(table.notes)
    header = [name.strip().lower() for name in table.header]
    if table.source.stem.lower() != "vix":
        notes.insert(0, "by its name it holds VIX")
    if "date" not in header or not {"close", "vix"} & set(header):
        notes.append(f"columns {', '.join(name for name in table.header[:4] if name)}")
    elif len(table) and len(table.texts(header.index("date"))[0]) > 10:
        notes.append(f"days from times such as {table.texts(header.index('date'))[0]}")
    return [Notice(NoticeKind.FORM, 1, f"{table.source.name}: {'; '.join(notes)}")] if notes else []


def _by_name(kept: Sequence[bool], bars: Bars) -> Bools:
    return np.array(kept, dtype=np.bool_)[bars.ticker]


def _whole(source: Source, head: RawTable | None = None) -> RawTable:
    """Return a whole table; of a text `head` is but its beginning, of Parquet and Feather it is all."""
    if source.is_text:
        return read_text_table(source)
    return read_arrow_table(source) if head is None else head
