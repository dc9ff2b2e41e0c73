"""No metric."""

METRIC = 3
