"""What sessions have made in a project: found by its label, shown, removed.

The label's name is ``labkit``, its value the session. Without a label nothing is found, and nothing is touched.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from labkit.cloud.session import LABEL

_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "PARTIALLY_SUCCEEDED", "EXPIRED")
_CANCEL_SECONDS = 600.0
_REMOVE_SECONDS = 1800.0  # to undeploy a model takes minutes
_POLL_SECONDS = 2.0

# kind: (client, method names' ending for one). In the order in which they are removed: what costs by the hour is first,
# and what needs another after it.
_KINDS = {
    "endpoint": ("EndpointServiceClient", "endpoint"),
    "batch prediction": ("JobServiceClient", "batch_prediction_job"),
    "custom job": ("JobServiceClient", "custom_job"),
    "tuning job": ("JobServiceClient", "hyperparameter_tuning_job"),
    "training": ("PipelineServiceClient", "training_pipeline"),
    "model": ("ModelServiceClient", "model"),
}
_BUCKET = "bucket"


@dataclass(frozen=True)
class Leftover:
    """One thing in a project that a session made.

    Attributes:
        kind: such as ``endpoint`` or ``bucket``.
        name: the resource's full name, or a bucket's.
        title: its display name.
        run: the session that it is of.
        state: what it is doing, in a word or two.
        costs: whether it costs money now beyond what lies in storage.
    """

    kind: str
    name: str
    title: str
    run: str
    state: str
    costs: bool


class Leftovers:
    """One project's, in one location. Its buckets are in whatever location."""

    def __init__(self, project: str, location: str) -> None:
        """Connect with the account of the environment; nothing is asked yet.

        Raises:
            google.auth.exceptions.GoogleAuthError: there is no account.
        """
        from google.cloud import storage

        self.project = project
        self._parent = f"projects/{project}/locations/{location}"
        self._endpoint = f"{location}-aiplatform.googleapis.com"
        self._clients: dict[str, Any] = {}
        self._storage = storage.Client(project)

    def find(self, run: str | None = None) -> list[Leftover]:
        """All that is there, or one session's.

        Raises:
            google.api_core.exceptions.GoogleAPIError: Google refused to list it.
            google.auth.exceptions.GoogleAuthError: the account is none any more.
        """
        return [each for kind in _KINDS for each in self._resources(kind, run)] + list(self._buckets(run))

    def remove(self, found: Sequence[Leftover], say: Callable[[str], None] = print) -> dict[Leftover, str]:
        """Remove them; jobs are cancelled and models undeployed first.

        Args:
            found: what `find` answered.
            say: told of each thing that was removed, in a line.

        Returns:
            What could not be removed, and why.
        """
        from google.api_core.exceptions import GoogleAPIError, NotFound
        from google.auth.exceptions import GoogleAuthError

        failed = {}
        for each in found:
            self._cancel(each)  # all at first: they take their time
        for each in found:
            try:
                self._delete(each)
            except NotFound:
                continue
            except (GoogleAPIError, GoogleAuthError, TimeoutError) as error:
                failed[each] = str(error)
            else:
                say(f"removed {each.kind} {each.title}")
        return failed

    def _resources(self, kind: str, run: str | None) -> Iterator[Leftover]:
        from google.api_core.exceptions import MethodNotImplemented

        client, what = self._client(kind)
        wanted = f"labels.{LABEL}={run}" if run else f"labels.{LABEL}:*"
        try:
            found = list(getattr(client, f"list_{what}s")(request={"parent": self._parent, "filter": wanted}))
        except MethodNotImplemented:  # the local cloud has not all of them
            return
        for each in found:
            state, costs = _state(each)
            yield Leftover(kind, each.name, each.display_name, each.labels[LABEL], state, costs)

    def _buckets(self, run: str | None) -> Iterator[Leftover]:
        for bucket in self._storage.list_buckets():
            its_run = bucket.labels.get(LABEL)
            if its_run is not None and run in (None, its_run):
                yield Leftover(_BUCKET, bucket.name, f"gs://{bucket.name}", its_run, "", costs=False)

    def _client(self, kind: str) -> tuple[Any, str]:
        from google.cloud import aiplatform_v1

        name, what = _KINDS[kind]
        if name not in self._clients:
            self._clients[name] = getattr(aiplatform_v1, name)(client_options={"api_endpoint": self._endpoint})
        return self._clients[name], what

    def _cancel(self, one: Leftover) -> None:
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError

        if one.kind == _BUCKET or not one.costs:
            return
        client, what = self._client(one.kind)
        if hasattr(client, f"cancel_{what}"):
            with suppress(GoogleAPIError, GoogleAuthError):  # it has just ended by itself; if not, deleting it says why
                getattr(client, f"cancel_{what}")(name=one.name)

    def _delete(self, one: Leftover) -> None:
        if one.kind == _BUCKET:
            self._delete_bucket(one.name)
            return
        client, what = self._client(one.kind)
        if one.kind == "endpoint":
            _undeploy_all(client, one.name)
        elif hasattr(client, f"cancel_{what}"):
            _wait_until_ended(lambda: getattr(client, f"get_{what}")(name=one.name))
        getattr(client, f"delete_{what}")(name=one.name).result(_REMOVE_SECONDS)

    def _delete_bucket(self, name: str) -> None:
        bucket = self._storage.bucket(name)
        for blob in self._storage.list_blobs(name, versions=True):
            blob.delete()
        bucket.delete()


def _undeploy_all(client: Any, endpoint: str) -> None:
    """Undeploy one model after the other; who is left gets the traffic, for one that has some is not undeployed."""
    ids = [deployed.id for deployed in client.get_endpoint(name=endpoint).deployed_models]
    for number, gone in enumerate(ids, 1):
        rest = {ids[number]: 100} if number < len(ids) else {}
        client.undeploy_model(endpoint=endpoint, deployed_model_id=gone, traffic_split=rest).result(_REMOVE_SECONDS)


def _state(resource: Any) -> tuple[str, bool]:
    """What it is doing, and whether that costs money."""
    if hasattr(resource, "deployed_models") and hasattr(resource, "traffic_split"):
        count = len(resource.deployed_models)
        return (f"{count} deployed", True) if count else ("nothing deployed", False)
    if not hasattr(resource, "state"):
        return "", False
    state = resource.state.name.rpartition("STATE_")[2]
    return state.lower().replace("_", " "), state not in _ENDED


def _wait_until_ended(get: Callable[[], Any]) -> None:
    deadline = time.monotonic() + _CANCEL_SECONDS
    while _state(get())[1]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"it was cancelled, and still runs after {_CANCEL_SECONDS:g} s")
        time.sleep(_POLL_SECONDS)
