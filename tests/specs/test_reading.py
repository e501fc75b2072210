"""Documents are read exactly or refused in one line that names file, line, field and the nearest spelling."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specs.cluster import Cluster
from specs.deployment import Deployment
from specs.errors import InputError
from specs.parsing import parse_documents
from specs.reading import MAX_DOCUMENT_BYTES, read_document, read_documents, sha256
from specs.workload import Workload

HEAD = "apiVersion: tonnage/v1\nkind: {kind}\nmetadata: {{name: x}}\n"
CLUSTER = (
    HEAD.format(kind="Cluster") + "spec:\n  pools:\n    - {name: a, device: h100-sxm, nodes: 1, gpus_per_node: 8}\n"
)


def refusal(folder: Path, text: str | bytes, kind: type[Cluster | Workload | Deployment] = Cluster) -> str:
    path = folder / "document.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        read_document(path, kind)
    return str(caught.value).replace(f"{path}", "FILE")


def test_a_document_is_read_with_its_values(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(CLUSTER)
    assert read_document(path, Cluster).spec.pools[0].device == "h100-sxm"


def test_the_document_of_the_kind_is_chosen_among_several(tmp_path: Path) -> None:
    path = tmp_path / "both.yaml"
    path.write_text("kind: Other\n---\n" + CLUSTER + "---\n")
    assert read_document(path, Cluster).spec.pools[0].nodes == 1


@pytest.mark.parametrize(
    ("arrivals", "message"),
    [
        ("{trace: a.csv, scal: 2}", "spec.arrivals.scal: unknown field (did you mean 'scale'?)"),
        ("{rate_per_s: 5, cw: 2}", "spec.arrivals.cw: unknown field (did you mean 'cv'?)"),
        ("{rate_per_s: -5}", "spec.arrivals.rate_per_s: must be greater than 0, found -5"),
        ("{concurency: 5, prompts: 10}", "spec.arrivals.concurency: unknown field (did you mean 'concurrency'?)"),
        ("{serie: load.csv}", "spec.arrivals.serie: unknown field (did you mean 'series'?)"),
    ],
)
def test_of_a_union_only_the_branch_that_was_meant_speaks(tmp_path: Path, arrivals: str, message: str) -> None:
    lengths = "lengths: {prompt_tokens: {constant: 5}, output_tokens: {constant: 5}}"
    spec = f"spec:\n  model: m\n  arrivals: {arrivals}\n  {lengths}\n"
    found = refusal(tmp_path, HEAD.format(kind="Workload") + spec, Workload)
    lines = [line for line in found.splitlines() if not line.endswith(": missing")]
    assert len(lines) == 1
    assert lines[0].startswith(f"FILE:6: {message}")


def test_a_misspelt_word_beside_mappings_is_told_its_nearest(tmp_path: Path) -> None:
    spec = "spec:\n  model: m\n  arrivals: {trace: a.csv}\n  prefix_sharing: nne\n"
    found = refusal(tmp_path, HEAD.format(kind="Workload") + spec, Workload)
    assert found == (
        "FILE:7: spec.prefix_sharing: expected none or {hit_ratio} or {from}, found 'nne' (did you mean 'none'?)"
    )


def test_every_mistake_of_a_document_is_told_at_once(tmp_path: Path) -> None:
    spec = "spec:\n  model: m\n  device: d\n  router: least-loade\n  parallel: {tp: 0}\n  engine: {version: 0.19}\n"
    lines = refusal(tmp_path, HEAD.format(kind="Deployment") + spec, Deployment).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["FILE:7", "spec.router"],
        ["FILE:8", "spec.parallel.tp"],
        ["FILE:9", "spec.engine.version"],
    ]
    assert "(did you mean 'least-loaded'?)" in lines[0]
    assert "write it in quotes" in lines[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "FILE: empty; a document of kind Cluster was expected"),
        ("# only a comment\n", "FILE: empty; a document of kind Cluster was expected"),
        ("- a\n", "FILE:1: expected a mapping, found a list"),
        ("text\n", "FILE:1: expected a mapping, found text"),
        ("kind: Clutser\n", "FILE:1: kind: found 'Clutser', expected Cluster (did you mean 'Cluster'?)"),
        ("metadata: {name: x}\n", "FILE:1: kind: missing; Cluster was expected"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "FILE:4: b.c: given twice"),
        ("a: !!python/object/apply:os.system [ls]\n", "FILE:1: a: the tag tag:yaml.org,2002:python/object"),
        ("a: &a {b: *a}\n", "FILE:1: a.b: the alias *a refers to itself"),
        ("a: *b\n", "FILE:1: a: the alias *b has no anchor &b above it"),
        ("a: &b {c: 1}\nd:\n  <<: *b\n", "FILE:3: d: merge keys (<<) are refused"),
        ("? {a: b}\n: c\n", "FILE:1: document: a field name must be text"),
        ("a: 1\nb: [1, 2\nc: 3\n", "FILE:3: not valid YAML"),
        ("\ta: 1\n", "FILE:1: not valid YAML"),
        ("a: 1\nb: \x00\n", "FILE:2: not valid YAML"),
        ("a: " + "9" * 5000, "FILE:1: a: '9999999999999999999999999999999999999999' is not int"),
        (b"a: 1\nb: \xff\xfe\n", "FILE:2: not UTF-8 (byte 8)"),
    ],
)
def test_what_is_no_document_is_refused_in_one_sentence(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert refusal(tmp_path, text).startswith(message)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"a{i + 1}: &a{i + 1} [{','.join([f'*a{i}'] * 9)}]\n" for i in range(30)),
        "kind: Cluster\n" + "".join(f"k{i}: 1\n" for i in range(20_000)),
    ],
    ids=["brackets", "braces", "dashes", "billion laughs", "many unknown fields"],
)
def test_a_hostile_document_ends_in_a_short_message(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text).count("\n") <= 5


def test_two_gigabytes_are_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(2 * 2**30)
    with pytest.raises(InputError, match=f"larger than {MAX_DOCUMENT_BYTES >> 20} MiB"):
        read_document(path, Cluster)


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    with pytest.raises(InputError, match=r"no such file\n  Check the path \(did you mean 'cluster.yaml'\?\)"):
        read_document(tmp_path / "clustr.yaml", Cluster)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a directory"):
        read_document(tmp_path, Cluster)


def test_dates_and_times_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "any.yaml"
    path.write_text("a: 2026-11-01\nb: 14:05\nc: 2026-11-23T06:00:00Z\n")
    assert read_documents(path)[0][0] == {"a": "2026-11-01", "b": "14:05", "c": "2026-11-23T06:00:00Z"}


def test_an_alias_is_read_as_what_it_names() -> None:
    assert parse_documents("a: &x [1, 2]\nb: {c: *x}\n", "f")[0][0] == {"a": [1, 2], "b": {"c": [1, 2]}}


def test_the_sum_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert sha256(path) == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=":-[]{}&*!?|>#'\"abc01. \n\t,<", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        reading = [data for data, _ in parse_documents(text, "FILE")]
    except InputError as error:
        reading = [str(error).partition(":")[0]]
    assert all(data is None or data == "FILE" or isinstance(data, dict | list) for data in reading)
