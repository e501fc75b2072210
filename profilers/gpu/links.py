"""What a GPU is connected by: its PCIe link and its NVLink peers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import pynvml

from profilers.gpu.nvml import LOST, told, why
from specs.gpu import NvlinkPeer, Pcie
from specs.host import Unknown

_KINDS: dict[int, Literal["gpu", "switch", "cpu"]] = {
    pynvml.NVML_NVLINK_DEVICE_TYPE_GPU: "gpu",
    pynvml.NVML_NVLINK_DEVICE_TYPE_SWITCH: "switch",
    pynvml.NVML_NVLINK_DEVICE_TYPE_IBMNPU: "cpu",
}


class _Link(NamedTuple):
    kind: Literal["gpu", "switch", "cpu", "unknown"]
    bus_id: str | None
    version: int | None


def bus_id(pci: Any) -> str:
    """Return the bus id of NVML's PCI structure in lower case: one spelling for peers to be compared by."""
    found = pci.busId
    return (found.decode() if isinstance(found, bytes) else str(found)).lower()


def read_pcie(device: Any, unknown: Unknown) -> Pcie:
    """Return generation and width of the PCIe link, now and at most."""
    asked = {
        "bus_id": lambda: bus_id(pynvml.nvmlDeviceGetPciInfo(device)),
        "generation": lambda: pynvml.nvmlDeviceGetCurrPcieLinkGeneration(device),
        "max_generation": lambda: pynvml.nvmlDeviceGetMaxPcieLinkGeneration(device),
        "width": lambda: pynvml.nvmlDeviceGetCurrPcieLinkWidth(device),
        "max_width": lambda: pynvml.nvmlDeviceGetMaxPcieLinkWidth(device),
    }
    found: dict[str, Any] = {name: told(unknown, f"pcie.{name}", call) for name, call in asked.items()}
    return Pcie(**{name: value or None for name, value in found.items()})  # a virtual GPU says 0


def read_nvlink(device: Any, peers: Mapping[str, int], unknown: Unknown) -> tuple[NvlinkPeer, ...]:
    """Return what the active links lead to; links to the same end are counted together.

    A GPU without NVLink has no peers: that is no gap in what is known.
    """
    links: Counter[_Link] = Counter()
    for number in range(pynvml.NVML_NVLINK_MAX_LINKS):
        try:
            if pynvml.nvmlDeviceGetNvLinkState(device, number):
                links[_link(device, number, unknown)] += 1
        except pynvml.NVMLError as error:
            if error.value in LOST:
                raise
            if error.value not in (pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_INVALID_ARGUMENT):
                unknown["nvlink"] = why(error)
            break  # no such link: there are no more
    return tuple(
        NvlinkPeer(
            kind=link.kind,
            bus_id=link.bus_id,
            gpu=peers.get(link.bus_id) if link.bus_id else None,
            links=count,
            version=link.version,
        )
        for link, count in links.items()
    )


def _link(device: Any, number: int, unknown: Unknown) -> _Link:
    kind = told(unknown, "nvlink.kind", lambda: pynvml.nvmlDeviceGetNvLinkRemoteDeviceType(device, number))
    end = told(unknown, "nvlink.bus_id", lambda: bus_id(pynvml.nvmlDeviceGetNvLinkRemotePciInfo(device, number)))
    version = told(unknown, "nvlink.version", lambda: int(pynvml.nvmlDeviceGetNvLinkVersion(device, number)))
    return _Link(_KINDS.get(kind, "unknown") if kind is not None else "unknown", end, version or None)
