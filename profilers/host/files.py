"""Small files of /proc and /sys: their text, or None where they are not there or not ours to read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

MIB_IN_KIB = 1024.0
GIB_IN_KIB = 2.0**20
GIB_IN_BYTES = 2.0**30


def text(path: Path) -> str | None:
    """Return the stripped text of ``path``, or None where it cannot be read or is empty."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \n\t") or None
    except OSError:
        return None


def number(path: Path) -> float | None:
    """Return the number that ``path`` holds, or None where it holds no number."""
    found = text(path)
    try:
        return float(found) if found is not None else None
    except ValueError:
        return None


def numbered(folder: Path, prefix: str) -> Iterator[tuple[int, Path]]:
    """Yield the entries of ``folder`` that are ``prefix`` and a number, in the order of the numbers."""
    names = sorted(int(path.name.removeprefix(prefix)) for path in _entries(folder, prefix))
    for name in names:
        yield name, folder / f"{prefix}{name}"


def _entries(folder: Path, prefix: str) -> list[Path]:
    try:
        return [path for path in folder.glob(f"{prefix}*") if path.name.removeprefix(prefix).isdigit()]
    except OSError:
        return []


def fields(path: Path, separator: str = ":") -> dict[str, str]:
    """Return `name: value` lines as a mapping; of lines with the same name the first counts."""
    found: dict[str, str] = {}
    for line in (text(path) or "").splitlines():
        name, mark, value = line.partition(separator)
        if mark:
            found.setdefault(name.strip(), value.strip())
    return found


def cpu_list(listed: str) -> list[int]:
    """Return the CPUs of a list as the kernel writes it: `0-3,8` is 0, 1, 2, 3, 8."""
    found: list[int] = []
    for part in filter(None, listed.strip().split(",")):
        low, _, high = part.partition("-")
        found += range(int(low), int(high or low) + 1)
    return found


def listed(cpus: list[int]) -> str:
    """Return CPUs as the kernel lists them: 0, 1, 2, 8 is `0-2,8`; the reverse of `cpu_list`."""
    runs: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
