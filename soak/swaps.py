"""New versions, one after the other, while clients ask."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest

from soak.models import Numbered
from soak.target import Target
from soak.traffic import wait_until

AVAILABLE, END = 30, 50  # tensorflow.serving.ModelVersionStatus.State
_SECONDS = 60.0


class Operator:
    """Whoever puts versions into a model's folder and takes them away, and sees what the server makes of it."""

    def __init__(self, target: Target, base: Path, model: Numbered) -> None:
        """Args: target: serves what is in `base`. base: the model's folder. model: what new versions are made of."""
        self.base = base
        self._target = target
        self._model = model
        self._channel = target.channel()
        self._service = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def state(self, version: int) -> int:
        """The version's state; 0 if the server has not seen it."""
        request = GetModelStatusRequest()
        request.model_spec.name = self._target.model
        request.model_spec.version.value = version
        try:
            return self._service.GetModelStatus(request, timeout=_SECONDS).model_version_status[0].state
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return 0
            raise

    def look_now(self) -> None:
        """The same configuration once more: the server looks at the folder at once, not at its next poll."""
        request = ReloadConfigRequest()
        request.config.model_config_list.config.add(
            name=self._target.model, base_path=str(self.base), model_platform="tensorflow"
        )
        self._service.HandleReloadConfigRequest(request, timeout=_SECONDS)

    def swap(self, old: int, new: int) -> None:
        """Bring version `new`; return when it answers and `old` is gone, from the server and from the disk."""
        self._model.add(self.base, new)
        self.look_now()
        self.settled(up=new, gone=old)
        shutil.rmtree(self.base / str(old))

    def roll_back(self, bad: int, good: int) -> None:
        """Take the folder of version `bad` away; return when `good`, which is still there, answers again."""
        shutil.rmtree(self.base / str(bad))
        self.look_now()
        self.settled(up=good, gone=bad)

    def settled(self, *, up: int, gone: int) -> None:
        """Wait until `up` is AVAILABLE and `gone` has come to its END."""
        wait_until(
            lambda: self.state(up) == AVAILABLE and self.state(gone) == END, f"version {up} up, version {gone} gone"
        )

    def close(self) -> None:
        """Leave."""
        self._channel.close()


def swap_all(operator: Operator, versions: Iterable[int], done: Callable[[int], None] = lambda _: None) -> None:
    """Bring one version after the other, the first of them being there already; `done` hears of each."""
    first, *others = versions
    for new in others:
        operator.swap(first, new)
        done(new)
        first = new
