"""The tables of services show what is known, leave out what is not, and fit a terminal."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from renderers.services import services_table
from specs.application import (
    Application,
    ApplicationSpec,
    Call,
    Entry,
    LatencyCurveSpec,
    Service,
    ServiceProfile,
    ServiceProfileSpec,
    Usage,
)  # fmt: skip
from specs.base import Metadata


def text_of(notes: tuple[str, ...] = ()) -> str:
    usage = Usage(mean=1.25, p50=1, p95=2, p99=2, high=2, samples=9)
    curve = LatencyCurveSpec(
        quantity="p95", form="mgc", parameters={"base_s": 0.0}, low_per_s=10, high_per_s=90, loads=7, error=0.084
    )
    spec = ServiceProfileSpec(service="cart", cpu_cores=usage, curves=(curve,), self_time_s={"mean": 0.0123})
    profiles = {"cart": spec, "front": ServiceProfileSpec(service="front", missing=("p95 against load: one load",))}
    application = ApplicationSpec(
        services=tuple(Service(name=name) for name in profiles), notes=notes,
        calls=(Call(caller="front", callee="cart", calls_per_request=1.5, repeats="parallel"),),
        entries=(Entry(service="front", operation="GET /"),),
    )  # fmt: skip
    out = Console(file=StringIO(), width=100)
    documents = {name: ServiceProfile(metadata=Metadata(name=name), spec=one) for name, one in profiles.items()}
    out.print(services_table(Application(metadata=Metadata(name="shop"), spec=application), documents))
    assert isinstance(out.file, StringIO)
    return out.file.getvalue()


def test_what_is_known_is_shown_with_its_error() -> None:
    text = text_of()
    assert "shop: 2 services, 1 calls" in text
    assert "entered at front GET /" in text
    assert "1.25" in text
    assert "12.3" in text
    assert "mgc 10–90/s, error 8 %" in text
    assert "side by side" in text
    assert "front: p95 against load: one load" in text


def test_columns_of_which_nothing_is_known_are_left_out() -> None:
    text = text_of()
    assert "replicas" not in text
    assert "GiB" not in text
    assert "CPU cores" in text


def test_many_notes_are_cut_and_counted() -> None:
    text = text_of(tuple(f"note {number}" for number in range(30)))
    assert "note 7" in text
    assert "note 8" not in text
    assert "and 23 more notes" in text
