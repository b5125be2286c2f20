"""Checks of lab 02, Serve a model."""

from typing import Any

from labkit.checks import exercise

_COLUMNS: dict[str, list[Any]] = {
    "bill_length_mm": [39.1, 46.5],
    "body_mass_g": [3750.0, 3500.0],
    "sex": ["male", "female"],
}


@exercise(
    "02.1",
    hints=(
        "The key is `inputs`, and below it stands one list for each input, not one object for each penguin.",
        "Two penguins and three inputs make three lists of two values: {'inputs': {'sex': ['male', ...], ...}}.",
    ),
)
def _columnar(answer: Any) -> str | None:
    if not isinstance(answer, dict):
        return f"a body is a dict that becomes a JSON object; this is of type {type(answer).__name__}"
    if "instances" in answer:
        return "`instances` is the key of the row form"
    if set(answer) != {"inputs"}:
        return "the body of the columnar form has one key here; the input names stand below it"
    return _judge_columns(answer["inputs"])


def _judge_columns(inputs: Any) -> str | None:
    if isinstance(inputs, list):
        return "below the key stands a list of penguins still; turn it round, so that each input has a list"
    if set(inputs) != set(_COLUMNS):
        return f"the inputs are not those of the rows: {sorted(set(inputs) ^ set(_COLUMNS))} is too much or missing"
    for name, wanted in _COLUMNS.items():
        column = inputs[name]
        if not isinstance(column, list) or len(column) != len(wanted):
            return f"{name} needs a list with a value for each of the two penguins"
        if column != wanted:
            return f"the values of {name} are not those of the rows, or in another order"
    return None


@exercise(
    "02.2",
    hints=(
        "model_spec has name, signature_name and version.value; column[:1] is one penguin that is still a batch.",
        "Start as in part 4, with penguins.test.inputs in place of two; tf.make_tensor_proto keeps numpy's type.",
    ),
)
def _predict_request(answer: Any) -> str | None:
    from tensorflow_serving.apis import predict_pb2

    if isinstance(answer, predict_pb2.PredictResponse):
        return "that is the answer; the request is asked for"
    if not isinstance(answer, predict_pb2.PredictRequest):
        return f"a PredictRequest is asked for, this is of type {type(answer).__name__}"
    spec = answer.model_spec
    if spec.name != "penguins":
        return f"it asks the model {spec.name!r}"
    if spec.signature_name != "name_species":
        return f"it asks the signature {spec.signature_name!r}; an empty name is serving_default"
    if not spec.HasField("version"):
        return "it leaves the version to the server, which takes the newest; one was named"
    if spec.version.value != 2:
        return f"it asks for version {spec.version.value}, and another was named"
    return _judge_tensors(answer.inputs)


def _judge_tensors(inputs: Any) -> str | None:
    import numpy as np
    import tensorflow as tf

    from labkit import data

    first = data.penguins().test.take(slice(0, 1)).inputs
    if set(inputs) != set(first):
        return f"the inputs are not the model's six: {sorted(set(inputs) ^ set(first))} is too much or missing"
    for name, wanted in first.items():
        array = tf.make_ndarray(inputs[name])
        if array.shape == ():
            return f"{name} is a single value without a batch; one penguin is a batch of one"
        if array.shape != (1,):
            return f"{name} has the shape {array.shape}; one penguin is asked about"
        if array.dtype == np.float64:
            return f"{name} is float64, and the server does not turn it into float32"
        said = array[0].decode() if isinstance(array[0], bytes) else array[0]
        if said != wanted[0]:
            return f"{name} is not that of the first penguin of penguins.test"
    return None


@exercise(
    "02.3",
    hints=(
        "The server serves the highest version it finds in the folder; which one must it no longer find?",
        "A version leaves as it came: in one step, this time out of the folder. wait_for takes the states you want.",
    ),
)
def _rolled_back(answer: Any) -> str | None:
    from labkit.serving import VersionStatus

    if not isinstance(answer, list) or not all(isinstance(each, VersionStatus) for each in answer):
        return "the list that server.status() returns is asked for"
    states = {each.version: each.state for each in answer}
    if states.get(2) == "AVAILABLE":
        return "version 2 is being served still; is its folder out of the model folder, and did you wait?"
    if 3 in states or max(states, default=0) > 2:
        return "a higher version would be a step forward; roll back to version 1 itself"
    if states == {1: "AVAILABLE"}:
        return "this server has never seen version 2: it was started anew; do it without stopping it"
    if states.get(1) != "AVAILABLE":
        return "version 1 is not being served yet; wait until its state is AVAILABLE"
    return None if states.get(2) == "END" else "version 2 is still on its way out; wait until it has ended"
