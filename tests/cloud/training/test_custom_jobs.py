import json
import operator
import sys
from datetime import datetime

import pytest
from google.cloud.aiplatform_v1 import types

from labkit.cloud.local.containers import Containers
from labkit.cloud.local.http_messages import HttpRequest
from labkit.cloud.local.job_log import logging_app
from labkit.cloud.local.status import ApiError

IMAGE = "us-docker.pkg.dev/vertex-ai/training/tf-cpu.2-17.py310:latest"
PARENT = "projects/123456789012/locations/us-central1"
STATES = types.JobState
SHOW = "import json, os; print(json.dumps(dict(os.environ)))"
FOR_EVER = "import time\nprint('here', flush=True)\nwhile True: time.sleep(1)"


def environment(lab, job, task="workerpool0-0"):
    return json.loads(lab.log(job, task)[0])


def test_a_package_runs_with_its_arguments_and_variables(lab):
    script = "import os, sys; print(sys.argv[1:], os.environ['COLOUR'], os.listdir())"
    job = lab.run(lab.pool(script, args=["--epochs=2", "a b"], env={"COLOUR": "red"}))
    assert job.state == STATES.JOB_STATE_SUCCEEDED
    assert job.create_time <= job.start_time <= job.end_time
    assert not job.error.code
    assert lab.log(job) == ["['--epochs=2', 'a b'] red []"]


def test_a_single_replica_knows_its_job_but_has_no_tensorflow_cluster(lab):
    job = lab.run(lab.pool(SHOW), output="gs://lab/out/")
    found = environment(lab, job)
    assert found["AIP_MODEL_DIR"] == "gs://lab/out/model/"
    assert found["AIP_CHECKPOINT_DIR"] == "gs://lab/out/checkpoints/"
    assert found["AIP_TENSORBOARD_LOG_DIR"] == "gs://lab/out/logs/"
    assert found["CLOUD_ML_JOB_ID"] == job.name.rpartition("/")[2]
    assert found["CLOUD_ML_PROJECT_ID"] == "lab-project"
    assert "TF_CONFIG" not in found
    cluster = json.loads(found["CLUSTER_SPEC"])
    assert cluster["task"] == {"type": "workerpool0", "index": 0}
    assert [len(each) for each in cluster["cluster"].values()] == [1]
    assert json.loads(cluster["job"])["python_module"] == "trainer.task"


def test_a_job_without_an_output_directory_has_no_model_directory(lab):
    assert "AIP_MODEL_DIR" not in environment(lab, lab.run(lab.pool(SHOW)))


def test_pools_are_chief_workers_servers_and_an_evaluator_that_is_no_part_of_the_cluster(lab):
    others = SHOW + "\nprint('here', flush=True)\nimport time\nwhile True: time.sleep(1)"
    chief = SHOW + "\nimport time\nwhile open('../log.jsonl').read().count('\"here\"') < 4: time.sleep(0.01)"
    job = lab.run(lab.pool(chief), lab.pool(others, replicas=2), lab.pool(others), lab.pool(others))
    assert job.state == STATES.JOB_STATE_SUCCEEDED
    config = json.loads(environment(lab, job)["TF_CONFIG"])
    assert {task: len(members) for task, members in config["cluster"].items()} == {"chief": 1, "worker": 2, "ps": 1}
    assert config["task"] == {"type": "chief", "index": 0}
    second = environment(lab, job, "workerpool1-1")
    assert json.loads(second["TF_CONFIG"])["task"] == {"type": "worker", "index": 1}
    evaluator = environment(lab, job, "workerpool3-0")
    assert json.loads(evaluator["TF_CONFIG"])["task"] == {"type": "evaluator", "index": 0}
    assert json.loads(evaluator["TF_CONFIG"])["cluster"] == config["cluster"]
    cluster = json.loads(evaluator["CLUSTER_SPEC"])["cluster"]
    assert [len(cluster[f"workerpool{number}"]) for number in range(4)] == [1, 2, 1, 1]
    addresses = [address for members in cluster.values() for address in members]
    assert len(set(addresses)) == 5
    assert all(address.startswith("127.0.0.1:") for address in addresses)


def test_an_empty_pool_is_skipped(lab):
    job = lab.run(lab.pool(SHOW), types.WorkerPoolSpec(), lab.pool(FOR_EVER))
    assert job.state == STATES.JOB_STATE_SUCCEEDED
    assert set(json.loads(environment(lab, job)["TF_CONFIG"])["cluster"]) == {"chief", "ps"}
    assert not lab.training()


def test_a_failing_script_fails_the_job_in_the_services_words_and_its_own_last_ones(lab):
    job = lab.run(lab.pool("import sys\nprint('the data is missing')\nsys.exit(3)"))
    assert job.state == STATES.JOB_STATE_FAILED
    assert job.error.code == 3
    assert (
        "The replica workerpool0-0 exited with a non-zero status of 3. Termination reason: Error." in job.error.message
    )
    assert "the data is missing" in job.error.message
    assert "please check the logs" in job.error.message


def test_a_failing_worker_fails_the_job_and_the_others_are_ended(lab):
    job = lab.run(lab.pool(FOR_EVER), lab.pool("1 / 0"))
    assert job.state == STATES.JOB_STATE_FAILED
    assert "The replica workerpool1-0 exited with a non-zero status of 1." in job.error.message
    assert "ZeroDivisionError" in job.error.message
    assert not lab.training()


def test_a_job_that_crashes_is_started_again(lab):
    script = (
        "import os, pathlib, signal\npathlib.Path('tries').open('a').write('x')\n"
        "if len(pathlib.Path('tries').read_text()) < 3: os.kill(os.getpid(), signal.SIGSEGV)\nprint('done')"
    )
    job = lab.run(lab.pool(script))
    assert job.state == STATES.JOB_STATE_SUCCEEDED
    assert lab.log(job) == ["done"]
    assert sum("started again" in line for line in lab.log(job, "service")) == 2


def test_a_job_that_crashes_is_not_started_again_if_its_scheduling_says_so(lab):
    script = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"
    job = lab.run(lab.pool(script), scheduling={"disable_retries": True})
    assert job.state == STATES.JOB_STATE_FAILED
    assert "non-zero status of 139" in job.error.message
    assert not any("started again" in line for line in lab.log(job, "service"))


def test_a_cancelled_job_leaves_no_process(lab):
    job = lab.create(lab.pool(FOR_EVER), lab.pool(FOR_EVER, replicas=2))
    for task in ("workerpool0-0", "workerpool1-0", "workerpool1-1"):
        lab.wait_for_log(job, "here", task)
    assert len(lab.training()) == 3
    lab.jobs.CancelCustomJob(types.CancelCustomJobRequest(name=job.name))
    job = lab.finished(job)
    assert not lab.training()
    assert job.state == STATES.JOB_STATE_CANCELLED
    assert job.error.code == 1
    lab.jobs.stop_training()
    with pytest.raises(ApiError, match="only what is not done"):
        lab.jobs.CancelCustomJob(types.CancelCustomJobRequest(name=job.name))


def test_the_last_words_of_a_process_that_is_ended_are_in_the_log(lab):
    script = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: (print('saved'), sys.exit()))\n" + FOR_EVER
    job = lab.create(lab.pool(script))
    lab.wait_for_log(job, "here")
    lab.jobs.CancelCustomJob(types.CancelCustomJobRequest(name=job.name))
    assert lab.log(lab.finished(job)) == ["here", "saved"]


def test_a_job_ends_at_its_timeout(lab):
    job = lab.run(lab.pool(FOR_EVER), scheduling={"timeout": {"nanos": 1000}})
    assert job.state == STATES.JOB_STATE_FAILED
    assert job.error.code == 4
    assert "timeout" in job.error.message


def test_jobs_end_with_their_cloud(lab):
    job = lab.create(lab.pool(FOR_EVER))
    lab.wait_for_log(job, "here")
    lab.cloud.stopping.set()
    lab.jobs.stop_training()
    assert lab.finished(job).state == STATES.JOB_STATE_CANCELLED


def test_a_question_about_a_job_is_answered_when_it_is_done(lab):
    job = lab.create(lab.pool("print('short')"))
    assert lab.jobs.GetCustomJob(types.GetCustomJobRequest(name=job.name)).state == STATES.JOB_STATE_SUCCEEDED


def test_jobs_are_listed_and_deleted_but_not_while_they_run(lab):
    job = lab.create(lab.pool(FOR_EVER))
    listed = lab.jobs.ListCustomJobs(types.ListCustomJobsRequest(parent=PARENT, filter='display_name="job"'))
    assert [each.name for each in listed.custom_jobs] == [job.name]
    with pytest.raises(ApiError, match="cancel it"):
        lab.jobs.DeleteCustomJob(types.DeleteCustomJobRequest(name=job.name))
    lab.jobs.CancelCustomJob(types.CancelCustomJobRequest(name=job.name))
    lab.finished(job)
    assert lab.jobs.DeleteCustomJob(types.DeleteCustomJobRequest(name=job.name)).done
    with pytest.raises(ApiError, match="NOT_FOUND"):
        lab.jobs.GetCustomJob(types.GetCustomJobRequest(name=job.name))


def test_the_command_of_a_prebuilt_image_runs_with_this_python_and_its_variables_in_place(lab):
    command = ["python3", "-c", "import sys; print(sys.argv[1:])"]
    job = lab.run(lab.container(IMAGE, command, ["$(AIP_MODEL_DIR)", "$$(HOME)", "$(NO_SUCH)"]), output="gs://lab/o")
    assert lab.log(job) == ["['gs://lab/o/model/', '$(HOME)', '$(NO_SUCH)']"]


def test_a_python_of_the_image_is_this_one_and_a_stand_ins_is_its_own(lab, cloud):
    show = ("-c", "import sys; print(sys.executable)")
    assert lab.log(lab.run(lab.container(IMAGE, ["/usr/bin/python3.11", *show]))) == [sys.executable]
    cloud.containers = Containers(cloud.folder, {}, images={"lab/own": ["/no/such/place/python", *show]})
    assert "'/no/such/place/python'" in lab.run(lab.container("lab/own")).error.message


def test_an_image_that_this_session_knows_runs_its_command(lab):
    assert lab.log(lab.run(lab.container("lab/echo", args=["hello"]))) == ["in the container: hello"]


def test_a_program_that_is_not_there_is_the_jobs_error(lab):
    job = lab.run(lab.container(IMAGE, ["no-such-program"]))
    assert job.state == STATES.JOB_STATE_FAILED
    assert "no-such-program" in job.error.message


def test_requirements_that_are_not_met_are_said_in_the_log(lab):
    job = lab.run(lab.pool("print(1)", requirements="numpy\nno-such-package>=2\n\n[extra]\nother\n"))
    assert any("no-such-package>=2. Nothing is installed" in line for line in lab.log(job, "service"))


def test_what_a_job_does_not_get_is_said_in_the_log(lab):
    pool = lab.pool("print(1)")
    pool.machine_spec.accelerator_type, pool.machine_spec.accelerator_count = "NVIDIA_TESLA_T4", 1
    job = lab.run(pool, service_account="trainer@lab-project.iam.gserviceaccount.com")
    assert "The local cloud leaves out: service_account, accelerators." in lab.log(job, "service")


def test_a_package_that_is_none_is_the_jobs_error(lab):
    pool = lab.pool("print(1)")
    lab.cloud.objects.write(pool.python_package_spec.package_uris[0], b"no archive")
    assert "cannot be unpacked" in lab.run(pool).error.message
    pool.python_package_spec.package_uris = ["gs://lab/gone.tar.gz"]
    assert "There is no object gs://lab/gone.tar.gz" in lab.run(pool).error.message


def test_a_job_that_cannot_run_is_refused_in_words(lab):
    good = lab.pool("print(1)")
    for pools, words in (
        ([], "primary replica"),
        ([lab.pool("print(1)", replicas=2)], "the primary replica is one"),
        ([good] * 5, "at most 4"),
        ([types.WorkerPoolSpec(replica_count=1)], "machine_type is required"),
        ([types.WorkerPoolSpec(machine_spec={"machine_type": "m"}, replica_count=1)], "one of container_spec"),
        ([lab.container("quay.io/other")], "'quay.io/other' cannot run on this machine"),
        ([lab.container(IMAGE)], "command is required"),
    ):
        with pytest.raises(ApiError, match=words):
            lab.create(*pools)
    with pytest.raises(ApiError, match="gs://nowhere does not exist"):
        lab.create(good, output="gs://nowhere/out")
    with pytest.raises(ApiError, match="display_name"):
        lab.jobs.CreateCustomJob(types.CreateCustomJobRequest(parent=PARENT, custom_job=types.CustomJob()))


def moment(entry):
    return datetime.fromisoformat(entry["timestamp"])


def test_logs_are_read_by_job_and_page_and_time(lab):
    job = lab.run(lab.pool("for i in range(5): print(i)"))
    label = f'resource.type="ml_job" AND resource.labels.job_id="{job.name.rpartition("/")[2]}"'
    label += ' AND resource.labels.task_name="workerpool0-0"'
    first = lab.entries(filter=label, pageSize=3)
    second = lab.entries(filter=label, pageSize=3, pageToken=first["nextPageToken"])
    entries = first["entries"] + second["entries"]
    assert [entry["jsonPayload"]["message"] for entry in entries] == list("01234")
    assert "nextPageToken" not in second
    assert entries[0]["logName"] == "projects/lab-project/logs/workerpool0-0"
    newest = lab.entries(filter=label + ' AND timestamp>="2020-01-01T00:00:00Z"', orderBy="timestamp desc")
    assert len(newest["entries"]) == 5
    assert lab.entries(filter='timestamp>="2100-01-01T00:00:00Z" AND ' + label)["entries"] == []
    for sign, holds in {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}.items():
        found = lab.entries(filter=f'{label} AND timestamp{sign}"{entries[2]["timestamp"]}"')["entries"]
        assert found == [entry for entry in entries if holds(moment(entry), moment(entries[2]))], sign
    assert lab.entries(filter="severity>3")["error"]["status"] == "INVALID_ARGUMENT"


def test_a_filter_has_lines_as_in_the_console_and_times_without_a_zone(lab):
    job = lab.run(lab.pool("print('here')"))
    lines = ['resource.type="ml_job" AND', f'resource.labels.job_id="{job.name.rpartition("/")[2]}"', ""]
    lines += ['resource.labels.task_name="workerpool0-0"', 'timestamp>="2020-01-01T00:00:00"', ""]
    assert [entry["jsonPayload"]["message"] for entry in lab.entries(filter="\n".join(lines))["entries"]] == ["here"]


def test_questions_about_logs_that_are_none_are_refused(lab, cloud):
    for wrong in ({"pageToken": "x"}, {"pageSize": "x"}, {"pageSize": -1}, {"filter": 5}, {"orderBy": ["timestamp"]}):
        assert lab.entries(**wrong)["error"]["code"] == 400, wrong
    assert lab.entries(filter=None, pageSize="3", orderBy=None) == {"entries": []}
    for body in (b"{", b"[]"):
        answer = logging_app(cloud)(HttpRequest("POST", "logging.googleapis.com", "/v2/entries:list", {}, body))
        assert answer.status == 400
        assert "Invalid JSON payload" in json.loads(answer.body)["error"]["message"]


def test_a_package_that_ends_too_early_fails_the_job(lab, cloud):
    pool = lab.pool("")
    uri = lab.package("x = 1")
    content = cloud.objects.read(uri)
    cloud.objects.write(uri, content[: len(content) // 2])
    pool.python_package_spec.package_uris = [uri]
    job = lab.run(pool)
    assert job.state == STATES.JOB_STATE_FAILED
    assert f"The package {uri} cannot be unpacked" in job.error.message


def test_whatever_else_goes_wrong_fails_the_job_and_is_logged(lab, capsys):
    job = lab.run(lab.pool("", env={"COLOUR": "red\0"}))
    assert job.state == STATES.JOB_STATE_FAILED
    assert (job.error.code, job.error.message) == (13, "ValueError: embedded null byte")
    assert "Traceback" in capsys.readouterr().err
