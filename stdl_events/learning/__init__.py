"""Learning: rules as points of one grid, with one time loop for all.

The names below are imported at their first use.
"""

from typing import TYPE_CHECKING

from stdl_events.lazy import lazy_names

if TYPE_CHECKING:
    from stdl_events.learning.learner import Learner as Learner
    from stdl_events.learning.registries import LOSSES as LOSSES
    from stdl_events.learning.registries import OPTIMIZERS as OPTIMIZERS
    from stdl_events.learning.rules import RULES as RULES
    from stdl_events.learning.rules import get_rule as get_rule
    from stdl_events.learning.rules import list_rules as list_rules

__all__ = ["LOSSES", "OPTIMIZERS", "RULES", "Learner", "get_rule", "list_rules"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "LOSSES": "stdl_events.learning.registries",
        "Learner": "stdl_events.learning.learner",
        "OPTIMIZERS": "stdl_events.learning.registries",
        "RULES": "stdl_events.learning.rules",
        "get_rule": "stdl_events.learning.rules",
        "list_rules": "stdl_events.learning.rules",
    },
)
