"""The call graph that traces tell: the real social network's, and small ones with faults whose graph is known."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profilers.importers.spans import Span, read_spans
from profilers.services.graph import Graph, call_graph
from profilers.services.visits import cut_visits
from specs.errors import InputError

SOCIAL = {
    ("nginx-web-server", "compose-post-service"), ("compose-post-service", "text-service"),
    ("compose-post-service", "media-service"), ("compose-post-service", "unique-id-service"),
    ("compose-post-service", "user-service"), ("compose-post-service", "post-storage-service"),
    ("compose-post-service", "user-timeline-service"), ("compose-post-service", "home-timeline-service"),
    ("home-timeline-service", "social-graph-service"), ("text-service", "url-shorten-service"),
    ("text-service", "user-mention-service"),
}  # fmt: skip
"""Who calls whom when a post is composed (DeathStarBench, socialNetwork: ComposePostHandler.h, TextHandler.h)."""


def span(identity: str, parent: str | None, service: str, start: float, end: float, **more: object) -> Span:
    fields = {"trace": "t", "operation": "op", "start_us": start, "duration_us": end - start, **more}
    return Span(identity=identity, parent=parent, service=service, **fields)  # type: ignore[arg-type]


def graph_of(*spans: Span) -> Graph:
    return call_graph(cut_visits(spans))


def stages(graph: Graph, caller: str) -> dict[str, int]:
    return {call.callee: call.stage for call in graph.calls if call.caller == caller}


def test_twenty_traces_give_the_social_network(reference_data: Callable[[str], Path]) -> None:
    path = reference_data("microservices/dsb_socialnetwork_jaeger_raw.json.gz")
    graph = call_graph(cut_visits(read_spans([path]).spans))
    assert {(call.caller, call.callee) for call in graph.calls} == SOCIAL
    assert {call.calls_per_request for call in graph.calls} == {1.0}
    assert [entry.service for entry in graph.entries] == ["nginx-web-server"]
    composed = stages(graph, "compose-post-service")
    first = {"text-service", "media-service", "unique-id-service", "user-service"}
    assert {callee for callee, stage in composed.items() if stage == 0} == first
    assert composed["post-storage-service"] < composed["user-timeline-service"] < composed["home-timeline-service"]
    assert set(stages(graph, "text-service").values()) == {0}
    assert (graph.traces, graph.notes) == (20, ())


def test_self_times_and_waits_add_up_to_the_latency_of_a_sequential_request() -> None:
    graph = graph_of(
        span("a", None, "front", 0, 100), span("b", "a", "cart", 10, 40), span("c", "a", "stock", 50, 90),
        span("d", "c", "db", 60, 80),
    )  # fmt: skip
    assert stages(graph, "front") == {"cart": 0, "stock": 1}
    assert {name: round(seen.self_s["mean"] * 1e6) for name, seen in graph.services.items()} == {
        "front": 30, "cart": 30, "stock": 20, "db": 20,
    }  # fmt: skip


def test_calls_side_by_side_share_a_stage_and_are_waited_for_once() -> None:
    graph = graph_of(
        span("a", None, "front", 0, 100), span("b", "a", "cart", 10, 60), span("c", "a", "stock", 20, 80),
        span("d", "a", "stock", 15, 70),
    )  # fmt: skip
    assert stages(graph, "front") == {"cart": 0, "stock": 0}
    (stock,) = [call for call in graph.calls if call.callee == "stock"]
    assert (stock.calls_per_request, stock.repeats) == (2.0, "parallel")
    assert graph.services["front"].self_s["mean"] == pytest.approx(30e-6)


def test_a_call_that_outlives_its_caller_is_not_waited_for() -> None:
    graph = graph_of(span("a", None, "front", 0, 50), span("b", "a", "mail", 40, 90, follows=True))
    (call,) = graph.calls
    assert call.asynchronous
    assert graph.services["front"].self_s["mean"] == pytest.approx(50e-6)


def test_a_client_span_without_a_server_names_its_peer() -> None:
    graph = graph_of(span("a", None, "cart", 0, 50), span("b", "a", "cart", 10, 30, kind="client", peer="redis"))
    assert [(call.caller, call.callee) for call in graph.calls] == [("cart", "redis")]
    assert graph.services["cart"].self_s["mean"] == pytest.approx(30e-6)


def test_services_in_a_circle_and_spans_in_a_circle_are_named() -> None:
    graph = graph_of(
        span("a", None, "front", 0, 100), span("b", "a", "cart", 10, 90), span("c", "b", "front", 20, 80),
        span("x", "y", "lost", 0, 1), span("y", "x", "lost", 0, 1),
    )  # fmt: skip
    assert any("in a circle: cart, front" in note for note in graph.notes)
    assert any("their own ancestors" in note for note in graph.notes)
    assert "lost" not in graph.services


def test_spans_given_twice_or_without_their_caller_are_named() -> None:
    one = span("a", None, "front", 0, 100)
    graph = graph_of(one, one, span("b", "gone", "cart", 10, 20))
    assert graph.services["front"].visits == 1
    assert len([note for note in graph.notes if "twice" in note or "without their caller" in note]) == 2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5), st.integers(0, 99), st.integers(0, 99)), max_size=30))
def test_any_heap_of_spans_ends_in_a_graph(rows: list[tuple[int, int, int, int]]) -> None:
    spans = [
        span(str(at), str(parent) if parent != at and parent < 25 else None, f"s{service}", start, start + length)
        for at, (parent, service, start, length) in enumerate(rows)
    ]
    graph = graph_of(*spans)
    for seen in graph.services.values():
        assert 0.0 <= seen.self_s["mean"] <= seen.latency_s.get("mean", 0.0) + 1e-12


JAEGER = {
    "data": [
        {
            "traceID": "t",
            "processes": {"p1": {"serviceName": "front"}, "p2": {"serviceName": "cart"}},
            "spans": [
                {"traceID": "t", "spanID": "a", "operationName": "GET /", "references": [], "startTime": 0,
                 "duration": 100, "processID": "p1", "tags": []},
                {"traceID": "t", "spanID": "b", "operationName": "get", "startTime": 10, "duration": 50,
                 "references": [{"refType": "CHILD_OF", "traceID": "t", "spanID": "a"}], "processID": "p2", "tags": []},
            ],
        }
    ]
}  # fmt: skip
ZIPKIN = [
    [
        {"traceId": "t", "id": "a", "name": "GET /", "kind": "SERVER", "timestamp": 1, "duration": 100,
         "localEndpoint": {"serviceName": "front"}},
        {"traceId": "t", "id": "b", "parentId": "a", "kind": "CLIENT", "timestamp": 11, "duration": 50,
         "localEndpoint": {"serviceName": "front"}},
        {"traceId": "t", "id": "b", "parentId": "a", "kind": "SERVER", "timestamp": 13, "duration": 46, "shared": True,
         "localEndpoint": {"serviceName": "cart"}},
    ]
]  # fmt: skip


def otlp(service: str, *spans: dict[str, object]) -> dict[str, object]:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}


FRONT = otlp("front", {"traceId": "t", "spanId": "a", "name": "GET /", "kind": 2, "startTimeUnixNano": "1000",
                       "endTimeUnixNano": "101000"})  # fmt: skip
CART = otlp("cart", {"traceId": "t", "spanId": "b", "parentSpanId": "a", "name": "get", "kind": "SPAN_KIND_SERVER",
                     "startTimeUnixNano": 11000, "endTimeUnixNano": 61000})  # fmt: skip
FORMS = {
    "jaeger": json.dumps(JAEGER), "zipkin": json.dumps(ZIPKIN),
    "otlp": json.dumps({"resourceSpans": FRONT["resourceSpans"] + CART["resourceSpans"]}),  # type: ignore[operator]
    "otlp-lines": f"{json.dumps(FRONT)}\n{json.dumps(CART)}\n",
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("packed", [False, True])
def test_every_form_tells_the_same_graph(tmp_path: Path, form: str, packed: bool) -> None:
    path = tmp_path / "traces.json"
    data = FORMS[form].encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    graph = call_graph(cut_visits(read_spans([path]).spans))
    assert [(call.caller, call.callee, call.calls_per_request) for call in graph.calls] == [("front", "cart", 1.0)]
    assert graph.services["front"].self_s["mean"] == pytest.approx(50e-6)
    assert [(entry.service, entry.operation) for entry in graph.entries] == [("front", "GET /")]


@pytest.mark.parametrize("form", ["jaeger", "zipkin", "otlp"])
def test_a_file_that_is_cut_off_is_refused_with_its_line(tmp_path: Path, form: str) -> None:
    path = tmp_path / "traces.json"
    for share in (0.3, 0.7, 0.99):
        path.write_text(FORMS[form][: int(len(FORMS[form]) * share)])
        with pytest.raises(InputError, match=r"traces.json:1: "):
            read_spans([path])


def test_a_last_line_that_is_cut_off_is_left_out_and_named(tmp_path: Path) -> None:
    path = tmp_path / "traces.json"
    path.write_text(FORMS["otlp-lines"][:-40])
    found = read_spans([path])
    assert len(found.spans) == 1
    assert found.notes == ("traces.json: the last line is cut off and was left out",)


def test_a_gzip_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "traces.json.gz"
    path.write_bytes(gzip.compress(FORMS["jaeger"].encode())[:-20])
    with pytest.raises(InputError, match="cut off"):
        read_spans([path])


@pytest.mark.parametrize(
    ("text", "why"),
    [('{"a": 1}', "not a known trace"), ('{"data": []}', "no span"), ("[" * 99_999, "traces.json"),
     ('{"data": [{"spans": [{"spanID": 1}]}]}', "breaks the form of Jaeger"), ("<html>", "not valid JSON")],
)  # fmt: skip
def test_what_is_no_trace_file_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "traces.json"
    path.write_text(text)
    with pytest.raises(InputError, match=why):
        read_spans([path])
