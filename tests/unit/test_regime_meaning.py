"""What regimes are said to mean, and that nothing made with another model of them is used."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

from trading_platform.core.observation import ObservationSchema, observation_schema
from trading_platform.core.regime_meaning import REGIME_MEANINGS, REGIME_REVISION, regime_words
from trading_platform.core.types import Regime


def test_every_regime_has_its_words() -> None:
    assert set(REGIME_MEANINGS) == {str(regime) for regime in Regime}
    assert regime_words("bear") == "bear: well below its high and its 200-day mean, and volatile"


def test_regime_of_an_unknown_name_is_said_as_it_is() -> None:
    assert regime_words("sideways") == "sideways"


def test_policy_of_another_regime_model_has_another_fingerprint() -> None:
    now = observation_schema(("momentum",))
    before = [
        replace(f, description=f.description.replace(f"revision {REGIME_REVISION}", "revision 3")) for f in now.fields
    ]
    assert sum(old != new for old, new in zip(before, now.fields, strict=True)) == 3
    assert ObservationSchema(tuple(before)).fingerprint != now.fingerprint


def test_words_do_not_load_numpy() -> None:
    """A status screen has no need of it, and it takes longer than the screen."""
    code = "import sys, trading_platform.core.regime_meaning; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
