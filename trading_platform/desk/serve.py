"""The command `desk`: checks where it may be reached from, lets go of every key, and serves until it is stopped."""

from __future__ import annotations

import getpass
import sys
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from trading_platform.configuration.environment import leave_keys_behind, load_settings
from trading_platform.configuration.trading_config import config_path, load_config, machine_overrides
from trading_platform.core.errors import FixConfigError
from trading_platform.desk.access import (
    Access,
    Person,
    password_person,
    read_people,
    role_of,
    token_person,
    write_person,
)
from trading_platform.machine.clocks import steady_seconds, utc_now
from trading_platform.machine.packages import PACKAGES, require
from trading_platform.operations.commands import Place, database_place
from trading_platform.reporting.status_screen import complain, say
from trading_platform.storage.operator_requests import operator_name

if TYPE_CHECKING:
    from trading_platform.desk.place import Desk

PORT = 8765
LOCAL = "127.0.0.1"
PASSWORD_FILE = Path("desk-passwords.jsonl")


@dataclass(frozen=True, slots=True)
class DeskOptions:
    """What the command line says of a desk; `names` are host names beside this machine's own."""

    place: Place
    port: int = PORT
    host: str = LOCAL
    names: tuple[str, ...] = ()
    password_file: Path | None = None
    behind_tls: bool = False
    metrics: bool = False


def check_place(options: DeskOptions) -> None:
    """Make sure that the desk is offered to nobody but this machine, or safely.

    Raises
    ------
    FixConfigError
        Another address without passwords and a proxy that speaks TLS; or no port.
    """
    if not 1 <= options.port <= 65535:
        raise FixConfigError(f"--port must be 1 to 65535, was {options.port}")
    if is_local(options.host):
        return
    lacking = [
        name
        for name, is_there in (("--password-file", options.password_file), ("--behind-tls", options.behind_tls))
        if not is_there
    ]
    if lacking:
        raise FixConfigError(
            f"--host {options.host} offers the desk to other machines: that needs {' and '.join(lacking)} "
            "(docs/desk.md says how to put it behind TLS); without --host only this machine reaches it"
        )


def check_people(options: DeskOptions, people: tuple[Person, ...]) -> None:
    """Make sure that a desk which others reach lets people in by passwords, and not by links of a log.

    Raises
    ------
    FixConfigError
        Nobody in the file has a password.
    """
    if not is_local(options.host) and not any(person.kind == "password" for person in people):
        raise FixConfigError(f"{options.password_file}: nobody in it has a password; add one with `desk password NAME`")


def is_local(host: str) -> bool:
    """Tell whether an address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def serve(options: DeskOptions) -> int:
    """Serve the desk until it is stopped; return the exit code."""
    require(PACKAGES["desk"], "the desk")
    check_place(options)
    people = () if options.password_file is None else read_people(options.password_file)
    check_people(options, people)
    leave_keys_behind()
    desk = open_desk(options.place)
    from trading_platform.desk.application import Setup, create_application
    from trading_platform.desk.live import Watch

    access = Access(people, steady_seconds)
    watch = Watch(desk.url, steady_seconds)

    def show_link() -> None:
        token = access.new_link(operator_name())
        say(f"Open http://{LOCAL}:{options.port}/enter?token={token}")

    by_link = not access.has_passwords
    setup = Setup(
        options.port, options.names, options.behind_tls, options.metrics, show_link if by_link else lambda: None
    )
    application = create_application(desk, access, setup, watch)
    say(f"The desk shows {_shown_place(desk.url)}. It holds no key of a broker, and trades nothing itself.")
    if by_link:
        show_link()
        say("The link lets one browser in, once, as an operator; the next link is shown then. Ctrl-C ends the desk.")
    else:
        say(f"Sign in at http://{LOCAL}:{options.port}/ with a name of {options.password_file}. Ctrl-C ends the desk.")
    return _run(application, options, watch)


def _run(application: object, options: DeskOptions, watch: object) -> int:
    import uvicorn

    class Server(uvicorn.Server):
        """Ends the streams first: uvicorn would wait for them for ever."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            watch.stop()  # type: ignore[attr-defined]  # a Watch, imported late
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        application,  # type: ignore[arg-type]  # an ASGI application of ours
        host=options.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
        limit_concurrency=200,
        lifespan="off",
        h11_max_incomplete_event_size=64 * 1024,
    )
    try:
        Server(config).run()
    except SystemExit:
        raise FixConfigError(
            f"--port {options.port}: cannot be listened on at {options.host}; another desk may run: take another port"
        ) from None
    except KeyboardInterrupt:
        complain("The desk has ended. Engines go on.")
    return 0


def open_desk(place: Place) -> Desk:
    """Return a desk on the database that is named; it need not be there yet."""
    from trading_platform.desk.place import Desk, without_keys
    from trading_platform.market_data.calendar import NyseCalendar

    path = config_path(place.config)
    settings = without_keys(load_settings())
    config = load_config(path, machine_overrides(settings))
    return Desk(
        url=database_place(place),
        config_file=path,
        settings=settings,
        models_dir=Path(config.allocator.models_dir),
        now=utc_now,
        steady=steady_seconds,
        calendar=NyseCalendar(),
    )


def _shown_place(url: str) -> str:
    from trading_platform.storage.database import database_name, database_url

    return database_name(database_url(url))


# ---------------------------------------------------------------- who may come in


def add_password(file: Path, name: str, role: str | None) -> int:
    """Ask for a password and write it, hashed, for `name`."""
    require(PACKAGES["desk"], "passwords")
    wanted = role_of(role)
    password = _asked_password()
    write_person(file, password_person(name, wanted, password))
    say(f"{name} may come in as {wanted}: the password is in {file}, hashed. A desk that runs reads it when started.")
    return 0


def add_token(file: Path, name: str, role: str | None) -> int:
    """Make a bearer token for `name`, show it once, and write its hash."""
    token, person = token_person(name, role_of(role))
    write_person(file, person)
    say(f"Token of {name}, {person.role}; it is shown only now, and {file} has its hash:")
    say(token)
    return 0


def _asked_password() -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        line = "" if sys.stdin is None else sys.stdin.readline()
        return line.rstrip("\r\n")
    with suppress(EOFError):
        first = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") == first:
            return first
    raise FixConfigError("the two passwords differ: nothing was written")
