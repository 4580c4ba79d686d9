"""The file of whole clips: all steps of a clip in one call, made of a file of single steps.

Inputs are `frames` and `state_0` to `state_<n>`, outputs `logits` and `next_state_0` to `next_state_<n>`; frames and
logits have the time step as their second dimension. The graph of the step is repeated, with the same weights, so that
onnxruntime plans all steps together; its arithmetic stays that of the step.

N clips, T time steps, C channels, H height, W width, K classes.
"""

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from stdl_events.errors import ModelError, VerificationError
from stdl_events.export.onnx import write_model
from stdl_events.export.precisions import ClipsNTCHW
from stdl_events.live.onnx_file import MAX_NODES
from stdl_events.live.session import OnnxSession
from stdl_events.live.synthetic import busy_frames
from stdl_events.whole_file import whole_path

SIMULATED_CLIPS = 4
TIME_AXIS = 1


@dataclass(frozen=True)
class WholeClip:
    """A file of whole clips beside the file of single steps that it was made of.

    Attributes:
        steps: frames in a call.
        held_out_clips, simulated_clips: on which both were compared; all get the same class.
        largest_difference: of a logit or a state, over all steps.
        step_bytes, bytes: sizes of the two files.
    """

    steps: int
    held_out_clips: int
    simulated_clips: int
    largest_difference: float
    step_bytes: int
    bytes: int

    def to_text(self) -> str:
        """Return it in a line."""
        held_out = f"{self.held_out_clips} held-out and " if self.held_out_clips else ""
        return (
            f"a call takes {self.steps} frames; {held_out}{self.simulated_clips} simulated clips keep the class that "
            f"single steps give, within {self.largest_difference:.1e}"
        )


def write_whole_clip(source: Path, held_out_NTCHW: ClipsNTCHW | None, path: Path) -> WholeClip:
    """Write the file of whole clips of the file at `source`, after a comparison of the two.

    Args:
        source: a verified file of single steps, in any number format.
        held_out_NTCHW: clips of held-out recordings, to compare on besides simulated ones; those of another length than
            the model's clips are cut or left out.
        path: replaced atomically; unchanged if the files disagree.

    Raises:
        ModelError: the graph would be too large, or `path` cannot be written.
        VerificationError: a clip gets another class.
    """
    session = OnnxSession(source)
    steps = session.card.frame.steps
    with whole_path(path, room_for="model", error=ModelError) as partial:
        card = session.card.model_copy(update={"steps_per_call": steps})
        write_model(unrolled(onnx.load(source), steps, source), card, partial)
        held_out = [] if held_out_NTCHW is None or held_out_NTCHW.shape[1] != steps else list(held_out_NTCHW)
        simulated = list(busy_frames(session.card, steps, SIMULATED_CLIPS).swapaxes(0, 1))
        other = OnnxSession(partial, whole_clips=True)
        found = [_compared(session, other, clip_TCHW, path) for clip_TCHW in [*held_out, *simulated]]
        size = partial.stat().st_size
    return WholeClip(steps, len(held_out), len(simulated), max(found), source.stat().st_size, size)


def _compared(ours: OnnxSession, theirs: OnnxSession, clip_TCHW: npt.NDArray[np.generic], path: Path) -> float:
    frames_TBCHW = clip_TCHW[:, None]
    (our_logits, our_state), (their_logits, their_state) = (
        session.steps(frames_TBCHW, session.initial_state()) for session in (ours, theirs)
    )
    classes = our_logits.mean(0).argmax(), their_logits.mean(0).argmax()
    if classes[0] != classes[1]:
        raise VerificationError(
            str(path), got="another class for a clip than the file of single steps gives", expected="the same for all",
            todo="export it without --whole-clip",
        )  # fmt: skip
    pairs = [(our_logits, their_logits), *zip(our_state, their_state, strict=True)]
    return max(float(np.abs(a.astype(np.float64) - b).max(initial=0)) for a, b in pairs)


def unrolled(step: onnx.ModelProto, steps: int, path: Path) -> onnx.ModelProto:
    """Return the graph of `steps` steps; nodes of constants alone stand in it once.

    Args:
        path: of the step's file, for messages.

    Raises:
        ModelError: it has too many nodes.
    """
    graph = step.graph
    shared = {tensor.name for tensor in graph.initializer}
    repeated = []
    model = onnx.ModelProto()
    model.CopyFrom(step)
    del model.graph.node[:], model.graph.value_info[:], model.graph.input[0], model.graph.output[0]
    for node in graph.node:
        if all(name in shared for name in node.input):
            shared.update(node.output)
            model.graph.node.append(node)
        else:
            repeated.append(node)
    count = len(model.graph.node) + steps * (len(repeated) + 2) + 2
    if count > MAX_NODES:
        raise ModelError(
            str(path), got=f"a graph of {count:,} nodes for {steps} steps", expected=f"at most {MAX_NODES:,}",
            todo="export it without --whole-clip",
        )  # fmt: skip
    _repeat(model.graph, graph, repeated, shared, steps)
    model.graph.input.insert(0, _over_time(graph.input[0], "frames", steps))
    model.graph.output.insert(0, _over_time(graph.output[0], "logits", steps))
    return model


def _repeat(
    made: onnx.GraphProto, graph: onnx.GraphProto, nodes: list[onnx.NodeProto], shared: set[str], steps: int
) -> None:
    each, axis = "one_of_each", "time_axis"
    made.initializer.append(numpy_helper.from_array(np.ones(steps, np.int64), each))
    made.initializer.append(numpy_helper.from_array(np.array([TIME_AXIS], np.int64), axis))
    frames = [f"frames_{t}" for t in range(steps)]
    made.node.append(helper.make_node("Split", ["frames", each], frames, name="split", axis=TIME_AXIS))
    state_in, state_out = [value.name for value in graph.input[1:]], [value.name for value in graph.output[1:]]
    before = dict(zip(state_in, state_in, strict=True))
    logits = []
    for t in range(steps):
        names = before | {graph.input[0].name: f"frame_{t}"}
        made.node.append(helper.make_node("Squeeze", [frames[t], axis], [f"frame_{t}"], name=f"squeeze_{t}"))
        last = set(state_out) if t == steps - 1 else set()
        for node in nodes:
            names |= {name: name if name in last else f"{name}_at_{t}" for name in node.output}
            again = copy.deepcopy(node)
            again.name = f"{node.name}_at_{t}"
            again.input[:] = [name if name in shared or not name else names[name] for name in node.input]
            again.output[:] = [names[name] for name in node.output]
            made.node.append(again)
        before = {old: names[new] for old, new in zip(state_in, state_out, strict=True)}
        logits.append(f"logits_{t}")
        of_step = names[graph.output[0].name]
        made.node.append(helper.make_node("Unsqueeze", [of_step, axis], [logits[-1]], name=f"unsqueeze_{t}"))
    made.node.append(helper.make_node("Concat", logits, ["logits"], name="concat", axis=TIME_AXIS))


def _over_time(value: onnx.ValueInfoProto, name: str, steps: int) -> onnx.ValueInfoProto:
    """The declaration of `value` with a second dimension of `steps`."""
    tensor = value.type.tensor_type
    sizes = [each.dim_param or each.dim_value for each in tensor.shape.dim]
    return helper.make_tensor_value_info(name, tensor.elem_type, [sizes[0], steps, *sizes[1:]])
