"""The desk for programs: /api/v1, by bearer token, described by itself.

One table of endpoints makes the routes and their OpenAPI description, so that neither says what the other does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trading_platform import __version__
from trading_platform.core.errors import FixConfigError, RepairDatabaseError
from trading_platform.desk.access import Access, LockedOutError, Person, Role
from trading_platform.desk.actions import COMMANDS, Wish, ask, recent
from trading_platform.desk.lists import journal, recent_fills, refusals
from trading_platform.desk.overview import overview, shown
from trading_platform.desk.place import Desk, NotThereError
from trading_platform.operations.commands import account_state, run_rows
from trading_platform.operations.run_pages import read_comparison
from trading_platform.reporting.ledger_view import read_days
from trading_platform.reporting.run_comparison import comparison_document
from trading_platform.reporting.run_results import run_results
from trading_platform.storage.consents import ANSWERS

LARGEST_NUMBER = 2**63 - 1
LARGEST_BODY = 20_000
PREFIX = "/api/v1"
Answer = object


class Parameter(NamedTuple):
    """A parameter of an endpoint: in the path or the query, with its JSON schema."""

    name: str
    place: str
    schema: dict[str, Any]
    words: str
    is_needed: bool = False


class Asked(NamedTuple):
    """A request that passed: its parameters by name, its body, who asks and from where."""

    values: Mapping[str, Any]
    body: Mapping[str, Any]
    who: Person
    origin: str


class Endpoint(NamedTuple):
    """One endpoint; `work` makes the answer. `body` is the JSON schema of what is sent."""

    method: str
    path: str
    words: str
    work: Callable[[Desk, Asked], Answer]
    parameters: tuple[Parameter, ...] = ()
    body: dict[str, Any] | None = None


class RefusedError(Exception):
    """A request that is answered with a status and words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


WHOLE = {"type": "integer", "minimum": 1, "maximum": LARGEST_NUMBER}
RUN = Parameter("run_id", "path", WHOLE, "The run's number.", is_needed=True)
DAY = Parameter("date", "query", {"type": "string", "format": "date"}, "A session; the newest without it.")
SEARCH = Parameter("q", "query", {"type": "string", "maxLength": 80}, "Ticker, strategy, status or id.")
BEFORE = Parameter("before", "query", WHOLE, "Orders with a smaller id: `older` of the page before.")
LIMIT = Parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 200}, "At most so many.")
RUNS = Parameter(
    "run",
    "query",
    {"type": "string", "pattern": "^[0-9]{1,18}(,[0-9]{1,18}){1,5}$"},
    "Two to six numbers of runs, with commas.",
    is_needed=True,
)
COMMAND_BODY: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["kind", "reason"],
    "properties": {
        "kind": {"type": "string", "enum": [*COMMANDS, *ANSWERS]},
        "reason": {"type": "string", "minLength": 1, "maxLength": 500},
        "subject": {"type": "string", "minLength": 1, "maxLength": 64},
        "account": {"type": "string", "maxLength": 64},
        "session": {"type": "string", "maxLength": 10},
    },
}


# ---------------------------------------------------------------- what is answered


def _accounts(desk: Desk, _: Asked) -> Answer:
    rows = overview(desk.database(), shown(desk.accounts()), desk.now(), desk.calendar)
    return {"accounts": [row._asdict() for row in rows]}


def _account(desk: Desk, asked: Asked) -> Answer:
    return account_state(desk.database(), desk.account(asked.values["run_id"]), desk.now())


def _report(desk: Desk, asked: Asked) -> Answer:
    desk.account(asked.values["run_id"])
    return desk.report(asked.values["run_id"], asked.values.get("date"))[0]


def _part_of_report(name: Literal["positions", "risk"]) -> Callable[[Desk, Asked], Answer]:
    def work(desk: Desk, asked: Asked) -> Answer:
        desk.account(asked.values["run_id"])
        return {name: desk.report(asked.values["run_id"])[0][name]}

    return work


def _equity(desk: Desk, asked: Asked) -> Answer:
    run_id = desk.account(asked.values["run_id"]).run_id
    days = desk.read(lambda reader: read_days(reader, run_id, date.max))
    keys = ("session", "equity", "cash", "drawdown")
    return {
        "days": [
            dict(zip(keys, (line.session, line.equity / 100, line.cash / 100, line.drawdown), strict=True))
            | {"profit": line.profit / 100, "benchmark_close": line.benchmark_close, "halted": line.halted}
            for line in days
        ]
    }


def _fills(desk: Desk, asked: Asked) -> Answer:
    run_id = desk.account(asked.values["run_id"]).run_id
    most = asked.values.get("limit", 50)
    return {"fills": [fill._asdict() for fill in desk.read(lambda reader: recent_fills(reader, run_id, most))]}


def _orders(desk: Desk, asked: Asked) -> Answer:
    run_id, values = desk.account(asked.values["run_id"]).run_id, asked.values
    most = values.get("limit", 50)
    page = desk.read(lambda reader: journal(reader, run_id, values.get("q", ""), values.get("before"), most))
    orders = [order._asdict() | {"steps": [step._asdict() for step in order.steps]} for order in page.orders]
    return {"orders": orders, "older": page.older}


def _denials(desk: Desk, asked: Asked) -> Answer:
    account = desk.account(asked.values["run_id"])
    found = desk.read(lambda reader: refusals(reader, account.run_id, account.last_session))
    return {"session": account.last_session, "denials": [line._asdict() for line in found]}


def _commands(desk: Desk, asked: Asked) -> Answer:
    run_id = desk.account(asked.values["run_id"]).run_id
    return {"commands": [line._asdict() for line in recent(desk.database(), run_id, 50)]}


def _leave_command(desk: Desk, asked: Asked) -> Answer:
    account, body = desk.account(asked.values["run_id"]), asked.body
    wish = Wish(body["kind"], body["reason"], body.get("subject"), body.get("account", ""), body.get("session"))
    return {"id": ask(desk, account, wish, asked.who.name, asked.origin)}


def _runs(desk: Desk, _: Asked) -> Answer:
    return {"runs": run_rows(desk.database(), desk.now())}


def _run(desk: Desk, asked: Asked) -> Answer:
    account = desk.account(asked.values["run_id"])
    if account.last_session is None:
        raise FixConfigError(f"run {account.run_id} has no booked close yet")
    return run_results(desk.database(), account.run_id).to_dict()


def _compare(desk: Desk, asked: Asked) -> Answer:
    numbers = list(dict.fromkeys(int(text) for text in str(asked.values["run"]).split(",")))
    for number in numbers:
        desk.account(number)
    return comparison_document(read_comparison(desk.place, numbers))


ACCOUNT = "/accounts/{run_id}"
ENDPOINTS = (
    Endpoint("GET", "/accounts", "Every account that is traded, a row each.", _accounts),
    Endpoint("GET", ACCOUNT, "An account as `status --json` shows it.", _account, (RUN,)),
    Endpoint("GET", f"{ACCOUNT}/report", "The daily report.", _report, (RUN, DAY)),
    Endpoint("GET", f"{ACCOUNT}/positions", "What is held.", _part_of_report("positions"), (RUN,)),
    Endpoint("GET", f"{ACCOUNT}/risk", "Every rule, what halts, sectors.", _part_of_report("risk"), (RUN,)),
    Endpoint("GET", f"{ACCOUNT}/equity", "Every booked close.", _equity, (RUN,)),
    Endpoint("GET", f"{ACCOUNT}/fills", "The newest executions.", _fills, (RUN, LIMIT)),
    Endpoint("GET", f"{ACCOUNT}/orders", "Orders with their whole life.", _orders, (RUN, SEARCH, BEFORE, LIMIT)),
    Endpoint(
        "GET",
        f"{ACCOUNT}/denials",
        "What was refused at the last close, and the largest size that would pass.",
        _denials,
        (RUN,),
    ),
    Endpoint("GET", f"{ACCOUNT}/commands", "What operators asked, and when it was obeyed.", _commands, (RUN,)),
    Endpoint(
        "POST",
        f"{ACCOUNT}/commands",
        "Ask the engine, or answer for entries that wait (consent, veto: `subject` is a ticker, none means all; "
        "`session` the decision that was seen). `account` is its name where that must be confirmed. Operators only.",
        _leave_command,
        (RUN,),
        COMMAND_BODY,
    ),
    Endpoint("GET", "/runs", "Every run, as `runs --json` lists it.", _runs),
    Endpoint("GET", "/runs/{run_id}", "The results of a run.", _run, (RUN,)),
    Endpoint("GET", "/compare", "Runs beside each other, as `compare --json` shows them.", _compare, (RUNS,)),
)


# ---------------------------------------------------------------- the way in


def api_routes(desk: Desk, access: Access, origin: Callable[[Request], str]) -> list[Route]:
    """Return the API's routes; of one path, GET and POST are one route each."""
    found = [
        Route(PREFIX + endpoint.path, _answering(endpoint, desk, access, origin), methods=[endpoint.method])
        for endpoint in ENDPOINTS
    ]
    return [Route(f"{PREFIX}/openapi.json", lambda _: as_json(200, description())), *found]


def _answering(
    endpoint: Endpoint, desk: Desk, access: Access, origin: Callable[[Request], str]
) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        try:
            who = await run_in_threadpool(bearer_of, request, access, origin(request))
            if endpoint.body is not None and who.role is not Role.OPERATOR:
                raise RefusedError(403, "only an operator's token may ask an engine for anything")
            body = {} if endpoint.body is None else checked_body(await request.body(), endpoint.body)
            asked = Asked(_values(endpoint, request), body, who, origin(request))
            found = await run_in_threadpool(endpoint.work, desk, asked)
        except RefusedError as refusal:
            return as_json(refusal.status, {"error": refusal.words})
        except LockedOutError as error:
            return as_json(429, {"error": str(error)}, {"retry-after": str(round(error.seconds) + 1)})
        except NotThereError as error:
            return as_json(404, {"error": str(error)})
        except FixConfigError as error:
            return as_json(422, {"error": str(error)})
        except RepairDatabaseError as error:
            return as_json(503, {"error": str(error)}, {"retry-after": "3"})
        return as_json(201 if endpoint.body is not None else 200, found)

    return answer


def bearer_of(request: Request, access: Access, origin: str) -> Person:
    """Return whose token a request brings.

    Raises
    ------
    RefusedError
        None, or nobody's.
    """
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    who = access.bearer(token.strip(), origin) if kind.lower() == "bearer" and token.strip() else None
    if who is None:
        raise RefusedError(401, "this needs a token: make one with `desk token NAME`")
    return who


def _values(endpoint: Endpoint, request: Request) -> dict[str, Any]:
    known = {parameter.name for parameter in endpoint.parameters if parameter.place == "query"}
    if strangers := sorted(set(request.query_params) - known):
        raise RefusedError(
            422, f"there is no parameter {strangers[0][:40]!r}; there are {', '.join(sorted(known)) or 'none'}"
        )
    found = {}
    for parameter in endpoint.parameters:
        source = request.path_params if parameter.place == "path" else request.query_params
        text = source.get(parameter.name)
        if text is not None:
            found[parameter.name] = _value(parameter, str(text))
        elif parameter.is_needed:
            raise RefusedError(422, f"{parameter.name} is missing")
    return found


def _value(parameter: Parameter, text: str) -> object:
    """Return a parameter's value; one that its schema refuses is refused, in a path as not found."""
    schema, status = parameter.schema, 404 if parameter.place == "path" else 422
    refusal = RefusedError(status, f"{parameter.name}: {parameter.words} Was {text[:40]!r}")
    if schema["type"] == "integer":
        if not (text.isascii() and text.isdigit() and len(text) <= 19):
            raise refusal
        number = int(text)
        if not schema["minimum"] <= number <= schema["maximum"]:
            raise refusal
        return number
    if schema.get("format") == "date":
        try:
            return date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) else _raise(refusal)
        except ValueError:
            raise refusal from None
    if len(text) > schema.get("maxLength", 1000) or "\0" in text or not re.search(schema.get("pattern", ""), text):
        raise refusal
    return text


def _raise(error: Exception) -> object:
    raise error


def checked_body(content: bytes, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a JSON object of texts that fits `schema`.

    Raises
    ------
    RefusedError
        It does not; the message names the field.
    """
    try:
        body = json.loads(content) if len(content) <= LARGEST_BODY else None
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise RefusedError(422, "send one JSON object")
    properties = schema["properties"]
    for name in body:
        if name not in properties:
            raise RefusedError(422, f"there is no field {name[:40]!r}; there are {', '.join(properties)}")
    for name in schema["required"]:
        if name not in body:
            raise RefusedError(422, f"{name} is missing")
    for name, value in body.items():
        rule = properties[name]
        fits = isinstance(value, str) and rule.get("minLength", 0) <= len(value) <= rule.get("maxLength", 1000)
        if not fits or "\0" in value or not _is_text(value) or value not in rule.get("enum", [value]):
            raise RefusedError(422, f"{name} is not what it may be: {json.dumps(rule)}")
    return body


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True


def as_json(status: int, value: object, headers: Mapping[str, str] | None = None) -> Response:
    """Return `value` as JSON; what is no number becomes null, days and instants become texts."""
    text = json.dumps(plain(value), allow_nan=False, ensure_ascii=False)
    return Response(text.encode("utf-8", "replace"), status, dict(headers or {}), "application/json")


def plain(value: Any) -> Any:
    """Return `value` with nothing in it that JSON has no word for."""
    if isinstance(value, float):
        return value if value - value == 0.0 else None
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, str | int) or value is None:
        return value
    if isinstance(value, Sequence | set | frozenset):
        return [plain(part) for part in value]
    return str(value)


# ---------------------------------------------------------------- the description


def description() -> dict[str, Any]:
    """Return the API's OpenAPI 3.1 description."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(PREFIX + endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trading desk", "version": __version__, "description": "Read-only but for commands."},
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": {"type": "string"}},
                }
            },
        },
        "security": [{"token": []}],
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    error = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    done = "201" if endpoint.body is not None else "200"
    answers: dict[str, Any] = {
        done: {"description": "Done.", "content": {"application/json": {"schema": {"type": "object"}}}},
        "401": {"description": "No token, or nobody's.", **error},
        "404": {"description": "There is no such run.", **error},
        "422": {"description": "A parameter or the body is not what it may be.", **error},
        "429": {"description": "Too many wrong tokens.", **error},
        "503": {"description": "The database cannot be read now.", **error},
    }
    if endpoint.body is not None:
        answers["403"] = {"description": "Not an operator's token.", **error}
    found: dict[str, Any] = {
        "summary": endpoint.words,
        "operationId": f"{endpoint.method.lower()}{re.sub(r'[^a-z]+', '_', endpoint.path)}",
        "parameters": [
            {
                "name": one.name,
                "in": one.place,
                "required": one.is_needed or one.place == "path",
                "description": one.words,
                "schema": one.schema,
            }
            for one in endpoint.parameters
        ],
        "responses": answers,
    }
    if endpoint.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": endpoint.body}}}
    return found
