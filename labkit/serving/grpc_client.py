"""A client for TensorFlow Serving's gRPC API, whichever server speaks it.

It does what the labs first write out in plain `grpc`: build the request, send it, and turn the answer into numpy
arrays, and an error into a `RequestError` with its code.
"""

from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np

from labkit.errors import RequestError
from labkit.serving.version_status import VersionStatus, one_version


class GrpcClient:
    """TensorFlow Serving's gRPC API for one model. A context manager; `close` ends its channel."""

    def __init__(
        self,
        address: str,
        model_name: str,
        *,
        timeout: float = 60.0,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """Nothing is sent yet; messages of any size pass (gRPC's own limit would be 4 MiB).

        Args:
            address: host and port, such as ``127.0.0.1:8500``, or a unix socket, such as ``unix:/tmp/serving.sock``.
            model_name: the model's name on that server.
            timeout: seconds until a call gives up; the server stops its run then, too.
            credentials: for a server that speaks TLS, what `grpc.ssl_channel_credentials` makes.
        """
        self.address = address
        self.model_name = model_name
        self.timeout = timeout
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        options = [*unlimited, ("grpc.enable_http_proxy", 0)]
        if credentials is None:
            self._channel = grpc.insecure_channel(address, options)
        else:
            self._channel = grpc.secure_channel(address, credentials, options)

    def predict(
        self,
        inputs: Any,
        *,
        signature_name: str | None = None,
        version: int | None = None,
        label: str | None = None,
    ) -> Any:
        """Ask the model: an array for one output, a dict of arrays by name for several.

        Args:
            inputs: a dict of numpy arrays by input name, sent as they are. For one array without a name, or plain
                lists, the server is first asked for the signature's names and types.
            signature_name: the signature, by default ``serving_default``.
            version: the version, by default the newest.
            label: the name of a version in the server's configuration, in place of `version`.

        Raises:
            RequestError: the server refused, or could not be reached.
            ValueError: both `version` and `label` are given, or inputs without names where the signature has several.
        """
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        self._address(request.model_spec, version, label)
        request.model_spec.signature_name = signature_name or ""
        for name, array in self._named_arrays(inputs, signature_name, version, label).items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        response = self._call("PredictionService/Predict", request, predict_pb2.PredictResponse)
        arrays = {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}
        return next(iter(arrays.values())) if len(arrays) == 1 else arrays

    def status(self, version: int | None = None) -> list[VersionStatus]:
        """The state of the model's versions, newest first.

        Raises:
            RequestError: the server has no such model or version, or could not be reached.
        """
        from tensorflow_serving.apis import get_model_status_pb2 as pb2

        request = pb2.GetModelStatusRequest()
        self._address(request.model_spec, version)
        response = self._call("ModelService/GetModelStatus", request, pb2.GetModelStatusResponse)
        codes = {status.value[0]: status.name for status in grpc.StatusCode}
        return [
            VersionStatus(
                entry.version,
                pb2.ModelVersionStatus.State.Name(entry.state),
                codes[entry.status.error_code],
                entry.status.error_message,
            )
            for entry in response.model_version_status
        ]

    def metadata(self, version: int | None = None, label: str | None = None) -> dict[str, Any]:
        """The signatures by name, each a SignatureDef message.

        Raises:
            RequestError: the model is not served, or the server could not be reached.
        """
        from tensorflow_serving.apis import get_model_metadata_pb2 as pb2

        request = pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._address(request.model_spec, version, label)
        response = self._call("PredictionService/GetModelMetadata", request, pb2.GetModelMetadataResponse)
        signatures = pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return dict(signatures.signature_def)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def __enter__(self) -> "GrpcClient":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _address(self, model_spec: Any, version: int | None, label: str | None = None) -> None:
        one_version(version, label)
        model_spec.name = self.model_name
        if version is not None:
            model_spec.version.value = version
        if label is not None:
            model_spec.version_label = label

    def _named_arrays(
        self, inputs: Any, signature_name: str | None, version: int | None, label: str | None
    ) -> dict[str, np.ndarray]:
        """Arrays by input name. What is no array yet takes the type that the signature declares."""
        if isinstance(inputs, Mapping) and all(isinstance(value, np.ndarray) for value in inputs.values()):
            return dict(inputs)
        import tensorflow as tf

        signatures = self.metadata(version, label)
        signature_name = signature_name or "serving_default"
        if signature_name not in signatures:
            raise RequestError("FAILED_PRECONDITION", f'Serving signature key "{signature_name}" not found.')
        declared = signatures[signature_name].inputs
        if not isinstance(inputs, Mapping):
            if len(declared) != 1:
                raise ValueError(
                    f"Signature {signature_name} has the inputs {sorted(declared)}: pass a dict with an array for each."
                )
            inputs = dict.fromkeys(declared, inputs)
        types = {name: tf.dtypes.as_dtype(info.dtype).as_numpy_dtype for name, info in declared.items()}
        return {
            name: value if isinstance(value, np.ndarray) else np.array(value, types.get(name))
            for name, value in inputs.items()
        }

    def _call(self, method: str, request: Any, answer: Any) -> Any:
        call = self._channel.unary_unary(
            f"/tensorflow.serving.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            return call(request, timeout=self.timeout)
        except grpc.RpcError as error:
            raise RequestError(error.code().name, error.details() or "") from error
        except ValueError as error:  # grpc's word for a channel that was closed
            raise RequestError("UNAVAILABLE", f"This client was closed: {error}") from error
