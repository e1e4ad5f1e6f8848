"""Which packages this program stands on, and what to say when one is not there.

pyproject.toml has the versions; a test holds both together. Nothing is imported to find out: a program that lacks a
package says so in one line before it begins, instead of breaking off in the middle of its work.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.util import find_spec

from trading_platform.core.errors import FixConfigError

# group -> import name -> name at the package index
PACKAGES: dict[str, dict[str, str]] = {
    "core": {
        "numpy": "numpy",
        "pandas": "pandas",
        "sqlalchemy": "SQLAlchemy",
        "alembic": "alembic",
        "requests": "requests",
        "typer": "typer",
        "filelock": "filelock",
        "rich": "rich",
        "exchange_calendars": "exchange_calendars",
        "numba": "numba",
        "hmmlearn": "hmmlearn",
        "alpaca": "alpaca-py",
        "tzdata": "tzdata",
    },
    "train": {"torch": "torch", "stable_baselines3": "stable-baselines3", "gymnasium": "gymnasium"},
    "data": {"pyarrow": "pyarrow", "yfinance": "yfinance"},
    "report": {"matplotlib": "matplotlib"},
    "notify": {"apprise": "apprise"},
    "mcp": {"mcp": "mcp"},
    "onnx": {"onnx": "onnx"},
    "postgres": {"psycopg": "psycopg[binary]"},
    "desk": {
        "starlette": "starlette",
        "uvicorn": "uvicorn",
        "jinja2": "Jinja2",
        "argon2": "argon2-cffi",
        "prometheus_client": "prometheus-client",
    },
    "cluster": {"ray": "ray[client]", "grpc": "grpcio"},
    "sweep": {"optuna": "optuna"},
}
# Without these nothing runs; the others of "core" have a way around that is said when it is taken.
NEEDED = ("numpy", "pandas", "sqlalchemy", "alembic", "requests", "typer", "filelock", "rich")


def missing(names: Iterable[str]) -> list[str]:
    """Return those of `names` (import names) that cannot be imported here, in their order."""
    return [name for name in names if not _is_there(name)]


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # something refuses it; or a stand-in without a specification
        return name in sys.modules


def cure(names: Iterable[str]) -> str:
    """Return what to do about packages that are missing, by their import names."""
    wanted = [known[name] for name in names for known in PACKAGES.values() if name in known]
    is_one = len(wanted) == 1
    words = f"the package {wanted[0]} is" if is_one else f"the packages {', '.join(wanted)} are"
    command = f"{sys.executable} -m pip install {' '.join(wanted)}"
    return f"{words} not installed for {sys.executable}; run {command}, or install everything with `make setup`"


def require(names: Iterable[str], work: str) -> None:
    """Refuse `work` in one line if one of the packages `names` is missing.

    Raises
    ------
    FixConfigError
        A package is missing; the message names all that are, and the cure.
    """
    absent = missing(names)
    if absent:
        raise FixConfigError(f"{work}: {cure(absent)}")


def check_at_start() -> None:
    """Raise SystemExit with code 2, after one line, if a package is missing without which nothing runs."""
    absent = missing(NEEDED)
    if absent:
        print(f"error: {cure(absent)}", file=sys.stderr)  # noqa: T201 - the program's answer
        raise SystemExit(FixConfigError.exit_code)
