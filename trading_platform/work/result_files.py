"""Results in files named by their task: what is done is not done again. Plain arrays and JSON; nothing is unpickled.

A result is a tree of numbers, texts, tuples, mappings, arrays and dataclasses. Which dataclasses, the job says: a file
cannot name others. Floats and arrays come back with the same bits. A file is written whole or not at all.
"""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TREE = "tree"  # entry of the JSON in the npz
TAG = "is"


class UnreadableResultError(ValueError):
    """A file is no result of these kinds: torn, or of another program. The task is done again."""


def packed(value: object) -> bytes:
    """Return the npz of a result."""
    arrays: dict[str, np.ndarray] = {}
    tree = json.dumps(_to_tree(value, arrays), separators=(",", ":"))
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{TREE: np.frombuffer(tree.encode(), dtype=np.uint8)}, **arrays)
    return buffer.getvalue()


def unpacked(content: bytes, kinds: Sequence[type]) -> Any:
    """Return the result that `packed` wrote, its dataclasses among `kinds`.

    Raises
    ------
    UnreadableResultError
        The bytes are something else.
    """
    known = {kind.__qualname__: kind for kind in kinds}
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return _from_tree(json.loads(arrays[TREE].tobytes().decode()), arrays, known)
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableResultError(f"no result of {', '.join(known) or 'plain values'}: {error}") from error


def _to_tree(value: object, arrays: dict[str, np.ndarray]) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        if np.asarray(value).dtype.hasobject:
            raise TypeError("an array of objects has no plain form")
        name = f"a{len(arrays)}"
        arrays[name] = np.asarray(value)
        return {TAG: "array", "of": name, "alone": isinstance(value, np.generic)}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {TAG: "float", "of": repr(float(value))}
    if isinstance(value, int):
        return int(value)
    if isinstance(value, range):
        return {TAG: "range", "of": [value.start, value.stop, value.step]}
    if isinstance(value, Path):
        return {TAG: "path", "of": str(value)}
    if is_dataclass(value) and not isinstance(value, type):
        content = {field.name: _to_tree(getattr(value, field.name), arrays) for field in fields(value) if field.init}
        return {TAG: "kind", "kind": type(value).__qualname__, "of": content}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {TAG: "kind", "kind": type(value).__qualname__, "of": _to_items(value._asdict(), arrays)}
    if isinstance(value, tuple):
        return {TAG: "tuple", "of": [_to_tree(item, arrays) for item in value]}
    if isinstance(value, list):
        return [_to_tree(item, arrays) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {TAG: "map", "of": _to_items(value, arrays)}
    raise TypeError(f"a {type(value).__name__} has no plain form")


def _to_items(items: Mapping[str, object], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    return {key: _to_tree(item, arrays) for key, item in items.items()}


def _from_tree(tree: Any, arrays: Mapping[str, np.ndarray], kinds: Mapping[str, type]) -> Any:
    if isinstance(tree, list):
        return [_from_tree(item, arrays, kinds) for item in tree]
    if not isinstance(tree, dict):
        return tree
    content = tree["of"]
    match tree[TAG]:
        case "array":
            return arrays[content][()] if tree["alone"] else arrays[content]
        case "float":
            return float(content)
        case "range":
            return range(*content)
        case "path":
            return Path(content)
        case "tuple":
            return tuple(_from_tree(item, arrays, kinds) for item in content)
        case "map":
            return {key: _from_tree(item, arrays, kinds) for key, item in content.items()}
        case "kind":
            values = {key: _from_tree(item, arrays, kinds) for key, item in content.items()}
            return kinds[tree["kind"]](**values)
    raise ValueError(f"{tree[TAG]!r} is unknown")


class Found(NamedTuple):
    """A result that was there; it may be None itself."""

    result: Any


class ResultFiles:
    """A folder of results, one file a task."""

    def __init__(self, folder: Path, kinds: Sequence[type]) -> None:
        self.folder = folder
        self.kinds = tuple(kinds)

    def find(self, fingerprint: str) -> Found | None:
        """Return the result of a task that is done; a file that cannot be read is not there."""
        try:
            content = self._path(fingerprint).read_bytes()
            return Found(unpacked(content, self.kinds))
        except (OSError, UnreadableResultError):
            return None

    def keep(self, fingerprint: str, result: object) -> None:
        """Write a result.

        Raises
        ------
        OSError
            The folder cannot be written.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.folder / f"{fingerprint}.{os.getpid()}.part"
        draft.write_bytes(packed(result))
        draft.replace(self._path(fingerprint))

    def clear(self) -> None:
        """Remove the folder: the work that it belongs to is done."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # other work waits beside it
            self.folder.parent.rmdir()

    def _path(self, fingerprint: str) -> Path:
        return self.folder / f"{fingerprint}.npz"
