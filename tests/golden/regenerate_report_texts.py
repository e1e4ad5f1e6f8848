"""Write the golden texts anew: ``python tests/golden/regenerate_report_texts.py``. Read the diff before a commit."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "integration")]  # where the tests find the same modules

from report_stories import STORIES, TEXTS, make_report  # noqa: E402 - after the path


def main() -> None:
    TEXTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in STORIES:
            text = make_report(name, Path(folder))["summary"]
            (TEXTS / f"{name}.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
