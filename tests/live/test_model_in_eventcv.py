"""eventcv's own recurrent model runs an exported file unchanged, with the logits of our session."""

import numpy as np
import pytest
from onnx_models import make_card, stream_spec, write_model

from stdl_events.live import OnnxSession

eventcv = pytest.importorskip("eventcv", reason="the extra camera is not installed")


def states_of(session: OnnxSession) -> dict[str, str]:
    """Output -> input of every state."""
    return {f"next_state_{number}": f"state_{number}" for number in range(len(session.card.state_shapes))}


@pytest.mark.parametrize("name", ["models:nmnist", "small"])
def test_its_stateful_model_gives_the_logits_of_our_session(name, tmp_path):
    path = write_model(tmp_path / "m.onnx", make_card(stream_spec())) if name == "small" else name
    session = OnnxSession(path)
    theirs = eventcv.StatefulModel(eventcv.Model(str(session.path)), state_map=states_of(session))
    frames = np.random.default_rng(0).poisson(0.2, (6, 1, *session.card.frame.frame_shape_CHW)).astype(np.float32)
    for _ in range(2):
        state = session.initial_state(1)
        for frame_BCHW in frames:
            logits_BK, state = session.step(frame_BCHW, state)
            np.testing.assert_allclose(theirs(frame_BCHW), logits_BK, rtol=1e-5, atol=1e-5)
        assert np.abs(logits_BK).max() > 0
        theirs.reset()
