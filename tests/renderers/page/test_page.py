"""The page loads nothing, says what the plan says, and draws in a real browser without a complaint of its console."""

from __future__ import annotations

import html.parser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from renderers.page import page
from renderers.page.parts import number, table
from specs.base import Figure, Metadata
from specs.plan import AtLoad, Evidence, PlanDocument, ServingPlan, Status
from tests.renderers.cluster_plans import autoscaling, layered, slo
from tests.renderers.serving_plan import plan as serving_plan

CURVE = tuple(AtLoad(factor=f, holds=f < 1.4, ttft_p99_s=0.4 * f, tpot_p99_s=0.03 * f) for f in (0.5, 1.0, 1.5))


def plan_with_curve() -> ServingPlan:
    plan = serving_plan()
    assert plan.why is not None
    return plan.model_copy(update={"why": plan.why.model_copy(update={"against_load": CURVE})})


class Tags(html.parser.HTMLParser):
    """Counts what opens and closes, and keeps every address."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("plan", [plan_with_curve(), autoscaling(), layered(), slo()], ids=lambda one: one.kind)
def test_the_page_is_whole_and_loads_nothing(plan: PlanDocument) -> None:
    tags = Tags()
    tags.feed(page(plan))
    assert tags.open == []
    assert tags.addresses == ["data:,"]


def test_what_the_plan_says_is_on_the_page() -> None:
    plan = plan_with_curve()
    text = page(plan)
    assert plan.status.reason in text
    assert 'data-for="ttft-against-load"' in text
    for entry in plan.evidence:
        assert entry.source in text


def test_an_autoscaling_plan_shows_load_forecast_replicas_and_the_front() -> None:
    text = page(autoscaling())
    for name in ("load-of-gateway", "replicas-of-gateway", "cost-of-gateway"):
        assert f'data-for="{name}"' in text
    assert '"y": [1.5, 3.5, 2.5], "name": "forecast p50"' in text
    assert text.count('"fill": "tonexty"') == 2
    assert "Each time was forecast 20 min before, by the calibrated blend" in text
    assert "gateway p99 ≤ 1.2 s" in text
    assert '"y": [0.417, 0.417], "name": "promised"' in text


def test_layers_that_are_scaled_apart_stand_on_the_page_as_one_model() -> None:
    text = page(layered())
    for name in ("load-of-chat", "cost-of-chat"):
        assert f'data-for="{name}"' in text
    assert "chat-layers-20-39: hpa, 1 – 8 replicas" in text
    assert "<td>hpa by layers</td>" in text


def test_an_slo_plan_shows_paths_with_budgets_and_what_a_millisecond_costs() -> None:
    text = page(slo())
    assert "checkout 100 ms → cart 50 ms within 150 ms" in text
    assert 'data-for="budgets-along-paths"' in text
    assert 'data-for="marginal-costs"' in text
    assert "<td>mail</td>" in text


def test_hostile_text_is_shown_and_not_run() -> None:
    status = Status(outcome="abstained", reason="<script>alert(1)</script>", missing="a & b")
    text = page(PlanDocument(kind="AnyPlan", metadata=Metadata(name="</title><b>"), status=status))
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "</title><b>" not in text


def test_any_plan_shows_its_figures_with_their_intervals() -> None:
    status = Status(outcome="feasible", reason="tests")
    expected = {"saved_cores": Figure(value=3.0, low=2.5, high=3.25).model_dump(), "rows": [{"name": "a", "count": 2}]}
    evidence = (Evidence(quantity="cpu_use", basis="measured", source="tests", error=0.1),)
    plan = PlanDocument(
        kind="AnyPlan", metadata=Metadata(name="any"), status=status, expected=expected, evidence=evidence
    )
    text = page(plan)
    assert "3 (2.5 – 3.25)" in text
    assert "± 10.0%" in text
    assert "<td>a</td><td>2</td>" in text


def test_numbers_and_tables() -> None:
    assert [number(x) for x in (None, 0.12345, 1234.5, 123456.0)] == ["–", "0.123", "1.23e+03", "123,456"]
    assert table(("a",), []) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plan", "width", "charts", "name"),
    [
        (plan_with_curve(), 390, 2, "ttft-against-load"),
        (plan_with_curve(), 1100, 2, "ttft-against-load"),
        (autoscaling(), 390, 3, "load-of-gateway"),
        (layered(), 1100, 3, "cost-of-chat"),
        (slo(), 1100, 2, "budgets-along-paths"),
    ],
)
def test_a_browser_draws_it_without_a_complaint(
    tmp_path: Path, plan: PlanDocument, width: int, charts: int, name: str
) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("no program `chromium`; Debian's package of that name has it")
    (tmp_path / "page.html").write_text(page(plan), encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    more = "--disable-component-update --disable-sync --enable-logging=stderr --v=0 --virtual-time-budget=10000"
    command = [browser, *flags.split(), *more.split(), f"--user-data-dir={tmp_path}/profile", "--dump-dom"]
    shown = subprocess.run(
        [*command, f"--window-size={width},1200", (tmp_path / "page.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True, env=os.environ | {"HOME": str(tmp_path)},
    )  # fmt: skip
    assert [line for line in shown.stderr.splitlines() if "CONSOLE" in line] == []
    assert len(re.findall(r'class="main-svg"', shown.stdout)) >= charts
    assert name in shown.stdout
