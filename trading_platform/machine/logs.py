"""Log lines of a command: readable text or JSON, to standard error or a rotating file, and never a secret.

Set up once by the command; everything below it only asks for a logger. Secrets are masked in the finished line, so that
it does not matter whether one came in a message, an argument, a traceback or another package's words.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from trading_platform.configuration.environment import Secret, Settings
from trading_platform.configuration.running_tables import LoggingConfig
from trading_platform.core.errors import FixConfigError

OURS = "trading_platform"
MASK = "***"
DISK_TROUBLE = frozenset({errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT})  # passes, or is no setting's fault
SHORTEST_SECRET = 4  # masking shorter texts would only make lines unreadable


class MaskingFormatter(logging.Formatter):
    """Formats a record, then masks every secret in it.

    Parameters
    ----------
    secrets
        Texts that must not be shown; their URL-encoded forms are masked as well.
    as_json
        One JSON object a line: at, level, logger, message, and error (a traceback) where there is one.
    """

    def __init__(self, secrets: Iterable[str], *, as_json: bool) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        self._as_json = as_json
        forms = {form for secret in secrets for form in (secret, quote(secret, safe=""), quote_plus(secret))}
        forms |= {json.dumps(form)[1:-1] for form in forms}
        # the longest first: one secret may be part of another
        self._forms = sorted((form for form in forms if len(form) >= SHORTEST_SECRET), key=len, reverse=True)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        """Return the record's instant in UTC."""
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = self._json(record) if self._as_json else super().format(record)
        for form in self._forms:
            line = line.replace(form, MASK)
        return line

    def _json(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "at": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


class PrivateRotatingFile(RotatingFileHandler):
    """A rotating file that only its owner can read."""

    def _open(self) -> TextIOWrapper:
        def private(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)

        return TextIOWrapper(open(self.baseFilename, "ab", opener=private), encoding="utf-8")


def start_logs(config: LoggingConfig, settings: Settings) -> None:
    """Send log lines where [logging] says: this package's from its level on, other packages' warnings and errors.

    Calling it again replaces what the last call set up.

    Raises
    ------
    FixConfigError
        The log file cannot be written; where the disk is full or mounted read-only lines go to standard error.
    """
    logging.raiseExceptions = False  # a line that cannot be written (a full disk) costs that line and no traceback
    handler = _handler(config, settings.log_dir)
    handler.setFormatter(MaskingFormatter(secret_texts(settings), as_json=config.format == "json"))
    handler.set_name(OURS)
    root = logging.getLogger()
    for old in [old for old in root.handlers if old.get_name() == OURS]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    logging.getLogger(OURS).setLevel(config.level)


def secret_texts(settings: Settings) -> list[str]:
    """Return every text of `settings` that no line may show; of a database URL its password, too."""
    held = (
        settings.alpaca_api_key,
        settings.alpaca_secret_key,
        settings.telegram_bot_token,
        settings.database_url,
        settings.webhook_url,
        settings.ping_url,
        *settings.apprise_urls,
    )
    texts = [secret.reveal() for secret in held if secret is not None]
    # a library may name the path of an address without its host
    texts += [path for url in (settings.webhook_url, settings.ping_url) if (path := _path_of(url))]
    if settings.database_url is not None:
        url = settings.database_url.reveal()
        try:
            password = urlsplit(url).password
        except ValueError:  # SQLAlchemy explains what is wrong with it
            password = None
        # a file's path is no secret, and lines that name it are needed to find it
        texts = texts if password else [text for text in texts if text != url]
        texts += [password, unquote(password)] if password else []
    return texts


def _path_of(url: Secret | None) -> str:
    """Return what follows the host of an address that is a secret."""
    return "" if url is None else url.reveal().partition("://")[2].partition("/")[2]


def _handler(config: LoggingConfig, folder: Path) -> logging.Handler:
    if not config.file:
        return logging.StreamHandler()
    path = folder / config.file
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return PrivateRotatingFile(path, maxBytes=config.max_bytes, backupCount=config.backups, encoding="utf-8")
    except OSError as error:
        if error.errno in DISK_TROUBLE:  # an engine that starts on a full disk still has positions to look after
            return logging.StreamHandler()
        raise FixConfigError(
            f"the log file {path} cannot be written ({error.strerror}): set TRADING_LOG_DIR or file in [logging]"
        ) from error
