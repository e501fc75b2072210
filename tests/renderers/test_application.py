"""The table of an application fits its width, puts latency first and says what it leaves out."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from predictors.application.estimate import estimate_application
from renderers.application import MOST_SERVICES, application_table
from specs.application import Call
from specs.base import Metadata
from tests.predictors.application.applications import application, service


def shown(width: int, services: int = 3) -> list[str]:
    names = [f"a-service-with-a-long-name-{i}" for i in range(services)]
    calls = tuple(Call(caller=names[0], callee=name) for name in names[1:])
    spec = application(*map(service, names), calls=calls)
    found = estimate_application(Metadata(name="shop"), spec, {}, requests=2_000)
    console = Console(width=width, file=StringIO())
    console.print(application_table(found))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 100])
def test_it_fits_and_keeps_its_figures(width: int) -> None:
    lines = shown(width)
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("shop: 10 requests per second, 3 services")
    text = "\n".join(lines)
    assert lines[3].count("ms") + lines[3].count(" s") >= 6
    assert "…" not in "".join(line[21:] for line in lines)
    assert "bottleneck" in text
    assert "10%" in text


def test_the_least_used_services_are_counted_not_listed() -> None:
    text = "\n".join(shown(100, MOST_SERVICES + 5))
    assert "and 5 less used services" in text
