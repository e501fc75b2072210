"""The software under everything else: kernel, distribution, hypervisor, container."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path

from profilers.host.files import fields, text
from specs.host import HostSystem, Unknown

# What firmware tables (DMI) and guest clocks call each hypervisor, as systemd-detect-virt knows them. [std]
_MAKERS = {
    "QEMU": "kvm", "KVM": "kvm", "OpenStack": "kvm", "KubeVirt": "kvm", "Amazon EC2": "amazon",
    "Google Compute Engine": "google", "VMware": "vmware", "Microsoft Corporation Virtual": "microsoft",
    "innotek": "oracle", "Xen": "xen", "Parallels": "parallels", "BHYVE": "bhyve", "Apple Virtualization": "apple",
    "DigitalOcean": "kvm", "Hetzner vServer": "kvm", "Alibaba Cloud ECS": "kvm", "Firecracker": "kvm",
}  # fmt: skip
_CLOCKS = {"kvm-clock": "kvm", "hyperv": "microsoft", "xen": "xen"}
_CONTAINER_MARKS = {
    "kubepods": "kubernetes", "docker": "docker", "libpod": "podman", "lxc": "lxc", "containerd": "containerd",
}  # fmt: skip


def read_system(root: Path, environment: Mapping[str, str], unknown: Unknown) -> HostSystem:
    """Return kernel, distribution, hypervisor and container; notes in ``unknown`` what cannot be told."""
    virtualisation = _virtualisation(root)
    if virtualisation is None:
        unknown["system.virtualisation"] = "a hypervisor is there (CPU flag), but neither DMI nor its clock names it"
    return HostSystem(
        kernel=platform.release() or None,
        distribution=fields(root / "etc/os-release", "=").get("PRETTY_NAME", "").strip('"') or None,
        virtualisation=virtualisation,
        container=_container(root, environment),
    )


def _virtualisation(root: Path) -> str | None:
    dmi = root / "sys/class/dmi/id"
    stated = " ".join(filter(None, (text(dmi / name) for name in ("sys_vendor", "product_name", "bios_vendor"))))
    clocks = text(root / "sys/devices/system/clocksource/clocksource0/available_clocksource") or ""
    clock = next((name for mark, name in _CLOCKS.items() if mark in clocks), None)
    flags = fields(root / "proc/cpuinfo").get("flags", "").split()
    if ".metal" in stated:  # "Amazon EC2 m5.metal" is no virtual machine
        return "none"
    maker = next((name for mark, name in _MAKERS.items() if mark in stated), None)
    found = maker or text(root / "sys/hypervisor/type") or clock
    return found or (None if "hypervisor" in flags else "none")


def _container(root: Path, environment: Mapping[str, str]) -> str | None:
    if "KUBERNETES_SERVICE_HOST" in environment:
        return "kubernetes"
    groups = text(root / "proc/self/cgroup") or ""
    marked = next((name for mark, name in _CONTAINER_MARKS.items() if mark in groups), None)
    stated = environment.get("container") or marked
    if stated:
        return stated
    files = {"podman": root / "run/.containerenv", "docker": root / ".dockerenv"}
    return next((name for name, path in files.items() if path.exists()), None)
