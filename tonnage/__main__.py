"""What `tonnage` and `python -m tonnage` run."""

from __future__ import annotations

import tonnage  # noqa: F401  (opens the door before the rooms are imported)


def main() -> None:
    """Run the command line."""
    from cli.main import run

    run()


if __name__ == "__main__":
    main()
