"""What `tonnage profile services` reads and writes: a history in, an application and the profiles beside it out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.output import default_form, emit_data, refuse_overwrite, say, show
from specs.base import plain
from specs.errors import InputError
from specs.writing import make_folder, to_yaml, write_atomically

if TYPE_CHECKING:
    from cli.options import Format
    from cli.output import OnProgress
    from profilers.prometheus.discovery import Selection
    from profilers.services.profile import Services
    from specs.history import Recorded
    from specs.usage import Usage

FOLDER = "-services"  # of the profiles, beside the application's file and named after it


def profiles_folder(write: Path | None) -> str:
    """Return the folder of the profiles, relative to the application's file."""
    return f"{write.stem if write else 'application'}{FOLDER}"


def refuse_overwrites(write: Path | None, history: Path | None, force: bool, *, watched: bool) -> None:
    """Raise `InputError` before any work is done where a file of the result is there already.

    Or where a ``history`` is to be written but none is read (``watched``).
    """
    refuse_overwrite(write, force)
    refuse_overwrite(history, force)
    if history and not watched:
        raise InputError("--history: there is no history to write", cure="Give --prometheus URL or --export FILE.")
    folder = write.parent / profiles_folder(write) if write else None
    if folder and folder.exists() and not force:
        raise InputError(
            f"{folder}: exists already", cure="Choose another name, or add --force to replace files in it."
        )


def refuse_source(prometheus: str | None, export: list[Path], spans: tuple[str, str]) -> None:
    """Raise, before anything heavy is loaded, `InputError` for a source that cannot be asked as given.

    And `MissingHardwareError` where nothing answers at ``prometheus``.
    """
    if prometheus and export:
        raise InputError("--prometheus and --export both give a history", cure="Leave one of them out.")
    if prometheus:
        from profilers.prometheus.client import refuse_absent
        from profilers.prometheus.durations import seconds

        seconds(spans[0], "--range")
        seconds(spans[1], "--step")
        refuse_absent(prometheus)


def read_recorded(
    prometheus: str | None, export: list[Path], selection: Selection, spans: tuple[str, str], on_progress: OnProgress
) -> Recorded | None:
    """Return the history at ``prometheus`` or in ``export``; ``spans``: the length and the step, as given."""
    if export:
        from profilers.importers.prometheus_export import read_export

        return read_export(export, selection)
    if not prometheus:
        return None
    from profilers.prometheus.client import endpoint
    from profilers.prometheus.durations import seconds
    from profilers.prometheus.history import read_history

    duration_s, step_s = seconds(spans[0], "--range"), seconds(spans[1], "--step")
    server, now_s = endpoint(prometheus), time.time()
    return read_history(server, selection, end_s=now_s, duration_s=duration_s, step_s=step_s, on_progress=on_progress)


def usage_from(
    history: Path | None,
    prometheus: str | None,
    store: str | None,
    selection: Selection,
    spans: tuple[str, str],
    on_progress: OnProgress,
) -> Usage:
    """Return what containers used: from a file, from Prometheus (kept in ``store`` too, where given), or from it alone.

    Raises `InputError` where none or two of file and server are given.
    """
    if history and prometheus:
        raise InputError("a history and --prometheus both say what containers used", cure="Leave one of them out.")
    if history:
        from profilers.usage import read_usage

        return read_usage(history)
    if prometheus:
        return _asked(prometheus, store, selection, spans, on_progress)
    if store:
        from profilers.usage_store import stored_usage

        return stored_usage(store)
    raise InputError("nothing says what containers used", cure="Give a table, --prometheus URL or --store URL.")


def _asked(url: str, store: str | None, selection: Selection, spans: tuple[str, str], on_progress: OnProgress) -> Usage:
    from profilers.prometheus.client import endpoint
    from profilers.prometheus.containers import read_containers
    from profilers.prometheus.durations import seconds
    from profilers.usage_store import keep_usage

    usage = read_containers(
        endpoint(url), selection, end_s=time.time(), duration_s=seconds(spans[0], "--range"),
        step_s=seconds(spans[1], "--step"), on_progress=on_progress,
    )  # fmt: skip
    if store:
        keep_usage(store, usage)
    return usage


def write_services(found: Services, write: Path | None, *, force: bool, quiet: bool) -> None:
    """Write the profiles, then the application that refers to them."""
    if write is None:
        return
    for path, profile in found.profiles.items():
        make_folder((write.parent / path).parent)
        write_atomically(write.parent / path, to_yaml(profile), force=force)
    write_atomically(write, to_yaml(found.application), force=force)
    say(f"wrote {write} and {len(found.profiles)} profiles in {write.parent / profiles_folder(write)}", quiet=quiet)


def show_services(found: Services, table: Callable[[], Any], *, output: Format | None, write: Path | None) -> None:
    """Show the application and the profiles as asked; with ``write`` and no ``output`` a pipe gets nothing."""
    form = output or default_form()
    if write is not None and output is None and form != "table":
        return
    documents = (found.application, *found.profiles.values())
    if form == "yaml":
        show("---\n".join(to_yaml(document) for document in documents).rstrip("\n"))
    else:
        emit_data([plain(document) for document in documents], table, output=form)
