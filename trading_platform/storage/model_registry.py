"""Models on disk: one folder a model, a champion pointer that is replaced atomically, and nothing that runs code.

::

    rl_models/
        champion.json                   which model serves, and which served before it
        trials.jsonl                    one line for every fit ever made here
        20260105-1f2e3d4c5b6a/          manifest.json, weights.npz

Nothing is unpickled: weights are plain arrays in an npz, read with ``allow_pickle=False`` after their SHA-256 has
been compared, and a folder that holds anything else is refused by name. Folders and files are private to their owner.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from filelock import FileLock

from trading_platform.core.errors import FixConfigError, RetrainModelError
from trading_platform.core.observation import observation_schema
from trading_platform.core.policy import Network, Policy, Scaling
from trading_platform.core.sleeve_scorer import SleeveLayout, sleeve_layout
from trading_platform.core.types import Floats
from trading_platform.machine.durable_files import BINARY, WITHOUT_WAITING, sync_folder
from trading_platform.storage.model_manifest import (
    MAX_MANIFEST_BYTES,
    MODEL_ID,
    WEIGHTS_FILE,
    ModelManifest,
    parse_manifest,
)
from trading_platform.storage.model_weights import MAX_WEIGHTS_BYTES, read_arrays

MANIFEST_FILE = "manifest.json"
POINTER_FILE = "champion.json"
# Versions of the pointer file and how many former champions it remembers for `rollback`.
POINTER_VERSION = 1
REMEMBERED = 20


@dataclass(frozen=True, slots=True, eq=False)
class StoredModel:
    """A model that passed every check."""

    manifest: ModelManifest
    policy: Policy


@dataclass(frozen=True, slots=True)
class Champion:
    """The serving model and how it came to serve; `history` holds the former ones, newest last."""

    model_id: str
    promoted_at: str
    reason: str
    history: tuple[str, ...]


class ModelRegistry:
    """The models in one folder. Reading needs no write permission; a missing folder is an empty registry."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._pointer = str(self.folder / POINTER_FILE)

    # ------------------------------------------------------------ reading

    def model_ids(self) -> tuple[str, ...]:
        """Return the ids of all model folders, oldest first, whether usable or not."""
        if not self.folder.is_dir():
            return ()
        return tuple(sorted(item.name for item in self.folder.iterdir() if MODEL_ID.fullmatch(item.name)))

    def manifest(self, model_id: str) -> ModelManifest:
        """Read and check a model's manifest.

        Raises:
            RetrainModelError: unknown id, or a manifest that is missing, damaged, altered or of another version.
        """
        folder = self._folder_of(model_id)
        path = folder / MANIFEST_FILE
        with _named(path):
            manifest = parse_manifest(_read(path, MAX_MANIFEST_BYTES).decode("utf-8"))
            if manifest.model_id != model_id:
                raise RetrainModelError(f"manifest is of {manifest.model_id}")
        return manifest

    def load(self, model_id: str) -> StoredModel:
        """Return a model after checking its folder, manifest, weights file and shapes.

        Raises:
            RetrainModelError: with the file, what is wrong and what to do.
        """
        folder = self._folder_of(model_id)
        manifest = self.manifest(model_id)
        strangers = sorted(item.name for item in folder.iterdir() if item.name not in (MANIFEST_FILE, WEIGHTS_FILE))
        if strangers:
            raise RetrainModelError(
                f"{folder}: {', '.join(strangers)} does not belong to a model and is never opened; "
                "find out who put it there, then delete it"
            )
        path = folder / WEIGHTS_FILE
        with _named(path):
            content = _read(path, MAX_WEIGHTS_BYTES)
            if hashlib.sha256(content).hexdigest() != manifest.weights_sha256:
                raise RetrainModelError("does not match the SHA-256 in the manifest: it was altered or damaged")
            return StoredModel(manifest, _policy(manifest, read_arrays(content)))

    def champion(self) -> Champion | None:
        """Return who serves, or None if nobody does.

        Raises:
            RetrainModelError: the pointer is damaged or of another version.
        """
        path = self.folder / POINTER_FILE
        if not path.exists():
            return None
        with _named(path):
            return _parse_pointer(_read(path, MAX_MANIFEST_BYTES))

    def stamp(self) -> tuple[int, ...] | None:
        """Return what the pointer looks like on disk, None without one; after a promotion it looks otherwise."""
        try:
            status = os.stat(self._pointer)  # noqa: PTH116 - half the time of Path.stat, at every scan
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def verify(self, model_id: str) -> str | None:
        """Return what is wrong with a model, or None."""
        try:
            self.load(model_id)
        except RetrainModelError as error:
            return str(error)
        return None

    # ------------------------------------------------------------ writing

    def add(self, manifest: ModelManifest, weights: bytes) -> str:
        """Store a model for good; return its id. The folder appears complete or not at all.

        Raises
        ------
        ValueError
            The manifest is of other weights.
        """
        if hashlib.sha256(weights).hexdigest() != manifest.weights_sha256:
            raise ValueError("the manifest is of other weights")
        _policy(manifest, read_arrays(weights))
        self._create()
        target = self.folder / manifest.model_id
        if target.exists():
            return manifest.model_id
        draft = self.folder / f".{manifest.model_id}.{secrets.token_hex(4)}"
        draft.mkdir(mode=0o700)
        try:
            _write(draft / WEIGHTS_FILE, weights)
            _write(draft / MANIFEST_FILE, manifest.to_json().encode())
            draft.rename(target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        sync_folder(self.folder)
        return manifest.model_id

    def promote(self, model_id: str, at: datetime, reason: str) -> Champion:
        """Make a model that passes every check the champion."""
        self.load(model_id)
        with self._locked():
            former = self.champion()
            history = () if former is None else (*former.history, former.model_id)
            if former is not None and former.model_id == model_id:
                history = former.history
            return self._point(Champion(model_id, at.isoformat(), reason, history[-REMEMBERED:]))

    def rollback(self, at: datetime, reason: str) -> Champion | None:
        """Let the previous champion serve again; None = there was none before, so nobody serves now.

        Raises
        ------
        FixConfigError
            There is no champion, or another process was quicker.
        """
        if self.champion() is None:
            raise FixConfigError(f"{self.folder}: there is no champion to roll back")
        with self._locked():
            former = self.champion()
            if former is None:
                raise FixConfigError(f"{self.folder}: the champion was rolled back by someone else just now")
            if not former.history:
                (self.folder / POINTER_FILE).unlink()
                sync_folder(self.folder)
                return None
            previous = former.history[-1]
            self.load(previous)
            return self._point(Champion(previous, at.isoformat(), reason, former.history[:-1]))

    # ------------------------------------------------------------ helpers

    def _folder_of(self, model_id: str) -> Path:
        folder = self.folder / model_id
        if not MODEL_ID.fullmatch(model_id) or not folder.is_dir() or folder.is_symlink():
            raise RetrainModelError(
                f"{self.folder}: there is no model {model_id!r}; `models list` shows which there are"
            )
        return folder

    def _create(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._create()
        with FileLock(self.folder / ".lock"):
            yield

    def _point(self, champion: Champion) -> Champion:
        document = {
            "version": POINTER_VERSION,
            "model_id": champion.model_id,
            "promoted_at": champion.promoted_at,
            "reason": champion.reason,
            "history": list(champion.history),
        }
        draft = self.folder / f".{POINTER_FILE}.{secrets.token_hex(4)}"
        _write(draft, (json.dumps(document, indent=1) + "\n").encode())
        draft.replace(self.folder / POINTER_FILE)
        sync_folder(self.folder)
        return champion


def _policy(manifest: ModelManifest, arrays: dict[str, Floats]) -> Policy:
    layers = range(len(manifest.hidden) + 1)
    names = {f"{part}_{i}" for part in ("kernel", "bias") for i in layers}
    if set(arrays) != names:
        raise RetrainModelError(f"holds {sorted(arrays)}, the manifest asks for {sorted(names)}")
    try:
        scaling = Scaling(
            np.array(manifest.feature_index, dtype=np.int64),
            np.array(manifest.feature_mean, dtype=np.float64),
            np.array(manifest.feature_gain, dtype=np.float64),
            float(manifest.feature_clip),
            np.array(manifest.feature_low, dtype=np.float64),
            np.array(manifest.feature_high, dtype=np.float64),
        )
        network = Network(tuple(arrays[f"kernel_{i}"] for i in layers), tuple(arrays[f"bias_{i}"] for i in layers))
        policy = Policy(scaling, network, _layout(manifest, network))
    except ValueError as error:
        raise RetrainModelError(str(error)) from error
    widths = tuple(kernel.shape[2] for kernel in network.kernels)
    answers = len(manifest.strategies) if policy.layout is None else 1
    if widths != (*manifest.hidden, answers) or network.n_members != manifest.members:
        raise RetrainModelError(
            f"{network.n_members} networks with layers {widths} are not what the manifest describes"
        )
    return policy


def _layout(manifest: ModelManifest, network: Network) -> SleeveLayout | None:
    """Return how a scorer of each strategy reads the features; None for a network that reads them all at once."""
    if network.n_inputs == len(manifest.feature_index):  # a scorer never has so few inputs
        return None
    return sleeve_layout(observation_schema(manifest.strategies), manifest.feature_index)


def _parse_pointer(content: bytes) -> Champion:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RetrainModelError(f"is not JSON ({error}); promote a model again") from error
    if not isinstance(document, dict) or document.get("version") != POINTER_VERSION:
        raise RetrainModelError(f"is of no version that this program reads ({POINTER_VERSION}); promote a model again")
    history = document.get("history")
    ids = [document.get("model_id"), *(history if isinstance(history, list) else [None])]
    promoted_at, reason = document.get("promoted_at"), document.get("reason")
    if not isinstance(promoted_at, str) or not isinstance(reason, str):
        raise RetrainModelError("lacks promoted_at or reason; promote a model again")
    if not all(isinstance(name, str) and MODEL_ID.fullmatch(name) for name in ids):
        raise RetrainModelError(f"names {ids!r}, which are no model ids; promote a model again")
    return Champion(ids[0], promoted_at, reason, tuple(ids[1:]))


def _read(path: Path, most: int) -> bytes:
    """Read a plain file; a pipe or a device in its place would be waited for without end."""
    descriptor = os.open(path, os.O_RDONLY | WITHOUT_WAITING)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RetrainModelError("is no plain file; find out who put it there, then delete it")
    with os.fdopen(descriptor, "rb") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise RetrainModelError(f"is larger than {most} bytes")
    return content


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the file's name before whatever is wrong with it."""
    try:
        yield
    except RetrainModelError as error:
        raise RetrainModelError(f"{path}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RetrainModelError(f"{path}: cannot be read ({error}); restore it or train again") from error
