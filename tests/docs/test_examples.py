"""What README and docs show is what the commands print, and every document they show is valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.documents import KINDS
from docs.examples import PAGES, ROOT, agrees, examples, in_new_folder, pages_with_examples, run
from docs.generate import main as generate
from specs.reading import read_documents, validate

WITH_EXAMPLES = list(pages_with_examples())
DOCUMENT = re.compile(r"^```yaml\n(apiVersion: .*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=[str(page.relative_to(ROOT)) for page in WITH_EXAMPLES])
def test_a_page_shows_what_its_commands_print(page: Path) -> None:
    with in_new_folder():
        for example in examples(page):
            exit_code, printed = run(example)
            assert exit_code == example.exit_code, f"$ {example.command}\n" + "\n".join(printed)
            assert agrees(example.shown, printed), f"$ {example.command}\n" + "\n".join(printed)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_a_document_on_a_page_is_valid(page: Path, tmp_path: Path) -> None:
    kinds = {str(kind.model_fields["kind"].default): kind for kind in KINDS}
    for text in DOCUMENT.findall(page.read_text(encoding="utf-8")):
        path = tmp_path / "shown.yaml"
        path.write_text(text)
        for data, lines in read_documents(path):
            assert validate(data, kinds[data["kind"]], path, lines).kind == data["kind"]


def test_the_generated_pages_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate(["--check"]) == 0, capsys.readouterr().out


def test_a_difference_in_a_figure_is_noticed() -> None:
    assert agrees(("a 1.00 USD/h", "…", "z"), ["a 1.00 USD/h", "b", "c", "z"])
    assert agrees(("chat    optimal · 1.9 CPU s",), ["chat   optimal · 12.4 CPU s"])
    assert not agrees(("a 1.00 USD/h",), ["a 1.01 USD/h"])


def test_every_target_of_make_in_the_readme_exists() -> None:
    targets = set(re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert targets
    assert targets <= known
