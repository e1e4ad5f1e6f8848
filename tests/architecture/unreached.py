"""What of the package is reached by nothing but tests, by vulture: findings, and the list of those that were looked at.

vulture compares names, so what a library calls by name (a hook, a field of a record that is read by column) looks
unreached. Each such name stands in REVIEWED with the reason; a name on it that is found no more must leave it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from vulture import Vulture

ROOT = Path(__file__).resolve().parents[2]
# The columns of tables are written and read by their names in SQL, and alembic calls migrations.
LEFT_OUT = ("trading_platform/storage/migrations/", "trading_platform/storage/models.py")

HOOK = "a library calls it by this name"
FIELD = "a record's field, read by position or as a whole (asdict, columns, JSON)"
ENCODING = "a value of an encoding: the others are named, and this one is what is left"
COMMAND = "found by its name, which the table of commands makes"
CONTRACT = "the public contract: notebooks, README, docs, or tests of users' own call it"
TEMPLATE = "a template of the desk shows it"
CONTROL = "a control: what tests plant, and a study of a learner may"
FORMULA = "only tests call it: a published formula that others are compared with"

REVIEWED: dict[str, dict[str, str]] = {
    "trading_platform/evaluation/comparison.py": {
        "sharpe_high": FIELD,
        "sharpe_low": FIELD,
        "gain_probability": FIELD,
    },
    "trading_platform/market_data/synthetic.py": {
        "true_regimes": CONTROL,
    },
    "trading_platform/market_data/market_model.py": {
        "REGIME_EDGES": CONTROL,
        "NO_STRUCTURE": CONTROL,
    },
    "trading_platform/evaluation/lookahead.py": {
        "assert_causal": CONTRACT,
    },
    "trading_platform/evaluation/covariance.py": {
        "tangency_weights": FORMULA,
    },
    "trading_platform/talk/mcp_server.py": {
        "daily_report": HOOK,
        "runs_compare": HOOK,
    },
    "trading_platform/search/study_storage.py": {
        "append_logs": HOOK,
    },
    "trading_platform/alpaca/answers.py": {
        "session_open": FIELD,
    },
    "trading_platform/alpaca_server/handler.py": {
        "block_on_close": HOOK,
        "client_address": HOOK,
        "close_connection": HOOK,
        "daemon_threads": HOOK,
        "disable_nagle_algorithm": HOOK,
        "do_DELETE": HOOK,
        "do_GET": HOOK,
        "do_PATCH": HOOK,
        "do_POST": HOOK,
        "do_PUT": HOOK,
        "handle_error": HOOK,
        "log_message": HOOK,
        "protocol_version": HOOK,
        "wbufsize": HOOK,
    },
    "trading_platform/alpaca_server/stream.py": {
        "close_connection": HOOK,
        "double": FIELD,
        "lose": FIELD,
        "swap": FIELD,
    },
    "trading_platform/alpaca_server/websocket.py": {
        "CONTINUATION": ENCODING,
    },
    "trading_platform/api.py": {
        "_repr_html_": HOOK,
    },
    "trading_platform/training/in_python.py": {
        "_repr_html_": HOOK,
    },
    "trading_platform/brokers/reconciliation/reconcile.py": {
        "cash_ties": FIELD,
    },
    "trading_platform/configuration/risk_config.py": {
        "from_toml": CONTRACT,
    },
    "trading_platform/configuration/trading_config.py": {},
    "trading_platform/core/action_map.py": {
        "PROPORTIONAL": ENCODING,
    },
    "trading_platform/core/compiled.py": {
        "on_end": HOOK,
        "on_start": HOOK,
    },
    "trading_platform/core/observation.py": {
        "N_EPISODE": FIELD,
        "N_OWN": FIELD,
        "N_PORTFOLIO": FIELD,
        "N_REGIME": FIELD,
        "N_SHARED": FIELD,
        "N_STATISTICS": FIELD,
    },
    "trading_platform/core/rewards.py": {
        "SHARPE_DIFFERENCE": ENCODING,
    },
    "trading_platform/core/risk/denial_codes.py": {
        "_value_": HOOK,
    },
    "trading_platform/core/risk/limits.py": {
        "RELEASE_EQUITY": ENCODING,
        "consecutive_loss_limit": FIELD,
        "entry_collar_pct": FIELD,
        "kelly_memory_trades": FIELD,
        "max_daily_loss_pct": FIELD,
        "max_equity_jump_pct": FIELD,
        "max_exposure_pct": FIELD,
        "max_sector_pct": FIELD,
        "max_vix_age_sessions": FIELD,
        "min_slot_pct": FIELD,
        "position_volatility_pct": FIELD,
        "price_collar_pct": FIELD,
        "recovery_drawdown_pct": FIELD,
    },
    "trading_platform/desk/actions.py": {
        "asked_at": TEMPLATE,
    },
    "trading_platform/desk/frame.py": {
        "filters": HOOK,
    },
    "trading_platform/desk/lists.py": {
        "let_through": TEMPLATE,
        "looked_at": TEMPLATE,
    },
    "trading_platform/desk/metrics.py": {
        "collect": HOOK,
    },
    "trading_platform/desk/overview.py": {
        "day_fraction": TEMPLATE,
    },
    "trading_platform/evaluation/book_statistics.py": {
        "sd": FIELD,
    },
    "trading_platform/evaluation/bootstrap.py": {
        "sharpe_interval": FORMULA,
    },
    "trading_platform/evaluation/deflated.py": {
        "min_track_record_length": FORMULA,
    },
    "trading_platform/evaluation/overfitting.py": {
        "degradation": FIELD,
        "in_sample": FIELD,
        "out_of_sample": FIELD,
        "probability_of_loss": FIELD,
    },
    "trading_platform/evaluation/sharpe_tests.py": {
        "detection_power": FORMULA,
        "jobson_korkie_memmel": FORMULA,
        "ledoit_wolf": FORMULA,
        "sessions_to_detect": FORMULA,
    },
    "trading_platform/evaluation/splits.py": {
        "ROLLING": ENCODING,
    },
    "trading_platform/evaluation/wealth.py": {
        "information_ratio": FORMULA,
    },
    "trading_platform/machine/logs.py": {
        "datefmt": HOOK,
        "raiseExceptions": HOOK,
    },
    "trading_platform/machine/stopwatch.py": {
        "on_end": HOOK,
        "on_start": HOOK,
    },
    "trading_platform/market_data/vix.py": {},
    "trading_platform/operations/data_commands.py": {
        "check_command": COMMAND,
        "convert_command": COMMAND,
        "download_command": COMMAND,
        "show_command": COMMAND,
    },
    "trading_platform/regime/em.py": {
        "_compute_lower_bound": HOOK,
    },
    "trading_platform/reporting/facts.py": {
        "n_positions": FIELD,
        "positions_value": FIELD,
        "unused_caps": FIELD,
        "unused_halts": FIELD,
        "unused_size": FIELD,
        "unused_slots": FIELD,
    },
    "trading_platform/reporting/strategy_results.py": {
        "average_return": FIELD,
        "closed_pnl": FIELD,
    },
    "trading_platform/runtime/strategy_commands.py": {
        "__test__": HOOK,
    },
    "trading_platform/storage/database_repair.py": {
        "row_factory": HOOK,
    },
    "trading_platform/storage/model_manifest.py": {
        "max_age_days": FIELD,
    },
    "trading_platform/storage/sqlite.py": {
        "is_fixed": FIELD,
    },
    "trading_platform/storage/types.py": {
        "cache_ok": HOOK,
        "impl": HOOK,
        "process_bind_param": HOOK,
        "process_result_value": HOOK,
    },
    "trading_platform/training/batched_env.py": {
        "env_is_wrapped": HOOK,
        "env_method": HOOK,
        "get_attr": HOOK,
        "method_args": HOOK,
        "method_kwargs": HOOK,
        "reset_infos": HOOK,
        "set_attr": HOOK,
        "wrapper_class": HOOK,
    },
    "trading_platform/training/controls.py": {
        "rules_gain": FIELD,
    },
    "trading_platform/training/model_commands.py": {
        "list_models": COMMAND,
    },
    "trading_platform/training/ppo.py": {
        "_last_obs": HOOK,
        "_on_rollout_start": HOOK,
        "_on_step": HOOK,
    },
    "trading_platform/training/sb3_models.py": {
        "_build_mlp_extractor": HOOK,
        "latent_dim_vf": HOOK,
        "make_actor": HOOK,
    },
    "trading_platform/training/shadow_env.py": {
        "env_is_wrapped": HOOK,
        "env_method": HOOK,
        "get_attr": HOOK,
        "method_args": HOOK,
        "method_kwargs": HOOK,
        "set_attr": HOOK,
        "wrapper_class": HOOK,
    },
    "trading_platform/training/vector_env.py": {
        "close_extras": HOOK,
    },
}


def unreached(files: Iterable[Path], root: Path = ROOT) -> set[tuple[str, str]]:
    """Return (path, name) of everything in `files` that no line of them reads, as vulture sees it.

    The keys of a `TypedDict` do not count: a document is read by keys, which are texts and no names.
    """
    files = list(files)
    documents = typed_dicts(files)
    vulture = Vulture()
    vulture.scavenge([str(file) for file in files])
    found = set()
    for item in vulture.get_unused_code(min_confidence=60):
        path = Path(item.filename).resolve()
        if item.first_lineno not in documents[path]:
            found.add((path.relative_to(root).as_posix(), str(item.name)))
    return found


def typed_dicts(files: Iterable[Path]) -> dict[Path, set[int]]:
    """Return the lines of keys of TypedDicts, and of classes that extend one, in each file."""
    classes = {
        file.resolve(): [
            node for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)
        ]
        for file in files
    }
    known, before = {"TypedDict"}, set[str]()
    while known != before:
        before = set(known)
        found = (node for nodes in classes.values() for node in nodes)
        known |= {node.name for node in found if known & {ast.unparse(base) for base in node.bases}}
    return {
        file: {
            key.lineno for node in nodes if node.name in known for key in node.body if isinstance(key, ast.AnnAssign)
        }
        for file, nodes in classes.items()
    }
