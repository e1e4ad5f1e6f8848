"""The layout holds: import directions, purity, one order door, no code in data files. Each rule has a seeded fault."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import architecture_rules as rules
import pytest
from architecture_rules import LINE_BUDGETS, Source

ROOT = Path(__file__).parents[2]
SKIPPED_FOLDERS = {".git", "node_modules", "mutants", "__pycache__", "build", "reports", "logs"}
TEXT = {
    ".py",
    ".toml",
    ".md",
    ".txt",
    ".json",
    ".yml",
    ".yaml",
    ".cfg",
    ".ini",
    ".sh",
    ".service",
    ".html",
    ".mako",
    "",
}
FLAT = frozenset(name.removesuffix(".py") for name in LINE_BUDGETS)

Check = Callable[[Source], list[str]]


def files() -> Iterator[Path]:
    """Yield the files of the checkout, without environments, caches and outputs."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [
            name for name in folders if name not in SKIPPED_FOLDERS and not name.startswith((".venv", ".cache"))
        ]
        folders[:] = [name for name in folders if not name.endswith("_cache") and name != ".hypothesis"]
        yield from (Path(folder, name) for name in sorted(names) if name != ".git")  # a file in a second checkout


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


SOURCES = {
    relative(path): Source(relative(path), path.read_text(encoding="utf-8")) for path in files() if path.suffix == ".py"
}
PRODUCT = {source.module: source for source in SOURCES.values() if source.is_product}


def no_flat_import(source: Source) -> list[str]:
    return rules.package_imports_no_flat_module(source, FLAT)


CHECKS: list[Check] = [
    no_flat_import,
    rules.rooms_import_downwards,
    rules.pure_packages_import_nothing_impure,
    rules.pure_packages_read_no_clock,
    rules.one_module_asks_for_the_time,
    rules.facts_of_the_calendar_stand_once,
    rules.pure_packages_use_no_global_random_state,
    rules.only_risk_manager_builds_approvals,
    rules.only_settings_read_the_environment,
    rules.nothing_loads_code_from_files,
    rules.only_shells_catch_everything,
    rules.flat_modules_keep_their_budget,
]
CORE = "trading_platform/core/seeded.py"
FAULTS: list[tuple[Check, str, str]] = [
    (rules.rooms_import_downwards, "trading_platform/brokers/x.py", "from trading_platform.storage import models"),
    (
        rules.rooms_import_downwards,
        "trading_platform/alpaca/x.py",
        "def f():\n    import trading_platform.brokers.paper",
    ),
    (rules.rooms_import_downwards, CORE, "from ..storage import models"),
    (rules.rooms_import_downwards, CORE, "from trading_platform.configuration import environment"),
    (rules.rooms_import_downwards, "trading_platform/attic/x.py", "x = 1"),
    (no_flat_import, "trading_platform/brokers/x.py", "import risk_manager"),
    (no_flat_import, "trading_platform/brokers/x.py", "def f():\n    from risk_config import RiskConfig"),
    (rules.pure_packages_import_nothing_impure, CORE, "import os"),
    (rules.pure_packages_import_nothing_impure, CORE, "import os.path as p"),
    (rules.pure_packages_import_nothing_impure, "trading_platform/regime/x.py", "from time import perf_counter"),
    (rules.pure_packages_import_nothing_impure, "trading_platform/strategies/x.py", "import logging"),
    (
        rules.pure_packages_import_nothing_impure,
        "trading_platform/evaluation/x.py",
        "from sqlalchemy.orm import Session",
    ),
    (rules.pure_packages_import_nothing_impure, CORE, "def f():\n    import torch"),
    (rules.pure_packages_import_nothing_impure, CORE, "import alpaca.trading"),
    (rules.pure_packages_import_nothing_impure, CORE, "from random import random"),
    (rules.pure_packages_import_nothing_impure, CORE, "import sys"),
    (rules.pure_packages_import_nothing_impure, "trading_platform/evaluation/lookahead.py", "import os"),
    (rules.pure_packages_read_no_clock, CORE, "from datetime import datetime\nnow = datetime.now()"),
    (rules.pure_packages_read_no_clock, CORE, "import datetime as dt\nx = dt.datetime.utcnow()"),
    (rules.pure_packages_read_no_clock, CORE, "from datetime import date as d\nx = d.today()"),
    (rules.pure_packages_read_no_clock, CORE, "from datetime import datetime\nx = field(default_factory=datetime.now)"),
    (rules.pure_packages_read_no_clock, CORE, "import pandas as pd\nx = pd.Timestamp.now()"),
    (rules.pure_packages_read_no_clock, CORE, "import numpy as np\nx = np.datetime64('now')"),
    (rules.one_module_asks_for_the_time, "daily_report.py", "from datetime import datetime\nx = datetime.now(UTC)"),
    (rules.one_module_asks_for_the_time, "trading_platform/desk/x.py", "import time\nx = time.time()"),
    (rules.facts_of_the_calendar_stand_once, "trading_platform/desk/x.py", 'x = ZoneInfo("America/New_York")'),
    (rules.facts_of_the_calendar_stand_once, "trading_platform/desk/x.py", "x = sessions / 252"),
    (rules.facts_of_the_calendar_stand_once, "trading_platform/desk/x.py", "x = np.sqrt(252.0)"),
    (rules.pure_packages_use_no_global_random_state, CORE, "import numpy as np\nx = np.random.rand(3)"),
    (rules.pure_packages_use_no_global_random_state, CORE, "from numpy import random\nx = random.seed(3)"),
    (rules.pure_packages_use_no_global_random_state, CORE, "from numpy.random import normal\nx = normal()"),
    (rules.pure_packages_use_no_global_random_state, CORE, "import numpy as np\nx = np.random.default_rng()"),
    (rules.only_risk_manager_builds_approvals, "autonomous_trading_engine.py", "x = ApprovedOrder(1)"),
    (
        rules.only_risk_manager_builds_approvals,
        "trading_platform/brokers/x.py",
        "from trading_platform.core.types import ApprovedOrder as Quiet\nx = Quiet(1)",
    ),
    (rules.only_risk_manager_builds_approvals, CORE, "from . import types\nx = types.ApprovedOrder(1)"),
    (rules.only_settings_read_the_environment, "daily_report.py", "import os\nx = os.environ['HOME']"),
    (rules.only_settings_read_the_environment, "daily_report.py", "import os\nx = os.environ.get('HOME')"),
    (
        rules.only_settings_read_the_environment,
        "trading_platform/configuration/trading_config.py",
        "from os import getenv as g\nx = g('A')",
    ),
    (
        rules.only_settings_read_the_environment,
        "trading_platform/configuration/trading_config.py",
        "from os import environ\nx = dict(environ)",
    ),
    (rules.nothing_loads_code_from_files, "rl_strategy_allocator.py", "import pickle"),
    (rules.nothing_loads_code_from_files, "benchmarks/x.py", "from joblib import load"),
    (rules.nothing_loads_code_from_files, "train_rl_model.py", "import torch as t\nx = t.load('f')"),
    (
        rules.nothing_loads_code_from_files,
        "train_rl_model.py",
        "from stable_baselines3 import PPO as P\nx = P.load('f')",
    ),
    (
        rules.nothing_loads_code_from_files,
        "train_rl_model.py",
        "import stable_baselines3\nstable_baselines3.PPO.load('f')",
    ),
    (
        rules.nothing_loads_code_from_files,
        "rl_environment.py",
        "from stable_baselines3.common.vec_env import VecNormalize\nx = VecNormalize.load('f')",
    ),
    (rules.nothing_loads_code_from_files, CORE, "import numpy as np\nx = np.load('f', allow_pickle=True)"),
    (rules.nothing_loads_code_from_files, CORE, "import pandas as pd\nx = pd.read_pickle('f')"),
    (rules.only_shells_catch_everything, "risk_manager.py", "try:\n    f()\nexcept Exception:\n    pass"),
    (rules.only_shells_catch_everything, CORE, "try:\n    f()\nexcept:\n    x = 1"),
    (rules.only_shells_catch_everything, CORE, "try:\n    f()\nexcept Exception as e:\n    raise E from e"),
    (rules.only_shells_catch_everything, CORE, "try:\n    f()\nexcept (ValueError, BaseException) as e:\n    print(e)"),
    (rules.flat_modules_keep_their_budget, "risk_config.py", "x = 1\n" * 151),
    (rules.flat_modules_keep_their_budget, "engine_manager.py", "x = 1"),
]
INNOCENT: list[tuple[Check, str, str]] = [
    (rules.rooms_import_downwards, "trading_platform/runtime/x.py", "from trading_platform.storage import models"),
    (no_flat_import, "trading_platform/runtime/x.py", "import risk_manager"),
    (no_flat_import, "risk_manager.py", "from risk_config import RiskConfig"),
    (no_flat_import, "trading_platform/brokers/x.py", "from trading_platform.core import risk_config"),
    (rules.pure_packages_import_nothing_impure, CORE, "import numpy as np\nfrom . import osprey, timely"),
    (rules.pure_packages_import_nothing_impure, "trading_platform/storage/x.py", "import os, logging"),
    (rules.pure_packages_import_nothing_impure, "trading_platform/evaluation/lookahead.py", "import argparse, sys"),
    (rules.pure_packages_read_no_clock, CORE, "def f(clock):\n    return clock.now()"),
    (rules.pure_packages_read_no_clock, CORE, "import numpy as np\nx = np.datetime64('2020-01-01')"),
    (rules.one_module_asks_for_the_time, "trading_platform/desk/x.py", "import time\nx = time.monotonic()"),
    (rules.one_module_asks_for_the_time, "tests/x.py", "import time\nx = time.time()"),
    (rules.facts_of_the_calendar_stand_once, "trading_platform/strategies/x.py", "window: Window = 252"),
    (rules.pure_packages_use_no_global_random_state, CORE, "import numpy as np\nx = np.random.default_rng(3)"),
    (rules.pure_packages_use_no_global_random_state, CORE, "import numpy as np\ndef f(g: np.random.Generator): ..."),
    (rules.only_risk_manager_builds_approvals, "risk_manager.py", "x = ApprovedOrder(1)"),
    (rules.only_risk_manager_builds_approvals, CORE, "def f(order: ApprovedOrder) -> None: ..."),
    (
        rules.only_settings_read_the_environment,
        "trading_platform/configuration/environment.py",
        "import os\nx = os.environ",
    ),
    (rules.only_settings_read_the_environment, "train_rl_model.py", "import os\nos.environ['OMP_NUM_THREADS'] = '1'"),
    (rules.nothing_loads_code_from_files, "tests/unit/x.py", "import pickle"),
    (rules.nothing_loads_code_from_files, CORE, "import numpy as np\nx = np.load('f', allow_pickle=False)"),
    (rules.nothing_loads_code_from_files, CORE, "import json\nx = json.load(f)\nself.load('x')"),
    (rules.only_shells_catch_everything, "daily_report.py", "try:\n    f()\nexcept Exception:\n    pass"),
    (rules.only_shells_catch_everything, CORE, "try:\n    f()\nexcept BaseException:\n    undo()\n    raise"),
    (rules.flat_modules_keep_their_budget, "risk_config.py", "x = 1\n" * 150),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_rule_holds_everywhere(check: Check) -> None:
    assert [line for source in SOURCES.values() for line in check(source)] == []


@pytest.mark.parametrize(("check", "path", "text"), FAULTS, ids=lambda value: getattr(value, "__name__", None))
def test_rule_catches_a_seeded_fault(check: Check, path: str, text: str) -> None:
    assert check(Source(path, text)) != []


@pytest.mark.parametrize(("check", "path", "text"), INNOCENT, ids=lambda value: getattr(value, "__name__", None))
def test_rule_lets_right_code_pass(check: Check, path: str, text: str) -> None:
    assert check(Source(path, text)) == []


def test_every_check_has_a_seeded_fault_and_an_innocent() -> None:
    assert {check for check, _, _ in FAULTS} == {check for check, _, _ in INNOCENT} == set(CHECKS)


def test_checks_look_at_the_real_sources() -> None:
    assert {
        "risk_config.py",
        "trading_platform/core/types.py",
        "trading_platform/configuration/environment.py",
    } <= SOURCES.keys()
    assert sum(source.is_pure for source in SOURCES.values()) > 5


def test_modules_have_no_import_cycle() -> None:
    assert rules.import_cycles(PRODUCT) == []


def test_arrows_between_rooms_point_downwards() -> None:
    assert rules.room_order(rules.ROOMS) == []
    assert rules.room_order({"a": frozenset({"b"}), "b": frozenset({"a"})}) == ["a -> b"]


def test_every_room_of_the_table_is_there_and_used() -> None:
    assert set(rules.ROOMS) == {source.room for source in PRODUCT.values() if source.room}


def test_the_package_has_no_loose_modules_to_speak_of() -> None:
    loose = [s.path for s in PRODUCT.values() if s.path.count("/") == 1 and not s.path.endswith("__init__.py")]
    assert len(loose) <= rules.MOST_LOOSE_MODULES, loose


def test_a_commands_start_is_no_import() -> None:
    start = "if __name__ == '__main__':\n    import trading_platform.runtime.command_line"
    assert list(rules.imports(Source("autonomous_trading_engine.py", start))) == []


def cycle(**texts: str) -> list[str]:
    sources = [Source(f"{PACKAGE_PATH}/{name}.py", text) for name, text in texts.items()]
    return rules.import_cycles({source.module: source for source in sources})


PACKAGE_PATH = "trading_platform/seeded"
PACKAGE_NAME = "trading_platform.seeded"


def test_cycle_through_three_modules_is_caught() -> None:
    found = cycle(a=f"from {PACKAGE_NAME} import b", b="from .c import x", c=f"def f():\n    import {PACKAGE_NAME}.a")
    assert found == [f"{PACKAGE_NAME}.a -> {PACKAGE_NAME}.b -> {PACKAGE_NAME}.c -> {PACKAGE_NAME}.a"]


def test_cycle_for_type_checking_only_is_none() -> None:
    assert (
        cycle(a="from . import b", b="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import a") == []
    )


def test_cycle_with_its_own_package_is_caught() -> None:
    assert cycle(__init__="from .a import x", a=f"from {PACKAGE_NAME} import y") != []
    assert cycle(__init__="from .a import x", a="from . import b", b="y = 1") == []


def test_no_file_is_named_after_nothing() -> None:
    assert [line for path in files() for line in rules.files_are_named_by_what_they_do(relative(path))] == []
    for name in ("trading_platform/core/utils.py", "tests/helpers.py", "common.py"):
        assert rules.files_are_named_by_what_they_do(name) != []
    assert rules.files_are_named_by_what_they_do("trading_platform/core/metrics.py") == []


def test_no_file_holds_a_path_of_this_machine() -> None:
    read = ((relative(path), path) for path in files() if path.suffix in TEXT)
    assert [line for name, path in read for line in rules.no_machine_path(name, path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("folder", ["work", "root", "home/ann", "Users/ann"])
def test_path_of_a_machine_is_caught(folder: str) -> None:
    assert rules.no_machine_path("x.md", f"first\nrun python /{folder}/main.py") == [
        f"x.md:2: holds the machine path /{folder}/main.py"
    ]
    for fine in (
        "/opt/engine/main.py",
        "./work/main.py",
        "a/root/b",
        "~/work/x",
        "https://x.org/root/y",
        "${X}/work/y",
    ):
        assert rules.no_machine_path("x.md", fine) == []
