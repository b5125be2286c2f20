"""Which models can be trained on which card, and with which batch.

Image models are counted by `labkit.devices.memory.training_memory`. A large language model is estimated by a formula:
it is too large to be traced in seconds, and its layers are all alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labkit.devices.memory import GIB, TrainingMemory, check_available, training_memory

if TYPE_CHECKING:
    import keras
    import pandas

_MIB = 2**20
_MANY = 1024  # with few examples the fullest moment may be one that the batch has no part in

CARDS: dict[str, int] = {
    "8 GB": 8192 * _MIB,
    "10 GB": 10240 * _MIB,
    "24 GB": 24564 * _MIB,
    "80 GB": 81559 * _MIB,
}
"""Bytes of a card by the name it is sold under. The GB on the box are GiB, or a little less: the last two numbers are
what the driver reports for an RTX 4090 and an H100 (an A100 with 80 GB: 81920 MiB), the first two the box's own."""

SYSTEM_RESERVE = 1800 * _MIB
"""What TensorFlow leaves to the system on a GPU of compute capability 9 or later; 1536 MiB on 8.x, 1050 MiB on 7.x
(`MinSystemMemory` in tensorflow/core/common_runtime/gpu/gpu_device.cc). CUDA's own memory comes out of it."""


@dataclass(frozen=True)
class Transformer:
    """A transformer of equal layers, as a decoder or an encoder of text, trained in mixed precision with Adam.

    Attributes:
        layers: how many there are.
        width: numbers for one token between the layers (h).
        heads: attention heads in a layer (a).
        sequence: tokens in one example (s).
        vocabulary: different tokens (V).
    """

    layers: int
    width: int
    heads: int
    sequence: int
    vocabulary: int

    @property
    def parameters(self) -> int:
        """``12 L h² + 13 L h + (V + s) h``; Narayanan et al. 2021, arXiv:2104.04473, equation 2."""
        return (
            12 * self.layers * self.width**2
            + 13 * self.layers * self.width
            + (self.vocabulary + self.sequence) * self.width
        )

    @property
    def fixed(self) -> int:
        """Bytes that the batch does not change: 18 for each parameter.

        Four each for the float32 weight, its gradient and Adam's two slots, as Keras keeps them, and two for the
        float16 copy that the layers compute with.
        """
        return 18 * self.parameters

    @property
    def per_example(self) -> int:
        """Bytes of activations for one example.

        ``34 s h + 5 a s²`` in each layer, at two bytes a number and one byte for dropout's masks; Korthikanti et al.
        2022, arXiv:2205.05198, equation 1. With the output's logits, which the paper counts at four bytes, ``4 s V``.
        No part is computed a second time; attention that never writes down its s × s weights saves the second term.
        The paper counts a careful implementation. `training_memory` finds 1.38 times as much in a layer that is put
        together from Keras' own (s = 512, h = 768, a = 12, ``mixed_float16``), which normalizes in float32.
        """
        layer = 34 * self.sequence * self.width + 5 * self.heads * self.sequence**2
        return self.layers * layer + 4 * self.sequence * self.vocabulary

    def total(self, batch: int) -> int:
        """Bytes of a training step with `batch` examples."""
        return self.fixed + batch * self.per_example

    def largest_batch(self, available: float) -> int:
        """The largest batch whose `total` is at most `available` bytes; 0 where not even one example fits.

        Raises:
            ValueError: `available` is not finite.
        """
        check_available(available)
        return max(0, int((available - self.fixed) // self.per_example))


TRANSFORMERS: dict[str, Transformer] = {
    "BERT base, 110 million": Transformer(layers=12, width=768, heads=12, sequence=512, vocabulary=30_522),
    "decoder, 1.3 billion": Transformer(layers=24, width=2048, heads=16, sequence=2048, vocabulary=50_257),
    "decoder, 7 billion": Transformer(layers=32, width=4096, heads=32, sequence=2048, vocabulary=32_000),
}
"""Sizes as published: Devlin et al. 2018 (BERT), Brown et al. 2020 (GPT-3 XL, with 16 heads of 128), Touvron et al.
2023 (LLaMA 7B, whose layers are a little different)."""


def which_fit(
    models: "Mapping[str, keras.Model | Callable[[], keras.Model] | TrainingMemory | Transformer]",
    cards: Mapping[str, int] = CARDS,
    *,
    reserve: int = SYSTEM_RESERVE,
    **options: Any,
) -> "pandas.DataFrame":
    """A table of the largest batch for each model on each card; 0: it cannot be trained there.

    Args:
        models: what to call each, and the model, a function that makes it, what was counted for it, or a transformer.
        cards: bytes of each card.
        reserve: bytes of each card that the training step cannot have.
        **options: for `training_memory`, where a model has still to be counted: ``optimizer``, ``dtype``.

    Returns:
        One row for each model: GiB that the batch does not change, MiB for each example, then one column for each card.
    """
    from labkit import show

    rows = []
    for name, model in models.items():
        counted = model if isinstance(model, TrainingMemory | Transformer) else training_memory(model, 1, **options)
        if isinstance(counted, Transformer):
            fixed, each = counted.fixed, float(counted.per_example)
        else:
            fixed, each = counted.weights + counted.gradients + counted.slots, counted.at(_MANY).per_example
        largest = [counted.largest_batch(size - reserve) for size in cards.values()]
        rows.append([name, fixed / GIB, each / _MIB, *largest])
    return show.table(rows, ["model", "fixed (GiB)", "each example (MiB)", *cards], digits=2)
