"""What a docstring must say, as far as a program can ask: shapes of arrays, and what is raised.

Held in `DOCUMENTED`, every room. What is kept from the formatter is looked for everywhere. One line a violation:
``path:line: what``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from architecture_rules import PACKAGE, ROOMS

DOCUMENTED = tuple(f"{PACKAGE}/{room}/" for room in ROOMS)
ARRAYS = frozenset({"Floats", "Ints", "Bools", "NDArray", "ndarray", "Records"})
# (T,), (T, N), (F + 1,), (lookback, k), (..., K); a comma tells it from a remark in brackets
SHAPE = re.compile(r"\((?:\w+(?: [-+*] \w+)?|\.{3}),(?: ?(?:\w+(?: [-+*] \w+)?|\.{3}),?)*\)")
REFERS = re.compile(r"\b[Ss]ee `")  # to where it is said, as implementations of a protocol do
RAISES = re.compile(r"\b[Rr]aise|\b[Rr]efuse|Error\b")
UNFORMATTED = re.compile(r"#\s*fmt: (?:skip|off)")


def arrays_have_their_shape_told(path: str, text: str) -> list[str]:
    """Return the public functions that take or return arrays and whose docstring names no shape.

    Where all functions of a module take the same arrays, its own docstring tells their shapes once.
    """
    if SHAPE.search(ast.get_docstring(ast.parse(text, path)) or ""):
        return []
    return [
        f"{path}:{function.lineno}: {function.name} has arrays, and its docstring no shape such as (T, N)"
        for function, told in _public(path, text)
        if _has_arrays(function) and not SHAPE.search(told) and not REFERS.search(told)
    ]


def what_is_raised_is_told(path: str, text: str) -> list[str]:
    """Return the public functions that raise by themselves and whose docstring does not say so."""
    return [
        f"{path}:{function.lineno}: {function.name} raises, and its docstring does not say when"
        for function, told in _public(path, text)
        if _raises(function) and not RAISES.search(told)
    ]


def nothing_is_kept_from_the_formatter(path: str, text: str) -> list[str]:
    """Return the lines that the formatter is told to leave: a limit of lines is not met by squeezing them."""
    lines = enumerate(text.splitlines(), start=1)
    return [f"{path}:{number}: keeps the formatter away" for number, line in lines if UNFORMATTED.search(line)]


def _public(path: str, text: str) -> Iterator[tuple[ast.FunctionDef, str]]:
    """Yield public functions and methods, with their docstring and that of their class."""
    if not path.startswith(DOCUMENTED):
        return
    for node in ast.parse(text, path).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node, ast.get_docstring(node) or ""
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            told = ast.get_docstring(node) or ""
            methods = (part for part in node.body if isinstance(part, ast.FunctionDef))
            yield from ((m, told + (ast.get_docstring(m) or "")) for m in methods if not m.name.startswith("_"))


def _has_arrays(function: ast.FunctionDef) -> bool:
    arguments = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    kinds = [argument.annotation for argument in arguments] + [function.returns]
    return any(not ARRAYS.isdisjoint(_names(kind)) for kind in kinds if kind is not None)


def _names(kind: ast.expr) -> set[str]:
    nodes = list(ast.walk(kind))
    return {n.id for n in nodes if isinstance(n, ast.Name)} | {n.attr for n in nodes if isinstance(n, ast.Attribute)}


def _raises(function: ast.FunctionDef) -> bool:
    """Return whether the function's own body raises; what a function inside it does is its own business."""
    left: list[ast.AST] = list(function.body)
    while left:
        node = left.pop()
        if isinstance(node, ast.Raise) and node.exc is not None and not _ends_a_command(node.exc):
            return True
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            left.extend(ast.iter_child_nodes(node))
    return False


def _ends_a_command(raised: ast.expr) -> bool:
    """Return whether it is typer's way to end a command with an exit code, which is no error."""
    return ast.unparse(raised).startswith("typer.Exit(")
