"""A job that measures again at a time of day: what schedulers of every kind need to know of it."""

from __future__ import annotations

import re

from pydantic import Field

from specs.base import Count, Spec
from specs.errors import InputError
from specs.masking import MASK, mask_credentials

STOP_S = 30  # between the signal that asks a job to end and the one that ends it
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


class Schedule(Spec):
    """A nightly look for drift; ``arguments`` follow the word `tonnage`."""

    name: str = "tonnage-drift"
    program: str = "tonnage"  # as the scheduler's PATH finds it, or its whole path
    arguments: tuple[str, ...]
    hour: int = Field(ge=0, le=23)
    minute: int = Field(ge=0, le=59)
    timeout_s: Count
    textfile: str  # absolute path


def nightly(
    profile: str, *, at: str, budget: str, timeout_s: float, textfile: str, store: str | None, program: str = "tonnage"
) -> Schedule:
    """Return the schedule of `tonnage profile drift` at the time ``at`` (HH:MM).

    Raises `InputError` for another form of time, files that are given by a relative path, texts with control
    characters, and a store whose URL holds a password: what schedulers keep is read by many.
    """
    match = _TIME.fullmatch(at)
    if match is None:
        raise InputError(
            f"--at: found {at!r}, expected a time such as 03:17", cure="Say hours and minutes, 24 h a day."
        )
    if not textfile.startswith("/"):
        raise InputError(f"--textfile: found {textfile!r}, expected an absolute path", cure="Schedulers run elsewhere.")
    if not profile.startswith("/") and ("/" in profile or profile.endswith((".yaml", ".yml"))):
        raise InputError(f"--profile: found {profile!r}, expected an absolute path", cure="Schedulers run elsewhere.")
    if store is not None and MASK in mask_credentials(store):
        cure = "Leave --store out (and TONNAGE_STORE unset here); put TONNAGE_STORE into the job's own environment."
        raise InputError("--store: holds a password, which a schedule would show", cure=cure)
    arguments = ["profile", "drift", profile, "--budget", budget, "--textfile", textfile, "--quiet", "-o", "table"]
    arguments += ["--store", store] if store is not None else []
    for text in (*arguments, program):
        if not text.isprintable():
            raise InputError(f"{text!r}: holds a control character", cure="Write it on one line.")
    hour, minute = int(match[1]), int(match[2])
    return Schedule(
        program=program, arguments=tuple(arguments), hour=hour, minute=minute, timeout_s=int(timeout_s),
        textfile=textfile,
    )  # fmt: skip
