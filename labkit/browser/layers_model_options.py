"""What many layers have in common: activations, regularizers, dtypes, and options that only some values exist for."""

import inspect
from typing import Any

from labkit.browser.layers_model_refusals import TFJS, refusal

# Keras name -> TensorFlow.js name. Not hard_sigmoid: since Keras 3 it has another slope. Not gelu's approximation:
# its name in TensorFlow.js, gelu_new, becomes geluNew when a model is loaded, and is then unknown.
ACTIVATIONS = {
    "elu": "elu",
    "gelu": "gelu",
    "linear": "linear",
    "log_softmax": "log_softmax",
    "mish": "mish",
    "relu": "relu",
    "relu6": "relu6",
    "selu": "selu",
    "sigmoid": "sigmoid",
    "silu": "swish",
    "softmax": "softmax",
    "softplus": "softplus",
    "softsign": "softsign",
    "tanh": "tanh",
}
_DTYPE_WAY_OUT = (
    'Build the model under keras.config.set_dtype_policy("float32") and give it these weights with set_weights.'
)


def activation(layer: Any, option: str, value: Any) -> str:
    """The name of an activation in TensorFlow.js.

    Raises:
        ModelConversionError: it has none, or it means something else there.
    """
    if isinstance(value, str) and value in ACTIVATIONS:
        return ACTIVATIONS[value]
    shown = value if isinstance(value, str) else value.get("class_name", value) if isinstance(value, dict) else value
    raise refusal(
        layer,
        f"{TFJS} has no {option} {shown!r}, or it means something else there",
        f"There are {', '.join(sorted(ACTIVATIONS))}; ReLU, LeakyReLU, PReLU and Softmax are layers.",
    )


def regularizer(layer: Any, option: str, value: Any) -> dict[str, Any] | None:
    """L1, L2 and L1L2 as TensorFlow.js writes them, which knows the last only.

    Raises:
        ModelConversionError: it is another one.
    """
    if value is None:
        return None
    if value.get("module") == "keras.regularizers" and value["class_name"] in ("L1", "L2", "L1L2"):
        strengths = {"l1": 0.0, "l2": 0.0, **value["config"]}
        return {"class_name": "L1L2", "config": {name: float(strengths[name]) for name in ("l1", "l2")}}
    raise refusal(layer, f"{TFJS} has no {option} {value['class_name']!r}", "There are L1, L2 and L1L2.")


def check_dtype(layer: Any) -> None:
    """A page computes in float32, and nothing else.

    Raises:
        ModelConversionError: the layer computes in, or holds, something else.
    """
    policy = layer.dtype_policy
    if policy.compute_dtype != "float32" or policy.variable_dtype != "float32":
        raise refusal(layer, f"it computes in {policy.name}, and {TFJS} in float32", _DTYPE_WAY_OUT)
    if getattr(layer, "quantization_mode", None):
        raise refusal(layer, f"its weights are quantised to {layer.quantization_mode}", _DTYPE_WAY_OUT)
    if getattr(layer, "lora_enabled", False):
        raise refusal(
            layer, "it has LoRA weights beside its kernel", "Merge them: load the weights into a model without LoRA."
        )


def is_default(layer: Any, option: str, value: Any) -> bool:
    """Whether an option has the value that the class gives it by itself."""
    parameter = inspect.signature(type(layer).__init__).parameters.get(option)
    return value is None or (parameter is not None and parameter.default == value)


def plain(value: Any) -> Any:
    """Tuples and numpy numbers as JSON knows them."""
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value
