"""Images as files, for a signature that takes strings and decodes them."""

import io

import numpy as np

from labkit.errors import needs_extra

_CHANNELS = {"PNG": (1, 3, 4), "JPEG": (1, 3)}


def image_files(images: np.ndarray, format: str = "PNG", quality: int = 95) -> list[bytes]:
    """Each image as a file. `np.array(files, object)` is an input; with dtype None numpy would cut zeros off the end.

    Args:
        images: uint8, grey ``[n, h, w]``, or ``[n, h, w, c]`` with 1 or 3 channels, in a PNG also 4.
        format: ``PNG``, which keeps every bit, or ``JPEG``.
        quality: of a JPEG, 1 to 100.

    Raises:
        EnvironmentProblem: Pillow, which writes them, is not installed.
        ValueError: `images` are something else, or there is no such format or quality.
    """
    if format not in _CHANNELS or not 1 <= quality <= 100:
        raise ValueError(f"format is PNG or JPEG and quality 1 to 100, got {format!r} and {quality!r}")
    pixels = images[..., np.newaxis] if images.ndim == 3 else images
    channels = _CHANNELS[format]
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in channels or 0 in pixels.shape[1:]:
        raise ValueError(
            f"images are {images.dtype} of shape {images.shape}; for {format} they are uint8 [n, h, w], or "
            f"[n, h, w, c] with c one of {channels}"
        )
    return [_file(image, format, quality) for image in pixels]


def _file(image: np.ndarray, format: str, quality: int) -> bytes:
    with needs_extra("labkit.bench.image_files", "bench"):
        from PIL import Image
    options = {"quality": quality} if format == "JPEG" else {}
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(file, format, **options)
    return file.getvalue()
