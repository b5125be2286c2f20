"""Vertex AI's JobService, made of its parts."""

from labkit.cloud.local.batch import BatchPredictionJobs
from labkit.cloud.local.custom_jobs import CustomJobs
from labkit.cloud.local.hyperparameters import HyperparameterTuningJobs
from labkit.cloud.local.local_cloud import LocalCloud


class Jobs(BatchPredictionJobs, CustomJobs, HyperparameterTuningJobs):
    """All that JobService answers.

    Args:
        cloud: where jobs are kept and what they may use.
    """

    def __init__(self, cloud: LocalCloud) -> None:
        for part in Jobs.__bases__:
            part.__init__(self, cloud)  # type: ignore[misc]  # each has one of its own, with the same argument

    def stop(self) -> None:
        """Wait until no process of a job is left; the cloud is stopping."""
        self.stop_batch_prediction()
        self.stop_training()
        self.stop_tuning()
