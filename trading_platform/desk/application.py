"""The desk as an ASGI application: routes, who may see them, and what a page says when something is not there."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from trading_platform.core.errors import FixConfigError, RepairDatabaseError, TradingPlatformError
from trading_platform.desk import account_screens, machine_screens, run_screens, screens
from trading_platform.desk.access import Access, LockedOutError, Session
from trading_platform.desk.actions import Wish, ask
from trading_platform.desk.api import RefusedError, api_routes, bearer_of, description
from trading_platform.desk.frame import HERE, Context, environment
from trading_platform.desk.live import Watch
from trading_platform.desk.place import Desk, NotThereError
from trading_platform.desk.request_check import Application, RequestCheck
from trading_platform.desk.shared_pages import SharedPages
from trading_platform.reporting.run_page import HERE as REPORTING
from trading_platform.storage.desk_pen import Deed

SHARED_SECONDS = 10.0  # so long tabs that slowly come for one change get one drawing
Screen = Callable[[Desk, Request], Context]
REPORT_FILES = frozenset({"page.css", "run_page.css", "page.js", "run_page.js"})
OPEN_PATHS = ("/enter", "/sign-in", "/static/", "/shared/")


@dataclass
class Setup:
    """How a desk is reached: its port, other host names, whether a proxy with TLS stands before it."""

    port: int = 8765
    names: tuple[str, ...] = ()
    behind_tls: bool = False
    metrics: bool = False
    on_link_spent: Callable[[], None] = field(default=lambda: None)

    @property
    def cookie(self) -> str:
        """Name of the session's cookie: cookies know no ports, and two desks of one host must not share one."""
        return f"desk-{self.port}"


class Pages:
    """Answers requests with pages.

    Parameters
    ----------
    desk : what is shown. access : who may come in. watch : who hears of changes. setup : how it is reached.
    """

    def __init__(self, desk: Desk, access: Access, watch: Watch, setup: Setup) -> None:
        self.desk, self.access, self.watch, self.setup = desk, access, watch, setup
        self._templates = environment()
        self._shared = SharedPages()

    # ------------------------------------------------------------ pages

    def render(self, request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
        """Return a page in the desk's frame."""
        return HTMLResponse(self._text(request, template, context), status)

    def _text(self, request: Request, template: str, context: Mapping[str, Any]) -> str:
        session: Session | None = getattr(request.state, "session", None)
        about = {
            "session": session,
            "path": request.url.path,
            "here": _here(request),
            "has_passwords": self.access.has_passwords,
            "account": None,
            "page_name": "",
        }
        return self._templates.get_template(template).render({**about, **context})

    def screen(self, template: str, make: Screen) -> Callable[[Request], Any]:
        """Return the endpoint of a page that anybody who has come in may see."""

        def text(request: Request) -> str:
            return self._text(request, template, make(self.desk, request))

        def page(request: Request) -> HTMLResponse:
            if "hx-request" not in request.headers:
                return HTMLResponse(text(request))
            # tabs that heard of one change: what one of them is told is as new as that change, and ages are of seconds
            session: Session | None = getattr(request.state, "session", None)
            some_seconds = self.desk.now().timestamp() // SHARED_SECONDS
            known = frozenset(self.watch.told.items())
            key = (session and session.csrf, request.url.path, request.url.query, known, some_seconds)
            return HTMLResponse(self._shared.get(key, lambda: text(request)))

        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(page, request)

        return endpoint

    # ------------------------------------------------------------ coming and going

    async def enter(self, request: Request) -> Response:
        """Spend a one-time link."""
        found = await run_in_threadpool(
            self.access.enter_by_link, request.query_params.get("token", ""), self.origin(request)
        )
        if found is not None:
            self.setup.on_link_spent()
        else:
            words = "This link has been used, or is none. The terminal that runs the desk shows a new one."
            return self.render(request, "sign_in.html", 403, wrong=words)
        await self._told(request, found[1].name, "sign-in", "done, by link")
        return self._welcome(request, *found)

    async def sign_in_page(self, request: Request) -> Response:
        """Show the form for name and password."""
        return self.render(request, "sign_in.html", wrong="")

    async def sign_in(self, request: Request) -> Response:
        """Let somebody in by a password."""
        given = await form(request)
        name, password = given.get("name", ""), given.get("password", "")
        found = await run_in_threadpool(self.access.enter_by_password, name, password, self.origin(request))
        if found is None:
            await self._told(request, name, "sign-in", "refused: wrong name or password")
            return self.render(request, "sign_in.html", 403, wrong="Name or password is wrong.")
        await self._told(request, name, "sign-in", "done, by password")
        return self._welcome(request, *found)

    async def sign_out(self, request: Request) -> Response:
        """End a session."""
        await self._checked(request)
        self.access.leave(request.cookies.get(self.setup.cookie))
        answer = RedirectResponse("/sign-in", 303)
        answer.delete_cookie(self.setup.cookie)
        return answer

    def _welcome(self, request: Request, cookie: str, session: Session) -> Response:
        # a page and no redirect: a browser that came here by a link of elsewhere would not send the cookie along
        answer = self.render(request, "welcome.html", name=session.name)
        is_local = (request.url.hostname or "") in ("127.0.0.1", "localhost", "::1")
        answer.set_cookie(
            self.setup.cookie,
            cookie,
            httponly=True,
            samesite="strict",
            path="/",
            secure=self.setup.behind_tls and not is_local,
        )
        return answer

    # ------------------------------------------------------------ what is written

    async def act(self, request: Request) -> Response:
        """Leave a command for an account's engine."""
        return await self._ask(request, "account.html", screens.account_now, "#actions")

    async def answer(self, request: Request) -> Response:
        """Leave an operator's word about entries that wait."""
        return await self._ask(request, "answer.html", account_screens.answer, "/answer")

    async def _ask(self, request: Request, template: str, screen: Screen, then: str) -> Response:
        session, given = await self._checked(request, commands=True)
        run_id = request.path_params["run_id"]
        account = await run_in_threadpool(self.desk.account, run_id)
        wish = Wish(
            given.get("kind", ""),
            given.get("reason", ""),
            given.get("subject") or None,
            given.get("typed", ""),
            given.get("session") or None,
        )
        try:
            await run_in_threadpool(ask, self.desk, account, wish, session.name, self.origin(request))
        except FixConfigError as error:
            await self._told(request, session.name, wish.kind, f"refused: {error}", run_id, wish.reason)
            context = await run_in_threadpool(screen, self.desk, request)
            context["wrong"], context["tried"] = str(error), wish
            return await run_in_threadpool(lambda: self.render(request, template, 422, **context))
        return RedirectResponse(f"/accounts/{run_id}{then}", 303)

    async def mark(self, request: Request) -> Response:
        """Put a tag or a note on a run."""
        session, given = await self._checked(request, commands=True)
        run_id, action = request.path_params["run_id"], given.get("action", "")
        await run_in_threadpool(self.desk.account, run_id)
        if action not in ("tag", "note"):
            raise HTTPException(422, "A run has a tag and a note.")
        text = given.get("text", "")
        deed = Deed(self.desk.now(), session.name, self.origin(request), action, run_id, None, text[:2000])
        await run_in_threadpool(self.desk.pen.mark, deed, text)
        return RedirectResponse(f"/runs/{run_id}", 303)

    async def _checked(self, request: Request, *, commands: bool = False) -> tuple[Session, Mapping[str, str]]:
        """Return who sends a form and what is in it; refuse one without the session's token."""
        session: Session | None = request.state.session
        given = await form(request)
        if session is None:
            raise HTTPException(401, "Sign in first.")
        if not hmac.compare_digest(given.get("csrf", "").encode(), session.csrf.encode()):
            raise HTTPException(403, "This form is of an older visit, so nothing was done. Load the page again.")
        if commands and not session.may_command:
            await self._told(request, session.name, "command", "refused: a viewer", request.path_params.get("run_id"))
            raise HTTPException(403, "You may look and not command: an operator can.")
        return session, given

    async def _told(
        self, request: Request, actor: str, action: str, outcome: str, run_id: int | None = None, reason: str = ""
    ) -> None:
        """Record what was refused; a database that cannot be written must not let anybody in or keep anybody out."""
        deed = Deed(self.desk.now(), actor, self.origin(request), action, run_id, None, reason, outcome)
        try:
            await run_in_threadpool(self.desk.pen.record, deed)
        except TradingPlatformError:
            return

    # ------------------------------------------------------------ the rest

    async def events(self, request: Request) -> Response:
        """Tell a browser what changes, for as long as it listens and is signed in."""
        if self.watch.is_full:
            raise HTTPException(503, "Too many pages listen.")
        cookie = request.cookies.get(self.setup.cookie)
        stream = self.watch.events(lambda: self.access.lives(cookie))
        return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    async def metrics(self, request: Request) -> Response:
        """Return every account's figures for Prometheus, to those with a token."""
        from trading_platform.desk.metrics import metrics

        try:
            await run_in_threadpool(bearer_of, request, self.access, self.origin(request))
        except RefusedError as refusal:
            return PlainTextResponse(refusal.words, refusal.status)
        return Response(await run_in_threadpool(metrics, self.desk), media_type="text/plain; version=0.0.4")

    async def shared(self, request: Request) -> Response:
        """Return style sheets and scripts that pages of reports and runs have, too."""
        name = request.path_params["name"]
        if name not in REPORT_FILES:
            raise HTTPException(404)
        kind = "text/css" if name.endswith(".css") else "text/javascript"
        return Response((REPORTING / name).read_bytes(), media_type=kind, headers={"cache-control": "max-age=3600"})

    def origin(self, request: Request) -> str:
        """Return the address that a request came from; a proxy's own word for it counts only behind one."""
        if self.setup.behind_tls and (told := request.headers.get("x-forwarded-for", "")):
            return told.rpartition(",")[2].strip()[:64]
        return "unknown" if request.client is None else request.client.host

    # ------------------------------------------------------------ failures

    async def not_there(self, request: Request, error: Exception) -> Response:
        """Say that something is not there."""
        words = str(error) if isinstance(error, NotThereError) else "There is no such page."
        return self.render(request, "message.html", 404, title="Not found", words=words, again=False)

    async def refused(self, request: Request, error: Exception) -> Response:
        """Say why a request was refused."""
        code, words = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "")
        if code == 404:
            return await self.not_there(request, error)
        return self.render(request, "message.html", code, title="Not done", words=words, again=False)

    async def wrong_input(self, request: Request, error: Exception) -> Response:
        """Say what is wrong with what was asked for."""
        return self.render(request, "message.html", 422, title="Not possible", words=str(error), again=False)

    async def trouble(self, request: Request, error: Exception) -> Response:
        """Say what is wrong with the database; the page loads itself again until it is well."""
        return self.render(
            request, "message.html", 503, title="The database cannot be read", words=str(error), again=True
        )

    async def fault(self, request: Request, error: Exception) -> Response:
        """Say that the desk itself is at fault, and nothing of what went wrong."""
        return self.render(
            request,
            "message.html",
            500,
            title="The desk has a fault",
            again=False,
            words=f"{type(error).__name__}: the terminal of the desk says more. Engines go on; nothing was changed.",
        )

    async def locked(self, request: Request, error: Exception) -> Response:
        """Say how long to wait after too many wrong tries."""
        seconds = error.seconds if isinstance(error, LockedOutError) else 60.0
        answer = self.render(request, "message.html", 429, title="Locked", words=str(error), again=False)
        answer.headers["retry-after"] = str(round(seconds) + 1)
        return answer


class SignedIn:
    """Puts the session on each request, and sends those without one to the door."""

    def __init__(self, application: Application, access: Access, setup: Setup) -> None:
        self._application, self._access, self._setup = application, access, setup

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on, or answer 303 or 401."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        request = Request(scope)
        session = self._access.session(request.cookies.get(self._setup.cookie))
        scope.setdefault("state", {})["session"] = session
        path = request.url.path
        if session is None and not path.startswith((*OPEN_PATHS, "/api/v1/", "/metrics")):
            answer: Response = RedirectResponse("/sign-in", 303)
            if request.method != "GET" or path == "/events":
                answer = PlainTextResponse("Sign in first.", 401)
            await answer(scope, receive, send)
            return
        await self._application(scope, receive, send)


def create_application(desk: Desk, access: Access, setup: Setup, watch: Watch | None = None) -> Application:
    """Return the desk, ready to be served."""
    pages = Pages(desk, access, watch or Watch(desk.url, desk.steady), setup)
    run, account = "/runs/{run_id:int}", "/accounts/{run_id:int}"
    routes = [
        Route("/enter", pages.enter),
        Route("/sign-in", pages.sign_in_page),
        Route("/sign-in", pages.sign_in, methods=["POST"]),
        Route("/sign-out", pages.sign_out, methods=["POST"]),
        Route("/", pages.screen("accounts.html", screens.all_accounts_page)),
        Route(account, pages.screen("account.html", screens.account_now)),
        Route(f"{account}/risk", pages.screen("risk.html", screens.risk)),
        Route(f"{account}/day", pages.screen("day.html", account_screens.day)),
        Route(f"{account}/strategies", pages.screen("strategies.html", account_screens.strategies)),
        Route(f"{account}/journal", pages.screen("journal.html", account_screens.journal)),
        Route(f"{account}/settings", pages.screen("settings.html", account_screens.settings)),
        Route("/runs", pages.screen("runs.html", run_screens.runs)),
        Route(run, pages.screen("run.html", run_screens.run_page)),
        Route("/compare", pages.screen("compare.html", run_screens.compare)),
        Route("/allocator", pages.screen("allocator.html", machine_screens.allocator)),
        Route("/health", pages.screen("health.html", machine_screens.health)),
        Route("/api", pages.screen("api.html", lambda desk, request: {"title": "API", "api": description()})),
        *api_routes(desk, access, pages.origin),
        *([Route("/metrics", pages.metrics)] if setup.metrics else []),
        Route(f"{account}/answer", pages.screen("answer.html", account_screens.answer)),
        Route(f"{account}/actions", pages.act, methods=["POST"]),
        Route(f"{account}/answer", pages.answer, methods=["POST"]),
        Route(f"{run}/mark", pages.mark, methods=["POST"]),
        Route("/events", pages.events),
        Route("/shared/{name}", pages.shared),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]
    failures: dict[Any, Any] = {
        NotThereError: pages.not_there,
        HTTPException: pages.refused,
        LockedOutError: pages.locked,
        RepairDatabaseError: pages.trouble,
        FixConfigError: pages.wrong_input,
        Exception: pages.fault,
    }
    inner = Starlette(routes=routes, exception_handlers=failures)
    return RequestCheck(SignedIn(inner, access, setup), setup.names)


async def form(request: Request) -> dict[str, str]:
    """Return the fields of a form; of several with one name the last."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(415, "Forms only.")
    try:
        return dict(parse_qsl((await request.body()).decode("utf-8"), keep_blank_values=True, max_num_fields=50))
    except (UnicodeDecodeError, ValueError):
        raise HTTPException(400, "That is no form.") from None


def _here(request: Request) -> str:
    """Return the address of this page for the script that loads it again."""
    query = f"?{request.url.query}" if request.url.query else ""
    return quote(request.url.path) + query if request.method == "GET" else quote(request.url.path)
