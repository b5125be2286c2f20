"""Custom jobs: the part of Vertex AI's JobService that is about them."""

import threading

from google.cloud.aiplatform_v1 import types
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from labkit.cloud.local import job_states, worker_pools
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.resources import new_id, page
from labkit.cloud.local.status import invalid
from labkit.cloud.local.training import train


class CustomJobs:
    """What JobService answers about custom jobs. A job's replicas are processes of this machine.

    Args:
        cloud: where jobs are kept and what they may use.
    """

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self._training: list[threading.Thread] = []

    def CreateCustomJob(self, request: types.CreateCustomJobRequest) -> types.CustomJob:
        job = add_job(self._cloud, request.parent, types.CustomJob(request.custom_job))
        created = types.CustomJob(job)
        thread = threading.Thread(target=train, args=(self._cloud, job), daemon=True)
        self._training.append(thread)
        thread.start()
        return created

    def GetCustomJob(self, request: types.GetCustomJobRequest) -> types.CustomJob:
        return job_states.get_when_final(self._cloud, request.name, types.CustomJob)

    def ListCustomJobs(self, request: types.ListCustomJobsRequest) -> types.ListCustomJobsResponse:
        found = self._cloud.resources.list(request.parent, types.CustomJob, request.filter)
        return page(found, request, types.ListCustomJobsResponse, "custom_jobs")

    def CancelCustomJob(self, request: types.CancelCustomJobRequest) -> empty_pb2.Empty:
        return job_states.cancel(self._cloud, request.name, types.CustomJob)

    def DeleteCustomJob(self, request: types.DeleteCustomJobRequest) -> operations_pb2.Operation:
        return job_states.delete(self._cloud, request.name, types.CustomJob)

    def stop_training(self) -> None:
        """Wait until no process of a job is left; the cloud is stopping."""
        for thread in self._training:
            thread.join()


def add_job(cloud: LocalCloud, parent: str, job: types.CustomJob) -> types.CustomJob:
    """Check a job and keep it, not yet running.

    Raises:
        ApiError: INVALID_ARGUMENT, it cannot run; NOT_FOUND, the bucket of its output is not there.
    """
    check(cloud, job.display_name, job.job_spec)
    job.name = f"{parent}/customJobs/{new_id()}"
    job.state = types.JobState.JOB_STATE_PENDING
    cloud.resources.add(job)
    return job


def check(cloud: LocalCloud, display_name: str, spec: types.CustomJobSpec) -> None:
    """Raise what the service says at once about a job that cannot run."""
    if not display_name:
        raise invalid("display_name is required.")
    worker_pools.check(spec.worker_pool_specs, cloud.containers)
    output = spec.base_output_directory.output_uri_prefix
    if output:
        cloud.objects.check_bucket(cloud.objects.bucket(output))
