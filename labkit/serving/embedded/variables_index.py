"""How long the files of a SavedModel's variables have to be: what `variables.index` says of its shards.

The index is a table of sorted keys (tensorflow/core/lib/io/table.h, LevelDB's format): blocks of entries, then a block
that says where these are, then a footer that says where that one is. Its values are BundleEntryProto messages.
"""

from collections.abc import Iterator
from pathlib import Path

_FOOTER_BYTES = 48
_MOST_SHARDS = 100_000  # five digits are meant for their numbers; a wrong byte may say two thousand million
_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")


def shard_sizes(index: Path) -> list[int]:
    """The bytes that each shard must at least have, in order of their numbers.

    Raises:
        ValueError: this is no such index, or not all of it.
        OSError: it cannot be read.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleEntryProto, BundleHeaderProto

    try:
        entries = dict(_entries(index.read_bytes()))
        shards = BundleHeaderProto.FromString(entries.pop(b"")).num_shards
        if shards > _MOST_SHARDS:
            raise ValueError(f"{index} speaks of {shards} files")
        sizes = [0] * shards
        for value in entries.values():
            entry = BundleEntryProto.FromString(value)
            sizes[entry.shard_id] = max(sizes[entry.shard_id], entry.offset + entry.size)
    except (DecodeError, IndexError, KeyError) as error:
        raise ValueError(f"{index} is not a whole index of variables") from error
    return sizes


def _entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    footer = table[-_FOOTER_BYTES:]
    if not footer.endswith(_MAGIC) or len(footer) < _FOOTER_BYTES:
        raise ValueError("the file does not end as a table does")
    _, at = _handle(footer, 0)  # of the metaindex, which is empty
    where, _ = _handle(footer, at)
    for _, handle in _block(table, where):
        place, _ = _handle(handle, 0)
        yield from _block(table, place)


def _block(table: bytes, place: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    """The entries of the block at an offset, of a size. Each key is given as what it adds to the one before."""
    offset, size = place
    block = table[offset : offset + size]
    if len(block) < size or table[offset + size] != 0:  # the byte after a block: 0 for one that is not compressed
        raise ValueError("a block is cut off or compressed")
    end = size - 4 * (1 + int.from_bytes(block[-4:], "little"))  # the places of full keys follow, and their number
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        added, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + added]
        yield key, block[at + added : at + added + length]
        at += added + length


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """The offset and size at `at`, and where they end."""
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
