"""Who may come in, and as what: one-time links, passwords, sessions, bearer tokens, and the lock after bad tries.

Everything secret is compared by its hash, in constant time. Sessions live in this process only: a desk that is started
again knows nobody.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from trading_platform.core.errors import FixConfigError
from trading_platform.core.validation import did_you_mean

SESSION_SECONDS = 12 * 3600.0  # without a request
MOST_SESSIONS = 200
TRIES, TRIES_OF_A_NAME = 5, 20  # bad ones within the time below: from one address, and for one name from anywhere
LOCKED_SECONDS = 15 * 60.0
SHORTEST_PASSWORD = 10
KINDS_OF_LINE = ("password", "token")


class Role(StrEnum):
    """What somebody may do: look, or look and command."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may come in. `secret` is an argon2 hash of a password, or the SHA-256 of a token."""

    name: str
    role: Role
    kind: str
    secret: str


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who has come in, with the token that their forms must bring."""

    name: str
    role: Role
    csrf: str
    seen: float

    @property
    def may_command(self) -> bool:
        """True for an operator."""
        return self.role is Role.OPERATOR


class LockedOutError(Exception):
    """Too many bad tries: wait `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"too many wrong tries; wait {max(1, round(seconds / 60))} min")
        self.seconds = seconds


def hashed(secret: str) -> str:
    """Return the SHA-256 of a random secret, which needs no slow hash: nobody can guess 256 bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass
class Access:
    """Keeps sessions, tokens and tries.

    Parameters
    ----------
    people : whoever is in the password file.
    steady : seconds that only grow.
    """

    people: tuple[Person, ...]
    steady: Callable[[], float]
    _sessions: dict[str, Session] = field(default_factory=dict)
    _link: str = ""
    _link_name: str = ""
    _tries: dict[str, list[float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _hashing: threading.Lock = field(default_factory=threading.Lock)  # a try takes 64 MiB: one at a time

    # ------------------------------------------------------------ ways in

    def new_link(self, name: str) -> str:
        """Return a token that lets `name` in once, as an operator; the one before is void."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._link, self._link_name = hashed(token), name
        return token

    def enter_by_link(self, token: str, origin: str) -> tuple[str, Session] | None:
        """Spend a one-time token; return the cookie's value and the session, None if it is not the token."""
        self._check_lock(origin)
        with self._lock:
            is_it = bool(self._link) and hmac.compare_digest(self._link, hashed(token))
            if is_it:
                self._link = ""
        if not is_it:
            self._count(origin)
            return None
        return self._begin(self._link_name, Role.OPERATOR)

    def enter_by_password(self, name: str, password: str, origin: str) -> tuple[str, Session] | None:
        """Return the cookie's value and the session, None if name or password is wrong.

        Raises
        ------
        LockedOutError
            Too many wrong tries, from this address or for this name: nothing is compared then.
        """
        from argon2 import PasswordHasher
        from argon2.exceptions import Argon2Error, InvalidHashError

        for who in (origin, f"name {name}"):
            self._check_lock(who)
        person = next((one for one in self.people if one.kind == "password" and one.name == name), None)
        with self._hashing:
            fits = False
            with suppress(Argon2Error, InvalidHashError):  # an unknown name takes as long as a known one
                fits = PasswordHasher().verify(DUMMY if person is None else person.secret, password)
        if person is None or not fits:
            self._count(origin)
            self._count(f"name {name}")
            return None
        return self._begin(person.name, person.role)

    def bearer(self, token: str, origin: str) -> Person | None:
        """Return whose bearer token it is; a program's wrong tokens do not lock people out."""
        self._check_lock(f"program {origin}")
        wanted = hashed(token)
        for person in self.people:
            if person.kind == "token" and hmac.compare_digest(person.secret, wanted):
                return person
        self._count(f"program {origin}")
        return None

    # ------------------------------------------------------------ sessions

    def session(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie, None if there is none or it is over."""
        if not cookie:
            return None
        now, key = self.steady(), hashed(cookie)
        with self._lock:
            found = self._sessions.get(key)
            if found is None or now - found.seen > SESSION_SECONDS:
                self._sessions.pop(key, None)
                return None
            self._sessions[key] = found = replace(found, seen=now)
        return found

    def lives(self, cookie: str | None) -> bool:
        """Tell whether a session goes on, without that counting as a visit."""
        with self._lock:
            found = self._sessions.get(hashed(cookie or ""))
        return found is not None and self.steady() - found.seen <= SESSION_SECONDS

    def leave(self, cookie: str | None) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(hashed(cookie or ""), None)

    @property
    def has_passwords(self) -> bool:
        """True if somebody may come in by a password."""
        return any(person.kind == "password" for person in self.people)

    def _begin(self, name: str, role: Role) -> tuple[str, Session]:
        cookie = secrets.token_urlsafe(32)
        session = Session(name, role, secrets.token_urlsafe(32), self.steady())
        with self._lock:
            if len(self._sessions) >= MOST_SESSIONS:
                self._sessions.pop(min(self._sessions, key=lambda key: self._sessions[key].seen))
            self._sessions[hashed(cookie)] = session
        return cookie, session

    # ------------------------------------------------------------ bad tries

    def _check_lock(self, who: str) -> None:
        most = TRIES_OF_A_NAME if who.startswith("name ") else TRIES
        with self._lock:
            tries = self._recent(who)
            if len(tries) >= most:
                raise LockedOutError(LOCKED_SECONDS - (self.steady() - tries[-1]))

    def _count(self, who: str) -> None:
        with self._lock:
            self._tries[who] = [*self._recent(who), self.steady()]

    def _recent(self, who: str) -> list[float]:
        since = self.steady() - LOCKED_SECONDS
        for known in [known for known, times in self._tries.items() if times[-1] <= since]:
            del self._tries[known]
        return [at for at in self._tries.get(who, []) if at > since]


# A hash of nobody's password, with the parameters of the others.
DUMMY = "$argon2id$v=19$m=65536,t=3,p=4$Lmnjvj/KhXZIKKOiU9YOng$NeRyJCXt15bqXw8gSwSkmlW6eGTN2Y8hTio7vWeeNBs"


# ---------------------------------------------------------------- the file


def read_people(path: Path) -> tuple[Person, ...]:
    """Return who is in a password file: one JSON object a line, as `write_person` writes it.

    Raises
    ------
    FixConfigError
        It cannot be read, others may read it, or a line makes no sense.
    """
    try:
        text = path.read_text(encoding="utf-8")
        is_open = os.name == "posix" and bool(path.stat().st_mode & 0o077)
    except (OSError, UnicodeDecodeError) as error:
        raise FixConfigError(
            f"{path}: the password file cannot be read ({type(error).__name__}); make one with `desk password NAME`"
        ) from None
    if is_open:
        raise FixConfigError(f"{path}: others can read the password file; run chmod 600 {path}")
    people = tuple(
        _person(line, f"{path}:{number}") for number, line in enumerate(text.splitlines(), 1) if line.strip()
    )
    if not people:
        raise FixConfigError(f"{path}: nobody is in the password file; add somebody with `desk password NAME`")
    return people


def _person(line: str, where: str) -> Person:
    try:
        told = json.loads(line)
        person = Person(str(told["name"]), Role(told["role"]), str(told["kind"]), str(told["secret"]))
    except (ValueError, KeyError, TypeError):
        raise FixConfigError(f"{where}: is no line of a password file; write it with `desk password NAME`") from None
    if person.kind not in KINDS_OF_LINE:
        raise FixConfigError(f"{where}: kind must be password or token, was {person.kind!r}")
    return person


def role_of(text: str | None) -> Role:
    """Return the role that an option names; a viewer without one.

    Raises
    ------
    FixConfigError
        There is no such role.
    """
    try:
        return Role(text or Role.VIEWER)
    except ValueError:
        hint = did_you_mean(text, tuple(Role))
        raise FixConfigError(f"--role must be viewer or operator, was {text!r}{hint}") from None


def write_person(path: Path, person: Person) -> None:
    """Add somebody to a password file, in place of their former line of the same kind; only the owner can read it.

    Raises
    ------
    FixConfigError
        The file cannot be read or written.
    """
    known = read_people(path) if path.is_file() and path.stat().st_size else ()
    kept = [one for one in known if (one.name, one.kind) != (person.name, person.kind)]
    lines = [
        json.dumps({"name": one.name, "role": one.role.value, "kind": one.kind, "secret": one.secret})
        for one in (*kept, person)
    ]
    part = path.with_name(path.name + ".part")
    try:
        with os.fdopen(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        part.replace(path)
    except OSError as error:
        raise FixConfigError(f"{path}: the password file cannot be written ({error.strerror})") from error


def password_person(name: str, role: Role, password: str) -> Person:
    """Return somebody who comes in by `password`.

    Raises
    ------
    FixConfigError
        The password is too short, or there is no name.
    """
    from argon2 import PasswordHasher

    if not name.strip() or len(name) > 40:
        raise FixConfigError("a name has 1 to 40 signs")
    if len(password) < SHORTEST_PASSWORD:
        raise FixConfigError(f"a password has at least {SHORTEST_PASSWORD} signs")
    return Person(name.strip(), role, "password", PasswordHasher().hash(password))


def token_person(name: str, role: Role) -> tuple[str, Person]:
    """Return a new bearer token, which is shown once, and who has it.

    Raises
    ------
    FixConfigError
        The name is empty, or too long.
    """
    if not name.strip() or len(name) > 40:
        raise FixConfigError("a name has 1 to 40 signs")
    token = secrets.token_urlsafe(32)
    return token, Person(name.strip(), role, "token", hashed(token))
