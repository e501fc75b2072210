"""Cache memory over data sets and levels, and the application as it is with these caches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from planners.application.question import Question, visits
from solvers.caches import FloatArray, levels, split, zipf
from specs.application import ApplicationSpec, Popularity, Reads, Service, ServiceTime
from specs.application_plan import CachePlanned

UNITS = 48  # parts that the memory is split in
KIB_PER_GIB = 1024.0 * 1024.0
LEVELS = 3
LEAST_CALLS = 1e-6  # per visit: a read that never leaves the caches


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """One service's reads: shares of one item of each group, how many there are, and what each level takes."""

    service: Service
    reads: Reads
    share: FloatArray
    counts: FloatArray
    reads_per_s: float
    replicas: int
    disk_s: float

    def answered(self, gib: tuple[float, ...]) -> FloatArray:
        """Share of the reads that memory of the replica, store and buffer answer; each replica keeps its own copy."""
        items = [one * KIB_PER_GIB / self.reads.item_kib for one in gib]
        return levels(self.share, self.counts, (items[0] / self.replicas, items[1], items[2]))

    def read_s(self, answered: FloatArray) -> float:
        """Mean time of one read (SealOS+'s sum over levels, ours): what misses a level has asked it in vain."""
        process, store, buffer = answered.tolist()
        beyond = 1.0 - process - store
        asks_store = (1.0 - process) * self.reads.store_s
        return float(asks_store + buffer * self.reads.buffer_s + max(beyond - buffer, 0.0) * self.disk_s)


def data_sets(question: Question, replicas: Mapping[str, int]) -> list[DataSet]:
    """The data sets of the application with ``replicas`` of their readers."""
    load = visits(question)
    times = {one.name: one.service_time for one in question.services}
    found = []
    for one in question.services:
        if one.reads is not None:
            share, counts = _popularity(one.reads.popularity)
            time = times[one.reads.database]
            assert time is not None
            per_visit = sum(
                call.calls_per_request
                for call in question.application.spec.calls
                if call.caller == one.name and call.callee == one.reads.database
            )
            found.append(
                DataSet(
                    service=one, reads=one.reads, share=share, counts=counts, disk_s=time.mean_s,
                    reads_per_s=load[one.name] * per_visit, replicas=replicas.get(one.name, 1),
                )
            )  # fmt: skip
    return found


def _popularity(one: Popularity | None) -> tuple[FloatArray, FloatArray]:
    assert one is not None
    if one.counts:
        values, counts = np.unique(np.array(one.counts), return_counts=True)
        return values / float(values @ counts), counts.astype(np.float64)
    assert one.items is not None
    assert one.zipf is not None
    return zipf(one.items, one.zipf)


def cached(question: Question, replicas: Mapping[str, int]) -> list[CachePlanned]:
    """Split the application's cache memory so that reads wait least, all together; nothing where there is none."""
    memory = question.application.spec.cache_memory_gib or 0.0
    sets = data_sets(question, replicas)
    if not sets or memory <= 0.0:
        return []
    unit = memory / UNITS
    costs = [
        lambda units, one=one: one.reads_per_s * one.read_s(one.answered(tuple(unit * u for u in units)))
        for one in sets
    ]
    return [
        _planned(one, tuple(unit * u for u in units))
        for one, units in zip(sets, split(costs, LEVELS, UNITS), strict=True)
    ]


def _planned(one: DataSet, gib: tuple[float, ...]) -> CachePlanned:
    answered = one.answered(gib)
    process, store, buffer = answered.tolist()
    return CachePlanned(
        service=one.service.name, database=one.reads.database, reads_per_s=one.reads_per_s, process_gib=gib[0],
        store_gib=gib[1], buffer_gib=gib[2], process_share=process, store_share=store, buffer_share=buffer,
        disk_share=max(1.0 - process - store - buffer, 0.0), read_s=one.read_s(answered), uncached_s=one.disk_s,
        database_reads_per_s=one.reads_per_s * max(1.0 - process - store, 0.0),
    )  # fmt: skip


def with_caches(spec: ApplicationSpec, caches: list[CachePlanned], load: Mapping[str, float]) -> ApplicationSpec:
    """The application with the reads that caches answer left out of the calls, and times as they then are.

    ``load``: visits per second of each service without caches. The reader waits for the store itself; the database's
    time is the mean of buffer, disk and what else calls it.
    """
    if not caches:
        return spec
    by_pair = {(one.service, one.database): one for one in caches}
    calls = tuple(
        call
        if (one := by_pair.get((call.caller, call.callee))) is None
        else call.model_copy(update={"calls_per_request": max(_beyond(one) * call.calls_per_request, LEAST_CALLS)})
        for call in spec.calls
    )
    per_visit: dict[str, float] = {}
    for call in spec.calls:
        if (call.caller, call.callee) in by_pair:
            per_visit[call.caller] = per_visit.get(call.caller, 0.0) + call.calls_per_request
    services = tuple(_changed(one, spec, caches, per_visit, load) for one in spec.services)
    return spec.model_copy(update={"calls": calls, "services": services})


def _beyond(one: CachePlanned) -> float:
    return max(1.0 - one.process_share - one.store_share, 0.0)


def _changed(
    service: Service, spec: ApplicationSpec, caches: list[CachePlanned], per_visit: Mapping[str, float],
    load: Mapping[str, float],
) -> Service:  # fmt: skip
    time = service.service_time
    if time is None:
        return service
    own = next((one for one in caches if one.service == service.name), None)
    if own is not None and service.reads is not None:
        asks = per_visit.get(service.name, 0.0) * (1.0 - own.process_share)
        time = time.model_copy(update={"mean_s": time.mean_s + asks * service.reads.store_s})
    readers = [one for one in caches if one.database == service.name]
    if readers:
        time = _mixed(time, spec, readers, load[service.name] - sum(one.reads_per_s for one in readers))
    return service.model_copy(update={"service_time": time})


def _mixed(time: ServiceTime, spec: ApplicationSpec, readers: list[CachePlanned], others_per_s: float) -> ServiceTime:
    """The database's time over all that reach it: buffer hits and disk reads, each with the spread that was given."""
    buffer_s = {one.name: one.reads.buffer_s for one in spec.services if one.reads is not None}
    parts = [(one.reads_per_s * one.buffer_share, buffer_s[one.service]) for one in readers]
    parts += [(one.reads_per_s * one.disk_share, time.mean_s) for one in readers]
    parts.append((max(others_per_s, 0.0), time.mean_s))
    total = sum(rate for rate, _ in parts)
    if total <= 0.0:
        return time
    mean = sum(rate * each for rate, each in parts) / total
    cv2 = {"exponential": 1.0, "deterministic": 0.0}.get(time.distribution, time.cv**2)
    square = sum(rate * each * each * (1.0 + cv2) for rate, each in parts) / total
    cv = math.sqrt(max(square / (mean * mean) - 1.0, 0.0))
    return ServiceTime(mean_s=mean, cv=cv, distribution="lognormal")
