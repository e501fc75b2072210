"""The same anchors by torch; what needs no GPU is tried on the CPU."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import types
from typing import Any

import pytest

from profilers.anchors import torch_rates
from profilers.anchors.torch_rates import cuda_devices, load_torch
from profilers.host.gpus import gpu_anchors, one_device
from specs.errors import MissingHardwareError
from specs.host import Unknown

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")


def nothing(done: float, total: float, what: str) -> None:
    pass


def stand_in(**version: Any) -> Any:
    cuda = types.SimpleNamespace(is_available=lambda: True, device_count=lambda: 2)
    return types.SimpleNamespace(__version__="2.9", version=types.SimpleNamespace(**version), cuda=cuda)


def test_rocm_is_refused_by_name() -> None:
    unknown: Unknown = {}
    assert cuda_devices(stand_in(hip="6.3"), unknown) == []
    assert unknown["gpus"].startswith("ROCm is not supported (torch 2.9 is built for HIP)")


def test_cuda_devices_are_named_in_order() -> None:
    unknown: Unknown = {}
    assert cuda_devices(stand_in(hip=None), unknown) == ["cuda:0", "cuda:1"]
    assert unknown == {}


def test_without_torch_a_gpu_is_named_as_unmeasured_and_no_gpu_is_no_gap(tmp_path: Any) -> None:
    unknown: Unknown = {}
    assert gpu_anchors(None, tmp_path, unknown, nothing) == ()
    assert unknown == {}
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidia0").touch()
    assert gpu_anchors(None, tmp_path, unknown, nothing) == ()
    assert "torch is not installed" in unknown["gpus"]


def test_a_gpu_whose_memory_is_taken_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr("profilers.host.gpus.free_gib", lambda torch, device: 0.5)
    unknown: Unknown = {}
    assert gpu_anchors(stand_in(hip=None), tmp_path, unknown, nothing) == ()
    assert unknown["gpus.1"] == "0.5 GiB of its memory are free and 3 are needed"


def test_a_broken_torch_is_an_error_with_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise OSError("libcudart.so.12: cannot open shared object file")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(MissingHardwareError, match=r"does not load: libcudart"):
        load_torch()


class Clock:
    """A GPU's clock in milliseconds: a call takes 4 ms there and no time here."""

    now_ms = 0.0

    def call(self) -> None:
        self.now_ms += 4.0

    def event(self, *, enable_timing: bool) -> Any:
        assert enable_timing
        event = types.SimpleNamespace(at_ms=None, synchronize=lambda: None)
        event.record = lambda: setattr(event, "at_ms", self.now_ms)
        event.elapsed_time = lambda later: later.at_ms - event.at_ms
        return event


def test_a_gpu_is_timed_by_its_own_clock_over_calls_that_last_long_enough() -> None:
    clock = Clock()
    torch = stand_in(hip=None)
    torch.cuda.Event, torch.cuda.device = clock.event, lambda device: contextlib.nullcontext()
    task = torch_rates.timed_task(torch, "cuda:0", "read", 8e9, clock.call)
    assert task.run() == pytest.approx(0.012)  # three calls: the fewest that last 10 ms
    assert task.amount / task.run() == pytest.approx(2e12)  # 8 GB in 4 ms


@pytest.mark.extras
@needs_torch
def test_every_precision_has_a_rate_or_a_reason() -> None:
    unknown: Unknown = {}
    bandwidth, compute = one_device(load_torch(), "cpu", unknown, nothing, rows=512, size=128, budget_s=0.0)
    assert [anchor.operation for anchor in bandwidth] == ["read", "copy", "triad"]
    told = {str(anchor.precision) for anchor in compute} | {field.rsplit(".", 1)[1] for field in unknown}
    assert told == {"fp32", "tf32", "fp16", "bf16", "fp8", "int8"}
    assert all(anchor.tflops > 0 and anchor.size == 128 for anchor in compute)


@pytest.mark.extras
@needs_torch
def test_bf16_is_multiplied_on_so_many_threads() -> None:
    torch = load_torch()
    assert torch is not None
    before = torch.get_num_threads()
    try:
        assert torch_rates.cpu_task(torch, 1).run() > 0
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
