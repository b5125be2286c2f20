"""The command line of `labkit bench`. `parser` of what it reads is the subcommand's own, for errors found later."""

import argparse
import os
import re
from collections.abc import Callable
from math import inf
from pathlib import Path

import ml_dtypes
import numpy as np

from labkit.bench.random_arrays import VALUES
from labkit.bench.targets import LIBRARIES
from labkit.serving.embedded import dtypes

_LOAD = """examples:
  labkit bench load http://localhost:8501/v1/models/penguins:predict --random 1
  labkit bench load grpc://localhost:8500 --model penguins --inputs batch.npz --clients 32
  labkit bench load http://localhost:8501/v1/models/penguins:predict --body body.json --rate 200
"""
_SIZES = """examples:
  labkit bench sizes --shape 1000x784 --dtype float32
  labkit bench sizes --inputs batch.npz --no-gzip
"""
_COMPARE = """examples:
  labkit bench compare models/penguins
  labkit bench compare --rest http://localhost:8501 --grpc localhost:8500 --model penguins --rows 1,10,100
"""


def read(argv: list[str]) -> argparse.Namespace:
    """The arguments; `what` is the subcommand. Wrong ones end the program with status 2."""
    parser = argparse.ArgumentParser("labkit bench", description="Measure what requests to a model server cost.")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="what", required=True)

    def add(name: str, purpose: str, examples: str = "") -> argparse.ArgumentParser:
        added = subparsers.add_parser(
            name,
            help=purpose,
            description=f"{purpose[0].upper()}{purpose[1:]}.",
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(parser=added, save=None)
        return added

    _add_load(add("load", "put load on one address, and say how long its users wait", _LOAD))
    _add_sizes(add("sizes", "count the bytes of one batch in every form it can be sent in", _SIZES))
    _add_compare(add("compare", "time the same batches over REST and over gRPC, and find the break-even", _COMPARE))
    show = add("show", "print a saved result again")
    show.add_argument("file", metavar="FILE.json", help="what --save wrote")
    return parser.parse_args(argv)


def _add_load(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="http(s)://HOST:PORT/v1/models/NAME:predict, or grpc(s)://HOST:PORT")
    sent = parser.add_argument_group("what is sent").add_mutually_exclusive_group(required=True)
    sent.add_argument("--body", metavar="FILE", help="these bytes: JSON, or a serialized PredictRequest; - is stdin")
    sent.add_argument("--inputs", metavar="FILE.npz", help="these arrays, by input name")
    sent.add_argument("--random", metavar="ROWS", type=_count, help="random rows of the form that the server tells")
    parser.add_argument("--whole", action="store_true", help="encode and decode arrays each time, and count it")
    _add_signature(parser)
    how = parser.add_argument_group("how it is asked")
    how.add_argument("--clients", metavar="N", type=_count, help="who ask at a time (8; with --rate at most, 32)")
    how.add_argument("--rate", metavar="R", type=_positive, help="requests a second, whether answers come or not")
    how.add_argument("--seconds", metavar="S", type=_positive, default=5.0, help="of a round (%(default)g)")
    how.add_argument("--rounds", metavar="N", type=_count, default=3, help="that are measured (%(default)s)")
    how.add_argument("--warm-up", metavar="N", type=_count_or_none, default=3, help="requests that do not count (3)")
    how.add_argument("--no-keep-connection", action="store_true", help="make a new connection for each request")
    how.add_argument("--library", choices=LIBRARIES, default="requests", help="who speaks HTTP (%(default)s)")
    _add_access(parser)
    _add_save(parser)


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    batch = parser.add_argument_group("the batch").add_mutually_exclusive_group(required=True)
    batch.add_argument("--shape", metavar="1000x784", type=_shape, help="the shape, rows first")
    batch.add_argument("--inputs", metavar="FILE.npz", help="these arrays, by input name")
    parser.add_argument("--dtype", type=_dtype, help="with --shape: the type (float32)")
    parser.add_argument("--values", choices=VALUES, help="with --shape: what the numbers are (normal; of ints, digits)")
    parser.add_argument("--gzip", action=argparse.BooleanOptionalAction, default=True, help="also compressed (yes)")


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="MODEL_FOLDER", nargs="?", type=Path, help="is served for as long as needed")
    running = parser.add_argument_group("a server that runs, in place of a folder")
    running.add_argument("--rest", metavar="URL", help="http(s)://HOST:PORT, or all of its :predict address")
    running.add_argument("--grpc", metavar="HOST:PORT", help="with grpcs:// in front, with TLS")
    _add_signature(parser)
    parser.add_argument("--rows", metavar="N,N,...", type=_counts, help="batch sizes (1,4,16,64,256,1024)")
    parser.add_argument("--rounds", metavar="N", type=_count, default=5, help="that are measured (%(default)s)")
    parser.add_argument("--seconds", metavar="S", type=_positive, default=0.05, help="of a side's turn (%(default)g)")
    _add_access(parser)
    _add_save(parser)


def _add_signature(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the model")
    group.add_argument("--model", metavar="NAME", help="its name, for gRPC")
    group.add_argument("--signature", metavar="NAME", help="its signature (serving_default)")
    text = "the shape of a row of a random input, where the signature leaves it open; repeatable"
    group.add_argument("--shape", metavar="NAME=3x4", type=_named_shape, action="append", default=[], help=text)
    group.add_argument("--seed", metavar="N", type=_count_or_none, default=0, help="of random inputs (0)")


def _add_access(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the way there")
    text = "sent with each request, as metadata over gRPC; repeatable"
    group.add_argument("--header", metavar='"NAME: VALUE"', type=_header, action="append", default=[], help=text)
    group.add_argument(
        "--timeout", metavar="S", type=_positive, default=60.0, help="to wait for an answer (%(default)g)"
    )
    group.add_argument("--ca-file", metavar="FILE", help="certificates (PEM) that grpcs:// trusts")


def _add_save(parser: argparse.ArgumentParser) -> None:
    text = "write all that was measured; labkit bench show prints it again"
    parser.add_argument("--save", metavar="FILE.json", type=_new_file, help=text)


def _number(text: str, kind: Callable[[str], float], least: str, fits: Callable[[float], bool]) -> float:
    try:
        value = kind(text)
    except ValueError:
        value = -inf
    if not fits(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {least}")
    return value


def _count(text: str) -> int:
    return int(_number(text, int, "a whole number from 1 on", lambda value: value >= 1))


def _count_or_none(text: str) -> int:
    return int(_number(text, int, "a whole number from 0 on", lambda value: value >= 0))


def _positive(text: str) -> float:
    return _number(text, float, "a number above 0", lambda value: 0 < value < inf)


def _counts(text: str) -> list[int]:
    return sorted({_count(each) for each in text.split(",")})


def _shape(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(x\d+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no shape such as 1000x784")
    return tuple(map(int, text.split("x")))


def _named_shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, equals, shape = text.rpartition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of an input and a shape, such as x=3x4")
    return name, _shape(shape) if shape else ()


def _dtype(text: str) -> np.dtype:
    if text == "string":
        return np.dtype(object)
    try:
        dtype = np.dtype(getattr(ml_dtypes, text, text))
        dtypes.of(np.empty(0, dtype))
        if dtype.hasobject:  # numpy makes it of any class, as of ml_dtypes.finfo
            raise TypeError
    except (TypeError, KeyError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no type of numpy's that TensorFlow has, such as float32, bfloat16, int64, uint8, bool, string"
        ) from None
    return dtype


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is no header, which is NAME: VALUE")
    return name.strip(), value.strip()


def _new_file(text: str) -> Path:
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written: it is a folder, or in none that exists")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written: this user may not")
    return path
