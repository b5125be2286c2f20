"""Read TFRecord files without TensorFlow.

A record is its length (8 bytes, little-endian), a checksum of these, the data, a checksum of that. A checksum is a
CRC-32C (Castagnoli), turned and moved ("masked", tsl/lib/hash/crc32c.h) into 4 bytes.
"""

import os
import struct
from collections.abc import Iterator
from typing import IO

import google_crc32c

_HEAD, _CHECKSUM = struct.Struct("<QI"), struct.Struct("<I")
_LONGEST = (1 << 31) - 1  # of a message


class TFRecordError(Exception):
    """A file is no TFRecord file, or a damaged one."""


def records(file: IO[bytes]) -> Iterator[bytes]:
    """The data of each record of an open file; one is in memory at a time.

    Less than a head at the end of the file is ignored, as TensorFlow's own reader does.

    Raises:
        TFRecordError: what comes next is no record, not a whole one, damaged, or longer than a message can be. The
            texts are TensorFlow's (tsl/lib/io/record_reader.cc).
        OSError: the file cannot be read.
    """
    size, start = os.fstat(file.fileno()).st_size, 0
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        length, checksum = _HEAD.unpack(head)
        if masked_crc32c(head[:8]) != checksum:
            hint = "" if start else " (Is this even a TFRecord file?)"
            raise TFRecordError(f"corrupted record at {start}{hint}")
        start += _HEAD.size
        if length > _LONGEST:
            raise TFRecordError(f"record of {length} bytes at {start}, a message has at most {_LONGEST}")
        if start + length + _CHECKSUM.size > size:  # before memory is taken for it
            raise _truncated(start)
        yield _data(file, start, length)
        start += length + _CHECKSUM.size


def _data(file: IO[bytes], start: int, length: int) -> bytes:
    data, checksum = file.read(length), file.read(_CHECKSUM.size)
    if len(data) < length or len(checksum) < _CHECKSUM.size:  # the file became shorter meanwhile
        raise _truncated(start)
    if masked_crc32c(data) != _CHECKSUM.unpack(checksum)[0]:
        raise TFRecordError(f"corrupted record at {start}")
    return data


def _truncated(start: int) -> TFRecordError:
    return TFRecordError(f"truncated record at {start - _HEAD.size}' failed with Read less bytes than requested")


def masked_crc32c(data: bytes) -> int:
    """The checksum of `data` as it stands in the file."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
