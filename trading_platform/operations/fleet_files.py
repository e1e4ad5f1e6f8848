"""What a fleet becomes: drop-ins and a target for systemd's template unit, or services for compose."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from trading_platform.core.errors import FixConfigError
from trading_platform.operations.fleet import Member, check_members, read_fleet
from trading_platform.reporting.status_screen import say

TEMPLATE, TARGET, DROP_IN = "trading-engine@", "trading-fleet.target", "fleet.conf"
MARK = "# Made from a fleet's file by `fleet systemd`; it is written anew each time."


def write_units(file: Path, folder: Path, program: Sequence[str]) -> int:
    """Write what systemd needs beside the template unit into `folder`; return the exit code.

    `program` is the command that starts an engine, as absolute paths. The drop-in of an account that has left the fleet
    goes; its engine is not stopped.

    Raises
    ------
    FixConfigError
        The fleet is wrong, or the folder cannot be written.
    """
    members = read_fleet(file)
    check_members(members)
    files = unit_files(members, program)
    gone = [path for path in folder.glob(f"{TEMPLATE}*.service.d/{DROP_IN}") if _name(path, folder) not in files]
    try:
        for path in gone:
            path.unlink()
        for name, text in files.items():
            _put(folder / name, text)
    except OSError as error:
        raise FixConfigError(f"{error.filename}: cannot be written ({error.strerror}); name another folder") from error
    for path in gone:
        instance = path.parent.name.removesuffix(".d")
        say(f"{instance} is no more in the fleet: systemctl disable --now {instance}")
    say(f"{len(files)} files in {folder}. Next: systemctl daemon-reload && systemctl enable --now {TARGET}")
    return 0


def write_services(file: Path, target: Path) -> int:
    """Write a compose file that adds the fleet's services to deploy/compose.yaml; return the exit code.

    Raises
    ------
    FixConfigError
        The fleet is wrong, or the file cannot be written.
    """
    members = read_fleet(file)
    check_members(members)
    try:
        _put(target, services(members))
    except OSError as error:
        raise FixConfigError(f"{target}: cannot be written ({error.strerror}); name another file") from error
    say(f"{target}. Next, in its folder beside compose.yaml: docker compose -f compose.yaml -f {target.name} up -d")
    return 0


def unit_files(members: Sequence[Member], program: Sequence[str]) -> Mapping[str, str]:
    """Return the text of each file, by its path below systemd's folder."""
    files = {f"{TEMPLATE}{member.name}.service.d/{DROP_IN}": _drop_in(member, program) for member in members}
    wanted = [f"Wants={TEMPLATE}{member.name}.service" for member in members if member.starts]
    lines = [MARK, "[Unit]", "Description=Trading engines of the fleet", *wanted, "", "[Install]"]
    files[TARGET] = "\n".join([*lines, "WantedBy=multi-user.target", ""])
    return files


def services(members: Sequence[Member]) -> str:
    """Return the compose file. Texts are JSON's, which YAML reads as they are."""
    lines = ["# Made from a fleet's file by `fleet compose`; it is written anew each time.", "services:"]
    lines += ["  engine:", "    profiles: [single]  # the fleet's engines stand in its place"]
    for member in members:
        lines += _service(member)
    lines.append("secrets:")
    lines += [f"  {member.name}-secrets: {{file: {_text(member.secrets)}}}" for member in members]
    lines.append("configs:")
    lines += [f"  {member.name}-settings: {{file: {_text(member.settings)}}}" for member in members]
    lines.append("volumes:")
    lines += [f"  engine-{member.name}: {{}}" for member in members]
    return "\n".join([*lines, ""])


def _drop_in(member: Member, program: Sequence[str]) -> str:
    words = [*program[1:], "--config", str(member.settings), *(["--live"] if member.live else [])]
    # systemd puts variables into arguments only: the program's own name keeps its dollar signs
    command = [_quoted(program[0]), *(_quoted(word.replace("$", "$$")) for word in words)]
    lines = [
        MARK,
        "[Unit]",
        f"PartOf={TARGET}",
        "",
        "[Service]",
        "EnvironmentFile=",
        f"EnvironmentFile={_percent(str(member.secrets))}",
        "ExecStart=",
        f"ExecStart={' '.join(command)}",
        f"WorkingDirectory={_percent(str(Path(program[-1]).parent))}",
        f"MemoryMax={member.memory}",
    ]
    return "\n".join([*lines, ""])


def _service(member: Member) -> list[str]:
    lines = [
        f"  engine-{member.name}:",
        "    extends: {file: compose.yaml, service: engine}",
        f"    command: [trade{', --live' if member.live else ''}]",
        f"    mem_limit: {member.memory.lower()}",
        "    secrets: !override",
        f"      - {{source: {member.name}-secrets, target: /data/.env}}",
        f"    configs: [{{source: {member.name}-settings, target: /data/trading.toml}}]",
        f'    volumes: !override ["engine-{member.name}:/data"]',
        f"    healthcheck: {{test: [CMD, trading-engine, status, --account, {member.name}, --json]}}",
    ]
    return lines if member.starts else [*lines, "    profiles: [by-hand]"]


def _quoted(word: str) -> str:
    safe = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_percent(safe)}"'


def _percent(text: str) -> str:
    return text.replace("%", "%%")


def _text(path: Path) -> str:
    return json.dumps(path.as_posix().replace("$", "$$"))


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.part")
    draft.write_text(text, encoding="utf-8", newline="\n")
    draft.replace(path)
