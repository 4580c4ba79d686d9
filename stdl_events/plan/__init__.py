"""Plans of a network's blocks: data, arithmetic, and search over given layer costs. No torch in `plan.plan`."""
