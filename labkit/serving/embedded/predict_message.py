"""A PredictRequest message to a PredictResponse message; no connection is needed for it."""

from typing import TYPE_CHECKING

from labkit.serving.embedded import tensor_proto
from labkit.serving.embedded.predict import prediction, signature_of
from labkit.serving.embedded.servable import DEFAULT_SIGNATURE, Servable
from labkit.serving.embedded.steps import Steps

if TYPE_CHECKING:
    from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse


def predict_steps(
    request: "PredictRequest", servable: Servable, tensor_content: bool = False
) -> "Steps[PredictResponse]":
    """The steps of a Predict message to its response.

    Args:
        request: its model_spec counts for the signature_name only.
        servable: the version that answers.
        tensor_content: write outputs as tensor_content instead of into their typed fields.

    Raises:
        StatusError: as `predict.prediction`, and INVALID_ARGUMENT for inputs that are no tensors.
    """
    from tensorflow_serving.apis.predict_pb2 import PredictResponse

    signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature_of(servable, signature_name)  # said before the inputs are looked at
    inputs = {name: tensor_proto.to_array(name, proto) for name, proto in request.inputs.items()}
    outputs = yield from prediction(
        servable, inputs, signature_name=signature_name, output_filter=request.output_filter
    )
    response = PredictResponse()
    response.model_spec.name = servable.name
    response.model_spec.version.value = servable.version
    response.model_spec.signature_name = signature_name
    for name, array in outputs.items():
        tensor_proto.fill(response.outputs[name], array, as_content=tensor_content)
    return response
