"""Whose account a command trades: no replay's option ever reaches a broker, and none is taken without effect."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from trading_platform.configuration.environment import Settings, load_settings
from trading_platform.configuration.trading_config import TradingConfig, load_config
from trading_platform.core.errors import FixConfigError
from trading_platform.runtime.account_choice import Whose, chosen_account
from trading_platform.runtime.trade_settings import TradeOptions, check_days, read_config, same_place

KEYS = {"ALPACA_API_KEY": "PK0123456789", "ALPACA_SECRET_KEY": "secret"}
LIVE = {**KEYS, "TRADING_ALLOW_LIVE": "yes-i-mean-it"}
REPLAY_OPTIONS: list[dict[str, Any]] = [
    {"start": date(2020, 1, 2)},
    {"end": date(2020, 12, 31)},
    {"seed": 3},
    {"capital": 5000.0},
    {"cost_bps": 4.0},
    {"fills": "realistic"},
    {"data_dirs": (Path("bars"),)},
    {"fetch_from": date(2019, 1, 2)},
    {"fetch_to": date(2020, 12, 31)},
]
SOURCES = [None, "alpaca", "yahoo", "synthetic", "files"]


def settings(values: dict[str, str]) -> Settings:
    return load_settings(values, env_file=None)


def whose(options: TradeOptions, values: dict[str, str], config: TradingConfig | None = None) -> Whose:
    return chosen_account(options, settings(values), config or TradingConfig()).whose


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("option", REPLAY_OPTIONS, ids=lambda option: next(iter(option)))
@pytest.mark.parametrize("values", [KEYS, LIVE, {}], ids=["paper", "live", "no keys"])
def test_a_replays_option_never_reaches_a_broker(
    source: str | None, option: dict[str, Any], values: dict[str, str]
) -> None:
    options = TradeOptions(source=source, **option)
    for config in (TradingConfig(), load_config(None, {"data.source": "alpaca"})):
        try:
            assert whose(options, values, config) is not Whose.BROKERS
        except FixConfigError as error:
            assert "--data-dir is a folder of files" in str(error)
        for forced in (replace(options, live=True), replace(options, command="trade")):
            local_paper = source == "yahoo" and not forced.live and option.keys() <= {"capital", "cost_bps", "fills"}
            if local_paper:
                assert whose(forced, values, config) is Whose.SIMULATED
            else:
                with pytest.raises(FixConfigError):
                    chosen_account(forced, settings(values), config)


def test_the_seen_lines_are_replays() -> None:
    """``--source alpaca --start ... --end ... --capital 5000`` traded the account, with none of the options heeded."""
    seen = TradeOptions(source="alpaca", start=date(2020, 1, 2), end=date(2020, 12, 31), capital=5000.0)
    assert whose(seen, KEYS) is Whose.NOBODYS
    assert read_config(seen, settings(KEYS)).engine.initial_capital == 5000.0
    assert whose(TradeOptions(source="yahoo", start=date(2020, 1, 2)), {}) is Whose.NOBODYS


def test_the_bare_command_with_keys_trades_the_paper_account() -> None:
    assert chosen_account(TradeOptions(), settings(KEYS), TradingConfig()) == (Whose.BROKERS, "alpaca")
    assert whose(TradeOptions(command="trade"), KEYS) is Whose.BROKERS
    assert whose(TradeOptions(tickers=("AAPL",)), KEYS) is Whose.BROKERS
    assert whose(TradeOptions(live=True), LIVE) is Whose.BROKERS


def test_without_keys_or_by_name_it_is_a_replay() -> None:
    assert whose(TradeOptions(), {}) is Whose.NOBODYS
    assert whose(TradeOptions(command="replay"), KEYS) is Whose.NOBODYS
    assert whose(TradeOptions(command="replay", source="alpaca"), KEYS) is Whose.NOBODYS
    assert whose(TradeOptions(source="synthetic"), KEYS) is Whose.NOBODYS


def test_capital_and_costs_set_up_the_local_paper_account_of_yahoo() -> None:
    options = TradeOptions(source="yahoo", capital=5000.0, cost_bps=8.0)
    assert whose(options, KEYS) is Whose.SIMULATED
    config = read_config(options, settings({}))
    assert (config.engine.initial_capital, config.costs.half_spread_bps) == (5000.0, 4.0)
    assert whose(replace(options, seed=3), {}) is Whose.NOBODYS


def test_trade_without_an_account_says_how_to_have_one() -> None:
    with pytest.raises(FixConfigError, match=r"trade needs an account.*--source yahoo"):
        whose(TradeOptions(command="trade"), {})


@pytest.mark.parametrize("word", ["--live", "trade"])
def test_a_replays_option_beside_an_account_is_refused_by_name(word: str) -> None:
    options = TradeOptions(seed=3, live=word == "--live", command="" if word == "--live" else word)
    with pytest.raises(FixConfigError, match=f"--seed makes it a replay.* and {word} trades one"):
        whose(options, LIVE)


def test_the_page_of_a_replay_cannot_be_opened_for_an_account() -> None:
    with pytest.raises(FixConfigError, match="say page ID --open beside it"):
        whose(TradeOptions(opens=True), KEYS)
    assert whose(TradeOptions(opens=True), {}) is Whose.NOBODYS


def test_json_of_an_engine_that_does_not_end_is_refused() -> None:
    with pytest.raises(FixConfigError, match="say --once as well, or status --json"):
        whose(TradeOptions(json=True), KEYS)
    assert whose(TradeOptions(json=True, once=True), KEYS) is Whose.BROKERS


def test_a_folder_beside_another_source_is_refused() -> None:
    with pytest.raises(FixConfigError, match="--data-dir is a folder of files, and --source yahoo"):
        whose(TradeOptions(data_dirs=(Path("bars"),), source="yahoo"), {})


@pytest.mark.parametrize(
    ("days", "words"),
    [
        ({"start": date(2024, 5, 1), "end": date(2024, 1, 1)}, "--end 2024-01-01 lies before --start 2024-05-01"),
        ({"fetch_from": date(2024, 5, 1), "fetch_to": date(2024, 1, 1)}, "--to 2024-01-01 lies before --from"),
        ({"start": date(2024, 5, 1), "fetch_to": date(2024, 1, 1)}, "no bars would be left to trade"),
        ({"end": date(2024, 5, 1), "fetch_to": date(2024, 1, 1)}, "the last sessions would have no bars"),
        ({"start": date(2024, 1, 1), "fetch_from": date(2024, 5, 1)}, "its session would have no bars"),
    ],
)
def test_days_that_contradict_each_other_are_named(days: dict[str, Any], words: str) -> None:
    with pytest.raises(FixConfigError, match=words):
        check_days(TradeOptions(**days))


def test_days_in_order_pass() -> None:
    day = date(2024, 5, 1)
    check_days(TradeOptions(start=day, end=day, fetch_from=day, fetch_to=day))


def test_several_folders_are_read_in_their_order() -> None:
    config = read_config(TradeOptions(data_dirs=(Path("a"), Path("b"))), settings({}))
    assert config.data.folders == (Path("a"), Path("b"))


def test_the_next_steps_name_the_same_place() -> None:
    assert same_place(None, None) == ""
    assert same_place("my db.db", Path("own.toml")) == " --db 'my db.db' --config own.toml"


@pytest.mark.parametrize(
    ("broker", "source", "values", "expected"),
    [
        ("", "alpaca", KEYS, Whose.BROKERS),  # a settings file of an earlier version means both
        ("paper", "alpaca", KEYS, Whose.SIMULATED),
        ("paper", "yahoo", {}, Whose.SIMULATED),
        ("paper", "synthetic", KEYS, Whose.SIMULATED),  # the keys' bars
        ("alpaca", "yahoo", KEYS, Whose.BROKERS),
        ("alpaca", "synthetic", KEYS, Whose.BROKERS),
        ("mine", "yahoo", {}, Whose.OWN),
        ("mine", "alpaca", KEYS, Whose.OWN),
    ],
)
def test_broker_is_chosen_apart_from_the_bars(
    broker: str, source: str, values: dict[str, str], expected: Whose
) -> None:
    config = load_config(None, {"broker.name": broker or None, "data.source": source})
    assert whose(TradeOptions(), values, config) is expected
    assert whose(TradeOptions(command="trade"), values, config) is expected
    assert whose(TradeOptions(command="replay"), values, config) is Whose.NOBODYS
    assert whose(TradeOptions(seed=3), values, config) is Whose.NOBODYS


def test_source_of_the_command_line_leaves_the_broker_as_the_file_names_it() -> None:
    config = load_config(None, {"broker.name": "paper", "data.source": "yahoo"})
    assert whose(TradeOptions(source="alpaca"), KEYS, config) is Whose.SIMULATED
    assert whose(TradeOptions(source="alpaca"), KEYS) is Whose.BROKERS


def test_capital_sets_up_a_paper_account_that_the_settings_name() -> None:
    config = load_config(None, {"broker.name": "paper", "data.source": "alpaca"})
    assert whose(TradeOptions(capital=5000.0), KEYS, config) is Whose.SIMULATED
    assert whose(TradeOptions(capital=5000.0), KEYS, load_config(None, {"broker.name": "mine"})) is Whose.NOBODYS


@pytest.mark.parametrize("broker", ["paper", "alpaca", "mine"])
def test_broker_beside_bars_that_have_ended_is_refused_in_one_line_with_the_cure(broker: str) -> None:
    config = load_config(None, {"broker.name": broker, "data.source": "files", "data.folder": "bars"})
    with pytest.raises(FixConfigError, match=r'set \[data\] source = "alpaca" or "yahoo", or say replay') as caught:
        whose(TradeOptions(), KEYS, config)
    assert "\n" not in str(caught.value)


def test_real_money_needs_alpaca_as_the_broker() -> None:
    for broker in ("paper", "mine"):
        config = load_config(None, {"broker.name": broker, "data.source": "alpaca"})
        with pytest.raises(FixConfigError, match=r"Alpaca as the broker: leave out .* \[broker\] name"):
            whose(TradeOptions(live=True), LIVE, config)
    assert whose(TradeOptions(live=True), LIVE, load_config(None, {"broker.name": "alpaca"})) is Whose.BROKERS


def test_name_that_no_broker_can_have_is_refused() -> None:
    with pytest.raises(FixConfigError, match='name must be "paper", "alpaca" or the name of a broker of your own'):
        load_config(None, {"broker.name": "My-Broker"})
