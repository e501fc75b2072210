"""`tonnage schedule`: the entry, unit or job that measures again every night."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Store

if TYPE_CHECKING:
    from specs.schedule import Schedule

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

Profile = Annotated[str, typer.Option(help="What is measured again: a profile's id or file, or `host`.")]
At = Annotated[str, typer.Option(metavar="HH:MM", help="Time of day, where the job runs.")]
Budget = Annotated[str, typer.Option(help="How long noisy figures are measured again: 90s, 10m, 1h.")]
Timeout = Annotated[str, typer.Option(help="When the job is ended, whatever it does.")]
Textfile = Annotated[str, typer.Option(metavar="FILE", help="Where the tonnage_profile_* gauges go.")]
Program = Annotated[str, typer.Option(help="The command where the job runs, with its path if need be.")]

AT = "03:17"
BUDGET = "10m"
TIMEOUT = "30m"
TEXTFILE = "/var/lib/node_exporter/tonnage.prom"


@app.callback()
def schedule() -> None:
    """Print what measures again every night and leaves with 5 on drift; nothing is installed."""


@app.command()
def crontab(
    profile: Profile = "host",
    at: At = AT,
    budget: Budget = BUDGET,
    timeout: Timeout = TIMEOUT,
    textfile: Textfile = TEXTFILE,
    program: Program = "tonnage",
    store: Store = None,
) -> None:
    """Print an entry for a crontab, with a lock and a time limit.

    Example: tonnage schedule crontab --at 03:17
    """
    from cli.output import show
    from renderers.schedule.crontab import crontab_entry

    show(crontab_entry(_nightly(profile, at, budget, timeout, textfile, program, store)))


@app.command()
def systemd(
    profile: Profile = "host",
    at: At = AT,
    budget: Budget = BUDGET,
    timeout: Timeout = TIMEOUT,
    textfile: Textfile = TEXTFILE,
    program: Program = "/usr/local/bin/tonnage",
    store: Store = None,
    write: Annotated[
        Path | None, typer.Option("-w", "--write", metavar="FOLDER", help="Write both files there instead.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Let -w replace files that exist.")] = False,
) -> None:
    """Print a service and the timer that starts it, one after the other.

    Example: tonnage schedule systemd -w /etc/systemd/system
    """
    from cli.output import refuse_overwrite, say, show
    from renderers.schedule.systemd import systemd_service, systemd_timer
    from specs.writing import write_atomically

    found = _nightly(profile, at, budget, timeout, textfile, program, store)
    units = {f"{found.name}.service": systemd_service(found), f"{found.name}.timer": systemd_timer(found)}
    if write is None:
        show("\n".join(units.values()).rstrip("\n"))
        return
    for name in units:
        refuse_overwrite(write / name, force)
    for name, text in units.items():
        write_atomically(write / name, text, force=force)
        say(f"wrote {write / name}")


@app.command()
def kubernetes(
    image: Annotated[str, typer.Option(help="Container image that holds tonnage.")],
    node: Annotated[str, typer.Option(help="Name of the node that is measured.")],
    profile: Profile = "host",
    at: At = AT,
    budget: Budget = BUDGET,
    timeout: Timeout = TIMEOUT,
    textfile: Textfile = TEXTFILE,
    program: Program = "tonnage",
    store: Store = None,
) -> None:
    """Print a CronJob that measures one node.

    Example: tonnage schedule kubernetes --image registry.example/tonnage:0.1 --node gpu-1 | kubectl apply -f -
    """
    from cli.output import show
    from renderers.schedule.kubernetes import cron_job
    from specs.writing import data_to_yaml

    found = _nightly(profile, at, budget, timeout, textfile, program, store)
    show(data_to_yaml(cron_job(found, image=image, node=node)).rstrip("\n"))


def _nightly(
    profile: str, at: str, budget: str, timeout: str, textfile: str, program: str, store: str | None
) -> Schedule:
    from specs.durations import seconds
    from specs.errors import InputError
    from specs.schedule import nightly

    budget_s, timeout_s = seconds(budget, "--budget"), seconds(timeout, "--timeout")
    if timeout_s < budget_s + 60:
        cure = "Leave at least a minute for the last measurement."
        raise InputError(f"--timeout: {timeout} ends the job before its budget of {budget} is spent", cure=cure)
    return nightly(profile, at=at, budget=budget, timeout_s=timeout_s, textfile=textfile, store=store, program=program)
