"""Handlers of commands that serve, check, or make files: from what was given to the work."""

from __future__ import annotations

import os
import shlex
import sys

from trading_platform.runtime.command_parser import Given, Work


def telegram_work(given: Given) -> Work:
    """Return the work of ``telegram``."""
    place, api = (given.text("--db"), given.file("--config")), given.text("--bot-api")

    def work() -> int:
        from trading_platform.operations.commands import Place
        from trading_platform.runtime.telegram_command import serve_telegram

        return serve_telegram(Place(*place), api)

    return work


def mcp_work(given: Given) -> Work:
    """Return the work of ``mcp``."""
    place = (given.text("--db"), given.file("--config"))

    def work() -> int:
        from trading_platform.operations.commands import Place
        from trading_platform.runtime.mcp_command import serve_mcp

        return serve_mcp(Place(*place))

    return work


def doctor_work(given: Given) -> Work:
    """Return the work of ``doctor``."""
    database, config = given.text("--db"), given.file("--config")
    live, as_json = given.flag("--live"), given.flag("--json")
    broker, sure = given.flag("--broker"), given.flag("--yes")

    def work() -> int:
        from trading_platform.machine.clocks import utc_now
        from trading_platform.operations.doctor import doctor

        return doctor(database, config, utc_now, live=live, as_json=as_json, broker=broker, sure=sure)

    return work


def desk_work(given: Given) -> Work:
    """Return the work of ``desk``."""
    place = given.text("--db"), given.file("--config")
    port, host, names = given.whole("--port"), given.text("--host"), given.text("--name") or ""
    file, behind_tls, metrics = given.file("--password-file"), given.flag("--behind-tls"), given.flag("--metrics")

    def work() -> int:
        from trading_platform.desk.serve import LOCAL, PORT, DeskOptions, serve
        from trading_platform.operations.commands import Place

        called = tuple(name.strip() for name in names.split(",") if name.strip())
        at = (PORT if port is None else port, host or LOCAL)
        return serve(DeskOptions(Place(*place), *at, called, file, behind_tls, metrics))

    return work


def desk_person_work(given: Given) -> Work:
    """Return the work of ``desk password`` and ``desk token``."""
    name, role, file = given.subjects[0], given.text("--role"), given.file("--password-file")
    is_token = given.command.words == "desk token"

    def work() -> int:
        from trading_platform.desk.serve import PASSWORD_FILE, add_password, add_token

        return (add_token if is_token else add_password)(file or PASSWORD_FILE, name, role)

    return work


def alerts_test_work(given: Given) -> Work:
    """Return the work of ``alerts test``."""
    from trading_platform.operations.try_alerts import alerts_test

    config, as_json, api = given.file("--config"), given.flag("--json"), given.text("--bot-api")
    return lambda: alerts_test(config, as_json=as_json, telegram_api=api)


def strategies_list_work(given: Given) -> Work:
    """Return the work of ``strategies list``."""
    config, as_json = given.file("--config"), given.flag("--json")

    def work() -> int:
        from trading_platform.runtime.strategy_commands import list_strategies

        return list_strategies(config, as_json=as_json)

    return work


def strategies_test_work(given: Given) -> Work:
    """Return the work of ``strategies test``."""
    name, config, folders = given.subjects[0], given.file("--config"), given.files("--data-dir")
    as_json = given.flag("--json")

    def work() -> int:
        from trading_platform.runtime.strategy_commands import test_strategy

        return test_strategy(name, config, folders, as_json=as_json)

    return work


def new_strategy_work(given: Given) -> Work:
    """Return the work of ``new strategy``."""
    name, config = given.subjects[0], given.file("--config")

    def work() -> int:
        from pathlib import Path

        from trading_platform.configuration.trading_config import config_path, load_config
        from trading_platform.operations.new_files import new_strategy

        folder, here = Path(load_config(config_path(config)).strategies.folder), Path(__file__).parents[2]
        is_installed = here.name == "site-packages"
        return new_strategy(name, folder, program(), None if is_installed else here)

    return work


def init_work(given: Given) -> Work:
    """Return the work of ``init``."""
    from pathlib import Path

    from trading_platform.operations.new_files import init_folder

    folder = Path(given.subjects[0])
    return lambda: init_folder(folder, program(is_elsewhere=True))


def program(*, is_elsewhere: bool = False) -> str:
    """Return how this program was called, for words that people copy; `is_elsewhere` into another folder."""
    called = sys.argv[0] if sys.argv else ""
    if not called.endswith(".py"):
        return "trading-engine"
    return f"python {shlex.quote(os.path.abspath(called) if is_elsewhere else called)}"  # noqa: PTH100 - no links followed


def completion_work(given: Given) -> Work:
    """Return the work of ``completion``."""
    from trading_platform.runtime.completion import completion_script

    script = completion_script(given.subjects[0])

    def work() -> int:
        print(script)  # noqa: T201 - the command's answer
        return 0

    return work


def fleet_work(given: Given) -> Work:
    """Return the work of ``fleet``."""
    from pathlib import Path

    from trading_platform.operations.fleet import check_fleet

    file, as_json = Path(given.subjects[0]), given.flag("--json")
    return lambda: check_fleet(file, as_json=as_json)


def fleet_systemd_work(given: Given) -> Work:
    """Return the work of ``fleet systemd``."""
    from pathlib import Path

    from trading_platform.operations.fleet_files import write_units

    file, folder = map(Path, given.subjects)
    engine = Path(__file__).parents[2] / "autonomous_trading_engine.py"
    return lambda: write_units(file, folder, (sys.executable, str(engine)))


def fleet_compose_work(given: Given) -> Work:
    """Return the work of ``fleet compose``."""
    from pathlib import Path

    from trading_platform.operations.fleet_files import write_services

    file, target = map(Path, given.subjects)
    return lambda: write_services(file, target)
