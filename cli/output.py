"""Where results go: to the terminal as a table, to a pipe as YAML, to a file whole or not at all."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from specs.base import Document, plain
from specs.errors import InputError
from specs.writing import data_to_yaml, to_yaml, write_atomically

if TYPE_CHECKING:
    from cli.options import Format

TABLE_COLUMNS = 100
OnProgress = Callable[[float, float, str], None]
SHOW_AFTER_S = 2.0


def refuse_overwrite(write: Path | None, force: bool) -> None:
    """Raise `InputError` before any work is done where ``write`` could not be written afterwards."""
    if write is None:
        return
    if write.exists() and not force:
        raise InputError(f"{write}: exists already", cure="Choose another name, or add --force to replace it.")
    if not write.absolute().parent.is_dir():
        raise InputError(f"{write}: there is no folder {write.parent}", cure="Make it first.")


def emit(
    document: Document,
    table: Callable[[], Any],
    *,
    output: Format | None,
    write: Path | None,
    force: bool,
    quiet: bool,
    as_json: Callable[[], Any] | None = None,
) -> None:
    """Write ``document`` to ``write`` as YAML, where given, and show it as asked.

    ``as_json`` gives the data of `-o json` where that differs from the document. With ``write`` and no ``output`` a
    pipe gets nothing, because the file has it.
    """
    if write is not None:
        write_atomically(write, to_yaml(document), force=force)
        say(f"wrote {write}", quiet=quiet)
    if output or write is None or default_form() == "table":
        emit_data(plain(document), table, output=output, as_json=as_json)


def emit_data(
    data: Any, table: Callable[[], Any], *, output: Format | None, as_json: Callable[[], Any] | None = None
) -> None:
    """Show JSON-like ``data`` as asked; ``table`` makes its text (or rich renderable) only when that is wanted."""
    form = output or default_form()
    if form == "table":
        show(table())
    elif form == "json":
        show(json.dumps(as_json() if as_json else data, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        show(data_to_yaml(data).rstrip("\n"))


def default_form() -> Format:
    """Return `table` for a terminal and `yaml` for a pipe."""
    return "table" if sys.stdout.isatty() else "yaml"


def show(result: Any) -> None:
    """Print one result to stdout: text as it is, anything else drawn by rich within 100 columns."""
    if isinstance(result, str):
        typer.echo(result)
    else:
        from rich.console import Console

        width = min(shutil.get_terminal_size((TABLE_COLUMNS, 24)).columns, TABLE_COLUMNS)
        Console(highlight=False, width=width).print(result)
    sys.stdout.flush()


def say(message: str, *, quiet: bool = False) -> None:
    """Print a message about the work to stderr."""
    if not quiet:
        typer.echo(message, err=True)


@contextmanager
def progress(*, quiet: bool) -> Iterator[OnProgress]:
    """Give a callback `(done, total, what)` that draws a bar on stderr once two seconds have passed.

    Draws nothing where ``quiet`` or where stderr is no terminal. Says so where the engine model is compiled first.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda done, total, what: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    _announce_compilation()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("reading", total=None)
    timer = threading.Timer(SHOW_AFTER_S, bar.start)
    timer.start()
    try:
        yield lambda done, total, what: bar.update(task, completed=done, total=total, description=what)
    finally:
        timer.cancel()
        timer.join()
        bar.stop()


def _announce_compilation() -> None:
    from predictors.serving.compiled import cache_folder

    folder = cache_folder()
    if folder is None or not any(folder.rglob("*.nbi")):
        say("compiling the engine model, once after an installation: about ten seconds")
