"""What the converter has fused and TensorFlow.js cannot run is taken apart again, or refused.

The converter leaves fusing to TensorFlow, which fuses more where it computes with oneDNN, as it does by itself on
processors of Intel and AMD: `Dense(activation="tanh")` is one op then, and no backend of TensorFlow.js has that one.
"""

import base64
from typing import Any

from labkit.errors import ModelConversionError

_RUN = {"BiasAdd", "NoOp", "Relu", "Relu6", "Elu", "LeakyRelu", "Prelu", "Sigmoid"}
_TANH = "Tanh"


def take_apart(topology: dict[str, Any]) -> None:
    """Make an op of its own of each fused tanh; `topology` is a graph as ``model.json`` has it, and is changed.

    Raises:
        ModelConversionError: something else is fused that TensorFlow.js cannot run.
    """
    functions = topology.get("library", {}).get("function", [])
    for nodes in (topology["node"], *(function["nodeDef"] for function in functions)):
        for node in list(nodes):
            fused = node.get("attr", {}).get("fused_ops", {}).get("list", {}).get("s", [])
            names = [base64.b64decode(each).decode() for each in fused]
            if names[-1:] == [_TANH]:
                name, node["name"] = node["name"], f"{node['name']}/before_tanh"
                nodes.append({"name": name, "op": _TANH, "input": [node["name"]], "attr": {"T": node["attr"]["T"]}})
                del fused[-1], names[-1]
            if unknown := sorted(set(names) - _RUN):
                raise ModelConversionError(
                    f"TensorFlow has fused {node['name']} with {', '.join(unknown)}, which TensorFlow.js cannot run. "
                    "Set TF_ENABLE_ONEDNN_OPTS=0 in the environment before TensorFlow is imported, and export again."
                )
