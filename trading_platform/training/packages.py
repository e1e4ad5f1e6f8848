"""What training needs beside the engine, each missing package named with its cure before any work."""

from __future__ import annotations

from trading_platform.core.errors import FixConfigError
from trading_platform.machine.packages import missing

GRADIENT = "gradient"
CURES = {
    "gymnasium": "pip install 'gymnasium>=0.29.0'",
    "torch": "pip install torch --index-url https://download.pytorch.org/whl/cpu",
    "stable_baselines3": "pip install 'stable-baselines3>=2.0.0'",
    "tensorboard": "pip install tensorboard",
}


def check_packages(algo: str, with_curves: bool) -> None:
    """Raise `FixConfigError` that names every missing package and the command that installs it.

    `algo` "gradient" needs none of them; `with_curves` asks for TensorBoard's files.
    """
    if algo == GRADIENT and with_curves:
        raise FixConfigError("--tensorboard shows the steps of ppo, a2c or sac; gradient has none: leave it out")
    needed = [] if algo == GRADIENT else ["gymnasium", "torch", "stable_baselines3", *["tensorboard"] * with_curves]
    absent = missing(needed)
    if absent:
        cures = "; ".join(f"{name.replace('_', '-')} is missing ({CURES[name]})" for name in absent)
        hint = "" if absent == ["tensorboard"] else "; or train with --algo gradient, which needs none of them"
        raise FixConfigError(f"training with {algo}: {cures}{hint}")
