"""Promises as fields, and the plans of earlier versions that told them in one sentence."""

from __future__ import annotations

from pathlib import Path

from specs.autoscaling import AutoscalingPlan, LoadFigure
from specs.promises import Bound, Promise
from specs.reading import read_document
from specs.writing import data_to_yaml
from tests.renderers.cluster_plans import autoscaling


def test_a_promise_is_told_in_one_phrase() -> None:
    bounds = (
        Bound(quantity="latency_s", of="gateway", level="p99", bound_s=1.2), Bound(quantity="ttft_s", bound_s=1.0)
    )  # fmt: skip
    told = Promise(bounds=bounds, part_s=0.16, late_share=0.00417).told
    assert told == "gateway p99 ≤ 1.2 s, ttft_s ≤ 1 s: its part 0.16 s, 0.417% late"


def test_a_plan_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    data = autoscaling().model_dump(mode="json", exclude_none=True)
    sentence = "gateway p99 ≤ 1.2 s: its part 0.16 s, 0.417% late"
    data["why"]["slo"] = dict.fromkeys(data["why"]["slo"], sentence)
    figure = data["expected"]["over_time"][0]
    figure |= {"forecast_per_s": figure.pop("quantiles_per_s")["p90"]}
    for name in ("ahead_s", "forecast_by", "counts"):
        del figure[name]
    path = tmp_path / "old.yaml"
    path.write_text(data_to_yaml(data))
    found = read_document(path, AutoscalingPlan)
    assert found.why is not None
    assert found.expected is not None
    assert found.why.slo["gateway"].told == sentence
    assert found.why.slo["gateway"].bounds == ()
    assert found.expected.over_time[0].quantiles_per_s == {"p90": (2.0, 4.0, 3.0)}


def test_an_earlier_plan_without_a_season_has_no_forecast() -> None:
    data = {"service": "web", "at_s": [0.0], "rate_per_s": [1.0], "replicas": [1.0], "forecast_per_s": []}
    assert LoadFigure.model_validate(data).quantiles_per_s == {}
