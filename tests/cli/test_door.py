"""What leaves the process: exit codes, clean streams, whole files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from cli.main import at_the_door, report_defect
from cli.output import emit_data, progress, say, show
from specs.errors import DriftError, InfeasibleError, InputError, MissingHardwareError, TonnageError, ViolatedError

ROOT = Path(__file__).resolve().parents[2]
Tonnage = Callable[..., Result]


def start(*arguments: str, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (sys.executable, "-m", "tonnage", *arguments), cwd=cwd, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "code"),
    [(InputError, 2), (InfeasibleError, 3), (MissingHardwareError, 4), (DriftError, 5), (ViolatedError, 6)],
)
def test_each_error_has_its_exit_code(kind: type[TonnageError], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise kind("it broke", cure="Mend it.")

    with pytest.raises(typer.Exit) as caught:
        at_the_door(fail)
    assert caught.value.exit_code == code
    assert capsys.readouterr().err == "error: it broke\n  Mend it.\n"


def test_an_interrupt_says_that_nothing_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as caught:
        at_the_door(interrupt)
    assert caught.value.exit_code == 130
    assert capsys.readouterr().err == "interrupted, nothing was written\n"


def test_a_defect_says_how_to_report_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TONNAGE_TRACEBACK", raising=False)
    report_defect(ZeroDivisionError, ZeroDivisionError("by zero"), None)
    shown = capsys.readouterr().err
    assert "a defect of tonnage, not of your input: ZeroDivisionError: by zero" in shown
    assert "Please report it" in shown
    assert "Traceback" not in shown


def test_ctrl_c_during_work_leaves_with_130_and_no_file(folder: Path) -> None:
    os.mkfifo(folder / "slow.yaml")  # reading it waits for ever
    process = start("predict", "memory", "slow.yaml", "-w", "out.yaml", cwd=folder)
    holder = os.open(folder / "slow.yaml", os.O_WRONLY)  # returns when the command has opened it to read
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    os.close(holder)
    assert (process.returncode, output, errors) == (130, "", "interrupted, nothing was written\n")
    assert not (folder / "out.yaml").exists()


def test_a_closed_pipe_is_quiet(folder: Path) -> None:
    process = start("catalog", "models", "-o", "json", cwd=folder)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.wait(timeout=60)
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.returncode == 141


def test_a_pipe_gets_yaml_and_asked_for_json_is_json(tonnage: Tonnage) -> None:
    assert yaml.safe_load(tonnage("catalog", "devices", "l4").stdout)["name"] == "l4"
    assert json.loads(tonnage("catalog", "devices", "l4", "-o", "json").stdout)["name"] == "l4"
    assert len(json.loads(tonnage("catalog", "models", "-o", "json").stdout)) >= 30


def test_the_form_comes_from_flag_then_variable(folder: Path) -> None:
    from cli.main import app

    runner, environment = CliRunner(), {"TONNAGE_OUTPUT": "json"}
    by_variable = runner.invoke(app, ["catalog", "devices", "l4"], env=environment)
    by_flag = runner.invoke(app, ["catalog", "devices", "l4", "-o", "yaml"], env=environment)
    assert by_variable.stdout.startswith("{")
    assert by_flag.stdout.startswith("name: l4")


def test_what_is_written_is_not_printed_into_a_pipe_again(tonnage: Tonnage) -> None:
    result = tonnage("predict", "memory", "deployment.yaml", "-w", "memory.yaml")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "wrote memory.yaml\n")
    assert yaml.safe_load(Path("memory.yaml").read_text())["kind"] == "MemoryEstimate"
    assert tonnage("predict", "memory", "deployment.yaml", "-w", "memory.yaml", "--force", "-q").output == ""


def test_tables_have_no_colour_codes_in_a_pipe_and_fit_100_columns(tonnage: Tonnage) -> None:
    for arguments in (("catalog", "devices"), ("catalog", "models"), ("predict", "memory", "deployment.yaml")):
        shown = tonnage(*arguments, "-o", "table").stdout
        assert "\x1b" not in shown
        assert max(map(len, shown.splitlines())) <= 100


def test_data_that_json_cannot_hold_is_never_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        emit_data({"value": float("nan")}, str, output="json")
    assert capsys.readouterr().out == ""


def test_messages_go_to_stderr_and_results_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    say("working")
    say("silent", quiet=True)
    show("result")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("result\n", "working\n")


def test_progress_draws_nothing_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(quiet=False) as on_progress:
        on_progress(1, 2, "half way")
    assert capsys.readouterr() == ("", "")


def test_starter_documents_carry_a_comment_on_every_field(tonnage: Tonnage) -> None:
    tonnage("init", "serving", "new/folder")
    for name in ("workload.yaml", "cluster.yaml"):
        lines = Path("new/folder", name).read_text().splitlines()
        fields = [line for line in lines if ":" in line and not line.lstrip().startswith("#")]
        assert [line for line in fields if "#" not in line] == []
