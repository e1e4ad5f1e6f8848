"""One source, two speeds: numba compiles the decision core when present, plain Python runs it when not.

Every rule, fill and ledger entry is a small function decorated with :func:`compiled`, :func:`lean` or :func:`inlined`.
There is no second implementation: without numba the decorators return the function unchanged, and the numbers are the
same (``tests/parity`` proves it). ``fastmath`` stays off, since it would reorder sums and break that equality.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

try:
    import numba
    from numba.core.event import Event, Listener, register
except ImportError:
    HAS_NUMBA = False
else:
    HAS_NUMBA = True

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
LEAN_OPTIONS = {**OPTIONS, "_nrt": False}
INLINED_OPTIONS = {**LEAN_OPTIONS, "inline": "always"}


_tellers: list[Callable[[], None]] = []


def on_compiling(tell: Callable[[], None]) -> None:
    """Call `tell` whenever a function begins to be compiled; what is loaded from the disk is not."""
    _tellers.append(tell)


def _tell() -> None:
    for tell in _tellers:
        tell()


if HAS_NUMBA:

    class _QuietCollector(Listener):
        """Pauses the garbage collector while numba compiles: it found nothing, and took a fifth of the time."""

        depth = 0
        resumes = False

        def on_start(self, event: Event) -> None:
            """Pause at the outermost function; those that it calls are compiled within."""
            if self.depth == 0:
                self.resumes = gc.isenabled()
                gc.disable()
            self.depth += 1
            _tell()

        def on_end(self, event: Event) -> None:
            """Resume, if it was on before."""
            self.depth -= 1
            if self.depth == 0 and self.resumes:
                gc.enable()

    register("numba:compile", _QuietCollector())  # type: ignore[no-untyped-call]


def compiled(function: F) -> F:
    """Compile `function` with numba (no GIL, cached on disk), or return it unchanged without numba."""
    if not HAS_NUMBA:
        return function
    return cast(F, _njit(function, OPTIONS))


def lean(function: F) -> F:
    """Compile a `function` that creates no array: its arrays are borrowed, not reference counted.

    Counting is atomic; it took a third of the kernel's time on one core, and the cores of a batch would fight over
    the counters of the market arrays that they share. Creating an array inside fails to compile.
    """
    if not HAS_NUMBA:
        return function
    return cast(F, _njit(function, LEAN_OPTIONS))


def inlined(function: F) -> F:
    """Compile like `lean`, into the body of whoever calls: for the large steps of the kernel.

    A call hands over every array of the market, some 200 machine words. Without these calls the kernel takes half the
    time.
    """
    if not HAS_NUMBA:
        return function
    return cast(F, _njit(function, INLINED_OPTIONS))


def plain(function: F) -> F:
    """Return a compiled `function` as the Python that it was made from, down to the functions that it calls.

    For rules of a few comparisons on plain numbers: handing a record and the limits to compiled code takes longer than
    such a rule does.
    """
    source = getattr(function, "py_func", None)
    if source is None:
        return function
    names = {name: source.__globals__[name] for name in source.__code__.co_names if name in source.__globals__}
    known = {**source.__globals__, **{name: plain(value) for name, value in names.items()}}
    return cast(F, FunctionType(source.__code__, known, source.__name__, source.__defaults__))


def direct(function: F) -> F:
    """Return a compiled `function` without numba's look at the types of its arguments, for one caller's own use.

    The look takes longer than most rules do, five times as long where a market's eleven arrays are handed over. Here
    it is taken again only when the first argument is another object. So the caller promises: what follows the first
    argument has the same types at every call (a float is never an int), and is of no other types than those first seen.
    """
    if not hasattr(function, "overloads"):
        return function
    known: object = function  # never an argument
    entry: Callable[..., Any] = function

    def call(first: object, *rest: object) -> Any:
        nonlocal known, entry
        if first is not known:
            entry, known = _entry_point(function, (first, *rest)), first
        return entry(first, *rest)

    return cast(F, call)


def _entry_point(dispatcher: Any, arguments: tuple[object, ...]) -> Callable[..., Any]:
    """Return the machine code of `dispatcher` for `arguments` of these types, as Python calls it."""
    types = tuple(dispatcher.typeof_pyval(argument) for argument in arguments)
    if types not in dispatcher.overloads:
        dispatcher.compile(types)
    entry: Callable[..., Any] = dispatcher.overloads[types].entry_point
    return entry


def as_rows(values: Any) -> NDArray[np.void]:
    """Return a NamedTuple of numbers as an array (1,) of one record, whose fields compiled code reads the same way.

    A call from Python hands over an array in a tenth of the time that it takes for a tuple of thirty numbers or for a
    record by itself. So what the engine calls takes rows, and passes ``rows[0]`` on to the rules.
    """
    fields = [(name, type(value)) for name, value in zip(values._fields, values, strict=True)]
    return np.array([tuple(values)], dtype=np.dtype((np.record, fields)))


def is_kept() -> bool:
    """Return whether what is compiled can be kept on this disk for the next start."""
    return not _not_kept


_not_kept: list[str] = []  # functions that found no folder to be kept in


def _njit(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """Return numba's dispatcher; where neither the program's folder nor a home can be written, one without a cache."""
    try:
        return _stamped(numba.njit(**options)(function))
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        _not_kept.append(function.__name__)
        return numba.njit(**{**options, "cache": False})(function)


def _stamped(dispatcher: Any) -> Any:
    """Tie the dispatcher's disk cache to the sources it may call.

    numba looks at the file of the function alone, and would go on running an old rule after the rule's own file
    changed (numba manual, "Caching limitations"). So digests of this package and of the function's folder join the
    version that the cache was written by. numba looks at the version before anything else: what other sources have left
    is not even opened, and may name classes that have moved since.
    """
    file = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if file is not None and hasattr(file, "_version"):
        folder = Path(dispatcher.py_func.__code__.co_filename).parent
        file._version = (file._version, _sources(Path(__file__).parent), _sources(folder))
    return dispatcher


@cache
def _sources(folder: Path) -> str:
    return sources_digest(folder)


def sources_digest(folder: Path) -> str:
    """Return a digest of the Python files in and below `folder`."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
