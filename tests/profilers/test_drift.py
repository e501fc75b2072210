"""A machine measured again: steady, moved and confirmed, moved once, or too noisy, by profiles of known blocks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from profilers import drift
from profilers.drift import DRIFT_OF, Kind, drift_again, drift_against, host_metrics, stored_before
from profilers.engine import Asked, Labels
from profilers.store import Store, add_plan, add_profile, open_store, store_of
from specs.base import Document, Metadata
from specs.drift import DriftReport
from specs.engine import EngineProfile, EngineProfileSpec, Fit, StepModel, StepRange
from specs.errors import InputError, MissingHardwareError
from specs.host import HostProfile
from specs.profile import Repeats
from specs.stored import content_id, storable
from tests.profilers.hosts import FP32, NOISY, QUIET, READ, host_profile, scaled
from tests.profilers.store.conftest import layer_profile, serving_plan

SLOW = scaled(1 / 1.1)


def identified(profile: Document) -> tuple[str, dict[str, object]]:
    return content_id(profile), storable(profile)


def outcomes(report: DriftReport) -> dict[str, str]:
    return {one.name: one.outcome for one in report.spec.metrics}


@pytest.fixture(autouse=True)
def own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def again(
    monkeypatch: pytest.MonkeyPatch, following: Iterable[HostProfile], budget_s: float = 0.0, seconds_each: float = 10.0
) -> tuple[DriftReport, list[Document]]:
    """Look for drift where each measurement gives the next of ``following`` and takes its seconds of a fake clock."""
    left, now = iter(following), [0.0]

    def measure(before: object, on_progress: object) -> Document:
        now[0] += seconds_each
        return next(left)

    monkeypatch.setitem(drift.KINDS, "HostProfile", Kind(host_metrics, measure))
    kept: list[Document] = []
    report = drift_again(
        identified(host_profile()), None, budget_s=budget_s, on_progress=lambda done, total, what: None,
        keep=kept.append, clock=lambda: now[0],
    )  # fmt: skip
    return report, kept


def test_a_steady_machine_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    report, kept = again(monkeypatch, [host_profile(scaled(1.01))], budget_s=1000)
    assert (report.spec.outcome, report.spec.measurements) == ("steady", 1)
    assert len(kept) == 1
    assert kept[0].metadata.labels[DRIFT_OF] == report.spec.profile.removeprefix("sha256:")[:12]
    assert report.spec.against == content_id(kept[0])


def test_a_slowdown_is_drift_once_it_is_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    report, kept = again(monkeypatch, [host_profile(SLOW)] * 2)
    assert (report.spec.outcome, report.spec.measurements, len(kept)) == ("drift", 2, 1)
    assert outcomes(report) == {READ: "moved", FP32: "steady"}
    assert report.spec.metrics[0].change == pytest.approx(1 / 1.1 - 1, abs=2e-3)
    assert report.spec.reason == f"1 of 2 figures moved: {READ} 9.1 % slower"


def test_a_move_that_does_not_come_again_is_no_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    report, _ = again(monkeypatch, [host_profile(SLOW), host_profile(scaled(1.1))])
    assert (report.spec.outcome, report.spec.measurements) == ("too-noisy", 2)
    report, _ = again(monkeypatch, [host_profile(SLOW), host_profile()])
    assert (report.spec.outcome, report.spec.measurements) == ("steady", 2)


def test_noise_is_measured_again_while_the_budget_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = host_profile(scaled(0.5, NOISY))
    report, _ = again(monkeypatch, [noisy] * 9, budget_s=35)
    assert (report.spec.outcome, report.spec.measurements) == ("too-noisy", 3)
    assert outcomes(report)[READ] == "too-noisy"
    report, _ = again(monkeypatch, [noisy, host_profile()], budget_s=35)
    assert (report.spec.outcome, report.spec.measurements) == ("steady", 2)


def test_two_profiles_are_compared_with_what_else_changed() -> None:
    report = drift_against(identified(host_profile()), identified(host_profile(fp32=scaled(1.2), kernel="6.2")))
    assert (report.spec.outcome, report.spec.measurements) == ("drift", 0)
    assert outcomes(report) == {READ: "steady", FP32: "moved"}
    assert [(one.field, one.before, one.after) for one in report.spec.beside] == [("spec.system.kernel", "6.1", "6.2")]


def test_figures_of_one_side_alone_are_named() -> None:
    bare = host_profile()
    without = bare.model_copy(update={"spec": bare.spec.model_copy(update={"compute": ()})})
    report = drift_against(identified(bare), identified(without))
    assert (report.spec.only_before, report.spec.only_after) == ((FP32,), ())
    empty = without.model_copy(update={"spec": without.spec.model_copy(update={"bandwidth": ()})})
    with pytest.raises(InputError, match="share no measured figure"):
        drift_against(identified(bare), identified(empty))


@pytest.mark.parametrize("blocks", [[], [[]], [[0.0]], [[-1.0]]])
def test_blocks_that_no_measurement_gives_are_refused(blocks: list[list[float]]) -> None:
    good, broken = identified(host_profile()), storable(host_profile())
    broken["spec"]["bandwidth"][0]["blocks_gb_per_s"] = blocks
    with pytest.raises(InputError, match="block"):
        drift_against(good, ("sha256:" + "0" * 64, broken))


def test_plans_that_rest_on_the_profile_are_named(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store.db"))
    identity = add_profile(store, host_profile())
    plan = add_plan(store, serving_plan("chat", identity))
    add_plan(store, serving_plan("other"))
    report = drift_against(identified(host_profile()), identified(host_profile(SLOW)), store)
    assert identity == report.spec.profile
    assert [(one.id, one.name) for one in report.spec.plans] == [(plan, "chat")]


def test_other_kinds_are_refused() -> None:
    layers = identified(layer_profile())
    with pytest.raises(InputError, match="keeps no blocks"):
        drift_against(layers, layers)
    with pytest.raises(InputError, match="is a LayerProfile"):
        drift_against(identified(host_profile()), layers)


@pytest.mark.parametrize("kind", ["layers", "engine"])
def test_layers_and_engines_are_compared_by_their_repeats(kind: str) -> None:
    before, steady, slow = (repeated(kind, level) for level in (1.0, 1.01, 1 / 1.1))
    assert drift_against(identified(before), identified(steady)).spec.outcome == "steady"
    report = drift_against(identified(before), identified(slow))
    assert (report.spec.outcome, outcomes(report)) == ("drift", {"decode": "moved"})


def repeated(kind: str, level: float = 1.0, **more: object) -> Document:
    """A profile whose one figure was repeated in seven quiet blocks."""
    repeats = (Repeats(name="decode", unit="per s", blocks=tuple((level * one,) * 3 for one in QUIET)),)
    if kind == "layers":
        plain: Document = layer_profile()
    else:
        spec = EngineProfileSpec(
            model="m", engine="vllm", source="a test", steps=StepModel(base_s=1, tokens=(0, 1), tokens_s=(0, 1)),
            range=StepRange(tokens=1, sequences=1, context_tokens=1),
            fit=Fit(seen="probes", observations=1, folds=1, block_steps=1, error=0, bias=0, median_step_error=0),
        )  # fmt: skip
        plain = EngineProfile(metadata=Metadata(name="e"), spec=spec)
    changed = plain.spec.model_copy(update={"repeats": repeats, **more})  # type: ignore[attr-defined]
    return plain.model_copy(update={"spec": changed})


def test_an_engine_is_probed_again_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"max_requests": 60.0, "max_seconds": 20.5, "prompt_tokens": 100.0, "output_tokens": 12.0,
             "longest_prompt": 500.0, "seed": 3.0}  # fmt: skip
    before = repeated("engine", url="http://localhost:1", probed=asked, max_num_batched_tokens=512)
    put: list[tuple[object, ...]] = []

    def probe(url: object, asked: object, labels: object, **more: object) -> Document:
        put.append((url, asked, labels, more["key"]))
        return repeated("engine", 1 / 1.1)

    monkeypatch.setattr("profilers.engine.profile_endpoint", probe)
    monkeypatch.setenv("TONNAGE_API_KEY", "hush")
    report = drift_again(identified(before), None, budget_s=0, on_progress=lambda *_: None, keep=lambda _: None)
    assert (report.spec.outcome, report.spec.measurements) == ("drift", 2)
    wanted = Asked(max_requests=60, max_seconds=20.5, prompt_tokens=100, output_tokens=12, longest_prompt=500, seed=3)
    assert put[0][:2] == ("http://localhost:1", wanted)
    assert put[0][2] == Labels(model="m", engine="vllm", max_num_batched_tokens=512)
    assert put[0][3] == "hush"
    assert "hush" not in str(storable(report))


def test_an_engine_known_by_files_has_nothing_to_probe() -> None:
    with pytest.raises(InputError, match="there is no engine to probe"):
        drift.measure_engine(storable(repeated("engine")), lambda done, total, what: None)


@pytest.mark.extras
def test_layers_of_another_machine_are_not_measured() -> None:
    pytest.importorskip("torch")
    of_gpu = storable(repeated("layers"))
    of_gpu["spec"]["machine"] = {"hostname_sha": "f" * 16}
    with pytest.raises(MissingHardwareError, match="cuda"):
        drift.measure_layers(of_gpu, lambda done, total, what: None)
    of_cpu = storable(repeated("layers", device="cpu"))
    of_cpu["spec"]["machine"] = {"hostname_sha": "f" * 16}
    with pytest.raises(MissingHardwareError, match="another machine's CPU"):
        drift.measure_layers(of_cpu, lambda done, total, what: None)


def stored(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store.db"))


def test_the_word_host_means_the_newest_that_no_look_for_drift_made(tmp_path: Path) -> None:
    store = stored(tmp_path)
    for name, labels in (("old", {}), ("new", {}), ("again", {DRIFT_OF: "0123"})):
        add_profile(store, host_profile(name=name, labels=labels))
    other = host_profile(name="elsewhere")
    machine = other.spec.machine.model_copy(update={"hostname_sha": "f" * 16})
    add_profile(store, other.model_copy(update={"spec": other.spec.model_copy(update={"machine": machine})}))
    assert stored_before("host", str(tmp_path / "store.db"))[1]["metadata"]["name"] == "new"


def test_without_a_profile_of_this_machine_there_is_a_cure(tmp_path: Path) -> None:
    stored(tmp_path)
    with pytest.raises(InputError, match="tonnage profile host"):
        stored_before("host", str(tmp_path / "store.db"))


def test_another_make_of_machine_is_not_measured() -> None:
    with pytest.raises(MissingHardwareError, match="another make of machine"):
        drift.measure_host(storable(host_profile()), lambda done, total, what: None)


def test_a_store_that_was_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert store_of(None) is None
    with pytest.raises(InputError):
        store_of(str(tmp_path / "none.db"))


def test_gpus_have_figures_of_their_own() -> None:
    data = storable(host_profile())
    data["spec"]["gpus"] = [{"name": "a", "index": 1, "bandwidth": [
        {"operation": "copy", "blocks_gb_per_s": [[1.0]]},
    ]}]  # fmt: skip
    assert list(host_metrics(data)) == [READ, FP32, "gpu 1 memory copy"]
    assert host_metrics(data)[READ].blocks[0] == list(QUIET[:1] * 3)
