"""Runs a training job: its processes from start to end, and what their end means for the job."""

import os
import shlex
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import grpc
from google.cloud.aiplatform_v1 import types

from labkit import processes
from labkit.cloud.local import job_states
from labkit.cloud.local.container_arguments import expand
from labkit.cloud.local.job_log import SERVICE, JobLog, Tail, folder_of
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.status import ApiError, invalid
from labkit.cloud.local.training_packages import unpack
from labkit.cloud.local.worker_pools import Replica, replicas
from labkit.errors import ProcessError

# What a job may ask for and does not get here: its processes run as this user, on this machine, as they are.
_NOT_HERE = (
    "service_account",
    "network",
    "tensorboard",
    "enable_web_access",
    "enable_dashboard_access",
    "persistent_resource_id",
    "experiment",
    "experiment_run",
)
# The service starts a job again when a process was ended by a signal that may have been bad luck, this often.
RETRIES = 3
_TRANSIENT = (134, 139)  # SIGABRT and SIGSEGV
_LOOK_SECONDS = 0.02
_GRACE_SECONDS = 5.0
_LAST_LINES = 20


class _Exited(Exception):
    """Replicas that ended with a status other than 0, and their statuses."""

    def __init__(self, statuses: Mapping[str, int]) -> None:
        super().__init__(str(statuses))
        self.statuses = statuses


def train(cloud: LocalCloud, job: types.CustomJob, trial: str = "", metric: str = "") -> None:
    """Run a job to its end and leave it in a final state, with its error if it has one.

    Args:
        cloud: where it is kept.
        job: the stored message; its pools were checked.
        trial: the trial that it is for.
        metric: what is measured in the trial.
    """
    error = None
    try:
        _Training(cloud, job, trial, metric).run()
    except ApiError as reason:
        error = reason
    except ProcessError as reason:
        error = invalid(str(reason))
    except Exception as reason:
        traceback.print_exc(file=sys.stderr)
        error = ApiError(grpc.StatusCode.INTERNAL, f"{type(reason).__name__}: {reason}")
    job_states.finish(cloud, job, error)


class _Training:
    def __init__(self, cloud: LocalCloud, job: types.CustomJob, trial: str, metric: str) -> None:
        self._cloud, self._job, self._trial, self._metric = cloud, job, trial, metric
        self._id = job.name.rpartition("/")[2]
        self._folder = folder_of(cloud, self._id)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log = JobLog(self._folder)
        timeout = job.job_spec.scheduling.timeout
        self._deadline = time.monotonic() + (timeout.total_seconds() if timeout else 7 * 24 * 3600)

    def run(self) -> None:
        """Raise what is the job's error, if there is one."""
        self._say_what_is_left_out()
        paths = self._packages()
        for attempt in range(RETRIES + 1):
            try:
                self._attempt(paths)
                return
            except _Exited as exited:
                error = self._failure(exited.statuses)
                lasting = not set(exited.statuses.values()) & set(_TRANSIENT)
                if lasting or attempt == RETRIES or self._job.job_spec.scheduling.disable_retries:
                    raise error from None
                self._log.write(SERVICE, f"{error.message.splitlines()[0]} The job is started again.", "WARNING")

    def _say_what_is_left_out(self) -> None:
        spec = self._job.job_spec
        left_out = [field for field in _NOT_HERE if getattr(spec, field)]
        if any(pool.machine_spec.accelerator_count for pool in spec.worker_pool_specs):
            left_out.append("accelerators")
        if left_out:
            self._log.write(SERVICE, f"The local cloud leaves out: {', '.join(left_out)}.", "WARNING")

    def _packages(self) -> dict[str, tuple[Path, ...]]:
        """Unpack each pool's packages; where they are, by the pool's name."""
        found = {}
        for number, pool in enumerate(self._job.job_spec.worker_pool_specs):
            name = f"workerpool{number}"
            packages = unpack(
                self._cloud.objects, pool.python_package_spec.package_uris, self._folder / "packages" / name
            )
            found[name] = packages.path
            if packages.unmet:
                self._log.write(
                    SERVICE,
                    f"This environment does not meet what the package requires: {', '.join(packages.unmet)}. Nothing "
                    "is installed here; the real service does install it.",
                    "WARNING",
                )
        return found

    def _attempt(self, paths: Mapping[str, tuple[Path, ...]]) -> None:
        """Run all replicas until the primary one is done; then the others are ended, whatever they do."""
        members = replicas(self._job.job_spec.worker_pool_specs, self._cloud.containers, self._trial)
        with ExitStack() as stack:
            running: dict[str, processes.ManagedProcess] = {}
            tails: list[Tail] = []
            stack.callback(_follow_to_the_end, tails)  # the last of all: what they say while they are ended counts, too
            for member in members:
                process = stack.enter_context(_Stopped(self._start(member, paths[member.pool])))
                running[member.name] = process
                tails.append(Tail(process.log_path, self._log, member.name))
            job_states.move(self._cloud, self._job, "RUNNING")
            while not _done(running):
                self._check()
                for tail in tails:
                    tail.follow()
                self._cloud.stopping.wait(_LOOK_SECONDS)

    def _start(self, member: Replica, path: tuple[Path, ...]) -> processes.ManagedProcess:
        folder = self._folder / member.name
        folder.mkdir(exist_ok=True)
        environment = {**self._environment(path), **self._of_trial(member.name), **member.environment}
        command = [expand(word, environment) for word in member.command]
        self._log.write(SERVICE, f"{member.name} runs {shlex.join(command)}")
        return processes.start(command, name=member.name, env=environment, cwd=str(folder))

    def _environment(self, path: tuple[Path, ...]) -> dict[str, str]:
        """What every process of the job sees."""
        before = os.environ.get("PYTHONPATH")
        environment = {
            **self._cloud.environment,
            "CLOUD_ML_JOB_ID": self._id,
            "CLOUD_ML_PROJECT_ID": self._cloud.project,
            "CLOUD_ML_REGION": self._job.name.split("/")[3],
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "PYTHONPATH": os.pathsep.join([*map(str, path), *([before] if before else [])]),
            "PYTHONUNBUFFERED": "1",  # what a script prints is in the log at once
        }
        return {**environment, **output_directories(self._job.job_spec)}

    def _of_trial(self, name: str) -> dict[str, str]:
        """What a process sees when its job is for a trial: where it writes its metrics, and what they are called."""
        if not self._trial:
            return {}
        file = metric_file(self._cloud, self._id, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        return {
            "CLOUD_ML_TRIAL_ID": self._trial,
            "CLOUD_ML_HP_METRIC_FILE": str(file),
            "CLOUD_ML_HP_METRIC_TAG": self._metric,
        }

    def _check(self) -> None:
        if job_states.is_in(self._job, "CANCELLING") or self._cloud.stopping.is_set():
            raise ApiError(grpc.StatusCode.CANCELLED, "CANCELED")
        if time.monotonic() > self._deadline:
            seconds = self._job.job_spec.scheduling.timeout.total_seconds()
            raise ApiError(
                grpc.StatusCode.DEADLINE_EXCEEDED, f"The job was ended because its timeout of {seconds:g} s has passed."
            )

    def _failure(self, statuses: Mapping[str, int]) -> ApiError:
        """The job's error, in the service's words and with the last ones of the processes."""
        parts = []
        for name, status in statuses.items():
            reason = f"The replica {name} exited with a non-zero status of {status}. Termination reason: Error."
            parts += [reason, self._log.last(name, _LAST_LINES)]
        query = f'resource.type="ml_job"\nresource.labels.job_id="{self._id}"'
        place = (
            f"https://console.cloud.google.com/logs/viewer?project={self._cloud.project}&advancedFilter={quote(query)}"
        )
        parts.append(
            f"To find out more about why your job exited please check the logs: {place} (on this machine: "
            f"{self._log.path})"
        )
        return invalid("\n".join(part for part in parts if part))


class _Stopped:
    """A process that is ended with less patience than usual."""

    def __init__(self, process: processes.ManagedProcess) -> None:
        self._process = process

    def __enter__(self) -> processes.ManagedProcess:
        return self._process

    def __exit__(self, *exc: object) -> None:
        self._process.stop(grace=_GRACE_SECONDS)


def metric_file(cloud: LocalCloud, job_id: str, replica: str = "workerpool0-0") -> Path:
    """The file into which a replica of a trial's job writes its metrics."""
    return folder_of(cloud, job_id) / "metrics" / replica / "output.metrics"


def output_directories(spec: types.CustomJobSpec) -> dict[str, str]:
    """The variables that tell where a job's output goes; none if the job has no output directory."""
    base = spec.base_output_directory.output_uri_prefix.rstrip("/")
    if not base:
        return {}
    return {
        "AIP_MODEL_DIR": f"{base}/model/",
        "AIP_CHECKPOINT_DIR": f"{base}/checkpoints/",
        "AIP_TENSORBOARD_LOG_DIR": f"{base}/logs/",
    }


def _follow_to_the_end(tails: Iterable[Tail]) -> None:
    for tail in tails:
        tail.follow(ended=True)


def _done(running: Mapping[str, processes.ManagedProcess]) -> bool:
    """Whether the primary replica has done its work.

    Raises:
        _Exited: replicas ended with another status than 0.
    """
    statuses = {name: process.exit_code for name, process in running.items()}
    if statuses["workerpool0-0"] == 0:
        return True
    # A process that a signal ended has the status that a container has then.
    failed = {name: status if status > 0 else 128 - status for name, status in statuses.items() if status}
    if failed:
        raise _Exited(failed)
    return False
