"""Hosts made of files: /proc and the cgroup hierarchies of version 1, version 2 and both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from profilers.cgroup import Mounts, read_mounts

PSI = "some avg10=0.00 avg60=0.00 avg300=0.00 total={some}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total={full}\n"


@dataclass(frozen=True)
class Host:
    """A host below ``folder``; ``kinds``: hierarchy → where it is mounted, and its root as seen from inside."""

    folder: Path

    @property
    def proc(self) -> Path:
        return self.folder / "proc"

    @property
    def mounts(self) -> Mounts:
        return read_mounts(self.proc)

    def mount(self, **kinds: str) -> Host:
        """Mount hierarchies: `unified`, or controllers of version 1 joined by `_and_`; the value is the root."""
        lines = ["21 1 0:19 / /proc rw - proc proc rw"]
        for number, (name, root) in enumerate(kinds.items(), 30):
            controllers = name.split("_and_")
            folder = self.folder / "sys fs cgroup" / name
            folder.mkdir(parents=True, exist_ok=True)
            seen = str(folder).replace(" ", "\\040")
            kind = "cgroup2 cgroup2 rw" if name == "unified" else f"cgroup cgroup rw,{','.join(controllers)}"
            lines.append(f"{number} 23 0:28 {root} {seen} rw,relatime shared:4 - {kind}")
        self.write("proc/self/mountinfo", "\n".join(lines) + "\n")
        return self

    def write(self, path: str, text: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def group(self, hierarchy: str, path: str, files: Mapping[str, str] | None = None) -> Path:
        """Make a cgroup with the given files."""
        folder = self.folder / "sys fs cgroup" / hierarchy / path.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (files or {}).items():
            (folder / name).write_text(text)
        return folder

    def process(self, pid: int, *, cgroup: str, started: int = 100, ticks: tuple[int, int] = (0, 0)) -> None:
        """Make a process whose name holds brackets and spaces; ``ticks`` of user and system time."""
        before = ["S", "1", *["0"] * 9]
        fields = [*before, str(ticks[0]), str(ticks[1]), *["0"] * 6, str(started), "0"]
        self.write(f"proc/{pid}/stat", f"{pid} (a (b) c) {' '.join(fields)}\n")
        self.write(f"proc/{pid}/comm", "a (b) c\n")
        self.write(f"proc/{pid}/cgroup", cgroup)

    def thread(self, pid: int, thread: int, waited_ns: int) -> None:
        self.write(f"proc/{pid}/task/{thread}/schedstat", f"1000 {waited_ns} 5\n")

    def machine(self, *, ticks: int, steal: int) -> None:
        self.write("proc/stat", f"cpu {ticks} 0 0 0 0 0 0 {steal} 0 0\ncpu0 1 2 3\n")


def version_2(folder: Path) -> Host:
    """A host with version 2 alone."""
    return Host(folder).mount(unified="/")


def version_1(folder: Path) -> Host:
    """A host with version 1 alone, cpu and cpuacct mounted together."""
    return Host(folder).mount(cpu_and_cpuacct="/", perf_event="/", memory="/")
