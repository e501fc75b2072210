"""What is asked: the services, the load of each over time, what they promise, and how their replicas come and go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from planners.autoscaling.forecasting import Band
from predictors.autoscaling.capacity import Capacity
from predictors.autoscaling.state import FloatArray
from profilers.importers.load import read_load, read_series
from specs.application import Application, ApplicationSpec, cycles
from specs.autoscaling import Scaling, ScalingSpec, StartUp
from specs.errors import InputError
from specs.promises import Bound
from specs.reading import read_document, read_documents, sha256
from specs.trace import RateSeries
from specs.workload import Workload, WorkloadSpec

OnProgress = Callable[[float, float, str], None]
LONGEST_GAP = 10
"""Steps of the series without a row that are filled by a line; a longer gap is refused."""
MOST_TICKS = 2_000_000
TRAIN_SHARE = 0.7
DEFAULT_ATTAINMENT = 0.99


@dataclass(frozen=True, kw_only=True)
class LayerGroup:
    """Layers that are a service of their own: the GPUs of one replica, what it sustains as a share of the whole cut."""

    name: str
    first_layer: int
    last_layer: int
    gpus: float
    share: float
    start_up: StartUp


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A model cut into groups of layers: what the cut as it was planned sustains, and its groups.

    ``gpus_per_unit``: GPUs that a replica of a group spans, of which it may take a part.
    """

    source: str
    capacity: Capacity
    groups: tuple[LayerGroup, ...]
    gpus_per_unit: int


@dataclass(frozen=True, kw_only=True)
class ScaledLoad:
    """One service: requests per second [ticks], the bound, the share that may be above it, and its capacity.

    ``visits``: per request that enters; ``gpus``: of one replica; ``usd_per_hour``: of one replica on demand, if known;
    ``cut``: its layers as services, which may be scaled instead of whole replicas.
    """

    name: str
    rate_per_s: FloatArray
    bound_s: float
    late_share: float
    capacity: Capacity
    promised: tuple[Bound, ...] = ()
    visits: float = 1.0
    gpus: int = 0
    usd_per_hour: float | None = None
    llm: bool = False
    cut: Cut | None = None


@dataclass(frozen=True, kw_only=True)
class Question:
    """All of it. ``start_s``: time of the first tick; ``split``: first tick of the part that policies are scored on."""

    name: str
    services: tuple[ScaledLoad, ...]
    scaling: ScalingSpec
    start_s: float
    step_s: float
    ticks: int
    split: int
    season_ticks: int
    inputs: dict[str, str]
    evidence: tuple[tuple[str, str, str, float | None], ...] = ()  # quantity, basis, source, error
    notes: tuple[str, ...] = ()
    seed: int = 0
    band: Band | None = None  # the forecast of what enters


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The documents as read, before capacities are known."""

    name: str
    folder: Path
    document: ApplicationSpec | WorkloadSpec
    scaling: ScalingSpec
    series: RateSeries
    inputs: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read(document: Path, load: Path | None, scaling: Path | None) -> Asked:
    """Read the documents and the load; raises `InputError` for what is wrong with them."""
    kinds = [str(data.get("kind")) for data, _ in read_documents(document)]
    inputs = {document.name: sha256(document)}
    rules = ScalingSpec()
    notes: tuple[str, ...] = ()
    if scaling is not None:
        rules = read_document(scaling, Scaling).spec
        inputs[scaling.name] = sha256(scaling)
    else:
        notes = ("no Scaling document was given (--scaling): start-up, metrics delay and prices are assumed defaults",)
    spec: ApplicationSpec | WorkloadSpec
    if "Application" in kinds:
        application = read_document(document, Application)
        name, spec = application.metadata.name, application.spec
    else:
        workload = read_document(document, Workload)
        name, spec = workload.metadata.name, workload.spec
    series, more = _series(spec, document.parent, load)
    return Asked(
        name=name, folder=document.parent, document=spec, scaling=rules, series=series, inputs=inputs | more,
        notes=notes,
    )  # fmt: skip


def _series(spec: ApplicationSpec | WorkloadSpec, folder: Path, load: Path | None) -> tuple[RateSeries, dict[str, str]]:
    if load is not None:
        return read_series(load), {load.name: sha256(load)}
    if isinstance(spec, WorkloadSpec):
        found = read_load(spec, folder)
        if found.series is not None:
            return found.series, dict(found.inputs)
        if found.trace is not None:
            return _counted(np.asarray(found.trace.arrival_s)), dict(found.inputs)
    cure = "Give --load SERIES.csv with the columns t_s,rate_per_s: several days of what enters."
    raise InputError("autoscaling needs the load over time, and there is none", cure=cure)


def _counted(arrival_s: FloatArray) -> RateSeries:
    """The rate of a trace in steps of a minute."""
    step = 60.0
    edges = np.arange(arrival_s[0], arrival_s[-1] + step, step)
    counts, _ = np.histogram(arrival_s, bins=edges)
    return RateSeries(t_s=edges[:-1], rate_per_s=counts / step)


def even_ticks(series: RateSeries, tick_s: float) -> tuple[FloatArray, float, tuple[str, ...]]:
    """Rates per tick, the step of the series, and notes; gaps of up to ten steps are filled by a line.

    Raises `InputError` for longer gaps and for a series too short to try a policy on.
    """
    steps = np.diff(series.t_s)
    step = float(np.median(steps))
    at = int(np.argmax(steps))
    if steps[at] > LONGEST_GAP * step * 1.001:
        gap = f"{series.t_s[at]:.0f} s and {series.t_s[at + 1]:.0f} s"
        cure = "Fill it, or cut the series there: a policy cannot be tried on load that nobody saw."
        raise InputError(f"the load has no rows between {gap} ({steps[at] / step:.0f} steps of {step:g} s)", cure=cure)
    duration = float(series.t_s[-1] - series.t_s[0]) + step
    ticks = int(duration / tick_s)
    if duration < 3600.0 or len(series.t_s) < 20:
        cure = "Give at least an hour in twenty rows or more; a week shows what days do."
        raise InputError(f"the load covers {duration:.0f} s in {len(series.t_s)} rows: too little", cure=cure)
    if ticks > MOST_TICKS:
        raise InputError(f"the load is {ticks} ticks of {tick_s:g} s long", cure="Give a longer tick_s, or less load.")
    at_s = series.t_s[0] + (np.arange(ticks) + 0.5) * tick_s
    rates = np.interp(at_s, series.t_s + 0.5 * step, series.rate_per_s)
    filled = int(np.sum(np.round(steps / step) - 1))
    notes = (f"{filled} missing rows of the load were filled by a line",) if filled > 0 else ()
    return rates, step, notes


def visits(spec: ApplicationSpec) -> dict[str, float]:
    """Visits of every service per request that enters; raises `InputError` for calls in a circle."""
    circles = cycles(spec.calls)
    if circles:
        cure = "Say what one visit calls, without the way back."
        raise InputError(f"services call each other in a circle: {', '.join(circles[0])}", cure=cure)
    total = sum(_weight(entry.share, entry.rate_per_s) for entry in spec.entries) or 1.0
    found = {service.name: 0.0 for service in spec.services}
    for entry in spec.entries:
        found[entry.service] += _weight(entry.share, entry.rate_per_s) / total
    for name in _callers_first(spec):
        for call in spec.calls:
            if call.caller == name:
                found[call.callee] += found[name] * call.calls_per_request
    return found


def _weight(share: float | None, rate: float | None) -> float:
    return share if share is not None else (rate if rate is not None else 1.0)


def _callers_first(spec: ApplicationSpec) -> list[str]:
    """Services in an order in which every caller comes before those it calls (Kahn, std)."""
    open_calls = {service.name: 0 for service in spec.services}
    for call in spec.calls:
        open_calls[call.callee] += 1
    ready, order = [name for name, count in open_calls.items() if count == 0], []
    while ready:
        name = ready.pop(0)
        order.append(name)
        for call in spec.calls:
            if call.caller == name:
                open_calls[call.callee] -= 1
                if open_calls[call.callee] == 0:
                    ready.append(call.callee)
    return order
