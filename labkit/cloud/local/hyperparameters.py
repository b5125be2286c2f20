"""Hyperparameter tuning jobs: the part of Vertex AI's JobService that is about them."""

import threading

from google.cloud.aiplatform_v1 import types
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from labkit.cloud.local import custom_jobs, job_states
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.resources import new_id, page
from labkit.cloud.local.search import Search
from labkit.cloud.local.status import invalid, unimplemented
from labkit.cloud.local.tuning import Tuning, end_trials


class HyperparameterTuningJobs:
    """What JobService answers about hyperparameter tuning jobs.

    Args:
        cloud: where jobs are kept and what they may use.
    """

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self._tuning: list[threading.Thread] = []

    def CreateHyperparameterTuningJob(
        self, request: types.CreateHyperparameterTuningJobRequest
    ) -> types.HyperparameterTuningJob:
        job = types.HyperparameterTuningJob(request.hyperparameter_tuning_job)
        check(job)
        custom_jobs.check(self._cloud, job.display_name, job.trial_job_spec)
        search = Search(job.study_spec)
        job.name = f"{request.parent}/hyperparameterTuningJobs/{new_id()}"
        job.state = types.JobState.JOB_STATE_PENDING
        self._cloud.resources.add(job)
        created = types.HyperparameterTuningJob(job)
        thread = threading.Thread(target=Tuning(self._cloud, job, search).run, daemon=True)
        self._tuning.append(thread)
        thread.start()
        return created

    def GetHyperparameterTuningJob(
        self, request: types.GetHyperparameterTuningJobRequest
    ) -> types.HyperparameterTuningJob:
        return job_states.get_when_final(self._cloud, request.name, types.HyperparameterTuningJob)

    def ListHyperparameterTuningJobs(
        self, request: types.ListHyperparameterTuningJobsRequest
    ) -> types.ListHyperparameterTuningJobsResponse:
        found = self._cloud.resources.list(request.parent, types.HyperparameterTuningJob, request.filter)
        return page(found, request, types.ListHyperparameterTuningJobsResponse, "hyperparameter_tuning_jobs")

    def CancelHyperparameterTuningJob(self, request: types.CancelHyperparameterTuningJobRequest) -> empty_pb2.Empty:
        job = job_states.get(self._cloud, request.name, types.HyperparameterTuningJob)
        answer = job_states.cancel(self._cloud, request.name, types.HyperparameterTuningJob)
        end_trials(self._cloud, job)
        return answer

    def DeleteHyperparameterTuningJob(
        self, request: types.DeleteHyperparameterTuningJobRequest
    ) -> operations_pb2.Operation:
        return job_states.delete(self._cloud, request.name, types.HyperparameterTuningJob)

    def stop_tuning(self) -> None:
        """Wait until no trial is left; the cloud is stopping."""
        for thread in self._tuning:
            thread.join()


def check(job: types.HyperparameterTuningJob) -> None:
    """Raise what the service says at once about a job that cannot run.

    Raises:
        ApiError: INVALID_ARGUMENT, a number or the metric does not fit; UNIMPLEMENTED, it is not part of the local
            cloud.
    """
    if job.max_trial_count < 1 or job.parallel_trial_count < 1:
        raise invalid(
            f"max_trial_count is {job.max_trial_count} and parallel_trial_count is {job.parallel_trial_count}; "
            "expected 1 or more of each."
        )
    if job.parallel_trial_count > job.max_trial_count:
        raise invalid(
            f"parallel_trial_count is {job.parallel_trial_count}, more than max_trial_count, which is "
            f"{job.max_trial_count}."
        )
    if job.max_failed_trial_count < 0:
        raise invalid(f"max_failed_trial_count is {job.max_failed_trial_count}; expected 0 or more.")
    study = job.study_spec
    if not study.metrics or not study.metrics[0].metric_id:
        raise invalid("study_spec.metrics is required: what is to be optimized.")
    if len(study.metrics) > 1:
        raise unimplemented("A study of several metrics")
    stopping = ("decay_curve_stopping_spec", "median_automated_stopping_spec", "convex_automated_stopping_spec")
    if any(field in study for field in stopping):
        raise unimplemented("Stopping trials early")
