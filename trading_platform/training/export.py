"""A trained policy for other programs: arrays in an npz, and a JSON beside it that says what to do with them.

docs/exported-policy.md has the format in words and a reader of twenty lines that needs numpy only. Where the package
onnx is installed a third file holds the whole as one graph (`training.export_onnx`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trading_platform.core.errors import FixConfigError
from trading_platform.core.observation import observation_schema
from trading_platform.storage.model_registry import StoredModel
from trading_platform.storage.model_weights import pack_weights
from trading_platform.training.export_onnx import has_onnx, onnx_bytes

FORMAT = "trading-allocator-policy"
FORMAT_VERSION = 1


def check_export_path(path: Path | None, on_rules: bool = False) -> None:
    """Raise `FixConfigError` before any work if the policy could not be written there, or not as it will be served."""
    if path is None:
        return
    if on_rules:
        raise FixConfigError(
            "--export writes a network; the published rules that multiply what it says would not be in the file: leave "
            "--export or --set on_rules=true out"
        )
    if path.suffix != ".npz":
        raise FixConfigError(f"--export must name a file that ends in .npz, was {path}; the JSON is put beside it")
    if not path.parent.is_dir():
        raise FixConfigError(f"--export {path}: there is no folder {path.parent}; create it first")


def write_export(path: Path, stored: StoredModel) -> tuple[Path, ...]:
    """Write `stored` to `path`, its description and, where onnx is installed, its graph beside it; return the files."""
    description = describe_policy(stored)
    path.write_bytes(pack_weights(stored.policy.network))
    beside = path.with_suffix(".json")
    beside.write_text(json.dumps(description, indent=1, allow_nan=False) + "\n")
    if not has_onnx():
        return path, beside
    graph = path.with_suffix(".onnx")
    graph.write_bytes(onnx_bytes(stored))
    return path, beside, graph


def describe_policy(stored: StoredModel) -> dict[str, Any]:
    """Return what a reader has to know beside the arrays."""
    manifest, policy = stored.manifest, stored.policy
    schema = observation_schema(manifest.strategies)
    layout = policy.layout
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "model_id": manifest.model_id,
        "strategies": list(manifest.strategies),
        "observation": [
            {"name": field.name, "unit": field.unit, "neutral": field.neutral, "description": field.description}
            for field in schema
        ],
        "features": [
            {"name": name, "position": int(position), "mean": float(mean), "gain": float(gain)}
            for name, position, mean, gain in zip(
                manifest.features, policy.scaling.index, policy.scaling.mean, policy.scaling.gain, strict=True
            )
        ],
        "clip": policy.scaling.clip,
        "network": "all" if layout is None else "each",
        "shared": [] if layout is None else layout.shared.tolist(),
        "own": [] if layout is None else layout.own.tolist(),
        "layers": len(policy.network.kernels),
        "members": policy.network.n_members,
        "action_kind": manifest.action_kind,
        "action_scale": manifest.action_scale,
        "base_weights": list(manifest.base_weights),
        "data_end": manifest.data_end,
    }
