"""What happened step by step in every task of a training, written as it goes and read together afterwards.

history = History.read(cluster.folder)
history.table()
history.staleness(2)
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from labkit.errors import needs_extra

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("worker", "read", "applied_at", "staleness", "applied", "loss", "seconds", "waited")


class Recorder:
    """Writes one task's records to a file, each as soon as it is made: what a killed task did is there too."""

    def __init__(self, folder: str | os.PathLike[str], task: str, index: int) -> None:
        """A task that was started anew adds to the file of before."""
        self._path = Path(folder) / f"history-{task}-{index}.jsonl"

    def write(self, **record: Any) -> None:
        """Add one record, on a line of its own."""
        with open(self._path, "a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(record))  # first a new line: a killed task may not have finished its last


class History:
    """All tasks' records of one training."""

    def __init__(self, steps: Iterable[dict[str, Any]], versions: Iterable[dict[str, Any]] = ()) -> None:
        """From records as `train` writes them.

        Args:
            steps: of the workers, one for each gradient.
            versions: of a chief that aggregates, one for each version: which workers' gradients were ``used``.

        Raises:
            EnvironmentProblem: pandas is not installed.
        """
        with needs_extra("labkit.parallel.History", "labs"):  # only here: a task that writes records needs no tables
            import pandas as pd
        self._table = pd.DataFrame(steps, columns=list(COLUMNS))
        if used := {record["read"]: record["used"] for record in versions}:
            pairs = zip(self._table["worker"], self._table["read"], strict=True)
            self._table["applied"] = [worker in used.get(read, []) for worker, read in pairs]

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Self:
        """All records in `folder`, where the tasks of one training have written theirs.

        Raises:
            FileNotFoundError: there are none.
        """
        paths = sorted(Path(folder).glob("history-*-*.jsonl"))
        if not paths:
            raise FileNotFoundError(f"{folder} holds no history-*.jsonl; have the tasks trained, and in this folder?")
        records = [
            json.loads(line)
            for path in paths
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.endswith("}")
        ]
        return cls([one for one in records if "worker" in one], [one for one in records if "used" in one])

    def table(self) -> "pd.DataFrame":
        """One row for each gradient that a worker made.

        Columns: `worker`; `read`, the version whose values it is of; `applied_at`, the version that it met;
        `staleness`, their difference; `applied`, False if it was dropped; `loss` of the values read, over all examples;
        `seconds`, from the pull to the end of the push; `waited`, with sync the seconds until the next version.
        """
        return self._table.copy()

    def staleness(self, worker: int | None = None) -> np.ndarray:
        """The staleness of each gradient of one worker, or of all, in the order in which they were made."""
        table = self._table if worker is None else self._table[self._table["worker"] == worker]
        return table["staleness"].to_numpy()

    def loss_curve(self) -> "pd.Series":
        """The loss by version, as workers have read it; versions that nobody has read are missing."""
        return self._table.groupby("read")["loss"].mean()
