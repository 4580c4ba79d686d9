"""Learning: rules as points of one grid, one time loop for all of them."""

from stdl_events.learning.learner import Learner
from stdl_events.learning.rules import get_rule, list_rules

__all__ = ["Learner", "get_rule", "list_rules"]
