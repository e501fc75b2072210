"""The starter and the samples: commented field by field, complete, and what their comments say they are."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import yaml

from predictors.serving.arrivals import lognormal_lengths, series_arrivals, synthesize
from predictors.workload import requests_of
from profilers.importers.load import read_load
from renderers.starter import SAMPLES, starter_files
from specs.catalog import find_device, find_model
from specs.cluster import Cluster, Pool
from specs.deployment import Deployment
from specs.reading import read_document
from specs.workload import TraceArrivals, Workload, WorkloadSpec


@pytest.fixture
def starter(tmp_path: Path) -> Path:
    for name, text in starter_files().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", ["workload.yaml", "cluster.yaml"])
def test_every_field_has_a_comment(name: str) -> None:
    for number, line in enumerate(starter_files()[name].splitlines(), start=1):
        field = line.strip()
        if field and not field.startswith("#"):
            assert "  # " in line, f"{name}:{number}: {field}"


def test_every_field_of_the_contract_is_there() -> None:
    workload = yaml.safe_load(starter_files()["workload.yaml"])["spec"]
    assert set(workload) == set(WorkloadSpec.model_fields)
    assert set(workload["arrivals"]) == set(TraceArrivals.model_fields)
    for pool in yaml.safe_load(starter_files()["cluster.yaml"])["spec"]["pools"]:
        assert set(pool) == set(Pool.model_fields)
        assert pool["usd_per_gpu_hour"]["source"].startswith("assumed placeholder")


def test_the_starter_reads_and_names_what_the_catalogue_has(starter: Path) -> None:
    workload, cluster = (
        read_document(starter / "workload.yaml", Workload),
        read_document(starter / "cluster.yaml", Cluster),
    )
    requests = requests_of(workload.spec, read_load(workload.spec, starter))
    model = find_model(workload.spec.model)
    assert (requests.prompt_tokens + requests.output_tokens).max() < model.max_context_tokens
    assert [find_device(pool.device).name for pool in cluster.spec.pools] == ["h100-sxm", "a100-80gb", "l40s"]


def test_the_samples_read() -> None:
    workload = read_document(SAMPLES / "chat.yaml", Workload).spec
    assert len(requests_of(workload, read_load(workload, SAMPLES))) > 1000
    assert read_document(SAMPLES / "cluster.yaml", Cluster).spec.pools
    assert read_document(SAMPLES / "deployment.yaml", Deployment).spec.model == workload.model


def test_the_sample_trace_is_what_its_comment_says() -> None:
    t_s, rate = np.array([0.0, 400, 420, 480, 500, 900]), np.array([2.0, 2, 5, 5, 2, 2])
    times = series_arrivals(t_s, rate, cv=1.3, seed=20261123)
    made = synthesize(times, lognormal_lengths(900, 4000), lognormal_lengths(210, 700), seed=20261123)
    text = io.StringIO()
    for at, prompt, output in zip(made.arrival_s, made.prompt_tokens, made.output_tokens, strict=True):
        text.write(f"{at:.3f},{min(prompt, 8000)},{min(output, 2000)}\n")
    trace = (SAMPLES / "chat.csv").read_text()
    assert "20261123" in trace
    assert trace.endswith("arrival_s,prompt_tokens,output_tokens\n" + text.getvalue())
