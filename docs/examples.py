"""The terminal examples of README and docs: found, run, compared, and written again on request.

A block marked `console` holds commands after `$ ` and what they print. Blocks of one page run in order, in one new
folder. A line `…` stands for any lines left out; a command that ends in `# exit N` must leave with that code.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from cli.main import app

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARYING = re.compile(r" +\w+ · [\d.]+ (CPU )?s(?=\s*$)|\d{4}-\d\d-\d\dT[\d:]+Z|(?<=seconds: )[\d.]+")
LEFT_OUT = "…"


@dataclass(frozen=True)
class Example:
    """One command with the lines that its page shows below it."""

    page: Path
    command: str
    shown: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """The code that the page says the command leaves with."""
        match = re.search(r"# exit (\d+)$", self.command)
        return int(match[1]) if match else 0


def examples(page: Path) -> list[Example]:
    """Return the examples of one page in order."""
    found = []
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = part.rstrip("\n").split("\n")
            found.append(Example(page, command, tuple(shown)))
    return found


def run(example: Example) -> tuple[int, list[str]]:
    """Run the example here, as in a terminal of 100 columns; return its exit code and what it printed."""
    words = shlex.split(example.command, comments=True)
    if words[0] == "cat":
        return 0, Path(words[1]).read_text(encoding="utf-8").rstrip("\n").split("\n")
    result = CliRunner().invoke(app, words[1:], prog_name="tonnage", env={"TONNAGE_OUTPUT": "table", "COLUMNS": "100"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, [line.rstrip() for line in result.output.rstrip("\n").split("\n")]


def agrees(shown: tuple[str, ...], printed: list[str]) -> bool:
    """Say whether ``printed`` is what the page shows, durations and dates apart; nothing shown agrees with anything."""
    if not shown:
        return True
    pattern = "\n".join("(?:.*\n)*?.*" if line.strip() == LEFT_OUT else re.escape(_steady(line)) for line in shown)
    return re.fullmatch(pattern, "\n".join(map(_steady, printed))) is not None


def _steady(line: str) -> str:
    return VARYING.sub("~", line).rstrip()


def rewrite(page: Path) -> bool:
    """Run the page's examples and put what they print below them, where anything is shown; say whether it changed."""
    text = before = page.read_text(encoding="utf-8")
    with in_new_folder():
        for example in examples(page):
            _, printed = run(example)
            if not agrees(example.shown, printed) and LEFT_OUT not in (line.strip() for line in example.shown):
                old = "\n".join(("$ " + example.command, *example.shown))
                text = text.replace(old, "\n".join(("$ " + example.command, *printed)))
    page.write_text(text, encoding="utf-8")
    return text != before


def in_new_folder() -> chdir[str]:
    """Return a context in which the working folder is new, with the samples in it."""
    folder = Path(tempfile.mkdtemp(prefix="tonnage-example-"))
    os.symlink(ROOT / "sample_workloads", folder / "sample_workloads")
    return chdir(str(folder))


def pages_with_examples() -> Iterator[Path]:
    """Yield the pages that show at least one command."""
    return (page for page in PAGES if page.exists() and examples(page))


if __name__ == "__main__":
    chosen = [Path(name).resolve() for name in sys.argv[1:]] or list(pages_with_examples())
    for path in chosen:
        print(f"{'rewrote' if rewrite(path) else 'kept'} {path.relative_to(ROOT)}")
