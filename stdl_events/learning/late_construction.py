"""Import of what a learner is built of, which takes a second: Norse, and the modules of networks."""

from types import ModuleType

from torch.utils._python_dispatch import _disable_current_modes


def construction() -> ModuleType:
    """`stdl_events.learning.construction`, imported at the first call.

    The import makes tensors, so it is outside the caller's dispatch modes: they would be fake ones, and metered.
    """
    with _disable_current_modes():
        from stdl_events.learning import construction as module
    return module
