"""`tonnage profile services` writes an application and its profiles, and says why where it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from benchmarks.prometheus_stub import Stub, serving
from profilers.history import read_history_file
from specs.application import Application, ServiceProfile
from specs.reading import read_document
from tests.cli.conftest import Tonnage
from tests.profilers.services.test_profile import traces


@pytest.fixture(autouse=True)
def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONNAGE_STORE", str(folder / "store.db"))


def test_an_application_and_its_profiles_are_written_and_stored(tonnage: Tonnage, folder: Path) -> None:
    result = tonnage("profile", "services", "--traces", str(traces(folder)), "-w", "app.yaml")
    assert result.exit_code == 0
    application = read_document(folder / "app.yaml", Application)
    assert [one.profile for one in application.spec.services] == ["app-services/cart.yaml", "app-services/front.yaml"]
    assert read_document(folder / "app-services/cart.yaml", ServiceProfile).spec.service == "cart"
    assert tonnage("store", "list", "-o", "json").stdout.count("ServiceProfile") == 2
    again = tonnage("profile", "services", "--traces", "traces.json", "-w", "app.yaml")
    assert again.exit_code == 2
    assert "exists already" in again.stderr
    assert tonnage("profile", "services", "--traces", "traces.json", "-w", "app.yaml", "--force").exit_code == 0


def test_a_pipe_gets_every_document(tonnage: Tonnage, folder: Path) -> None:
    shown = tonnage("profile", "services", "--traces", str(traces(folder)))
    assert [one["kind"] for one in yaml.safe_load_all(shown.stdout)] == [
        "Application",
        "ServiceProfile",
        "ServiceProfile",
    ]
    table = tonnage("profile", "services", "--traces", "traces.json", "-o", "table")
    assert "entered at front GET /" in table.stdout


def test_a_history_is_read_and_kept(tonnage: Tonnage, folder: Path) -> None:
    with serving(Stub(workloads=3, histogram=True)) as url:
        arguments = ("--prometheus", url, "--range", "2h", "--step", "1m", "--exclude", "w002")
        result = tonnage("profile", "services", *arguments, "--history", "h.yaml", "-o", "table")
    assert result.exit_code == 0
    recorded = read_history_file(folder / "h.yaml")
    assert {one.workload for one in recorded.series} == {"w000", "w001"}
    assert len(recorded.time_s) == 121
    assert "w001" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [((), 2, "nothing to profile"), (("--prometheus", "http://127.0.0.1:9"), 4, "no connection"),
     (("--prometheus", "x"), 2, "not the URL"), (("--prometheus", "http://h", "--range", "soon"), 2, "length of time"),
     (("--prometheus", "http://h", "--export", "trace.csv"), 2, "both give"),
     (("--traces", "no.json", "--history", "h.yaml"), 2, "no history"), (("--traces", "no.json"), 2, "no such file"),
     (("--load-test", "trace.csv"), 2, "not a known load test")],
)  # fmt: skip
def test_what_cannot_be_done_is_told(tonnage: Tonnage, arguments: tuple[str, ...], code: int, why: str) -> None:
    result = tonnage("profile", "services", *arguments)
    assert (result.exit_code, why in result.stderr) == (code, True), result.stderr
