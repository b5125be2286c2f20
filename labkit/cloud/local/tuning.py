"""Runs a hyperparameter tuning job: trials side by side, each a custom job of its own."""

import sys
import threading
import time
import traceback
from typing import Any

import grpc
from google.cloud.aiplatform_v1 import types
from google.protobuf import struct_pb2

from labkit.cloud.local import custom_jobs, job_states
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.measurements import final, goodness, read_measurements
from labkit.cloud.local.operations import bare
from labkit.cloud.local.resources import now
from labkit.cloud.local.search import Search
from labkit.cloud.local.search_space import Values
from labkit.cloud.local.status import ApiError, invalid
from labkit.cloud.local.training import metric_file, train

_STATES = types.Trial.State


class Tuning:
    """One hyperparameter tuning job's run.

    Args:
        cloud: where it is kept.
        job: the stored message.
        search: suggests the parameters.
    """

    def __init__(self, cloud: LocalCloud, job: types.HyperparameterTuningJob, search: Search) -> None:
        self._cloud, self._job, self._search = cloud, job, search
        self._results: dict[int, float] = {}
        self._failed = 0
        self._error: ApiError | None = None

    def run(self) -> None:
        """Run trials until there are enough, and leave the job in a final state."""
        job_states.move(self._cloud, self._job, "RUNNING")
        side_by_side = min(self._job.parallel_trial_count, self._job.max_trial_count)
        threads = [threading.Thread(target=self._trials, daemon=True) for _ in range(side_by_side)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._error is None and not self._results and self._failed:
            self._error = self._too_many("All trials failed.")
        if job_states.is_in(self._job, "CANCELLING") or self._cloud.stopping.is_set():
            job_states.cancelled(self._cloud, self._job)
        else:
            job_states.finish(self._cloud, self._job, self._error)

    def _trials(self) -> None:
        metric = self._job.study_spec.metrics[0].metric_id
        try:
            while (begun := self._begin()) is not None:
                number, custom_job = begun
                started = time.time()
                train(self._cloud, custom_job, str(number + 1), metric)
                self._end(number, custom_job, started)
        except ApiError as error:  # the next trial could not be made
            self._error = error
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self._error = ApiError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")

    def _begin(self) -> tuple[int, types.CustomJob] | None:
        """Make the next trial and its custom job; None if there is to be no other."""
        with self._cloud.resources.lock:
            number = len(self._job.trials)
            over = (
                self._error is not None or self._cloud.stopping.is_set() or not job_states.is_in(self._job, "RUNNING")
            )
            if over or number == self._job.max_trial_count:
                return None
            values = self._search.next(self._results)
            if values is None:
                return None
            custom_job = self._custom_job(str(number + 1), values)
            self._job.trials.append(
                types.Trial(id=str(number + 1), state=_STATES.ACTIVE, start_time=now(), custom_job=custom_job.name)
            )
            for name, value in values.items():
                parameter = bare(self._job).trials[number].parameters.add(parameter_id=name)
                parameter.value.CopyFrom(_json(value))
            self._cloud.resources.changed(self._job)
            return number, custom_job

    def _custom_job(self, trial: str, values: Values) -> types.CustomJob:
        spec = types.CustomJobSpec(self._job.trial_job_spec)
        for pool in spec.worker_pool_specs:
            if pool.replica_count:
                (pool.python_package_spec or pool.container_spec).args.extend(
                    f"--{name}={value}" for name, value in values.items()
                )
        output = spec.base_output_directory.output_uri_prefix
        if output:
            spec.base_output_directory.output_uri_prefix = f"{output.rstrip('/')}/{trial}"
        parent = self._job.name.rpartition("/hyperparameterTuningJobs/")[0]
        job = types.CustomJob(display_name=f"{self._job.display_name}-trial-{trial}", job_spec=spec)
        return custom_jobs.add_job(self._cloud, parent, job)

    def _end(self, number: int, custom_job: types.CustomJob, started: float) -> None:
        """Write down what a trial came to, and whether that ends the job."""
        reason, measured = custom_job.error.message, []
        metric = self._job.study_spec.metrics[0].metric_id
        if not reason:
            try:
                file = metric_file(self._cloud, custom_job.name.rpartition("/")[2])
                measured = read_measurements(file, metric, started)
            except ApiError as error:
                reason = error.message
        with self._cloud.resources.lock:
            trial: Any = self._job.trials[number]
            trial.end_time = now()
            trial.measurements = measured
            if measured and not reason:
                trial.state = _STATES.SUCCEEDED
                trial.final_measurement = final(measured, self._job.study_spec)
                self._results[number] = goodness(trial.final_measurement, self._job.study_spec)
            else:
                trial.state = _STATES.INFEASIBLE
                trial.infeasible_reason = reason or (
                    f"The trial reported no finite value of the metric {metric!r}. The training code is to write it to "
                    "the file in CLOUD_ML_HP_METRIC_FILE, as the package cloudml-hypertune does."
                )
                self._failed += 1
            self._cloud.resources.changed(self._job)
            limit = self._job.max_failed_trial_count
            if limit and self._failed >= limit:
                self._error = self._too_many(f"{self._failed} trials failed; max_failed_trial_count is {limit}.")
                end_trials(self._cloud, self._job)

    def _too_many(self, words: str) -> ApiError:
        last = [trial.infeasible_reason for trial in self._job.trials if trial.infeasible_reason][-1]
        return invalid(f"{words} The last one: {last}")


def end_trials(cloud: LocalCloud, job: types.HyperparameterTuningJob) -> None:
    """Ask for the end of all trials that still run."""
    with cloud.resources.lock:
        for trial in job.trials:
            if trial.state == _STATES.ACTIVE:
                job_states.move(cloud, cloud.resources.get(trial.custom_job), "CANCELLING")


def _json(value: float | str) -> struct_pb2.Value:
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    return struct_pb2.Value(number_value=value)
