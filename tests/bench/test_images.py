"""Images as files."""

import io
import sys

import numpy as np
import pytest

from labkit.bench import images
from labkit.errors import EnvironmentProblem


@pytest.mark.parametrize("shape", [(2, 5, 7), (2, 5, 7, 1), (2, 5, 7, 3), (2, 5, 7, 4)])
def test_a_png_keeps_every_pixel(shape):
    from PIL import Image

    pixels = np.random.default_rng(3).integers(0, 256, shape, np.uint8)
    files = images.image_files(pixels)
    for file, image in zip(files, pixels, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(file))), np.squeeze(image))


def test_a_jpeg_is_smaller_the_less_quality_is_asked_for():
    from PIL import Image

    pixels = np.add.outer(np.arange(64, dtype=np.uint8), np.arange(64, dtype=np.uint8))[np.newaxis]
    good, poor = (images.image_files(pixels, "JPEG", quality)[0] for quality in (95, 10))
    assert good.startswith(b"\xff\xd8\xff")
    assert len(poor) < len(good) < pixels.size
    assert np.abs(np.asarray(Image.open(io.BytesIO(good))).astype(int) - pixels[0]).max() <= 4


def test_what_is_no_image_is_refused():
    for wrong in (np.zeros((2, 4, 4), np.float32), np.zeros((4, 4), np.uint8), np.zeros((1, 4, 4, 2), np.uint8)):
        with pytest.raises(ValueError, match=rf"{wrong.dtype} of shape .*; for PNG they are uint8 \[n, h, w\]"):
            images.image_files(wrong)
    with pytest.raises(ValueError, match=r"for JPEG .* c one of \(1, 3\)"):
        images.image_files(np.zeros((1, 4, 4, 4), np.uint8), "JPEG")
    with pytest.raises(ValueError, match="got 'GIF' and 95"):
        images.image_files(np.zeros((1, 4, 4), np.uint8), "GIF")
    with pytest.raises(ValueError, match="got 'JPEG' and 0"):
        images.image_files(np.zeros((1, 4, 4), np.uint8), "JPEG", 0)


def test_without_pillow_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(EnvironmentProblem, match=r'needs the package PIL.*pip install "labkit\[bench\]"'):
        images.image_files(np.zeros((1, 4, 4), np.uint8))
