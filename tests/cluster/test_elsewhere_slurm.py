"""A batch script: bash runs it, with a `scontrol` and an `srun` of three lines that stay on this machine.

What they do not show is Slurm's own part: docs/cluster-elsewhere.md says what was run on a real one.
"""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from labkit.cluster.elsewhere import slurm
from labkit.cluster.spec import ClusterSpec, Task

SPEC = ClusterSpec(chief=1, worker=2, ps=1, evaluator=1)

# The chief ends when all are there, and the others never do.
TRAIN = """
import json, os, pathlib, sys, time
task = json.loads(os.environ["TF_CONFIG"])["task"]
found = {"config": json.loads(os.environ["TF_CONFIG"]), "arguments": sys.argv[1:], "pid": os.getpid()}
found["machine"] = os.environ["MACHINE"]
name = f"{task['type']} {task['index']}"
pathlib.Path(name + ".part").write_text(json.dumps(found))
os.rename(name + ".part", name + ".json")
print("I am", name, flush=True)
while task["type"] != "chief" or len(list(pathlib.Path().glob("*.json"))) < 5:
    time.sleep(0.01)
"""
FAIL = """
import json, os, pathlib, sys, time
if json.loads(os.environ["TF_CONFIG"])["task"]["index"] == 0:
    pathlib.Path("pid").write_text(str(os.getpid()))
    os.rename("pid", "0.json")
    time.sleep(600)
while not os.path.exists("0.json"):
    time.sleep(0.01)
sys.exit("the data is missing")
"""
SRUN = """#!/bin/bash
while [[ $1 == -* ]]; do
  case $1 in --output=*) log=${1#*=} ;; --nodelist=*) export MACHINE=${1#*=} ;; esac
  shift
done
exec "$@" > "$log" 2>&1
"""


@pytest.fixture
def sbatch(tmp_path):
    """Writes and runs a batch script; gives its finished process."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", '#!/bin/sh\n[ "$*" = "show hostnames n[1-9]" ] && seq -f n%g 9\n')):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)

    def run(spec, text, **options):
        (tmp_path / "train.py").write_text(text)
        (tmp_path / "job").write_text(slurm(spec, tmp_path / "train.py", python=sys.executable, **options))
        given = {"PATH": f"{programs}:/usr/bin:/bin", "SLURM_JOB_NODELIST": "n[1-9]"}
        given |= {"SLURM_JOB_NAME": options.get("name", "train"), "SLURM_JOB_ID": "7"}
        process = subprocess.Popen(
            ["bash", "job"], cwd=tmp_path, env=given, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            _, errors = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, stderr=errors)

    return run


def ended(pid):
    """Whether a process has ended, or does within seconds."""
    try:
        psutil.Process(pid).wait(10)
    except psutil.NoSuchProcess:
        pass
    except psutil.TimeoutExpired:
        return False
    return True


def test_each_task_finds_its_tf_config_and_the_job_ends_with_its_chief(sbatch, tmp_path):
    done = sbatch(SPEC, TRAIN, tasks_per_machine=2, arguments=["--steps", 100, "it's $HOME"], name="penguins")
    assert (done.returncode, done.stderr) == (0, "")
    hosts = {
        Task("chief", 0): "n1:12000",
        Task("worker", 0): "n1:12001",
        Task("worker", 1): "n2:12002",
        Task("ps", 0): "n2:12003",
    }
    for task in SPEC.tasks:
        found = json.loads((tmp_path / f"{task}.json").read_text())
        assert found["config"] == json.loads(SPEC.tf_config(task, hosts))
        assert found["machine"] == hosts.get(task, "n3").split(":")[0]
        assert found["arguments"] == ["--steps", "100", "it's $HOME"]
        assert (tmp_path / f"penguins-7-{task.type}-{task.index}.log").read_text() == f"I am {task}\n"
        assert ended(found["pid"])


def test_a_task_that_fails_ends_the_job_and_is_named(sbatch, tmp_path):
    done = sbatch(ClusterSpec(worker=2), FAIL)
    assert done.returncode == 1
    assert "worker 1 failed on n2; its log is train-7-worker-1.log" in done.stderr
    assert (tmp_path / "train-7-worker-1.log").read_text() == "the data is missing\n"
    assert ended(int((tmp_path / "0.json").read_text()))


def test_workers_without_servers_all_have_to_end(sbatch, tmp_path):
    script = (
        "import json, os, pathlib, time\nindex = json.loads(os.environ['TF_CONFIG'])['task']['index']\n"
        "while index and not os.path.exists('0'): time.sleep(0.01)\n"
        "pathlib.Path(str(index)).touch()"
    )
    assert sbatch(ClusterSpec(chief=1, worker=2), script, tasks_per_machine=3).returncode == 0
    assert sbatch(ClusterSpec(worker=2), script).returncode == 0
    assert (tmp_path / "1").exists()


def test_what_is_asked_of_slurm(tmp_path):
    script = tmp_path / "train.py"
    script.touch()
    text = slurm(
        SPEC, script, tasks_per_machine=2, cpus=4, gpus=1, options=["--time=01:00:00"], setup="module load cuda"
    )
    asked = [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")]
    assert asked == [
        "--job-name=train",
        "--nodes=3",
        "--ntasks-per-node=2",
        "--cpus-per-task=4",
        "--gpus-per-task=1",
        "--time=01:00:00",
    ]
    assert text.startswith("#!/bin/bash\n#SBATCH ")
    assert "\nmodule load cuda\n" in text
    assert "--exact --mem=0 --cpus-per-task=4 --gpus-per-task=1" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "my job"}, "name is 'my job'; letters, digits"),
        ({"tasks_per_machine": 0}, "tasks_per_machine is 0; 1 or more"),
        ({"cpus": 0}, "cpus is 0; 1 or more"),
        ({"gpus": -1}, "gpus is -1; 0 or more"),
        ({"options": ["time=1"]}, "options has 'time=1'; one option of sbatch each"),
        ({"options": ["--time=1\nrm -r data"]}, "one option of sbatch each"),
        ({"port": 65533}, "port is 65533 to 65537; a number from 1024 to 65535"),
    ],
)
def test_what_slurm_would_refuse_is_refused_here(tmp_path, options, words):
    script = tmp_path / "train.py"
    script.touch()
    with pytest.raises(ValueError, match=words):
        slurm(SPEC, script, **options)
