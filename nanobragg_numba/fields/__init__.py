"""The fields of the parameters: what may stand in them, what it must mean, and how they are shown."""
