"""The house stands as it is drawn: the rooms, their arrows, the packaging and the door."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tonnage import ROOMS

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEAVY = ("numpy", "scipy", "numba", "pydantic", "polars", "rich", "yaml", "sqlalchemy", "alembic")


def run(*command: str, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(path or ROOT), "PYTHONSAFEPATH": ""}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def packages_in_the_tree() -> set[str]:
    folders = {"tonnage"}
    for room in ROOMS:
        for file in (ROOT / room).rglob("*"):
            if file.suffix in (".py", ".yaml", ".csv") and "__pycache__" not in file.parts:
                folders.add(".".join(("tonnage", *file.relative_to(ROOT).parent.parts)))
    return folders


def copy_of_the_tree(folder: Path) -> Path:
    copy = folder / "tonnage-source"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "site", "results")
    shutil.copytree(ROOT, copy, ignore=ignored)
    return copy


def test_the_packages_are_those_of_the_tree() -> None:
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages_in_the_tree()


def test_every_room_is_typed_counted_and_layered() -> None:
    code = {room for room in ROOMS if (ROOT / room / "__init__.py").exists()} | {"tonnage"}
    assert code <= set(PROJECT["tool"]["mypy"]["files"])
    assert code == set(PROJECT["tool"]["coverage"]["run"]["source"])
    assert code == set(PROJECT["tool"]["importlinter"]["root_packages"])


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("solvers/curves.py", "import specs.base", "solvers know nothing of ours"),
        ("specs/base.py", "import predictors.serving", "rooms are layered"),
        ("renderers/explain.py", "import solvers.queues", "renderers know only documents"),
        ("predictors/workload.py", "import planners.check", "rooms are layered"),
        ("planners/check.py", "import planners.serving", "a planner imports no other planner"),
    ],
)
def test_a_wrong_import_is_caught(tmp_path: Path, file: str, line: str, broken: str) -> None:
    copy = copy_of_the_tree(tmp_path)
    (copy / file).write_text((copy / file).read_text() + f"\n{line}\n")
    lint = run(str(Path(sys.executable).parent / "lint-imports"), "--no-cache", cwd=copy, path=copy)
    assert lint.returncode != 0
    assert f"{broken} BROKEN" in lint.stdout


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, atexit, tonnage; from cli.main import run; sys.argv = ['tonnage', '--help'];"
        f"atexit.register(lambda: print('HEAVY', [name for name in {HEAVY} if name in sys.modules])); run()"
    )
    shown = run(sys.executable, "-c", code, cwd=tmp_path)
    assert shown.returncode == 0
    assert "HEAVY []" in shown.stdout


def test_a_decoy_in_the_working_folder_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "cli.py").write_text("raise SystemExit('the decoy was imported')\n")
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "__init__.py").write_text("raise SystemExit('the decoy was imported')\n")
    shown = run(sys.executable, "-m", "tonnage", "--version", cwd=tmp_path)
    assert (shown.returncode, shown.stdout.split()[0]) == (0, "tonnage")


def test_a_foreign_module_of_a_rooms_name_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "solvers.py").write_text("")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import solvers; import tonnage"
    shown = run(sys.executable, "-c", code, cwd=tmp_path)
    assert shown.returncode == 1
    assert f"a foreign module 'solvers' from {tmp_path}" in shown.stderr


def build(kind: str, copy: Path, folder: Path) -> Path:
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(folder)!r}))"
    built = run(sys.executable, "-c", code, cwd=copy, path=copy)
    assert built.returncode == 0, built.stderr
    return folder / built.stdout.splitlines()[-1]


@pytest.mark.slow
def test_the_wheel_holds_the_rooms_and_runs_beside_decoys(tmp_path: Path) -> None:
    copy = copy_of_the_tree(tmp_path)
    installed = tmp_path / "installed"
    with zipfile.ZipFile(build("wheel", copy, tmp_path)) as wheel:
        names = set(wheel.namelist())
        wheel.extractall(installed)
    data = {f"tonnage/{file.relative_to(ROOT)}" for file in (ROOT / "catalog").rglob("*.yaml")}
    assert data <= names
    assert all(name.split("/")[0] in ("tonnage", "tonnage-0.1.0.dist-info") for name in names)
    parts = {part for name in names for part in name.split("/")}
    assert not any(part in ("tests", "conftest.py") or part.startswith("test_") for part in parts)
    (tmp_path / "cli.py").write_text("raise SystemExit('the decoy was imported')\n")
    deployment = str(installed / "tonnage" / "sample_workloads" / "deployment.yaml")
    shown = run(sys.executable, "-m", "tonnage", "predict", "memory", deployment, cwd=tmp_path, path=installed)
    assert shown.returncode == 0, shown.stderr
    assert "kind: MemoryEstimate" in shown.stdout


@pytest.mark.slow
def test_the_source_archive_holds_what_a_packager_needs(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", copy_of_the_tree(tmp_path), tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"LICENSE", "Makefile", "requirements.lock", "cli/main.py", "tests/test_house.py", "docs/design.md"}
    assert needed | {"catalog/devices/h100-sxm.yaml", "sample_workloads/cluster.yaml", "mkdocs.yml"} <= names
