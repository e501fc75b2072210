"""The call graph: its order, visits per request, and the graphs that are refused."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from predictors.application import read_graph
from specs.application import ApplicationSpec, Call, Entry, Service, cycles
from specs.errors import InputError
from tests.predictors.application.applications import application, service


def test_visits_multiply_along_every_path() -> None:
    calls = (
        Call(caller="a", callee="b", calls_per_request=2.0),
        Call(caller="a", callee="c", calls_per_request=0.5),
        Call(caller="b", callee="d", calls_per_request=3.0),
        Call(caller="c", callee="d"),
    )
    graph = read_graph(application(*map(service, "abcd"), calls=calls, rate_per_s=4.0), scale=2.0)
    assert graph.visits.tolist() == [[1.0, 2.0, 0.5, 6.5]]
    assert graph.load_per_s.tolist() == [8.0, 16.0, 4.0, 52.0]
    place = {int(i): at for at, i in enumerate(graph.order)}
    assert all(place[0] < place[i] for i in (1, 2, 3))
    assert place[3] == 3


def test_entries_add_their_loads() -> None:
    spec = ApplicationSpec(
        services=(service("a"), service("b")),
        calls=(Call(caller="a", callee="b", calls_per_request=2.0),),
        entries=(Entry(service="a", rate_per_s=3.0), Entry(service="b", rate_per_s=5.0)),
    )
    assert read_graph(spec).load_per_s.tolist() == [3.0, 11.0]


def test_calls_are_sorted_by_caller_and_stage() -> None:
    calls = (
        Call(caller="b", callee="c"),
        Call(caller="a", callee="c", stage=2),
        Call(caller="a", callee="b", stage=1, repeats="parallel", asynchronous=True),
    )
    graph = read_graph(application(*map(service, "abc"), calls=calls))
    assert graph.first.tolist() == [0, 2, 3, 3]
    assert graph.callee.tolist() == [1, 2, 2]
    assert graph.stage.tolist() == [1, 2, 0]
    assert graph.side_by_side.tolist() == [True, False, False]
    assert graph.waited.tolist() == [False, True, True]


def refused(spec: ApplicationSpec, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        read_graph(spec)
    assert caught.value.cure
    for word in words:
        assert word in str(caught.value)


def test_a_circle_is_named() -> None:
    calls = (Call(caller="a", callee="b"), Call(caller="b", callee="c"), Call(caller="c", callee="b"))
    refused(application(*map(service, "abc"), calls=calls), "circle: b, c")


def test_a_service_that_calls_itself_is_a_circle() -> None:
    refused(application(service("a"), calls=(Call(caller="a", callee="a"),)), "circle: a")


def test_services_that_no_entry_reaches_are_named() -> None:
    refused(application(service("a"), service("b"), service("c")), "no entry reaches b, c")


def test_no_entry_no_rate_and_no_traffic_are_refused() -> None:
    one = (service("a"),)
    refused(ApplicationSpec(services=one), "spec.entries", "none")
    refused(ApplicationSpec(services=one, entries=(Entry(service="a"),)), "spec.entries[0].rate_per_s", "missing")
    refused(ApplicationSpec(services=one, entries=(Entry(service="a", rate_per_s=0.0),)), "zero traffic")


def test_cycles_of_a_large_graph_are_found() -> None:
    n = 20_000
    calls = tuple(Call.model_construct(caller=f"s{i}", callee=f"s{i + 1}") for i in range(n))
    closed = (*calls, Call.model_construct(caller=f"s{n}", callee=f"s{n - 2}"))
    assert cycles(calls) == ()
    assert cycles(closed) == (tuple(sorted((f"s{n - 2}", f"s{n - 1}", f"s{n}"))),)


def test_names_given_twice_are_refused_in_the_document() -> None:
    with pytest.raises(ValueError, match="given twice: a"):
        ApplicationSpec(services=(Service(name="a"), Service(name="b"), Service(name="a")))


def test_many_paths_count_every_visit() -> None:
    names = [f"s{i}" for i in range(20)]
    calls = tuple(Call(caller=a, callee=b, calls_per_request=2.0) for a, b in pairwise(names))
    visits = read_graph(application(*map(service, names), calls=calls)).visits[0]
    assert np.array_equal(visits, 2.0 ** np.arange(20))
