"""fleet.toml: what two engines must not share is told before anything starts; what is written names what was asked."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from trading_platform.core.errors import FixConfigError
from trading_platform.operations.fleet import check_fleet, check_members, read_fleet
from trading_platform.operations.fleet_files import TARGET, services, unit_files, write_services, write_units

ROOT = Path(__file__).parents[2]
URL = "postgresql://trader:hidden-word@db/trading"
PROGRAM = ("/opt/my engines/python", "/opt/my engines/autonomous_trading_engine.py")


def account(folder: Path, name: str, *, key: str = "", url: str = URL, called: str = "", more: str = "") -> None:
    """Write the two files of an account."""
    (folder / f"{name}.toml").write_text(f'[account]\nname = "{called or name}"\n')
    secrets = folder / f"{name}.env"
    secrets.write_text(f"ALPACA_API_KEY=PK{key or name}\nALPACA_SECRET_KEY=secret-{name}\nDATABASE_URL={url}\n{more}\n")
    secrets.chmod(0o600)


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Two accounts that may be traded beside each other."""
    account(tmp_path, "main")
    account(tmp_path, "second")
    file = tmp_path / "fleet.toml"
    file.write_text("[main]\n[second]\nmemory = '512M'\nstarts = false\n")
    return file


def told(fleet: Path) -> str:
    with pytest.raises(FixConfigError) as caught:
        check_members(read_fleet(fleet))
    assert "hidden-word" not in str(caught.value)
    assert "secret-" not in str(caught.value)
    return str(caught.value)


def test_the_example_is_a_fleet() -> None:
    assert [member.name for member in read_fleet(ROOT / "deploy" / "fleet.toml")] == ["main", "second"]


def test_a_sound_fleet_is_a_line_an_account_without_a_password(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_fleet(fleet, as_json=False) == 0
    said = capsys.readouterr().out
    assert [line.partition(":")[0] for line in said.splitlines()[:2]] == ["main", "second"]
    assert "2 accounts in database postgresql://trader:***@db/trading" in said
    assert "starts only by hand" in said
    assert "hidden-word" not in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no account"),
        ("[Main]\n", "'Main' cannot name an account"),
        ("main = 3\n", "main must be a table"),
        ("[main]\nmemroy = '2G'\n", "main.memroy is no setting: did you mean 'memory'"),
        ("[main]\nmemory = 'much'\n", 'memory must be a number and M or G, as in "2G", was'),
        ("[main]\nlive = 'yes'\n", "main.live must be true or false"),
    ],
)
def test_a_wrong_file_is_told_by_table_and_key(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text(text)
    with pytest.raises(FixConfigError, match=words):
        read_fleet(file)


def test_accounts_that_would_meddle_with_each_other_are_refused(fleet: Path) -> None:
    account(fleet.parent, "second", key="main", url=URL.replace("@db", "@other"), called="main")
    words = told(fleet)
    assert 'second.toml: [account] name must be "second"' in words
    assert "main and second have the same ALPACA_API_KEY" in words
    assert "second: database postgresql://trader:***@other/trading" in words


def test_several_engines_on_one_file_are_refused_and_one_is_not(fleet: Path) -> None:
    for name in ("main", "second"):
        account(fleet.parent, name, url="sqlite:///trading.db")
    assert "is a file, which is for one engine" in told(fleet)
    fleet.write_text("[main]\n")
    assert check_members(read_fleet(fleet)) == "database trading.db"


def test_missing_files_and_keys_are_all_told_at_once(fleet: Path) -> None:
    (fleet.parent / "main.env").unlink()
    (fleet.parent / "second.env").write_text(f"DATABASE_URL={URL}\n")
    words = told(fleet)
    assert "main.env: is not there" in words
    assert "second.env: has no ALPACA_API_KEY" in words


def test_real_money_needs_its_second_word(fleet: Path) -> None:
    fleet.write_text("[main]\nlive = true\n[second]\n")
    assert "main.env: live = true needs TRADING_ALLOW_LIVE" in told(fleet)
    account(fleet.parent, "main", more="TRADING_ALLOW_LIVE=yes-i-mean-it")
    assert check_members(read_fleet(fleet))


def test_units_start_what_starts_and_name_every_path_whole(fleet: Path) -> None:
    files = unit_files(read_fleet(fleet), PROGRAM)
    assert set(files) == {
        "trading-engine@main.service.d/fleet.conf",
        "trading-engine@second.service.d/fleet.conf",
        TARGET,
    }
    assert [line for line in files[TARGET].splitlines() if "Wants" in line] == ["Wants=trading-engine@main.service"]
    own = files["trading-engine@second.service.d/fleet.conf"]
    assert "MemoryMax=512M" in own
    assert f"EnvironmentFile={fleet.parent / 'second.env'}" in own
    assert f'ExecStart="{PROGRAM[0]}" "{PROGRAM[1]}" "--config" "{fleet.parent / "second.toml"}"\n' in own


def test_an_account_that_left_loses_its_drop_in_and_is_told(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    units = fleet.parent / "units"
    write_units(fleet, units, PROGRAM)
    fleet.write_text("[main]\n")
    capsys.readouterr()
    write_units(fleet, units, PROGRAM)
    assert "systemctl disable --now trading-engine@second.service" in capsys.readouterr().out
    assert sorted(path.name for path in units.rglob("*.conf")) == ["fleet.conf"]
    assert not (units / "trading-engine@second.service.d" / "fleet.conf").exists()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd on this machine")
def test_systemd_understands_template_and_drop_in(fleet: Path) -> None:
    units, program = fleet.parent / "units", fleet.parent / "my 100% $program"
    program.mkdir()
    engine = program / "engine"
    engine.write_text("#!/bin/sh\n")
    engine.chmod(0o755)
    write_units(fleet, units, (str(engine), str(engine)))
    shutil.copy(ROOT / "deploy" / "trading-engine@.service", units)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(units / "trading-engine@main.service"), str(units / TARGET)],
        capture_output=True,
        text=True,
        check=False,
    )
    own = [line for line in done.stderr.splitlines() if "trading-" in line]
    assert [line for line in own if "Unknown key 'Restart" not in line] == []  # those two are younger than Debian 12's
    assert done.returncode == 0
    (units / "trading-engine@main.service.d" / "fleet.conf").write_text("[Service]\nExecStart=nothing\n")
    broken = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(units / "trading-engine@main.service")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "trading-engine@main" in broken.stderr


def test_services_are_the_engine_of_compose_with_files_and_volume_of_their_own(fleet: Path) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: nothing else here reads YAML")

    class Reader(yaml.SafeLoader):  # type: ignore[misc, name-defined]
        """Reads compose's own tag as the list that it stands before."""

    Reader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node, deep=True))
    fleet.write_text(f"{fleet.read_text()}live = false\n")
    written: dict[str, Any] = yaml.load(services(read_fleet(fleet)), Reader)
    main, second = (written["services"][f"engine-{name}"] for name in ("main", "second"))
    assert main["extends"] == {"file": "compose.yaml", "service": "engine"}
    assert main["command"] == ["trade"]
    assert second["profiles"] == ["by-hand"]
    assert second["mem_limit"] == "512m"
    assert written["services"]["engine"] == {"profiles": ["single"]}
    for name, service in (("main", main), ("second", second)):
        assert [secret["target"] for secret in service["secrets"]] == ["/data/.env"]
        assert written["secrets"][service["secrets"][0]["source"]] == {"file": str(fleet.parent / f"{name}.env")}
        assert written["configs"][service["configs"][0]["source"]] == {"file": str(fleet.parent / f"{name}.toml")}
        assert service["volumes"] == [f"engine-{name}:/data"]
        assert f"engine-{name}" in written["volumes"]


def test_nothing_is_written_for_a_fleet_that_is_wrong(fleet: Path) -> None:
    (fleet.parent / "main.toml").unlink()
    target = fleet.parent / "compose.fleet.yaml"
    with pytest.raises(FixConfigError, match=r"main\.toml"):
        write_services(fleet, target)
    assert not target.exists()
