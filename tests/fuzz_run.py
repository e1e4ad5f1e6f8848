"""Look for files that break a reader, led by the code that they reach: ``make fuzz`` (atheris, minutes to hours).

``PYTHONPATH=. python tests/fuzz_run.py [SECONDS [FOLDER]]`` goes on from what FOLDER (.fuzz) holds of earlier runs.
Each fault is kept there once, by where it broke, and goes on being looked past; exit 1 if there is any.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import traceback
from hashlib import sha256
from pathlib import Path

SECONDS, FOLDER = "600", ".fuzz"
HANG_SECONDS = 20
LARGEST = 4096  # bytes of a file
SEARCH = "search"  # the argument of the process that searches; libFuzzer ends it when its time is over


def begin(folder: Path) -> None:
    """Write whole files to begin from, and the words to damage them with."""
    from tests.fuzz_targets import TARGETS, TOKENS

    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    (folder / "faults").mkdir(exist_ok=True)
    for number, (_, whole) in enumerate(TARGETS.values()):
        for content in whole:
            seed = bytes([number]) + content
            (folder / "corpus" / sha256(seed).hexdigest()[:16]).write_bytes(seed)
    words = ("".join(f"\\x{byte:02x}" for byte in token) for token in TOKENS if token)
    (folder / "words").write_text("".join(f'"{word}"\n' for word in words), encoding="ascii")


def search(folder: Path, seconds: str) -> None:
    """Feed the readers until the time is over; never returns."""
    import atheris

    with atheris.instrument_imports(include=["trading_platform"]):
        from tests.fuzz_targets import TARGETS, feed
    names = list(TARGETS)

    def one(content: bytes) -> None:
        if not content:
            return
        name = names[content[0] % len(names)]
        with tempfile.TemporaryDirectory() as place:
            try:
                feed(name, content[1:], Path(place))
            except Exception as error:  # noqa: BLE001 - every kind is looked for
                keep(folder, name, content[1:], error)

    options = [f"-max_total_time={seconds}", f"-max_len={LARGEST}", f"-timeout={HANG_SECONDS}", "-print_final_stats=1"]
    paths = [f"-dict={folder / 'words'}", f"-artifact_prefix={folder / 'faults'}/", str(folder / "corpus")]
    atheris.Setup([sys.argv[0], *options, *paths], one)
    atheris.Fuzz()


def keep(folder: Path, name: str, content: bytes, error: Exception) -> None:
    """Keep the first file that breaks a reader at this place, and how it broke."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "trading_platform" in frame.filename]
    at = f"{Path(frames[-1].filename).stem}-{frames[-1].lineno}" if frames else "panel"
    fault = folder / "faults" / f"{type(error).__name__}-{at}"
    if not fault.exists():
        fault.mkdir()
        (fault / name).write_bytes(content)
        (fault / "traceback.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")


def main(words: list[str]) -> int:
    """Start the search, wait for it, and tell what it found."""
    seconds, folder = [*words, *(SECONDS, FOLDER)[len(words) :]][:2]
    begin(Path(folder))
    code = subprocess.call([sys.executable, __file__, SEARCH, folder, seconds])
    faults = sorted(path.name for path in (Path(folder) / "faults").iterdir())
    print(f"{len(faults)} faults in {folder}/faults", *faults, sep="\n")  # noqa: T201 - a command of this repository
    return 1 if faults or code != 0 else 0


if __name__ == "__main__":
    if sys.argv[1:2] == [SEARCH]:
        search(Path(sys.argv[2]), sys.argv[3])
    raise SystemExit(main(sys.argv[1:]))
