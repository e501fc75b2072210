"""The command `tonnage`: its verbs, loaded when they are called, and the one door at which errors become messages."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from specs.errors import TonnageError

# Each verb is the module of that name in this room; the text is its line in `tonnage --help`.
VERBS: dict[str, str] = {
    "init": "Write starter documents with a comment on every field.",
    "plan": "Choose the cheapest decision that keeps the SLO: GPUs, services, nodes.",
    "predict": "Say what would happen: memory, latency, load, interference.",
    "check": "Hold a prediction against what was measured.",
    "explain": "Tell a plan in sentences, with the arithmetic.",
    "export": "Turn a plan into engine commands, manifests, or a page to look at.",
    "profile": "Turn measurements into a profile that predictions can rest on.",
    "schedule": "Print the crontab entry, unit or job that looks for drift every night.",
    "store": "Keep profiles, and the plans that rest on them.",
    "catalog": "Show the devices and models that are known, each figure with its source.",
}

INTERRUPTION = "interrupted, nothing was written"
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
PIPE_CLOSED = 141  # 128 + SIGPIPE
DEFECT = """error: this is a defect of tonnage, not of your input: {name}: {error}
  Please report it with the command you ran, `tonnage --version` and the lines that TONNAGE_TRACEBACK=1 adds."""


def load(verb: str) -> Any:
    """Import the module of ``verb`` and return its command."""
    return typer.main.get_command(importlib.import_module(f"cli.{verb}").app)


class _Verbs(TyperGroup):
    """The verbs as stubs that carry their help line; the one that is called is imported then."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands.update({name: TyperCommand(name, help=summary) for name, summary in VERBS.items()})

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Replace the stub of the verb that was found by its command."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name and command else command, rest

    def invoke(self, ctx: Any) -> Any:
        """Run a verb; what a user can cause ends here as one message and an exit code."""
        return at_the_door(lambda: TyperGroup.invoke(self, ctx))


def at_the_door(call: Callable[[], Any]) -> Any:
    """Return what ``call`` returns; turn a user's error, Ctrl-C and a closed pipe into a message and an exit code."""
    try:
        return call()
    except KeyboardInterrupt:
        typer.echo(INTERRUPTION, err=True)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(PIPE_CLOSED) from None
    except _tonnage_error() as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None


def _tonnage_error() -> type[TonnageError]:
    from specs.errors import TonnageError

    return TonnageError


app = typer.Typer(
    cls=_Verbs,
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 100},
)


def _version(asked: bool) -> None:
    if asked:
        from tonnage import __version__

        typer.echo(f"tonnage {__version__}")
        raise typer.Exit


@app.callback()
def tonnage(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Answer an operator's questions before money is spent, and after reality has answered.

    Start with: tonnage init serving && tonnage plan serving workload.yaml --cluster cluster.yaml

    Exit codes: 0 done, 2 the input is wrong, 3 infeasible, 4 hardware or data is missing, 5 drift, 6 a check was
    violated, 1 a defect of ours, 130 interrupted.
    """


def run() -> None:
    """Run the command line and leave the process with its exit code."""
    sys.excepthook = report_defect
    typer.main.get_command(app)(prog_name="tonnage")


def report_defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say how to report an error that is ours; the traceback is shown only on request."""
    if kind is KeyboardInterrupt:  # before the door was reached
        print(INTERRUPTION, file=sys.stderr)  # noqa: T201
        return
    print(DEFECT.format(name=kind.__name__, error=error), file=sys.stderr)  # noqa: T201
    if os.environ.get("TONNAGE_TRACEBACK"):
        sys.__excepthook__(kind, error, trace)
