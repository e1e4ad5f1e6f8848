"""Every module imports without the optional packages, and the light ones stay light with them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OPTIONAL = ("torch", "stable_baselines3", "gymnasium", "hmmlearn", "numba", "alpaca")
# needs gymnasium's and, where present, stable-baselines3's base classes at the top
MAY_LOAD_TORCH = (
    "rl_environment",
    "trading_platform.training.batched_env",
    "trading_platform.training.shadow_env",
)

PROGRAM = """
import importlib, importlib.abc, json, sys, traceback

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r} (blocked by the test)", name=name)

blocked, modules = json.loads(sys.argv[1])
sys.path.insert(0, ".")
sys.meta_path.insert(0, Blocker())
failed = {}
for module in modules:
    try:
        importlib.import_module(module)
    except BaseException:
        failed[module] = traceback.format_exc(limit=-2)
print(json.dumps({"failed": failed, "loaded": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


def project_modules() -> list[str]:
    """Return every module of the project but Alembic's scripts, which only Alembic can run."""
    flat = [path.stem for path in sorted(ROOT.glob("*.py"))]
    inside = [
        path.relative_to(ROOT).with_suffix("")
        for path in sorted((ROOT / "trading_platform").rglob("*.py"))
        if "migrations" not in path.parts and path.name != "__main__.py"
    ]
    return flat + [".".join(part for part in path.parts if part != "__init__") for path in inside]


def import_in_a_fresh_process(
    modules: list[str], blocked: tuple[str, ...], folder: Path
) -> tuple[dict[str, str], set[str]]:
    """Return (tracebacks by module that failed, top-level names of everything loaded)."""
    argument = json.dumps([blocked, modules])
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, argument], capture_output=True, text=True, cwd=folder, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout.splitlines()[-1])
    return answer["failed"], set(answer["loaded"])


def test_modules_are_found() -> None:
    assert {
        "risk_config",
        "trading_platform",
        "trading_platform.core.types",
        "trading_platform.configuration.environment",
    } <= set(project_modules())


def test_every_module_imports_without_the_optional_packages() -> None:
    failed, loaded = import_in_a_fresh_process(project_modules(), OPTIONAL, ROOT)
    assert failed == {}
    assert loaded.isdisjoint(OPTIONAL)


@pytest.mark.parametrize("package", OPTIONAL)
def test_module_that_needs_an_optional_package_is_caught(tmp_path: Path, package: str) -> None:
    (tmp_path / "needy.py").write_text(f"import {package}.inner\n")
    (tmp_path / "careful.py").write_text(f"try:\n    import {package}\nexcept ImportError:\n    {package} = None\n")
    failed, _ = import_in_a_fresh_process(["needy", "careful"], OPTIONAL, tmp_path)
    assert list(failed) == ["needy"]
    assert "blocked by the test" in failed["needy"]


def test_importing_modules_loads_nothing_heavy() -> None:
    modules = [name for name in project_modules() if name not in MAY_LOAD_TORCH]
    failed, loaded = import_in_a_fresh_process(modules, (), ROOT)
    assert failed == {}
    assert "numpy" in loaded  # the probe sees what is loaded
    assert loaded.isdisjoint(
        {"torch", "stable_baselines3", "alpaca", "plotly", "matplotlib", "yfinance", "exchange_calendars"}
    )
