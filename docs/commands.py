"""The page of commands, from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cli.main import VERBS, load

HEAD = """# Commands

Results go to stdout, messages and progress to stderr. `-o table|yaml|json` chooses the form of a result; to a terminal
it is a table, to a pipe YAML.

Exit codes: 0 done, 2 the input is wrong, 3 infeasible, 4 hardware or data is missing (or the plan abstains), 5 drift,
6 a check was violated, 1 a defect of ours, 130 interrupted.

`tonnage --install-completion` installs completion for your shell. `NO_COLOR` and `--quiet` are respected.
`TONNAGE_TRACEBACK=1` adds the traceback to the report of a defect.
"""


def commands_page() -> str:
    """Return the page: one section per command with its help, arguments and options."""
    sections = [_section(path, command) for verb in VERBS for path, command in leaves(load(verb), (verb,))]
    return "\n".join([HEAD, *sections])


def leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each command below ``command`` with the words that call it."""
    if hasattr(command, "commands"):
        for name, below in command.commands.items():
            yield from leaves(below, (*path, name))
    else:
        yield path, command


def _section(path: tuple[str, ...], command: Any) -> str:
    rows = [_row(parameter) for parameter in command.params]
    table = ["| | what | default | variable |", "|---|---|---|---|", *rows] if rows else []
    return "\n".join([f"## tonnage {' '.join(path)}", "", _help(command.help), "", *table, ""])


def _help(text: str) -> str:
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    return "\n\n".join(_example(p) if p.startswith("Example: ") else p for p in paragraphs)


def _example(paragraph: str) -> str:
    return f"```sh\n{paragraph.removeprefix('Example: ')}\n```"


def _row(parameter: Any) -> str:
    is_option = str(parameter.opts[0]).startswith("-")
    name = ", ".join(f"`{opt}`" for opt in parameter.opts) if is_option else f"`{parameter.name.upper()}`"
    variable = f"`{parameter.envvar}`" if parameter.envvar else ""
    return f"| {name} | {_choices(parameter)}{parameter.help or ''} | {_default(parameter)} | {variable} |"


def _choices(parameter: Any) -> str:
    values = getattr(getattr(parameter, "type", None), "choices", None)
    return " \\| ".join(map(str, values)) + ". " if values else ""


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    return "" if default is None or default is False or default in ((), []) else f"`{default}`"
