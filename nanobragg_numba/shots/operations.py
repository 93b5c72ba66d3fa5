"""The operations and comparisons of recorded formulas."""

ADD, SUBTRACT, MULTIPLY, DIVIDE, NEGATE, MAGNITUDE, SIN, COS, SQRT, HOLD, CEIL, LEAST, MOST = range(13)
"""``HOLD``: the value without its derivative; ``CEIL``, and ``LEAST`` and ``MOST`` of two, have none either."""
LESS, LESS_EQUAL, EQUAL = range(3)
