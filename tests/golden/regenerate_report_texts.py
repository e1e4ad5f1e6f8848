"""Write the golden texts anew: ``python -m tests.golden.regenerate_report_texts``. Read the diff before a commit."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.golden.report_stories import STORIES, TEXTS, make_report


def main() -> None:
    TEXTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in STORIES:
            text = make_report(name, Path(folder))["summary"]
            (TEXTS / f"{name}.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
