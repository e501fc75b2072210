"""`tonnage store`: the profiles that were measured, and the plans that rest on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Force, Output, Quiet, Store, Write

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)
DAYS = 90.0
KEEP = 3
Id = Annotated[str, typer.Argument(help="An id, or its first six characters or more.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids, or their first six characters or more.")]


@app.callback()
def store() -> None:
    """Keep profiles, which never change, with the plans that rest on them."""


@app.command("list")
def list_(
    kind: Annotated[str | None, typer.Option(help="Only documents of this kind, such as LayerProfile.")] = None,
    store: Store = None,
    output: Output = None,
) -> None:
    """List profiles, plans with the profiles they rest on, and samples, oldest first.

    Example: tonnage store list --kind LayerProfile
    """
    from cli.output import emit_data
    from profilers.store import listing, open_store
    from renderers.store import store_table
    from specs.base import plain

    found = listing(open_store(store, create=False), kind)
    emit_data(plain(found), lambda: store_table(found), output=output)


@app.command()
def show(
    identity: Id,
    store: Store = None,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Show one profile or plan; the table says what the store knows of it, YAML and JSON are the document.

    Example: tonnage store show 3f0c9b -w profile.yaml
    """
    from cli.output import default_form, emit_data, refuse_overwrite, say
    from profilers.store import entry, load, open_store, plans_on
    from renderers.store import entry_table
    from specs.writing import data_to_yaml, write_atomically

    refuse_overwrite(write, force)
    opened = open_store(store, create=False)
    found, data = load(opened, identity)
    if write is not None:
        write_atomically(write, data_to_yaml(data), force=force)
        say(f"wrote {write}", quiet=quiet)
    if output or write is None or default_form() == "table":
        emit_data(data, lambda: entry_table(entry(opened, found), plans_on(opened, found)), output=output)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(help="The earlier profile: an id or a file.")],
    after: Annotated[str, typer.Argument(help="The later profile: an id or a file.")],
    store: Store = None,
    output: Output = None,
) -> None:
    """Show what differs between two profiles, without a judgement whether it is more than noise.

    Example: tonnage store diff 3f0c9b 81d2aa
    """
    from cli.output import emit_data
    from profilers.store import compare, read_either
    from renderers.store import diff_table
    from specs.base import plain

    found = compare(read_either(before, store), read_either(after, store))
    emit_data(plain(found), lambda: diff_table(found), output=output)


@app.command("export")
def export_(
    folder: Annotated[Path, typer.Argument(help="Folder that gets one YAML file per document.")],
    ids: Ids = None,
    store: Store = None,
    quiet: Quiet = False,
) -> None:
    """Write profiles and plans into a folder, all of them or those that are named.

    Example: tonnage store export backup/
    """
    from cli.output import progress, say
    from profilers.store import export_to, open_store

    with progress(quiet=quiet) as on_progress:
        paths = export_to(open_store(store, create=False), folder, ids or (), on_progress=on_progress)
    say(f"{len(paths)} documents in {folder}", quiet=quiet)


@app.command("import")
def import_(
    paths: Annotated[list[Path], typer.Argument(help="YAML files of profiles and plans, or folders that hold them.")],
    store: Store = None,
    quiet: Quiet = False,
) -> None:
    """Put profiles and plans into the store and print their ids; what is there already stays as it is.

    Example: tonnage store import profile.yaml plan.yaml
    """
    from cli.output import progress, show
    from profilers.store import import_from, open_store

    with progress(quiet=quiet) as on_progress:
        ids = import_from(open_store(store), paths, on_progress=on_progress)
    show("\n".join(ids))


@app.command()
def prune(
    ids: Ids = None,
    days: Annotated[float, typer.Option(min=0, max=36500, help="Without ids: remove profiles older than this.")] = DAYS,
    keep: Annotated[int, typer.Option(min=0, help="Without ids: keep so many newest of the same subject.")] = KEEP,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    store: Store = None,
    output: Output = None,
) -> None:
    """Remove the documents that are named, or old profiles; a profile that a plan rests on stays.

    Example: tonnage store prune --days 90 --keep 3 --dry-run
    """
    from cli.output import emit_data
    from profilers.store import open_store, remove
    from profilers.store import prune as prune_old
    from renderers.store import pruned_text
    from specs.base import plain

    opened = open_store(store, create=False)
    found = remove(opened, ids, dry_run) if ids else prune_old(opened, days, keep, dry_run)
    emit_data(plain(found), lambda: pruned_text(found), output=output)
