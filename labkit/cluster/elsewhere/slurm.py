"""A batch script for Slurm. https://slurm.schedmd.com/sbatch.html https://slurm.schedmd.com/srun.html"""

import json
import os
import re
import shlex
from collections.abc import Iterable

from labkit.cluster.elsewhere import job
from labkit.cluster.spec import ClusterSpec

# Before it is known which machines there will be, @3 is the fourth. Everything below is the same for all jobs.
_RUN = """\
# The machines of this job, in the order in which Slurm numbers them.
mapfile -t machines < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
for number in "${!machines[@]}"; do
  cluster="${cluster//@$number:/${machines[number]}:}"
done

deciding=()
trap 'exit 1' TERM
trap 'trap "" TERM; kill 0' EXIT  # what still runs at the end: parameter servers never end by themselves

# start TYPE INDEX MACHINE: one task, in a step and with a log of its own; one that fails ends the job.
start() {
  local config="{\\"cluster\\": $cluster, \\"task\\": {\\"type\\": \\"$1\\", \\"index\\": $2}}"
  local log="$SLURM_JOB_NAME-$SLURM_JOB_ID-$1-$2.log"
  (
    TF_CONFIG="$config" srun --nodes=1 --ntasks=1 --nodelist="${machines[$3]}" --output="$log" \\
      "${share[@]}" "${program[@]}" ||
      { echo "$1 $2 failed on ${machines[$3]}; its log is $log" >&2; kill "$$"; exit 1; }
  ) &
  if [[ " $decides " == *" $1 "* ]]; then deciding+=("$!"); fi
}
"""


def slurm(
    spec: ClusterSpec,
    script: str | os.PathLike[str],
    *,
    name: str = "train",
    arguments: Iterable[object] = (),
    tasks_per_machine: int = 1,
    cpus: int = 1,
    gpus: int = 0,
    options: Iterable[str] = (),
    setup: str = "",
    python: str = "python3",
    port: int = 12000,
) -> str:
    """A batch script that runs the cluster as one Slurm job, for ``sbatch``.

    Args:
        spec: which tasks there are.
        script: path of the Python script. It is not copied: the same path must lead to it on all machines, as it does
            on a shared file system, and a relative one starts where ``sbatch`` is called.
        name: the job's name, and the beginning of its logs' names, ``NAME-JOB-TYPE-INDEX.log``.
        arguments: arguments for the script.
        tasks_per_machine: how many tasks share one machine.
        cpus: processors of each task.
        gpus: GPUs of each task.
        options: further options for ``sbatch``, as ``--time=02:00:00`` or ``--partition=gpu``.
        setup: shell lines to run first, as ``module load`` or the activation of an environment.
        python: the Python to run the script with.
        port: the first task listens on this port, the others on those that follow, so that tasks can share a machine.

    Raises:
        ValueError: a value does not fit, or the script is no Python file.
    """
    job.script_text(script)
    tasks = spec.tasks
    job.check_port(port, len(tasks))
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise ValueError(f"name is {name!r}; letters, digits, '.', '_' and '-' are needed")
    for key, value, least in (("tasks_per_machine", tasks_per_machine, 1), ("cpus", cpus, 1), ("gpus", gpus, 0)):
        if value < least:
            raise ValueError(f"{key} is {value}; {least} or more is needed")
    machine = {task: rank // tasks_per_machine for rank, task in enumerate(tasks)}
    addresses = {task: f"@{machine[task]}:{port + rank}" for rank, task in enumerate(tasks)}
    share = [f"--cpus-per-task={cpus}", *([f"--gpus-per-task={gpus}"] if gpus else [])]
    lines = [
        "#!/bin/bash",
        f"#SBATCH --job-name={name}",
        f"#SBATCH --nodes={machine[tasks[-1]] + 1}",
        f"#SBATCH --ntasks-per-node={tasks_per_machine}",
        *(f"#SBATCH {option}" for option in [*share, *map(_option, options)]),
        "",
        *([setup.strip(), ""] if setup.strip() else []),
        f"cluster={shlex.quote(json.dumps(job.addresses_of(spec, addresses)))}",
        f"decides={shlex.quote(' '.join(spec.deciding_types))}",
        # --exact gives a step what it asks for and not the whole machine; --mem=0 lets steps share the job's memory.
        f"share=(--exact --mem=0 {shlex.join(share)})",
        f"program=({shlex.join([python, '-u', os.fspath(script), *job.words(arguments)])})",
        "",
        _RUN,
        *(f"start {task.type} {task.index} {machine[task]}" for task in tasks),
        "",
        'for task in "${deciding[@]}"; do wait "$task" || exit 1; done',
    ]
    return "\n".join(lines) + "\n"


def _option(option: str) -> str:
    if not re.fullmatch(r"--?[A-Za-z][^\n\r]*", option):
        raise ValueError(f"options has {option!r}; one option of sbatch each is needed, as '--time=02:00:00'")
    return option
