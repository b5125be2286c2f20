"""How what has no equal in TensorFlow.js is refused: by the layer's name, with the reason and a way out."""

from typing import Any

from labkit.errors import ModelConversionError

TFJS = "TensorFlow.js layers 4.22"
_GRAPH_MODEL = (
    "Or write a graph model (labkit.browser.export_graph_model): it gives the same answers, but cannot be trained in "
    "the page."
)
_AUGMENTATION = "Random changes to training images belong before the model: export a model without this layer."
_IN_THE_PAGE = "Do this step in the page, before the model."
_AROUND_2D = "Put a Reshape before and after its 2D sibling."
_SMALL_STEPS = "Build it from layers that are there, such as Dense, Dot, Softmax and LayerNormalization."
_WRONG_IN_WASM = "Its kernel for WebAssembly gives wrong numbers, and that is what most pages run on."
_WAYS_OUT = {
    "ActivityRegularization": "It only adds to the loss: export a model without it.",
    "AdditiveAttention": _SMALL_STEPS,
    "AlphaDropout": "What it drops gets the wrong sign there: use Dropout or GaussianDropout.",
    "Attention": "Use Dot, Softmax and Dot.",
    "Conv1DTranspose": _AROUND_2D,
    "Conv3DTranspose": _WRONG_IN_WASM,
    "Cropping1D": _AROUND_2D,
    "DepthwiseConv1D": _AROUND_2D,
    "EinsumDense": "Use Dense with Permute and Reshape.",
    "FlaxLayer": "",
    "GlobalAveragePooling3D": "Use AveragePooling3D over the whole volume, then Flatten.",
    "GlobalMaxPooling3D": "Use AveragePooling3D over the whole volume, then Flatten, if the mean will do.",
    "GroupNormalization": "Use LayerNormalization or BatchNormalization.",
    "Lambda": "Code in Python cannot run in a page: build the step from layers.",
    "MaxPooling3D": _WRONG_IN_WASM + " AveragePooling3D is right.",
    "MultiHeadAttention": "Use Dense, Dot and Softmax for each head.",
    "Resizing": "Resize in the page: tf.image.resizeBilinear(image, size, false, true) is what Keras does.",
    "SeparableConv1D": _AROUND_2D,
    "Subtract": "Use Rescaling(-1) on what is taken away, then Add.",
    "UpSampling1D": _AROUND_2D,
    "ZeroPadding1D": _AROUND_2D,
}
_IN_THE_PAGE_NAMES = {
    "Discretization", "HashedCrossing", "Hashing", "IntegerLookup", "MelSpectrogram", "Pipeline", "STFTSpectrogram",
    "StringLookup", "TextVectorization",
}  # fmt: skip


def refusal(layer: Any, reason: str, way_out: str = "") -> ModelConversionError:
    """The error that says why `layer` cannot be written, and what to do."""
    sentences = [f"Layer {layer.name!r} ({type(layer).__name__}): {reason}.", way_out, _GRAPH_MODEL]
    return ModelConversionError(" ".join(filter(None, sentences)))


def class_refusal(layer: Any) -> ModelConversionError:
    """The error that says that TensorFlow.js lacks the layer's class, and what to use instead."""
    name, module = type(layer).__name__, type(layer).__module__
    if module.startswith("keras.src.ops"):
        return refusal(
            layer,
            f"{TFJS} has no operations such as {name}, only layers",
            "Use a layer, as keras.layers.Add()([a, b]) for a + b.",
        )
    if not module.startswith("keras."):
        return refusal(layer, f"{TFJS} does not know a class of your own", "Build the step from layers that Keras has.")
    way_out = _WAYS_OUT.get(name, "")
    if name in _IN_THE_PAGE_NAMES:
        way_out = _IN_THE_PAGE
    elif "image_preprocessing" in module and not way_out:
        way_out = _AUGMENTATION
    return refusal(layer, f"{TFJS} has no such layer, or one that computes something else", way_out)
