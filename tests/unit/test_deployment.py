"""deploy/: what every container of compose.yaml keeps to, and that its files name what exists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: nothing else here reads YAML")
ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_container_has_no_rights_and_a_root_that_cannot_be_written(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].partition(":")[0]) > 0
    assert service["restart"] == ("no" if set(service.get("profiles", ())) & {"jobs", "train"} else service["restart"])
    assert "healthcheck" in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_are_files_and_in_no_environment(name: str) -> None:
    service = SERVICES[name]
    words = [f"{key}={value}" for key, value in service.get("environment", {}).items()]
    assert not [word for word in words if "PASSWORD" in word and "PASSWORD_FILE=/run/secrets/" not in word]
    assert not [word for word in words if word.startswith(("ALPACA", "DATABASE_URL", "TELEGRAM"))]
    used = [secret if isinstance(secret, str) else secret["source"] for secret in service.get("secrets", ())]
    assert set(used) <= set(COMPOSE["secrets"])
    assert {volume.partition(":")[0] for volume in service.get("volumes", ())} <= set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", [name for name in SERVICES if "build" in SERVICES[name]])
def test_images_are_built_from_files_that_exist(name: str) -> None:
    dockerfile = ROOT / SERVICES[name]["build"]["dockerfile"]
    words = dockerfile.read_text(encoding="utf-8")
    copied = next(line for line in words.splitlines() if line.startswith("COPY pyproject")).split()[1:-1]
    assert [file for file in copied if file != "*.py" and not (ROOT / file).exists()] == []
    let_in = dockerfile.with_name(f"{dockerfile.name}.dockerignore").read_text(encoding="utf-8").splitlines()
    assert [file for file in copied if f"!{file}" not in let_in] == []
    assert ("train" in words.partition("'.[")[2].partition("]")[0]) == (name == "training")  # torch is there only


def unit(name: str) -> list[str]:
    lines = (ROOT / "deploy" / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_telegram_unit_is_as_closed_as_the_engines_and_runs_where_no_keys_are() -> None:
    engine, telegram = unit("trading-engine.service"), unit("trading-telegram.service")
    first = engine.index("NoNewPrivileges=yes")
    closed = [line for line in engine[first:] if not line.startswith("MemoryMax")]

    assert [line for line in closed if line not in telegram] == []
    assert next(line for line in telegram if line.startswith("ExecStart=")).endswith("engine.py telegram")
    assert "WorkingDirectory=/var/lib/trading-telegram" in telegram
    assert "EnvironmentFile=/etc/trading-engine.env" not in telegram
