"""Images of the experiments of a DIALS list: a run's rows, and images of many panels."""
