"""A scheduled measurement as a systemd service and the timer that starts it."""

from __future__ import annotations

from specs.schedule import STOP_S, Schedule

DRIFT_EXIT = 5


def systemd_service(schedule: Schedule) -> str:
    """Return the text of NAME.service: systemd starts no second one while it runs, and ends it after its time.

    Drift leaves the unit failed, so that `OnFailure=` and the usual alerts see it. The file that EnvironmentFile names
    may hold TONNAGE_STORE [std: systemd.service(5), systemd.exec(5)].
    """
    command = " ".join(map(_quoted, (schedule.program, *schedule.arguments)))
    return f"""# {schedule.name}.service; exit code {DRIFT_EXIT} means drift
[Unit]
Description=Measure this machine again and look for drift
After=network-online.target
Wants=network-online.target

[Service]
Type=oneshot
EnvironmentFile=-/etc/tonnage/environment
ExecStart={command}
TimeoutStartSec={schedule.timeout_s}
TimeoutStopSec={STOP_S}
StateDirectory=tonnage
Environment=XDG_DATA_HOME=/var/lib
NoNewPrivileges=yes
"""


def systemd_timer(schedule: Schedule) -> str:
    """Return the text of NAME.timer; a run that was missed while the machine was off is not made up by day."""
    return f"""# {schedule.name}.timer
[Unit]
Description=Look for drift every night

[Timer]
OnCalendar=*-*-* {schedule.hour:02d}:{schedule.minute:02d}:00
AccuracySec=1min
Persistent=false

[Install]
WantedBy=timers.target
"""


def _quoted(word: str) -> str:
    """Return ``word`` as one argument of ExecStart: `%` and `$` have a meaning there, quotes and backslashes too."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    plain = escaped == word and word and not any(mark in word for mark in " '\t;")
    return word if plain else f'"{escaped}"'
