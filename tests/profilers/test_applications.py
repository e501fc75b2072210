"""An application and its profiles are read from one file, from several, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from profilers.applications import read_application
from specs.application import Application, ServiceProfile, ServiceProfileSpec
from specs.base import Metadata
from specs.errors import InputError
from specs.writing import to_yaml
from tests.predictors.application.applications import application, service


def document(*names: str, **fields: str) -> str:
    services = [service(name).model_copy(update=fields) for name in names]
    return to_yaml(Application(metadata=Metadata(name="app"), spec=application(*services)))


def profiled(name: str, sources: tuple[str, ...] = ()) -> str:
    spec = ServiceProfileSpec(service=name, sources=sources)
    return to_yaml(ServiceProfile(metadata=Metadata(name=name), spec=spec))


def test_profiles_in_the_same_file_go_to_their_services(tmp_path: Path) -> None:
    path = tmp_path / "app.yaml"
    path.write_text("---\n".join([document("a", "b"), profiled("b"), profiled("elsewhere")]))
    found, profiles = read_application(path)
    assert [one.name for one in found.spec.services] == ["a", "b"]
    assert list(profiles) == ["b"]


def test_a_named_profile_goes_before_the_one_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "app.yaml"
    path.write_text("---\n".join([document("a", profile="there.yaml"), profiled("a", ("here",))]))
    (tmp_path / "there.yaml").write_text(profiled("a", ("there",)))
    assert read_application(path)[1]["a"].sources == ("there",)


def test_a_missing_profile_two_profiles_and_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "app.yaml"
    path.write_text(document("a", profile="there.yaml"))
    with pytest.raises(InputError, match=r"there\.yaml: no such file"):
        read_application(path)
    path.write_text("---\n".join([document("a"), profiled("a"), profiled("a")]))
    with pytest.raises(InputError, match="two profiles of service a"):
        read_application(path)
    path.write_text(profiled("a"))
    with pytest.raises(InputError, match="expected Application"):
        read_application(path)


def test_a_million_edges_are_refused_with_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "app.yaml"
    path.write_text(document("a") + "  calls:\n" + "    - {caller: service-12345, callee: service-23456}\n" * 1_000_000)
    with pytest.raises(InputError, match="1,000,000 calls; at most 100,000"):
        read_application(path)


def test_too_many_services_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "app.yaml"
    path.write_text("spec: [" + "{name: a}, " * 60_000 + "]")
    with pytest.raises(InputError, match="at most 50,000 services"):
        read_application(path)


@pytest.mark.slow
def test_as_many_calls_as_are_allowed_are_read(tmp_path: Path) -> None:
    path = tmp_path / "app.yaml"
    lines = "".join(f"    - {{caller: a, callee: b, stage: {i % 7}}}\n" for i in range(100_000))
    whole = document("a", "b")
    assert "  calls: []\n" in whole
    path.write_text(whole.replace("  calls: []\n", f"  calls:\n{lines}"))
    assert len(read_application(path)[0].spec.calls) == 100_000
