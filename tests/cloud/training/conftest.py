import io
import json
import tarfile
import threading

import pytest
from google.cloud.aiplatform_v1 import types

from labkit.cloud.local import job_states
from labkit.cloud.local.containers import Containers
from labkit.cloud.local.custom_jobs import CustomJobs
from labkit.cloud.local.http_messages import HttpRequest
from labkit.cloud.local.job_log import logging_app
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.objects import Objects
from labkit.cloud.local.storage import Storage
from labkit.waiting import wait_until

from ...children import descendants_with

IMAGE = "us-docker.pkg.dev/vertex-ai/training/tf-cpu.2-17.py310:latest"
PARENT = "projects/123456789012/locations/us-central1"


@pytest.fixture
def cloud(tmp_path):
    objects = Objects(Storage())
    objects.create_bucket("lab")
    containers = Containers(tmp_path, {}, images={"lab/echo": ["echo", "in the container:"]})
    found = LocalCloud("lab-project", "123456789012", tmp_path, objects, containers, {})
    yield found
    found.stopping.set()
    wait_until(lambda: not descendants_with("trainer.task"))


class Lab:
    """Short ways to say what the tests say."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.jobs = CustomJobs(cloud)

    def package(self, script, requirements="", name="task.tar.gz"):
        """A source distribution with one module, trainer.task."""
        files = {
            "trainer-0.1/trainer/__init__.py": "",
            "trainer-0.1/trainer/task.py": script,
            "trainer-0.1/trainer.egg-info/requires.txt": requirements,
        }
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as archive:
            for path, text in files.items():
                info = tarfile.TarInfo(path)
                info.size = len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))
        self.cloud.objects.write(f"gs://lab/{name}", content.getvalue())
        return f"gs://lab/{name}"

    def pool(self, script, replicas=1, args=(), requirements="", env=None):
        spec = types.PythonPackageSpec(
            executor_image_uri=IMAGE,
            package_uris=[self.package(script, requirements, f"{abs(hash(script))}.tar.gz")],
            python_module="trainer.task",
            args=args,
            env=[{"name": name, "value": value} for name, value in (env or {}).items()],
        )
        return types.WorkerPoolSpec(
            machine_spec={"machine_type": "n1-standard-4"}, replica_count=replicas, python_package_spec=spec
        )

    def container(self, image, command=(), args=()):
        return types.WorkerPoolSpec(
            machine_spec={"machine_type": "n1-standard-4"},
            replica_count=1,
            container_spec={"image_uri": image, "command": command, "args": args},
        )

    def create(self, *pools, output="", **spec):
        job = types.CustomJob(display_name="job", job_spec={"worker_pool_specs": pools, **spec})
        job.job_spec.base_output_directory.output_uri_prefix = output
        return self.jobs.CreateCustomJob(types.CreateCustomJobRequest(parent=PARENT, custom_job=job))

    def finished(self, job):
        """The stored job once it is done."""
        stored = self.cloud.resources.get(job.name)
        self.cloud.resources.wait(lambda: job_states.is_final(stored), 1000)
        return stored

    def run(self, *pools, **spec):
        return self.finished(self.create(*pools, **spec))

    def log(self, job, task="workerpool0-0"):
        """What one task of a job wrote, as Cloud Logging tells it."""
        query = f'resource.labels.job_id="{job.name.rpartition("/")[2]}" AND resource.labels.task_name="{task}"'
        return [entry["jsonPayload"]["message"] for entry in self.entries(filter=query)["entries"]]

    def entries(self, **query):
        body = json.dumps({"resourceNames": ["projects/lab-project"], **query}).encode()
        answer = logging_app(self.cloud)(HttpRequest("POST", "logging.googleapis.com", "/v2/entries:list", {}, body))
        return json.loads(bytes(answer.body))

    def wait_for_log(self, job, text, task="workerpool0-0"):
        """Wait until a task of a job has written a line."""
        deadline = threading.Event()
        for _ in range(3000):
            if text in self.log(job, task):
                return
            deadline.wait(0.01)
        raise AssertionError(f"{text!r} was not written, but {self.log(job, task)}")

    def training(self):
        """The processes of jobs that run now."""
        return descendants_with("trainer.task")


@pytest.fixture
def lab(cloud):
    return Lab(cloud)
