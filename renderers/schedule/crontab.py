"""A scheduled measurement as an entry of a crontab."""

from __future__ import annotations

import shlex

from specs.schedule import STOP_S, Schedule

LOCK = "/tmp"


def crontab_entry(schedule: Schedule) -> str:
    """Return the entry with a comment above it: one at a time by `flock`, ended after a while by `timeout`.

    Cron mails what the job prints. `flock -E 0` leaves quietly where the last one still runs. A `%` ends a crontab's
    command unless it is escaped [std: crontab(5)].
    """
    lock = f'"${{XDG_RUNTIME_DIR:-{LOCK}}}/{schedule.name}.cron.lock"'
    command = shlex.join((schedule.program, *schedule.arguments))
    limit = f"timeout --kill-after={STOP_S} {schedule.timeout_s}"
    entry = f"{schedule.minute} {schedule.hour} * * *  flock -n -E 0 {lock} {limit} {command}"
    told = f"# {schedule.name}: leaves with 5 on drift; gauges tonnage_profile_* in {schedule.textfile}"
    return f"{told}\n{entry.replace('%', chr(92) + '%')}"
