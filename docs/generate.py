"""Writes the pages that come from the code (commands, documents) and from measurements (evidence)."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.commands import commands_page
from docs.documents import documents_page
from docs.evidence import evidence_page

DOCS = Path(__file__).resolve().parent
PAGES = {
    "reference/commands.md": commands_page,
    "reference/documents.md": documents_page,
    "evidence.md": evidence_page,
}


def main(arguments: list[str]) -> int:
    """Write every generated page; with `--check` only say which pages of the code's own are out of date."""
    stale = [name for name, page in PAGES.items() if _text(name) != page()]
    if "--check" in arguments:
        stale = [name for name in stale if name.startswith("reference/")]  # evidence is as old as its measurements
        for name in stale:
            print(f"docs/{name} is out of date: run `python -m docs.generate`")
        return len(stale)
    for name in stale:
        (DOCS / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"wrote docs/{name}")
    return 0


def _text(name: str) -> str:
    path = DOCS / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
