"""The door: puts the folder of the rooms first on the path and refuses foreign modules of their names."""

from __future__ import annotations

import sys
from pathlib import Path

__version__ = "0.1.0"

ROOMS = ("cli", "planners", "renderers", "predictors", "profilers", "solvers", "specs", "catalog", "sample_workloads")


def _rooms_folder() -> Path:
    """Return the folder that holds the rooms: this package's own in a wheel, its parent in a checkout."""
    here = Path(__file__).resolve().parent
    return here if (here / "cli" / "main.py").exists() else here.parent


def _open() -> None:
    folder = str(_rooms_folder())
    for name in ROOMS:
        module = sys.modules.get(name)
        origin = getattr(module, "__file__", None)
        if module is not None and origin and not origin.startswith(folder):
            raise ImportError(f"a foreign module {name!r} from {origin} is already imported; tonnage needs that name")
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)


_open()
