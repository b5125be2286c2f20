"""What a model's work depends on, read from its graph.

A few bytes can ask for a lot: of a loop, of a picture to decode, of a tensor to be filled. Where every operation
behind a signature is known to do work in step with the size of its inputs, that cannot happen.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tensorflow.core.framework.node_def_pb2 import NodeDef
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
_INITIALISER = "__saved_model_init_op"

_STEADY = frozenset(
    """
    Const Placeholder PlaceholderWithDefault Identity IdentityN NoOp StopGradient Shape ShapeN Size Rank
    VarHandleOp ReadVariableOp VariableV2 Variable ResourceGather GatherV2 Gather GatherNd HashTableV2
    MutableHashTableV2 LookupTableFindV2 LookupTableSizeV2 MatMul BatchMatMulV2 Einsum BiasAdd Conv1D Conv2D
    Conv3D DepthwiseConv2dNative MaxPool AvgPool FusedBatchNormV3 LRN Add AddV2 AddN Sub Mul Div RealDiv
    DivNoNan FloorDiv FloorMod Mod Maximum Minimum Pow SquaredDifference Abs Neg Sign Exp Log Log1p Expm1 Sqrt
    Rsqrt Square Reciprocal Inv Erf Floor Ceil Round Sin Cos Tanh Relu Relu6 LeakyRelu Elu Selu Softplus
    Softsign Sigmoid Softmax LogSoftmax Equal NotEqual Less LessEqual Greater GreaterEqual LogicalAnd LogicalOr
    LogicalNot Select SelectV2 IsNan IsInf Sum Mean Prod Max Min All Any ArgMax ArgMin TopKV2 Cumsum Cast
    Reshape Squeeze ExpandDims Transpose ConcatV2 Pack Unpack Split SplitV Slice StridedSlice ClipByValue
    StringLower StringUpper StringStrip StringLength StringToNumber AsString StaticRegexReplace
    """.split()  # noqa: SIM905 (a list of strings would be two pages long)
)


def is_steady(meta_graph: "MetaGraphDef") -> bool:
    """Whether every signature of the model does work in step with the size of its inputs, whatever their values."""
    graph = meta_graph.graph_def
    nodes = {node.name: node for node in graph.node}
    functions = {function.signature.name: function.node_def for function in graph.library.function}
    outputs = {
        info.name
        for name, signature in meta_graph.signature_def.items()
        if name != _INITIALISER
        for info in signature.outputs.values()
    }
    if any(_node(output) not in nodes for output in outputs):
        return False  # a graph that is not here: a TFLite model's
    pending = _behind(outputs, nodes)
    called: set[str] = set()
    while pending:
        node = pending.pop()
        if node.op not in _CALLS and node.op not in functions:
            if node.op not in _STEADY:
                return False
            continue
        function = node.attr["f"].func.name if node.op in _CALLS else node.op
        if function not in functions:
            return False
        if function not in called:
            called.add(function)
            pending.extend(functions[function])
    return True


def _node(tensor: str) -> str:
    return tensor.lstrip("^").split(":")[0]


def _behind(outputs: "Iterable[str]", nodes: "dict[str, NodeDef]") -> "list[NodeDef]":
    """The nodes of the graph that the named tensors are computed from."""
    found: dict[str, NodeDef] = {}
    pending = list(outputs)
    while pending:
        name = _node(pending.pop())
        if name in nodes and name not in found:
            found[name] = nodes[name]
            pending.extend(nodes[name].input)
    return list(found.values())
