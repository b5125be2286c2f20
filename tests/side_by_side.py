"""How tests are shared out where several processes run them: ``pytest -n 3``, as `make test` does.

A file's tests stay in one process, because they share servers and models. So do files that share what takes long to
make or what there can only be one of. Each lab is on its own, for labs share nothing. The longest go first: nothing is
left to do beside a long one that comes late.
Labs that need all cores to be theirs come last, when nothing else runs.
"""

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

TOGETHER = {
    # One Docker engine is started, and one image built.
    "tests/serving/test_backends.py": "docker",
    "tests/serving/test_client.py": "docker",
    "tests/serving/test_docker.py": "docker",
    # The model of drawings is trained.
    "tests/browser/test_draw_page.py": "drawings",
    "tests/browser/test_notebook.py": "drawings",
    # The template's lab is made and run.
    "tests/labs/test_style.py": "template",
    "tests/labs/test_template.py": "template",
}
LABS = "tests/labs/test_labs.py"
# Labs whose claims hold beside other tests: bytes, order, counts, and times that lie far apart. Others count cores.
BESIDE_OTHERS = tuple(f"[{number:02}_" for number in (*range(9), 11, 12, 13))
ALONE = "labs that measure"
FIRST = (LABS, "docker", "tests/test_threads.py", "tests/test_soak.py")


def unit(nodeid: str) -> str:
    """The name of what a test is handed out with."""
    file, _, test = nodeid.partition("::")
    if file == LABS and "[" in test:
        return f"{file}[{test.partition('[')[2]}" if any(lab in test for lab in BESIDE_OTHERS) else ALONE
    return TOGETHER.get(file, file)


def place(nodeid: str) -> int:
    """Units with a smaller one are handed out earlier; those with the same, in the order in which they were found."""
    name = unit(nodeid).partition("[")[0]
    return FIRST.index(name) if name in FIRST else len(FIRST) + (name == ALONE)


class Scheduling(LoadScopeScheduling):
    """Hands a process one unit after the other, and `ALONE` when no other process is left."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)

    def _reschedule(self, node: WorkerController) -> None:
        others = [other for other in self.nodes if other is not node]
        if not self._alone_is_next() or not others:
            super()._reschedule(node)
        elif not all(other.shutting_down for other in others) and self._pending_of(self.assigned_work[node]) <= 2:
            node.shutdown()  # once it has run these: xdist asks again only while a process has two tests left

    def _assign_work_unit(self, node: WorkerController) -> None:
        if not self._alone_is_next() or self.nodes == [node]:
            super()._assign_work_unit(node)

    def remove_node(self, node: WorkerController) -> str | None:
        crashed = super().remove_node(node)
        if crashed is not None:  # it has failed; else the next process would run it, and end, too
            self.workqueue[unit(crashed)][crashed] = True
        for other in self.nodes:
            self._reschedule(other)
        return crashed

    def _alone_is_next(self) -> bool:
        return next(iter(self.workqueue), None) == ALONE


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    config.option.loadscopereorder = False  # by number of tests, says xdist, which is not how long they take
    return Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The order of `place`, in the processes that are handed tests; with one process it is as it was."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: place(item.nodeid))
