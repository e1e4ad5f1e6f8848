"""Which handler does a command's work; `command_table` says what each command takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trading_platform.runtime import account_handlers as account
from trading_platform.runtime import service_handlers as service
from trading_platform.runtime import trading_handlers as trading
from trading_platform.runtime.command_parser import Given, Work

HANDLERS: Mapping[str, Callable[[Given], Work]] = {
    "search": trading.search_work,
    "search show": trading.search_work,
    "search adopt": trading.search_work,
    "evaluate": trading.evaluate_work,
    "": trading.trade_work,
    "trade": trading.trade_work,
    "replay": trading.trade_work,
    "status": account.status_work,
    "halt": account.ask_work,
    "resume": account.ask_work,
    "flatten": account.ask_work,
    "pause": account.ask_work,
    "unpause": account.ask_work,
    "stop": account.ask_work,
    "telegram": service.telegram_work,
    "mcp": service.mcp_work,
    "consent": account.answer_work,
    "veto": account.answer_work,
    "runs list": account.runs_list_work,
    "runs show": account.runs_show_work,
    "runs tag": account.runs_mark_work,
    "runs note": account.runs_mark_work,
    "runs delete": account.runs_delete_work,
    "page": account.page_work,
    "compare": account.compare_work,
    "runs compare": account.compare_work,
    "doctor": service.doctor_work,
    "backup": account.backup_work,
    "restore": account.restore_work,
    "desk": service.desk_work,
    "desk password": service.desk_person_work,
    "desk token": service.desk_person_work,
    "alerts test": service.alerts_test_work,
    "completion": service.completion_work,
    "adopt": trading.adopt_work,
    "upgrade": trading.upgrade_work,
    "db repair": account.db_repair_work,
    "db copy": account.db_copy_work,
    "fleet": service.fleet_work,
    "fleet systemd": service.fleet_systemd_work,
    "fleet compose": service.fleet_compose_work,
    "strategies list": service.strategies_list_work,
    "strategies test": service.strategies_test_work,
    "new strategy": service.new_strategy_work,
    "init": service.init_work,
}
