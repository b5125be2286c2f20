"""Whether a SavedModel's folder has all its files: people copy models by hand, and copying takes a while.

TensorFlow Serving loads what it sees, and what it saw too early it never looks at again. Worse, TensorFlow takes a
SavedModel without its variables for one that has none, so it would take the old version's place and fail on requests.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.serving.embedded.variables_index import shard_sizes

if TYPE_CHECKING:
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

_VARIABLES = {"VarHandleOp", "VariableV2", "Variable"}


@dataclass(frozen=True)
class Lack:
    """What a version's folder lacks.

    Attributes:
        what: it, in words.
        unseen: a load would not say so: TensorFlow must not be given this. Otherwise it would tell what is wrong.
    """

    what: str
    unseen: bool = False


def lack_of(folder: Path) -> Lack | None:
    """What is not there yet of the SavedModel in `folder`, which has a ``saved_model.pb``.

    Only presence and sizes are looked at; a file that is whole and wrong is for the load to find.

    Raises:
        OSError: a file cannot be read.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    try:
        graphs = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs
    except DecodeError:
        return Lack("the rest of saved_model.pb")
    if not graphs:
        return Lack("the rest of saved_model.pb")
    lacks = (_of_variables(folder / "variables", any(map(_restores, graphs))), _of_assets(folder / "assets", graphs))
    return next(filter(None, lacks), None)


def _restores(graph: "MetaGraphDef") -> bool:
    """Whether the graph has variables, and operations that read them from files."""
    return graph.HasField("saver_def") and any(node.op in _VARIABLES for node in graph.graph_def.node)


def _of_variables(folder: Path, wanted: bool) -> Lack | None:
    index = folder / "variables.index"
    try:
        there = index.is_file()
    except OSError as error:  # TensorFlow takes that for a model without variables, too
        return Lack(f"access to variables/variables.index ({error.strerror})", unseen=True)
    if not there:
        started = any(folder.glob("variables.data-*"))
        return Lack("variables/variables.index", unseen=True) if wanted or started else None
    try:
        sizes = shard_sizes(index)
    except ValueError:
        return Lack("the rest of variables/variables.index")
    for number, size in enumerate(sizes):
        shard = folder / f"variables.data-{number:05}-of-{len(sizes):05}"
        if not shard.is_file():
            return Lack(f"variables/{shard.name}")
        if (present := shard.stat().st_size) < size:
            return Lack(f"{size - present} of the {size} bytes of variables/{shard.name}")
    return None


def _of_assets(folder: Path, graphs: "Iterable[MetaGraphDef]") -> Lack | None:
    names = sorted({asset.filename for graph in graphs for asset in graph.asset_file_def})
    return next((Lack(f"assets/{name}") for name in names if not (folder / name).exists()), None)
