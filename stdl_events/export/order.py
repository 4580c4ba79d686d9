"""The order of an exported graph's nodes, from which onnxruntime finds the order in which it runs them.

It goes back from each result that no node uses, beginning with the last one of the file. So each layer's new state is
computed while its potentials and spikes are still in the processor's cache, if the states come last, the first layer's
at the end. Otherwise all layers' potentials wait for the logits. Values are the same, bit for bit.
"""

import onnx


def states_last(graph: onnx.GraphProto) -> None:
    """Move the nodes whose results are states alone behind all others, those of the first layer to the end."""
    used = {name for node in graph.node for name in node.input}
    results = {value.name: place for place, value in enumerate(graph.output)}
    logits = graph.output[0].name
    states: list[onnx.NodeProto] = []
    others: list[onnx.NodeProto] = []
    for node in graph.node:
        is_state = all(name in results and name not in used and name != logits for name in node.output)
        (states if is_state else others).append(node)
    states.sort(key=lambda node: -results[node.output[0]])
    ordered = [*others, *states]
    del graph.node[:]
    graph.node.extend(ordered)
