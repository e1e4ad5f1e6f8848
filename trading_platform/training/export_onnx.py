"""A trained policy as an ONNX graph: from an observation to opinions and weights, for runtimes of any language.

One graph holds everything that the JSON of an export says in words: which fields are read, how they are scaled, the
scorer that is asked about each strategy, the mean over the members, the map to weights. Numbers are doubles, so that
the answers are those of the engine up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trading_platform.core.observation import observation_schema
from trading_platform.core.policy import Policy
from trading_platform.machine.packages import missing
from trading_platform.storage.model_registry import StoredModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Read by every runtime since 2022; newer operators are not needed.
OPSET, IR_VERSION = 17, 8
INPUT, OPINIONS, WEIGHTS = "observation", "opinions", "weights"
SOFTMAX = "softmax"


def has_onnx() -> bool:
    """Return whether the package that writes ONNX files is installed."""
    return not missing(["onnx"])


def onnx_bytes(stored: StoredModel) -> bytes:
    """Return `stored` as an ONNX file.

    Its input `observation` (n, D) holds all fields in the order of the observation, a field that is not known at its
    neutral value. Outputs: `opinions` (n, K) in [-1, 1], and `weights` (n, K) where the map is the softmax one.
    """
    from onnx import helper

    manifest, graph = stored.manifest, _Graph()
    opinions = _opinions(graph, stored.policy)
    graph.node("Identity", [opinions], OPINIONS)
    outputs = [OPINIONS]
    if manifest.action_kind == SOFTMAX:
        _softmax_weights(graph, manifest.base_weights, manifest.action_scale)
        outputs.append(WEIGHTS)
    width = len(observation_schema(manifest.strategies))
    made = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "trading-allocator-policy",
            [_value(INPUT, width)],
            [_value(name, len(manifest.strategies)) for name in outputs],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="trading-platform",
        doc_string=f"{manifest.model_id}; {INPUT} and {WEIGHTS} in the order of the JSON beside this file",
    )
    packed: bytes = made.SerializeToString()
    return packed


class _Graph:
    """Nodes and constants in the order in which they were added; each node has one output."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: NDArray[Any]) -> str:
        """Add an array and return its name."""
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, operator: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Add an operator and return the name of what it gives."""
        from onnx import helper

        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def clipped(self, values: str, most: float) -> str:
        """Cut to [-most, most]."""
        return self.node("Clip", [values, self.constant(np.array(-most)), self.constant(np.array(most))])


def _opinions(graph: _Graph, policy: Policy) -> str:
    """Add everything from the observation to the mean opinion of the members, (n, K)."""
    scaling, network, layout = policy.scaling, policy.network, policy.layout
    chosen = graph.node("Gather", [INPUT, graph.constant(scaling.index)], axis=1)
    apart = graph.node("Sub", [chosen, graph.constant(scaling.mean)])
    features = graph.clipped(graph.node("Mul", [apart, graph.constant(scaling.gain)]), scaling.clip)
    kernels, biases = list(network.kernels), [bias[:, None, :] for bias in network.biases]
    if layout is None:
        n_strategies, values = network.n_outputs, features
        place = graph.constant(np.array([1, 2]))  # (n, F) -> (n, 1 member, 1 row, F)
    else:
        n_strategies = layout.n_sleeves
        own = graph.node("Gather", [features, graph.constant(layout.own)], axis=1)
        shared = graph.node("Gather", [features, graph.constant(layout.shared)], axis=1)
        factors = graph.node("Unsqueeze", [shared, graph.constant(np.array([1, 2]))])
        products = graph.node("Mul", [graph.node("Unsqueeze", [own, graph.constant(np.array([3]))]), factors])
        n_products = layout.own.shape[1] * len(layout.shared)
        flat = graph.node("Reshape", [products, graph.constant(np.array([-1, n_strategies, n_products]))])
        values = graph.node("Concat", [own, flat], axis=2)
        place = graph.constant(np.array([1]))  # (n, K, I) -> (n, 1 member, K, I)
        # the inputs that name the strategy are zeros and a one: what they add is a bias for each strategy
        biases[0] = biases[0] + kernels[0][:, layout.n_inputs :]
        kernels[0] = kernels[0][:, : layout.n_inputs]
    values = graph.node("Unsqueeze", [values, place])
    for layer, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        inputs = graph.node("Tanh", [values]) if layer else values
        values = graph.node("Add", [graph.node("MatMul", [inputs, graph.constant(kernel)]), graph.constant(bias)])
    mean = graph.node("ReduceMean", [graph.clipped(values, 1.0)], axes=[1], keepdims=0)
    return graph.node("Reshape", [mean, graph.constant(np.array([-1, n_strategies]))])


def _softmax_weights(graph: _Graph, base: Sequence[float], scale: float) -> None:
    """Add the map from opinions to weights: the base times e^(scale x opinion), brought to a sum of 1."""
    moved = graph.node("Exp", [graph.node("Mul", [OPINIONS, graph.constant(np.array(scale))])])
    raw = graph.node("Mul", [moved, graph.constant(np.array(base))])
    total = graph.node("ReduceSum", [raw, graph.constant(np.array([1]))], keepdims=1)
    graph.node("Div", [raw, total], WEIGHTS)


def _value(name: str, width: int) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["n", width])
