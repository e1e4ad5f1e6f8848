"""The architecture's rules, checked on source text by `ast`; one line a violation: ``path:line: what``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

PACKAGE = "trading_platform"
PURE = ("core", "strategies", "regime", "evaluation")
ABOVE_FLAT = "runtime"  # the only room that may import the flat modules

# Room -> rooms that it may import. Read downwards: nothing below imports anything above it, so there is no circle, and
# the adapters (market_data, storage, brokers) do not know each other. `docs/architecture.md` has a line for each.
ROOMS: dict[str, frozenset[str]] = {
    "core": frozenset(),
    "strategies": frozenset({"core"}),
    "regime": frozenset({"core"}),
    "evaluation": frozenset({"core", "strategies", "regime"}),
    "configuration": frozenset({"core", "regime"}),
    "machine": frozenset({"core", "configuration"}),
    "work": frozenset({"core", "configuration", "machine"}),
    "alpaca": frozenset({"core", "configuration", "machine"}),
    "market_data": frozenset({"core", "configuration", "machine", "alpaca"}),
    "storage": frozenset({"core", "configuration", "machine", "evaluation"}),
    "brokers": frozenset({"core", "configuration", "machine", "alpaca"}),
    "alpaca_server": frozenset({"core", "configuration", "machine", "market_data"}),
    "engine": frozenset(
        {"core", "strategies", "regime", "configuration", "machine", "market_data", "storage", "brokers"}
    ),
    "reporting": frozenset({"core", "evaluation", "configuration", "machine", "market_data", "storage"}),
    "training": frozenset(PURE) | {"configuration", "machine", "work", "market_data", "storage", "engine", "reporting"},
    "search": frozenset(PURE) | {"configuration", "machine", "work", "market_data", "storage", "engine", "reporting"},
    "operations": frozenset({"core", "configuration", "machine", "alpaca", "market_data", "storage", "reporting"}),
    "desk": frozenset(
        {"core", "evaluation", "configuration", "machine", "market_data", "storage", "reporting", "operations"}
    ),
    "talk": frozenset({"core", "configuration", "machine", "storage", "reporting", "operations"}),
    "runtime": frozenset(PURE)
    | {"configuration", "machine", "work", "alpaca", "market_data", "storage", "brokers", "engine", "reporting"}
    | {"search", "operations", "desk", "talk"},
}
ALIASES = {"trading_platform/brokers/alpaca_server/__main__.py": "trading_platform.alpaca_server"}  # for one version
MOST_LOOSE_MODULES = 3  # beside __init__, in the package's root
IMPURE_IMPORTS = frozenset(
    {"os", "time", "logging", "sqlalchemy", "alpaca", "torch", "random", "secrets", "socket", "requests", "subprocess"}
)
COMMAND_LINE_IMPORTS = frozenset({"argparse", "sys"})
COMMAND_LINES = frozenset({"trading_platform/evaluation/lookahead.py"})  # pure but for the command at its end

# lines that a flat module may have (docs of the layout); a flat module that is not listed has no place
LINE_BUDGETS = {
    "autonomous_trading_engine.py": 400,
    "rl_strategy_allocator.py": 300,
    "rl_environment.py": 300,
    "train_rl_model.py": 400,
    "risk_manager.py": 400,
    "risk_config.py": 150,
    "daily_report.py": 350,
}
# where catching everything is right, and why
CATCH_ALL_SHELLS = {
    "autonomous_trading_engine.py": "main and the scan loop end or go on with a message, whatever happened",
    "train_rl_model.py": "main ends with a message",
    "daily_report.py": "the report goes out whatever happened",
    "trading_platform/machine/thread_crew.py": "a thread hands whatever happened to its caller, who raises it",
    "trading_platform/machine/own_modules.py": "a file of the user's own raises what it likes; it is named",
    "trading_platform/work/ray_cluster.py": "Ray raises a bare Exception where its own processes begin too late",
    "trading_platform/work/processes.py": "a process hands whatever happened to its parent, who raises it",
    "trading_platform/engine/evening_check.py": "whatever fails in a comparison, trading goes on",
    "trading_platform/reporting/alert_post.py": "whatever happens to an alert, trading goes on",
    "trading_platform/reporting/account_source.py": "a thread hands whatever happened to its caller, who raises it",
}

CLOCKS = frozenset(
    {
        "datetime.datetime.now",
        "datetime.datetime.utcnow",
        "datetime.datetime.today",
        "datetime.date.today",
        "pandas.Timestamp.now",
        "pandas.Timestamp.utcnow",
        "pandas.Timestamp.today",
    }
)
SEEDED_RANDOM = frozenset(
    {"Generator", "default_rng", "SeedSequence", "BitGenerator", "PCG64", "PCG64DXSM", "Philox", "SFC64"}
)
CODE_LOADERS = frozenset({"pickle", "cPickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"})
CODE_LOADING = re.compile(
    r"(^torch\.load|\b(PPO|A2C|DQN|SAC|TD3|DDPG|RecurrentPPO|MaskablePPO|VecNormalize)\.load"
    r"|\b(read_pickle|to_pickle|load_from_zip_file|load_from_pkl))$"
)
VAGUE_NAMES = frozenset({"util", "utils", "helper", "helpers", "common", "misc"})
TYPE_CHECKING_TESTS = ("TYPE_CHECKING", "typing.TYPE_CHECKING")
MAIN_TESTS = ("__name__ == '__main__'",)
MACHINE_PATH = re.compile(r"(?<![\w.~$}*-])/(?:work|root|home/\w+|Users/\w+)/[\w.-]+")


class Source:
    """One parsed file: `path` relative to the repository, in posix form."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self.tree = ast.parse(text, path)
        self.names = _imported_names(self)

    @property
    def module(self) -> str:
        parts = PurePosixPath(self.path).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def package(self) -> str:
        return self.module if self.path.endswith("__init__.py") else self.module.rpartition(".")[0]

    @property
    def room(self) -> str:
        """The folder of the package that the module is in; empty for flat and loose modules."""
        parts = self.path.split("/")
        return parts[1] if len(parts) > 2 and parts[0] == PACKAGE else ""

    @property
    def is_pure(self) -> bool:
        return self.path.startswith(tuple(f"{PACKAGE}/{part}/" for part in PURE))

    @property
    def is_flat(self) -> bool:
        return "/" not in self.path

    @property
    def is_product(self) -> bool:
        return self.is_flat or self.path.startswith(f"{PACKAGE}/")

    def at(self, node: ast.AST, what: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {what}"

    def full_name(self, node: ast.expr) -> str:
        """Return what an expression such as ``dt.datetime.now`` refers to, with import aliases resolved."""
        match node:
            case ast.Name(id=name):
                return self.names.get(name, name)
            case ast.Attribute(value=value, attr=attr):
                owner = self.full_name(value)
                return f"{owner}.{attr}" if owner else ""
        return ""

    def references(self) -> Iterator[tuple[ast.expr, str]]:
        """Yield every name and attribute chain with its full name; a chain's inner parts come as well."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name | ast.Attribute) and (name := self.full_name(node)):
                yield node, name


def imports(source: Source, *, with_type_checking: bool = True) -> Iterator[tuple[ast.stmt, str, tuple[str, ...]]]:
    """Yield (statement, absolute module, names taken from it) of every import, also inside functions."""
    hidden = set() if with_type_checking else _nodes_under(source.tree, TYPE_CHECKING_TESTS)
    starts = _nodes_under(
        source.tree, MAIN_TESTS
    )  # a command's start is no import: the module is finished, or not used
    for node in ast.walk(source.tree):
        if node in hidden or node in starts:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name, ()
        elif isinstance(node, ast.ImportFrom):
            yield node, _absolute(source, node), tuple(alias.name for alias in node.names)


def package_imports_no_flat_module(source: Source, flat: frozenset[str]) -> list[str]:
    if not source.path.startswith(f"{PACKAGE}/") or source.room == ABOVE_FLAT:
        return []
    found = [(node, module.partition(".")[0]) for node, module, _ in imports(source)]
    return [source.at(node, f"the package imports the flat module {name}") for node, name in found if name in flat]


def rooms_import_downwards(source: Source) -> list[str]:
    """Hold a module to the rooms that its own may import."""
    if not source.room or source.path in ALIASES:
        return []
    if source.room not in ROOMS:
        return [f"{source.path}:1: {source.room} is no room of the map: {', '.join(ROOMS)}"]
    allowed = ROOMS[source.room] | {source.room}
    found = [(node, module.split(".")) for node, module, _ in imports(source) if module.startswith(f"{PACKAGE}.")]
    return [source.at(node, f"{source.room} imports {parts[1]}") for node, parts in found if parts[1] not in allowed]


def room_order(rooms: Mapping[str, frozenset[str]]) -> list[str]:
    """Return the arrows of `rooms` that point upwards, i.e. to a room that stands later in the table."""
    order = list(rooms)
    return [
        f"{room} -> {below}"
        for room, lower in rooms.items()
        for below in sorted(lower)
        if order.index(below) >= order.index(room)
    ]


def pure_packages_import_nothing_impure(source: Source) -> list[str]:
    if not source.is_pure:
        return []
    found = [(node, module) for node, module, _ in imports(source)]
    impure_imports = IMPURE_IMPORTS if source.path in COMMAND_LINES else IMPURE_IMPORTS | COMMAND_LINE_IMPORTS
    return [source.at(node, f"a pure package imports {m}") for node, m in found if m.split(".")[0] in impure_imports]


def pure_packages_read_no_clock(source: Source) -> list[str]:
    if not source.is_pure:
        return []
    lines = [source.at(node, f"reads the clock by {name}") for node, name in source.references() if name in CLOCKS]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and source.full_name(node.func) == "numpy.datetime64" and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and first.value in ("now", "today"):
                lines.append(source.at(node, "reads the clock by numpy.datetime64"))
    return lines


def one_module_asks_for_the_time(source: Source) -> list[str]:
    """Hold the wall clock to `machine/clocks.py`: everybody else is given a clock, or calls its `utc_now`."""
    if not source.is_product or source.path == f"{PACKAGE}/machine/clocks.py":
        return []
    asked = CLOCKS | {"time.time"}
    return [source.at(node, f"asks {name} for the time") for node, name in source.references() if name in asked]


def facts_of_the_calendar_stand_once(source: Source) -> list[str]:
    """Hold sessions a year, as a factor, and New York's zone to `core/day_count.py`."""
    if not source.is_product or source.path == f"{PACKAGE}/core/day_count.py":
        return []
    lines = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and node.value == "America/New_York":
            lines.append(source.at(node, "names New York's zone: core.day_count.NEW_YORK_ZONE"))
        parts: tuple[ast.expr, ...] = (node.left, node.right) if isinstance(node, ast.BinOp) else ()
        parts += tuple(node.args) if isinstance(node, ast.Call) and source.full_name(node.func).endswith("sqrt") else ()
        if any(isinstance(part, ast.Constant) and part.value == 252 for part in parts):
            lines.append(source.at(node, "counts with 252 sessions: core.day_count.ANNUAL_SESSIONS"))
    return lines


def pure_packages_use_no_global_random_state(source: Source) -> list[str]:
    if not source.is_pure:
        return []
    lines = []
    for node, name in source.references():
        head, _, tail = name.partition("numpy.random.")
        if not head and tail and tail.split(".")[0] not in SEEDED_RANDOM:
            lines.append(source.at(node, f"uses global random state by {name}"))
    for call in ast.walk(source.tree):
        if isinstance(call, ast.Call) and not call.args and not call.keywords:
            name = source.full_name(call.func)
            if name in ("numpy.random.default_rng", "numpy.random.SeedSequence", "numpy.random.PCG64"):
                lines.append(source.at(call, f"calls {name} without a seed"))
    return lines


def only_risk_manager_builds_approvals(source: Source) -> list[str]:
    if not source.is_product or source.path == "risk_manager.py":
        return []
    return [
        source.at(node, "builds an ApprovedOrder: only risk_manager.py may")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and source.full_name(node.func).split(".")[-1] == "ApprovedOrder"
    ]


def only_settings_read_the_environment(source: Source) -> list[str]:
    if not source.is_product or source.path == f"{PACKAGE}/configuration/environment.py":
        return []
    written = {
        node.value
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)
    }
    readers = ("os.environ", "os.environb", "os.getenv", "os.getenvb")
    return [
        source.at(node, f"reads {name}: only configuration/environment.py may")
        for node, name in source.references()
        if name in readers and node not in written
    ]


def nothing_loads_code_from_files(source: Source) -> list[str]:
    if source.path.startswith("tests/"):
        return []
    lines = [
        source.at(node, f"imports {module}, whose files can run code")
        for node, module, _ in imports(source)
        if module.split(".")[0] in CODE_LOADERS
    ]
    lines += [
        source.at(node, f"uses {name}, whose files can run code")
        for node, name in source.references()
        if CODE_LOADING.search(name)
    ]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            lines.append(source.at(node.value, "sets allow_pickle to something else than False"))
    return lines


def only_shells_catch_everything(source: Source) -> list[str]:
    if not source.is_product or source.path in CATCH_ALL_SHELLS:
        return []
    return [
        source.at(node, "catches everything: only main, the scan loop and the report sender may")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler) and _catches_everything(node) and not _raises_again(node)
    ]


def flat_modules_keep_their_budget(source: Source) -> list[str]:
    if not source.is_flat:
        return []
    lines = len(source.text.splitlines())
    budget = LINE_BUDGETS.get(source.path)
    if budget is None:
        return [f"{source.path}:1: is no known flat module: the layout has {', '.join(LINE_BUDGETS)}"]
    return [f"{source.path}:{lines}: has {lines} lines, its budget is {budget}"] if lines > budget else []


def files_are_named_by_what_they_do(path: str) -> list[str]:
    stem = PurePosixPath(path).stem
    return [f"{path}:1: is named {stem}, which says nothing"] if stem in VAGUE_NAMES else []


def no_machine_path(path: str, text: str) -> list[str]:
    return [
        f"{path}:{number}: holds the machine path {found[0]}"
        for number, line in enumerate(text.splitlines(), start=1)
        if (found := MACHINE_PATH.search(line))
    ]


def import_cycles(sources: Mapping[str, Source]) -> list[str]:
    """Return each cycle among the modules of `sources` (by module name), e.g. ``a -> b -> a``.

    Imports inside functions count, since a cycle that is put off is still one; those for type checking do not.
    """
    edges = {name: _edges(source, sources) for name, source in sources.items()}
    done: set[str] = set()
    cycles: list[str] = []

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            cycles.append(" -> ".join([*path[path.index(name) :], name]))
        elif name not in done:
            for target in sorted(edges[name]):
                visit(target, [*path, name])
            done.add(name)

    for name in sorted(edges):
        visit(name, [])
    return cycles


def _edges(source: Source, known: Mapping[str, Source]) -> set[str]:
    targets = set()
    for _, module, names in imports(source, with_type_checking=False):
        below = {f"{module}.{name}" for name in names} & known.keys()
        # `from package import module` needs the package itself only for names that are no modules
        targets |= below
        if module in known and len(below) < max(len(names), 1):
            targets.add(module)
    return targets - {source.module}


def _imported_names(source: Source) -> dict[str, str]:
    names: dict[str, str] = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(source, node)
            names |= {alias.asname or alias.name: f"{module}.{alias.name}" for alias in node.names}
    return names


def _absolute(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    base = source.package.split(".")
    base = base[: len(base) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def _nodes_under(tree: ast.Module, tests: tuple[str, ...]) -> set[ast.AST]:
    """Return every node below an ``if`` whose condition reads as one of `tests`."""
    found: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in tests:
            found |= {inner for statement in node.body for inner in ast.walk(statement)}
    return found


def _catches_everything(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(kind is None or ast.unparse(kind).split(".")[-1] in ("Exception", "BaseException") for kind in kinds)


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None
