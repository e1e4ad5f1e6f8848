"""Secrets and paths of this machine, from the environment and `.env`. Nothing else here reads the environment.

The environment wins over `.env`, also with an empty value, which counts as unset: that is how to switch a line off.
What changes trading decisions is not here but in `trading.toml`, where a misspelt key is an error; here misspelt names
can only be guessed at, so they become warnings.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

from trading_platform.configuration.settings_text import decode_settings
from trading_platform.core.errors import FixConfigError

LIVE_CONFIRMATION = "yes-i-mean-it"

# By these money can be moved or messages sent.
KEYS = (
    "ALPACA_API_KEY",
    "ALPACA_SECRET_KEY",
    "APCA_API_KEY_ID",
    "APCA_API_SECRET_KEY",
    "TELEGRAM_BOT_TOKEN",
    "TRADING_WEBHOOK_URL",
    "TRADING_PING_URL",
    "TRADING_APPRISE_URLS",
    "TRADING_ALLOW_LIVE",
)

_ALIASES = {"APCA_API_KEY_ID": "ALPACA_API_KEY", "APCA_API_SECRET_KEY": "ALPACA_SECRET_KEY"}
_NAMES = (
    "ALPACA_API_KEY",
    "ALPACA_SECRET_KEY",
    "ALPACA_BASE_URL",
    "ALPACA_DATA_URL",
    "TRADING_ALLOW_LIVE",
    "TRADING_CACHE_DIR",
    "TRADING_LOG_DIR",
    "TELEGRAM_BOT_TOKEN",
    "TELEGRAM_CHAT_ID",
    "TELEGRAM_USER_IDS",
    "TRADING_WEBHOOK_URL",
    "TRADING_PING_URL",
    "TRADING_APPRISE_URLS",
    "DATABASE_URL",
    "RL_MODELS_DIR",
)
VARIABLES: tuple[str, ...] = (*_NAMES, *_ALIASES)
_OUR_PREFIXES = ("ALPACA_", "APCA_", "TRADING_", "TELEGRAM_")
_SECRET_MARKS = ("SECRET", "TOKEN", "PASSWORD", "PASSWD", "API_KEY", "CREDENTIAL")  # in names of any program's
_BROKER = ("ALPACA_", "APCA_")
_SECRET = (*_BROKER, "TELEGRAM_", "TRADING_WEBHOOK_URL", "TRADING_PING_URL", "TRADING_APPRISE_URLS", "DATABASE_URL")
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Secret:
    """A text that no log, traceback, JSON or format string can show. `reveal` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text itself, to be handed straight to the client that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written to files or sent to other processes")


class Settings(NamedTuple):  # a dataclass would import inspect: 13 ms of a start that may take 20
    """What this machine holds, None where it is not set.

    `alpaca_base_url` and `alpaca_data_url` point the client at another server (tests, dry runs). `allow_live` is the
    second of two confirmations that real money needs; the other is the option `--live`. `database_url` and
    `models_dir` win over trading.toml. Alerts go to `webhook_url` and `apprise_urls`, `ping_url` is asked at each look:
    whoever knows such an address may use it, so they are secrets. `warnings` are lines for people about suspicious
    names and permissions.
    """

    alpaca_api_key: Secret | None
    alpaca_secret_key: Secret | None
    alpaca_base_url: str | None
    alpaca_data_url: str | None
    allow_live: bool
    database_url: Secret | None
    telegram_bot_token: Secret | None
    telegram_chat_id: str | None
    cache_dir: Path
    log_dir: Path
    models_dir: Path | None
    warnings: tuple[str, ...]
    webhook_url: Secret | None = None
    ping_url: Secret | None = None
    apprise_urls: tuple[Secret, ...] = ()
    telegram_user_ids: str | None = None

    @property
    def has_alpaca_keys(self) -> bool:
        """True if both Alpaca keys are set."""
        return self.alpaca_api_key is not None and self.alpaca_secret_key is not None

    @property
    def has_telegram(self) -> bool:
        """True if the direct Telegram route is set up."""
        return self.telegram_bot_token is not None and self.telegram_chat_id is not None


def is_loopback(url: str | None) -> bool:
    """Return True if `url` names this machine: a local server of tests and dry runs."""
    host = (url or "").partition("://")[2].partition("/")[0]
    return (host if host.endswith("]") else host.rpartition(":")[0] or host) in _LOOPBACK


def load_settings(environ: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")) -> Settings:
    """Return the settings of `environ` (default: the process environment) over those of `env_file`, if it exists.

    Raises:
        FixConfigError: a value is unusable, half a pair is missing, or a line of the file is no assignment; all
            problems in one message, which names variables and lines and never shows a secret.
    """
    own = dict(os.environ if environ is None else environ)
    written, warnings = ({}, []) if env_file is None or not env_file.is_file() else _read_env_file(env_file)
    values = {name: text.strip() for name, text in {**written, **own}.items() if text.strip()}
    warnings += _misspelt(values, quiet=frozenset(own) - frozenset(written))
    problems = _merge_aliases(values) + _pair_problems(values)
    get = values.get

    def read(name: str, problem_of: Callable[[str], str]) -> str | None:
        text = get(name)
        if text is not None and (problem := problem_of(text)):
            problems.append(f"{name} {problem}")
        return text

    def folder(name: str, usual: str) -> Path:
        text = get(name, usual)
        try:
            return Path(text).expanduser()
        except RuntimeError:  # an unknown user's, or of a scheduler's process without HOME
            problems.append(f"{name}: there is no home folder for {text!r} here; write the whole path")
            return Path(usual)

    settings = Settings(
        alpaca_api_key=_secret(get("ALPACA_API_KEY")),
        alpaca_secret_key=_secret(get("ALPACA_SECRET_KEY")),
        alpaca_base_url=read("ALPACA_BASE_URL", _url_problem),
        alpaca_data_url=read("ALPACA_DATA_URL", _url_problem),
        allow_live=read("TRADING_ALLOW_LIVE", _live_problem) == LIVE_CONFIRMATION,
        database_url=_secret(read("DATABASE_URL", _database_problem)),
        telegram_bot_token=_secret(get("TELEGRAM_BOT_TOKEN")),
        telegram_chat_id=get("TELEGRAM_CHAT_ID"),
        cache_dir=folder("TRADING_CACHE_DIR", ".cache"),
        log_dir=folder("TRADING_LOG_DIR", "logs"),
        models_dir=folder("RL_MODELS_DIR", "rl_models") if "RL_MODELS_DIR" in values else None,
        warnings=tuple(warnings),
        webhook_url=_secret(read("TRADING_WEBHOOK_URL", _secret_url_problem)),
        ping_url=_secret(read("TRADING_PING_URL", _secret_url_problem)),
        telegram_user_ids=get("TELEGRAM_USER_IDS"),
        apprise_urls=tuple(Secret(url) for url in (read("TRADING_APPRISE_URLS", _apprise_problem) or "").split()),
    )
    if problems:
        raise FixConfigError("the environment or .env is wrong:\n" + "\n".join(f"  - {line}" for line in problems))
    return settings


def leave_keys_behind() -> None:
    """Start this very program anew without any key in its environment, where there is one: it has no use for them.

    Taking a key out of `os.environ` would leave it in the memory of the process, for whoever may read that.
    """
    if not any(os.environ.get(name) for name in KEYS):
        return
    if os.name != "posix":  # elsewhere the new process would lose its terminal
        for name in KEYS:
            os.environ.pop(name, None)
        return
    clean = {name: value for name, value in os.environ.items() if name not in KEYS}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], clean)  # noqa: S606 - our own command line


@contextmanager
def without_secrets() -> Iterator[None]:
    """Take from the process environment what its children must not have, keys above all, and put it back at the end."""
    own = [name for name in os.environ if name in VARIABLES or _is_secret(name)]
    taken = {name: os.environ.pop(name) for name in own}
    try:
        yield
    finally:
        os.environ.update(taken)


def _is_secret(name: str) -> bool:
    return any(mark in name.upper() for mark in _SECRET_MARKS) and not name.startswith("RAY_")  # a cluster asks for its


def broker_free(settings: Settings) -> Settings:
    """Return settings without broker keys, and drop these from this process's environment, too."""
    for name in [name for name in os.environ if name.startswith(_BROKER)]:
        del os.environ[name]
    return settings._replace(alpaca_api_key=None, alpaca_secret_key=None, allow_live=False)


def secretless_environment() -> dict[str, str]:
    """Return this process's environment less its keys and secret addresses, for a child that needs none."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_SECRET)}


def parse_env(text: str, source: str = ".env") -> dict[str, str]:
    """Return the assignments in `text`: ``KEY=VALUE`` lines, optional ``export``, quotes, and ``#`` comments.

    Nothing is expanded: a value means what is written. Inside double quotes a backslash guards a quote or a backslash.

    Raises:
        FixConfigError: lines that are no assignment, open quotes, or a name given twice, by line and without the value.
    """
    found: dict[str, str] = {}
    problems = []
    for number, raw in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        try:
            name, value = _assignment(line)
            if name in found:
                raise ValueError(f"{name} is set twice: keep one")
            found[name] = value
        except ValueError as problem:
            problems.append(f"{source}:{number}: {problem}")
    if problems:
        raise FixConfigError("\n".join(problems))
    return found


def _assignment(line: str) -> tuple[str, str]:
    name, sign, rest = line.removeprefix("export ").partition("=")
    name = name.strip()
    if not sign or not name.isidentifier() or not name.isascii():
        raise ValueError("is no assignment: write NAME=value, or # before a comment")
    rest = rest.strip()
    if rest[:1] not in ("'", '"'):
        return name, rest.split(" #", 1)[0].rstrip() if not rest.startswith("#") else ""
    value, after = _quoted(name, rest)
    if after and not after.startswith("#"):
        raise ValueError(f"{name} has text after its closing quote: quote the whole value")
    return name, value


def _quoted(name: str, text: str) -> tuple[str, str]:
    """Return the value that begins with the quote at text[0], and what follows its closing quote."""
    quote, value, position = text[0], "", 1
    while position < len(text):
        char = text[position]
        if char == quote:
            return value, text[position + 1 :].strip()
        if char == "\\" and quote == '"' and text[position + 1 : position + 2] in ('"', "\\"):
            position += 1
            char = text[position]
        value += char
        position += 1
    raise ValueError(f"{name} has no closing {quote}")


def _read_env_file(path: Path) -> tuple[dict[str, str], list[str]]:
    try:
        written = parse_env(decode_settings(path.read_bytes()), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise FixConfigError(
            f"{path}: cannot be read: {type(error).__name__}; check permissions and encoding"
        ) from None
    open_to_others = os.name == "posix" and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)
    return written, [f"{path} holds secrets and others can read it: run chmod 600 {path}"] if open_to_others else []


def _misspelt(values: Mapping[str, str], quiet: frozenset[str]) -> list[str]:
    """Return warnings about names that look like ours; `quiet` ones belong to the whole machine, so only by prefix."""
    suspects = [name for name in values if name not in VARIABLES]
    if not suspects:
        return []
    from trading_platform.core.validation import (
        did_you_mean,  # only after a slip: keeps the usual start under 20 ms
    )

    lines = []
    for name in sorted(suspects):
        guess = did_you_mean(name, VARIABLES) if name not in quiet or name.startswith(_OUR_PREFIXES) else ""
        if guess or name.startswith(_OUR_PREFIXES):
            lines.append(f"{name} is set but nothing reads it{guess}")
    return lines


def _merge_aliases(values: dict[str, str]) -> list[str]:
    """Move alias values to their main names; return a problem where both are set and differ."""
    problems = []
    for alias, name in _ALIASES.items():
        if alias in values and values.setdefault(name, values[alias]) != values[alias]:
            problems.append(f"{name} and {alias} are both set and differ: keep one, else the account is a guess")
    return problems


def _pair_problems(values: Mapping[str, str]) -> list[str]:
    # only Alpaca's pair: OpenClaw runs commands with its own TELEGRAM_BOT_TOKEN in the environment
    there = [name for name in _ALIASES.values() if name in values]
    if len(there) != 1:
        return []
    (missing,) = set(_ALIASES.values()) - set(there)
    return [f"{there[0]} is set but {missing} is not: set both or neither"]


def _url_problem(url: str) -> str:
    scheme, sign, rest = url.partition("://")
    host = rest.partition("/")[0].partition("?")[0]
    if "@" in url:
        return "must not hold a user name or password: keys have their own variables"
    if not sign or scheme not in ("https", "http") or not host:
        return f"must be a URL such as https://paper-api.alpaca.markets, was {url!r}"
    plain = host if host.endswith("]") else host.rpartition(":")[0] or host
    if scheme == "http" and plain not in _LOOPBACK:
        return f"would send keys unencrypted to {host}: use https (http is for this machine only)"
    if rest.rstrip("/").endswith(("/v1", "/v2")):
        return f"must end before the version, since the client adds it, was {url!r}"
    return ""


def _secret_url_problem(url: str) -> str:
    # the address is the secret, so the message does not repeat it
    scheme, sign, rest = url.partition("://")
    host = rest.partition("/")[0].partition("?")[0]
    if not sign or scheme not in ("https", "http") or not host or " " in url:
        return "must be one URL that begins with https:// or http://"
    return ""


def _apprise_problem(text: str) -> str:
    urls = text.split()
    if not all("://" in url for url in urls):
        return "must be apprise URLs such as ntfys://topic, with spaces between them"
    if any(url.lower().startswith("tgram://") for url in urls):
        # it would ask for updates, and take them away from whoever listens to the bot
        return "must not name tgram://: set TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID, Telegram has a sender of its own"
    return ""


def _live_problem(text: str) -> str:
    return "" if text == LIVE_CONFIRMATION else f"must be {LIVE_CONFIRMATION!r} or unset, was {text!r}"


def _database_problem(url: str) -> str:
    # the URL may hold a password, so the message does not repeat it
    return "" if "://" in url else "must be a database URL such as sqlite:///trading.db or postgresql+psycopg://..."


def _secret(text: str | None) -> Secret | None:
    return None if text is None else Secret(text)
