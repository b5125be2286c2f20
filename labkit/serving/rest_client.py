"""A client for TensorFlow Serving's REST API, whichever server speaks it.

It does what the labs first write out in plain `requests`: build the request, send it, and turn the answer into numpy
arrays, and an error into a `RequestError` with its status.
"""

from typing import Any
from urllib.parse import quote

import requests

from labkit.errors import RequestError
from labkit.serving import rest_messages
from labkit.serving.version_status import VersionStatus, one_version


class RestClient:
    """TensorFlow Serving's REST API for one model. Keeps its connection open between calls; a context manager."""

    def __init__(self, url: str, model_name: str, *, timeout: float = 60.0) -> None:
        """Nothing is sent yet.

        Args:
            url: scheme, host and port, such as ``http://127.0.0.1:8501``.
            model_name: the model's name on that server.
            timeout: seconds to wait for an answer.
        """
        self.url = url.rstrip("/")
        self.model_name = model_name
        self.timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy has no business between a notebook and its own machine

    def predict(
        self,
        inputs: Any,
        *,
        form: str = "row",
        signature_name: str | None = None,
        version: int | None = None,
        label: str | None = None,
    ) -> Any:
        """Ask the model: an array for one output, a dict of arrays by name for several.

        Args:
            inputs: an array, or a dict of arrays by input name; the first dimension is the batch.
            form: ``row`` sends ``instances`` and gets ``predictions``, ``columnar`` sends ``inputs`` and gets
                ``outputs``.
            signature_name: the signature, by default ``serving_default``.
            version: the version, by default the newest.
            label: the name of a version in the server's configuration, in place of `version`.

        Raises:
            RequestError: the server refused, or could not be reached.
            ValueError: `form` is neither, the inputs of a row request have no common batch size, or both `version` and
                `label` are given.
            TypeError: JSON cannot carry an input.
        """
        body = rest_messages.predict_body(inputs, form=form, signature_name=signature_name)
        return rest_messages.predict_answer(self._ask("POST", self._path(version, label) + ":predict", body))

    def status(self, version: int | None = None) -> list[VersionStatus]:
        """The state of the model's versions, newest first.

        Raises:
            RequestError: the server has no such model or version, or could not be reached.
        """
        answer = rest_messages.json_object(self._ask("GET", self._path(version)))
        return [
            VersionStatus(
                int(entry["version"]), entry["state"], entry["status"]["error_code"], entry["status"]["error_message"]
            )
            for entry in answer["model_version_status"]
        ]

    def metadata(self, version: int | None = None, label: str | None = None) -> dict[str, Any]:
        """The server's metadata answer: `model_spec`, and under `metadata` the signatures.

        Raises:
            RequestError: the model is not served, or the server could not be reached.
        """
        return rest_messages.json_object(self._ask("GET", self._path(version, label) + "/metadata"))

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def __enter__(self) -> "RestClient":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _path(self, version: int | None, label: str | None = None) -> str:
        one_version(version, label)
        path = f"{self.url}/v1/models/{_quoted(self.model_name)}"
        if label is not None:
            return f"{path}/labels/{_quoted(label)}"
        return path if version is None else f"{path}/versions/{version}"

    def _ask(self, method: str, url: str, body: bytes | None = None) -> bytes:
        headers = {"Content-Type": "application/json"} if body is not None else None
        try:
            response = self._session.request(method, url, data=body, headers=headers, timeout=self.timeout)
        except requests.Timeout as error:
            raise RequestError("DEADLINE_EXCEEDED", f"No answer from {self.url} after {self.timeout:g} s") from error
        except requests.RequestException as error:  # an answer that breaks off is no ConnectionError to requests
            raise RequestError("UNAVAILABLE", f"No server answers at {self.url}: {error}") from error
        if response.status_code != 200:
            raise rest_messages.request_error(response.status_code, response.content)
        return response.content


def _quoted(name: str) -> str:
    return quote(name, safe="")
