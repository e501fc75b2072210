"""Every command explains itself, with an example that is its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cli.main import VERBS, load


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if hasattr(command, "commands"):
        for name, below in command.commands.items():
            yield from commands(below, (*path, name))
    else:
        yield path, command


ALL = [entry for verb in VERBS for entry in commands(load(verb), (verb,))]


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_a_command_shows_an_example_of_itself(path: tuple[str, ...], command: Any) -> None:
    assert f"Example: tonnage {' '.join(path)}" in " ".join(command.help.split())


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_every_option_says_what_it_does(path: tuple[str, ...], command: Any) -> None:
    assert [parameter.name for parameter in command.params if not getattr(parameter, "help", None)] == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_fits_one_line_of_help(verb: str) -> None:
    assert len(VERBS[verb]) <= 80
    assert VERBS[verb].endswith(".")
