"""Read TFRecord files without TensorFlow.

A record is its length (8 bytes, little-endian), a checksum of these, the data, a checksum of that. A checksum is a
CRC-32C (Castagnoli), turned and moved ("masked", tsl/lib/hash/crc32c.h) into 4 bytes.
"""

import math
import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

_HEAD, _CHECKSUM = struct.Struct("<QI"), struct.Struct("<I")
_LONGEST = (1 << 31) - 1  # of a message
_BLOCK = 1 << 20
_WORTH_LANES = 64


class TFRecordError(Exception):
    """A file is no TFRecord file, or a damaged one."""


def records(file: BinaryIO) -> Iterator[bytes]:
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


def _data(file: BinaryIO, start: int, length: int) -> bytes:
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
    register = 0xFFFFFFFF
    for start in range(0, len(data), _BLOCK):
        register = _after(register, memoryview(data)[start : start + _BLOCK])
    crc = register ^ 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _after(register: int, block: memoryview) -> int:
    """The CRC's register after the bytes of `block`.

    A register is linear in what it was and in the bytes. So a large block is cut into lanes, which go through numpy
    side by side, all but the first from an empty register; then each lane's register is put behind the one before it.
    What the bytes of a lane do to that one is known from what as many zeros do to each of its 32 bits.
    """
    lanes = math.isqrt(len(block)) if len(block) >= _WORTH_LANES else 0
    length = len(block) // lanes if lanes else 0
    if lanes:
        columns = np.zeros((length, lanes + 32), np.uint8)
        columns[:, :lanes] = np.frombuffer(block, np.uint8)[: lanes * length].reshape(lanes, length).T
        registers = np.zeros(lanes + 32, np.uint32)
        registers[0] = register
        registers[lanes:] = 1 << np.arange(32, dtype=np.uint32)
        for column in columns:
            registers = _TABLE[(registers ^ column) & 0xFF] ^ (registers >> 8)
        moved = registers[lanes:].tolist()
        register = 0
        for lane in registers[:lanes].tolist():
            register = _combined(moved, register) ^ lane
    for byte in block[lanes * length :]:
        register = _BYTES[(register ^ byte) & 0xFF] ^ register >> 8
    return register


def _combined(moved: list[int], register: int) -> int:
    """The sum, which is exclusive or, of those of `moved` whose bit is set in `register`."""
    total = 0
    while register:
        total ^= moved[register.bit_length() - 1]
        register &= ~(1 << register.bit_length() - 1)
    return total


def _table() -> np.ndarray:
    """What a register with only one byte set becomes when that byte is shifted out; [256]."""
    registers = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        registers = registers >> 1 ^ (registers & 1) * np.uint32(0x82F63B78)
    return registers


_TABLE = _table()
_BYTES: list[int] = _TABLE.tolist()
