"""A search on the embedded market: workers and kills change nothing of what is found, outer years stay unseen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import inspect
from sqlalchemy.engine import URL

from tests.postgres_server import PostgresServer
from trading_platform.configuration.trading_config import load_config
from trading_platform.core.errors import FixConfigError, OperatorNeededError
from trading_platform.core.types import MarketPanel
from trading_platform.machine.packages import missing
from trading_platform.market_data.calendar import NyseCalendar
from trading_platform.market_data.synthetic import SyntheticMarketData
from trading_platform.runtime.search import document, settings_of, values_now
from trading_platform.search.plan import GAP, Asked, Dimension, Outer, SearchPlan, Value
from trading_platform.search.run_search import Search, Settings, benches, run_search
from trading_platform.search.study import Study, one_at_a_time
from trading_platform.search.study_storage import JOURNAL, SCHEMA, alone_on_server, server_of
from trading_platform.storage.database import check_schema, migrate, open_database
from trading_platform.storage.postgresql import DatabaseAwayError
from trading_platform.storage.trial_ledger import TrialLedger
from trading_platform.work.job import Place

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        bool(missing(["optuna"])), reason="optuna is not installed: pip install 'trading-platform[sweep]'"
    ),
]

PLAN = SearchPlan(
    Asked("exits", trials=6, universes=2, universe_size=8, folds=2, batch=3, seed=2),
    (Outer(date(2024, 1, 2), date(2024, 12, 31)),),
    (
        Dimension("exits.max_holding_sessions", 20.0, 120.0, 10.0, whole=True),
        Dimension("sizing.rebalance_band_pct", 5.0, 40.0),
    ),
)


@pytest.fixture(scope="module")
def panel() -> MarketPanel:
    return SyntheticMarketData(7, n_tickers=14, n_sessions=756).history()


def configure(values: Mapping[str, Value]) -> Settings:
    return settings_of(load_config(None, dict(values)))


def asked(panel: MarketPanel, folder: Path, plan: SearchPlan = PLAN, **changes: Any) -> Search:
    made = Search(
        plan,
        panel,
        configure,
        NyseCalendar().exchange_seconds,
        "settings",
        folder,
        TrialLedger(folder),
        Place(1),
        datetime(2026, 1, 5, tzinfo=UTC),
    )
    return replace(made, **changes)


def run(search: Search) -> dict[str, Any]:
    found = run_search(search, lambda line: None)
    return document(search.plan, found, values_now(load_config(None, {}), search.plan))


@pytest.fixture(scope="module")
def whole(panel: MarketPanel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("whole")
    result = run(asked(panel, folder))
    lines = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    assert len({line["trial_id"] for line in lines}) == len(lines) == 6
    assert {line["purpose"] for line in lines} == {"search"}
    return result


def test_two_workers_find_what_one_finds(whole: dict[str, Any], panel: MarketPanel, tmp_path: Path) -> None:
    assert run(asked(panel, tmp_path, place=Place(2))) == whole
    assert len(whole["studies"][0]["all_trials"]) == 6
    assert whole["studies"][0]["best"] is not None


class KilledError(Exception):
    """Stands for the end of the process."""


def test_a_search_that_was_cut_short_finds_what_it_would_have(
    whole: dict[str, Any], panel: MarketPanel, tmp_path: Path
) -> None:
    calls = 0

    def failing(values: Mapping[str, Value]) -> Settings:
        nonlocal calls
        calls += 1
        if calls == 9:  # in the middle of the second batch, whose trials are asked and not told
            raise KilledError
        return configure(values)

    with pytest.raises(KilledError):
        run(asked(panel, tmp_path, configure=failing))
    study = Study(tmp_path, PLAN.outer[0].name, PLAN, asked(panel, tmp_path).identity)
    assert [trial.is_open for trial in study.trials()] == [False] * 3 + [True] * 3
    assert run(asked(panel, tmp_path)) == whole


def test_a_line_torn_by_a_kill_is_cut_and_its_trial_asked_again(
    whole: dict[str, Any], panel: MarketPanel, tmp_path: Path
) -> None:
    first = replace(PLAN, asked=replace(PLAN.asked, trials=3))
    run(asked(panel, tmp_path, first))
    journal = tmp_path / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    study = Study(tmp_path, PLAN.outer[0].name, PLAN, asked(panel, tmp_path).identity)
    study.ask()
    new = journal.read_bytes().splitlines(keepends=True)[len(lines) :]
    assert len(new) >= 3  # the trial and its two settings
    journal.write_bytes(b"".join([*lines, *new[:2], new[2][:20]]))
    assert run(asked(panel, tmp_path)) == whole


def test_a_lock_that_a_killed_search_left_in_the_journal_keeps_nobody_waiting(
    whole: dict[str, Any], panel: MarketPanel, tmp_path: Path
) -> None:
    left = tmp_path / f"{JOURNAL}.lock"
    left.symlink_to("searches/exits/study.journal")  # as Optuna locks a relative path: it leads nowhere, and never ages
    assert run(asked(panel, tmp_path)) == whole
    assert not left.is_symlink()


def test_a_journal_of_another_search_is_refused(whole: dict[str, Any], panel: MarketPanel, tmp_path: Path) -> None:
    Study(tmp_path, "x", PLAN, "one")
    with pytest.raises(FixConfigError, match="its trials are of other data, settings, periods"):
        Study(tmp_path, "x", PLAN, "another")


def test_a_second_search_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom trading_platform.search.study import one_at_a_time\n"
        f"with one_at_a_time(Path({str(tmp_path)!r})):\n    print('mine', flush=True)\n    sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == "mine"
        with pytest.raises(FixConfigError, match="another search is at work there"), one_at_a_time(tmp_path):
            pass
    finally:
        os.kill(other.pid, signal.SIGKILL)  # a killed search leaves nothing that keeps the next one out
        other.communicate()
    with one_at_a_time(tmp_path):
        pass


# ------------------------------------------------------------ on a server


@pytest.fixture
def database(postgres: PostgresServer) -> URL:
    return server_of(postgres.new_database())


def test_a_server_keeps_the_trials_that_a_journal_would_and_beside_our_tables(
    whole: dict[str, Any], panel: MarketPanel, tmp_path: Path, database: URL
) -> None:
    calls = 0

    def failing(values: Mapping[str, Value]) -> Settings:
        nonlocal calls
        calls += 1
        if calls == 9:
            raise KilledError
        return configure(values)

    ours = open_database(database.render_as_string(hide_password=False))
    migrate(ours)
    with alone_on_server(database, "exits"), pytest.raises(KilledError):
        run(asked(panel, tmp_path, configure=failing, database=database))
    with alone_on_server(database, "exits"):
        assert run(asked(panel, tmp_path, database=database)) == whole
    assert not (tmp_path / JOURNAL).exists()
    check_schema(ours)  # Optuna's own version table is not taken for ours
    with ours.connect() as connection:
        assert inspect(connection).has_table("trials", schema=SCHEMA)
        assert not inspect(connection).has_table("trials")
    ours.dispose()


def test_a_second_search_of_the_name_on_a_server_is_refused(database: URL) -> None:
    with alone_on_server(database, "exits"):
        with alone_on_server(database, "another"):
            pass
        with (
            pytest.raises(OperatorNeededError, match="another search named exits is at work there"),
            alone_on_server(database, "exits"),
        ):
            pass
    with alone_on_server(database, "exits"):
        pass


def test_a_server_that_goes_in_mid_search_ends_it_in_one_line_and_it_goes_on_later(
    whole: dict[str, Any], panel: MarketPanel, tmp_path: Path, postgres: PostgresServer, database: URL
) -> None:
    calls = 0

    def restarting(values: Mapping[str, Value]) -> Settings:
        nonlocal calls
        calls += 1
        if calls == 9:  # whoever held the search's name holds it no more
            postgres.stop()
            postgres.start()
        return configure(values)

    with pytest.raises(DatabaseAwayError) as caught, alone_on_server(database, "exits"):
        run(asked(panel, tmp_path, configure=restarting, database=database))
    assert "\n" not in str(caught.value)
    with alone_on_server(database, "exits"):
        assert run(asked(panel, tmp_path, database=database)) == whole


def test_a_file_is_no_place_for_a_search_on_a_server() -> None:
    with pytest.raises(FixConfigError, match=r'search\.storage = "postgresql" needs DATABASE_URL=postgresql'):
        server_of("sqlite:///trading.db")


def test_trials_never_see_an_outer_session(panel: MarketPanel, tmp_path: Path) -> None:
    inner, outer = benches(asked(panel, tmp_path), PLAN.outer[0])
    days = panel.sessions.astype("datetime64[D]")
    first_outer = int(np.searchsorted(days, np.datetime64("2024-01-02")))
    assert inner.panel.n_sessions == first_outer - GAP
    assert outer.start == first_outer
    tripled = {name: getattr(panel, name).copy() for name in ("open", "high", "low", "close")}
    for values in tripled.values():
        values[first_outer:, ::2] *= 3.0
    spoilt = replace(panel, **tripled)
    for name in ("spoilt", "same"):
        (tmp_path / name).mkdir()
    changed = run(asked(spoilt, tmp_path / "spoilt"))["studies"][0]
    same = run(asked(panel, tmp_path / "same"))["studies"][0]
    assert changed["all_trials"] == same["all_trials"]
    assert changed["outer_best"] != same["outer_best"]


def test_a_space_that_leads_to_wrong_settings_is_refused_before_any_trial(panel: MarketPanel, tmp_path: Path) -> None:
    for setting, words in (
        ("exits.max_holding_sesions", "did you mean 'max_holding_sessions'"),
        ("strategies.momentun.lookback", "momentun"),
    ):
        plan = replace(PLAN, space=(Dimension(setting, 5.0, 50.0, whole=True),))
        with pytest.raises(FixConfigError, match=words):
            run(asked(panel, tmp_path, plan))
    assert not (tmp_path / JOURNAL).exists()


def test_a_pruned_search_with_contradicting_settings_counts_every_trial(panel: MarketPanel, tmp_path: Path) -> None:
    # a stop range turned round contradicts itself: each end alone is a fine value
    space = (Dimension("exits.min_stop_pct", 1.0, 19.0), Dimension("exits.max_stop_pct", 4.0, 40.0))
    plan = replace(PLAN, asked=replace(PLAN.asked, trials=9, pruner="median", sampler="random"), space=space)
    study = run(asked(panel, tmp_path, plan))["studies"][0]
    kinds = ["unusable" if t["unusable"] else "pruned" if t["pruned"] else "done" for t in study["all_trials"]]
    assert len(kinds) == 9
    assert "unusable" in kinds
    assert "done" in kinds
    assert len((tmp_path / "trials.jsonl").read_text().splitlines()) == 9


def test_several_objectives_are_searched_together(panel: MarketPanel, tmp_path: Path) -> None:
    plan = replace(PLAN, asked=replace(PLAN.asked, trials=3, objectives=("sharpe", "drawdown"), sampler="nsga2"))
    study = run(asked(panel, tmp_path, plan))["studies"][0]
    assert all(len(trial["values"]) == 2 for trial in study["all_trials"])
