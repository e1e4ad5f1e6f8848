"""A slip in the strategies' settings is named with its file, its line and what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from trading_platform.configuration.trading_config import load_config
from trading_platform.core.validation import InvalidSettingsError
from trading_platform.runtime.trade_settings import enabled_strategies


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[engine]\nseed = 3\n[strategies.momentum]\nlookbak = 3\n",
            "t.toml:4: strategies.momentum.lookbak is no parameter; momentum has formation, skip,",
        ),
        (
            "[strategies.momentum]\nformatoin = 3\n",
            "t.toml:2: strategies.momentum.formatoin is no parameter: did you mean 'formation'?",
        ),
        ('[strategies]\nenabled = ["momentun"]\n', "t.toml:2: strategies: 'momentun' is not registered: did you mean"),
    ],
)
def test_a_slip_is_named_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.toml").write_text(text)
    with pytest.raises(InvalidSettingsError) as caught:
        enabled_strategies(load_config("t.toml"), Path("t.toml"))
    assert str(caught.value).startswith(words)


def test_good_settings_make_strategies() -> None:
    names = [
        strategy.name for strategy in enabled_strategies(load_config(None, {"strategies.enabled": ["momentum"]}), None)
    ]
    assert names == ["momentum"]
