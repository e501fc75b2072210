"""A scheduled measurement as a Kubernetes CronJob that is bound to one node."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from specs.schedule import STOP_S, Schedule

KEPT_JOBS = 3
SECRET = "tonnage-store"  # may hold TONNAGE_STORE
DATA = "/var/lib/tonnage"


def cron_job(schedule: Schedule, *, image: str, node: str) -> dict[str, Any]:
    """Return the CronJob: never two at once, not started late, ended after its time, not tried again on drift.

    Without a store in the secret `tonnage-store` it keeps one on the node, in /var/lib/tonnage. [std: batch/v1]
    """
    folder = str(PurePosixPath(schedule.textfile).parent)
    paths = {"data": DATA, "textfile": folder}
    container = {
        "name": "drift",
        "image": image,
        "command": [schedule.program],
        "args": list(schedule.arguments),
        "env": [{"name": "XDG_DATA_HOME", "value": str(PurePosixPath(DATA).parent)}],
        "envFrom": [{"secretRef": {"name": SECRET, "optional": True}}],
        "volumeMounts": [{"name": name, "mountPath": path} for name, path in paths.items()],
    }
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": STOP_S,
        "hostNetwork": True,  # gives the pod the node's name, by which its profiles are found again
        "nodeSelector": {"kubernetes.io/hostname": node},
        "containers": [container],
        "volumes": [{"name": n, "hostPath": {"path": p, "type": "DirectoryOrCreate"}} for n, p in paths.items()],
    }
    job = {"backoffLimit": 0, "activeDeadlineSeconds": schedule.timeout_s, "template": {"spec": pod}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": schedule.name, "labels": {"app.kubernetes.io/name": schedule.name}},
        "spec": {
            "schedule": f"{schedule.minute} {schedule.hour} * * *",
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": schedule.timeout_s,
            "successfulJobsHistoryLimit": KEPT_JOBS,
            "failedJobsHistoryLimit": KEPT_JOBS,
            "jobTemplate": {"spec": job},
        },
    }
