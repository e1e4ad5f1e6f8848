"""HTTP manners towards Alpaca: timeouts, one retry policy for reads and none for orders, rate limits.

alpaca-py 0.44 sets no timeout, and on 429 and 504 it sends *every* request again, orders included, three times after a
fixed three seconds. Its own retries are switched off here. Reads are repeated with back-off that honours
``Retry-After`` and ``X-Ratelimit-Reset``; what changes something is sent once, and its caller asks what became of it.
"""

from __future__ import annotations

import json
import logging
import random
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import requests

from trading_platform.alpaca.failures import (
    AlpacaRefusalError,
    Failure,
    FailureKind,
    SendError,
    UnreadableAnswerError,
    failure_kind,
    network_cause,
    read_body,
)
from trading_platform.alpaca.rate_limit import LONGEST_WAIT, PacedAdapter, RateLimiter, Timer, header_number
from trading_platform.configuration.environment import LIVE_CONFIRMATION, Secret, Settings, is_loopback
from trading_platform.core.errors import (
    BrokerUnreachableError,
    FixConfigError,
    FixCredentialsError,
    TradingPlatformError,
)
from trading_platform.machine.time_outs import TIMEOUT

if TYPE_CHECKING:
    from alpaca.common.rest import RESTClient
    from alpaca.data.historical import StockHistoricalDataClient
    from alpaca.trading.client import TradingClient

T = TypeVar("T")
log = logging.getLogger("trading_platform.alpaca")

# A server on this machine is asked often and again at once, but not given up sooner: at load it answers late.
LOCAL_REQUESTS_PER_MINUTE = 60_000.0
LOCAL_FIRST_WAIT = 0.01
REQUESTS_PER_MINUTE = 180.0  # Alpaca allows 200 a minute and account; the rest is for the owner's other tools
READ_ATTEMPTS = 4
FIRST_WAIT = 0.5  # seconds before the second attempt; each further one waits twice as long
MESSAGE_LENGTH = 300
MISSING = (
    "the package alpaca-py is not installed, so Alpaca cannot be used: run "
    "`pip install -r requirements-trading-platform.txt`, or trade with the simulator (no keys)"
)


@dataclass(frozen=True, slots=True)
class AlpacaAccess:
    """Where and with which keys. `trading_url` and `data_url` point at another server (tests, dry runs).

    `live` is None where only market data are read, which both kinds of keys may do. `timeout` is in seconds, to connect
    and between bytes; `first_wait` in seconds before a read is repeated.
    """

    key_id: Secret
    secret_key: Secret
    live: bool | None = False
    trading_url: str | None = None
    data_url: str | None = None
    timeout: tuple[float, float] = TIMEOUT
    requests_per_minute: float = REQUESTS_PER_MINUTE
    first_wait: float = FIRST_WAIT

    def redact(self, text: str) -> str:
        """Return `text` without the keys, should a server ever echo them."""
        for secret in (self.key_id, self.secret_key):
            text = text.replace(secret.reveal(), "***")
        return text


def access_from(settings: Settings, live: bool | None) -> AlpacaAccess:
    """Return where and how to reach the account that the settings describe.

    Raises
    ------
    FixConfigError
        No keys, or real money without the second confirmation.
    """
    if settings.alpaca_api_key is None or settings.alpaca_secret_key is None:
        raise FixConfigError(
            "Alpaca needs ALPACA_API_KEY and ALPACA_SECRET_KEY in the environment or .env; without keys take the "
            'embedded market (no option), your own files (--data-dir) or data.source = "yahoo"'
        )
    if live and not settings.allow_live:
        raise FixConfigError(
            f"real money needs two confirmations: the option --live and TRADING_ALLOW_LIVE={LIVE_CONFIRMATION}"
        )
    access = AlpacaAccess(
        settings.alpaca_api_key,
        settings.alpaca_secret_key,
        live=live,
        trading_url=settings.alpaca_base_url,
        data_url=settings.alpaca_data_url or settings.alpaca_base_url,
    )
    if not is_loopback(settings.alpaca_base_url):
        return access
    return replace(access, requests_per_minute=LOCAL_REQUESTS_PER_MINUTE, first_wait=LOCAL_FIRST_WAIT)


class AlpacaHttp:
    """The two clients of alpaca-py, tamed, and the two ways to use them: `read` and `send`.

    Nothing is imported or opened before the first use.
    """

    def __init__(self, access: AlpacaAccess, timer: Timer | None = None, attempts: int = READ_ATTEMPTS) -> None:
        self.access = access
        self._timer = timer or Timer()
        self._attempts = attempts
        self._random = random.Random()  # noqa: S311 - spreads retries; no decision depends on it
        self._adapters: list[PacedAdapter] = []
        self._trading: TradingClient | None = None
        self._data: StockHistoricalDataClient | None = None

    @property
    def trading(self) -> TradingClient:
        """The client of the trading host; answers are raw JSON."""
        if self._trading is None:
            client_class = _load("alpaca.trading.client", "TradingClient")
            access = self.access
            self._trading = client_class(
                access.key_id.reveal(),
                access.secret_key.reveal(),
                paper=not access.live,
                raw_data=True,
                url_override=access.trading_url,
            )
            self._tame(self._trading)
        return self._trading

    @property
    def data(self) -> StockHistoricalDataClient:
        """The client of the market data host; answers are raw JSON."""
        if self._data is None:
            client_class = _load("alpaca.data.historical", "StockHistoricalDataClient")
            access = self.access
            self._data = client_class(
                access.key_id.reveal(), access.secret_key.reveal(), raw_data=True, url_override=access.data_url
            )
            self._tame(self._data)
        return self._data

    def read(self, what: str, call: Callable[[], object], parse: Callable[[Any], T]) -> T:
        """Return the parsed answer of a request that changes nothing, repeating it while that may help.

        Raises
        ------
        FixCredentialsError
            The keys were refused.
        AlpacaRefusalError
            A definitive refusal, such as 404 or a data plan that does not include the request.
        BrokerUnreachableError
            No usable answer after all attempts.
        """
        failure = None
        for attempt in range(self._attempts):
            if attempt > 0:
                self._timer.sleep(self._wait(attempt, failure))
            outcome = self._try(call, parse)
            if not isinstance(outcome, Failure):
                if failure is not None:
                    log.info("%s: answered at attempt %d", what, attempt + 1)
                return outcome.value
            failure = outcome
            if failure.is_definitive:
                break
            log.warning("%s: attempt %d of %d failed (%s)", what, attempt + 1, self._attempts, failure)
        assert failure is not None  # noqa: S101 - there is at least one attempt
        raise self._error(what, failure)

    def send(self, call: Callable[[], object], parse: Callable[[Any], T]) -> T:
        """Return the parsed answer of a request that changes something. It leaves once.

        Raises
        ------
        SendError
            Refused, or no usable answer; `failure.is_definitive` tells which.
        """
        outcome = self._try(call, parse)
        if isinstance(outcome, Failure):
            raise SendError(outcome)
        return outcome.value

    def _try(self, call: Callable[[], object], parse: Callable[[Any], T]) -> _Answer[T] | Failure:
        from alpaca.common.exceptions import APIError

        try:
            raw = call()
        except APIError as error:
            return self._api_failure(error)
        except (requests.exceptions.JSONDecodeError, json.JSONDecodeError) as error:
            return Failure(FailureKind.GARBAGE, None, None, f"the answer is not JSON ({self._clean(str(error))})")
        except requests.RequestException as error:
            return Failure(
                FailureKind.NETWORK, None, None, f"{type(error).__name__}: {self._clean(network_cause(error))}"
            )
        try:
            return _Answer(parse(raw))
        except (ValueError, TypeError, KeyError, AttributeError) as error:  # pydantic's errors are ValueErrors
            text = f"the answer cannot be read ({type(error).__name__}: {self._clean(str(error))})"
            return Failure(FailureKind.GARBAGE, None, None, text)

    def _api_failure(self, error: Any) -> Failure:
        status: int | None = error.status_code
        code, message = read_body(str(error))
        response = error.response
        headers = {} if response is None else response.headers
        retry_after = header_number(headers.get("Retry-After"))
        reset = header_number(headers.get("X-Ratelimit-Reset"))
        if retry_after is None and status == 429 and reset is not None:
            retry_after = max(0.0, reset - self._timer.wall())
        return Failure(failure_kind(status, code, message), status, code, self._clean(message), retry_after)

    def _wait(self, attempt: int, failure: Failure | None) -> float:
        """Return the seconds before the next attempt: what the service asked for, else doubling, with jitter."""
        if failure is not None and failure.retry_after is not None:
            return min(failure.retry_after, LONGEST_WAIT)
        longest = self.access.first_wait * 2.0 ** (attempt - 1)
        return longest * (0.5 + 0.5 * self._random.random())

    def _error(self, what: str, failure: Failure) -> TradingPlatformError:
        if failure.kind is FailureKind.CREDENTIALS:
            return FixCredentialsError(f"{what}: Alpaca refused the keys ({failure}). {self._key_hint()}")
        if failure.is_definitive:
            return AlpacaRefusalError(what, failure)
        error = UnreadableAnswerError if failure.kind is FailureKind.GARBAGE else BrokerUnreachableError
        return error(
            f"{what}: no usable answer from Alpaca after {self._attempts} attempts ({failure}); check the network, "
            "https://status.alpaca.markets, then start again"
        )

    def _key_hint(self) -> str:
        """Say what to look at. Paper keys begin with PK and live keys with AK; each opens its own account only."""
        if self.access.live is None:
            return "Set ALPACA_API_KEY and ALPACA_SECRET_KEY; they may have been revoked or regenerated."
        wanted, given = ("AK", "live") if self.access.live else ("PK", "paper"), self.access.key_id.reveal()[:2]
        cure = f"Set ALPACA_API_KEY and ALPACA_SECRET_KEY to the keys of the {wanted[1]} account"
        if given in ("PK", "AK") and given != wanted[0]:
            other = "paper" if given == "PK" else "live"
            return f"The key is one of a {other} account, but this is {wanted[1]} mode. {cure}, or change the mode."
        return f"{cure}; they may have been revoked or regenerated."

    def _clean(self, text: str) -> str:
        return self.access.redact(" ".join(re.sub(r"<[^>]*>", " ", text).split()))[:MESSAGE_LENGTH]

    def _tame(self, client: RESTClient) -> None:
        session, retry = getattr(client, "_session", None), getattr(client, "_retry", None)
        if not isinstance(session, requests.Session) or not isinstance(retry, int):
            raise FixConfigError(
                "this alpaca-py keeps its HTTP session elsewhere, so that requests would have no timeout and orders "
                "could be sent twice: install alpaca-py>=0.44,<0.45"
            )
        client._retry = 0
        adapter = PacedAdapter(self.access.timeout, RateLimiter(self.access.requests_per_minute, timer=self._timer))
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        self._adapters.append(adapter)


@dataclass(frozen=True, slots=True)
class _Answer(Generic[T]):
    value: T


def _load(module: str, name: str) -> Any:
    import importlib

    try:
        with warnings.catch_warnings():
            # alpaca-py 0.44 imports websockets.legacy; the warning would land in every cron mail
            warnings.simplefilter("ignore", DeprecationWarning)
            return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise FixConfigError(MISSING) from error
