"""The page: its frame, the plan's own cards, evidence, and the script that draws the charts in light and dark."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib import resources
from typing import Any

from renderers.page import anything
from renderers.page.parts import paragraph, section, table, terms, text
from specs.plan import PlanDocument

# The module of each kind of plan that has charts of its own: `decision(plan)` and `sections(plan, ledger)`.
OWN: dict[str, str] = {
    "AutoscalingPlan": "renderers.page.autoscaling",
    "ServingPlan": "renderers.page.serving",
    "SloPlan": "renderers.page.slo",
}
DRAW = """
const dark = matchMedia("(prefers-color-scheme: dark)");
function draw() {
  const style = getComputedStyle(document.documentElement), of = (name) => style.getPropertyValue(name).trim();
  const grid = {gridcolor: of("--line"), zerolinecolor: of("--line"), automargin: true};
  for (const script of document.querySelectorAll("script.figure")) {
    const figure = JSON.parse(script.textContent);
    const layout = Object.assign({}, figure.layout, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: {l: 60, r: 15, t: 10, b: 50},
      font: {color: of("--ink"), family: "system-ui, sans-serif"},
      legend: {orientation: "h", y: 1.02, yanchor: "bottom"},
    });
    for (const name of Object.keys(layout)) {
      if (/axis\\d*$/.test(name)) layout[name] = Object.assign({}, grid, layout[name]);
    }
    Plotly.react(script.dataset.for, figure.data, layout, {responsive: true, displayModeBar: false});
  }
}
draw();
dark.addEventListener("change", draw);
"""


def page(plan: PlanDocument, ledger: Any = None) -> str:
    """Return the whole page as HTML; ``ledger``: the memory estimate of a serving plan's deployment, or None.

    Nothing is loaded from elsewhere: plotly's script lies inside.
    """
    cards = "\n".join(card for card in _cards(plan, ledger) if card)
    script = f"<script>{_plotly()}</script>\n<script>{DRAW}</script>" if 'class="figure"' in cards else ""
    style = resources.files("renderers.page").joinpath("style.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{text(plan.metadata.name)}</title>\n<style>{style}</style></head>\n'
        f"<body><main>\n{_head(plan)}\n{cards}\n{_foot(plan)}\n</main>\n{script}\n</body></html>\n"
    )


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _own(plan: PlanDocument) -> Any:
    return importlib.import_module(OWN[plan.kind]) if plan.kind in OWN else None


def _head(plan: PlanDocument) -> str:
    status, own = plan.status, _own(plan)
    lines = [paragraph(one, "decision") for one in (own.decision(plan) if own else ())]
    told = [f"What would make it feasible: {status.smallest_change}"] if status.smallest_change else []
    told += [f"What is missing: {status.missing}"] if status.missing else []
    told += [f"In conflict: {'; '.join(status.conflicts)}"] if status.conflicts else []
    return "\n".join(
        [
            f"<h1>{text(plan.metadata.name)}</h1>",
            f'<p><span class="outcome {status.outcome}">{status.outcome}</span> {text(plan.kind)}</p>',
            *lines,
            paragraph(status.reason, "reason"),
            *(paragraph(one, "reason") for one in told),
        ]
    )


def _cards(plan: PlanDocument, ledger: Any) -> Iterator[str]:
    own = _own(plan)
    if own is not None:
        yield from own.sections(plan, ledger)
    else:
        yield from anything.sections("Decision", plan.decision)
        yield from anything.sections("What will happen", plan.expected)
        yield from anything.sections("Why", plan.why)
    yield section("What the figures rest on", _evidence(plan))


def _evidence(plan: PlanDocument) -> str:
    rows = [
        (anything.words(one.quantity), one.basis, one.source, "" if one.error is None else f"± {one.error:.1%}",
         one.note or "")
        for one in plan.evidence
    ]  # fmt: skip
    return table(("quantity", "basis", "source", "90 % interval", ""), rows)


def _foot(plan: PlanDocument) -> str:
    made = terms(
        (
            ("made", plan.metadata.created),
            ("by", f"tonnage {plan.metadata.tonnage}" if plan.metadata.tonnage else None),
            ("valid", plan.valid),
            ("from", ", ".join(f"{name} {sha[:19]}…" for name, sha in plan.metadata.inputs.items())),
        )
    )
    return f"<footer>{section('This plan', made)}</footer>"
