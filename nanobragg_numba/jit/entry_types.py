"""Types of C-contiguous arrays by element and number of axes: what the entry points of compiled code are declared with."""

from typing import Annotated

import numpy as np

Doubles1 = Annotated[np.ndarray, "float64", 1]
Doubles2 = Annotated[np.ndarray, "float64", 2]
Doubles3 = Annotated[np.ndarray, "float64", 3]
Singles1 = Annotated[np.ndarray, "float32", 1]
Singles2 = Annotated[np.ndarray, "float32", 2]
Whole1 = Annotated[np.ndarray, "int64", 1]
Whole2 = Annotated[np.ndarray, "int64", 2]
Words2 = Annotated[np.ndarray, "uint16", 2]
Bytes1 = Annotated[np.ndarray, "uint8", 1]
Bytes2 = Annotated[np.ndarray, "uint8", 2]
Flags2 = Annotated[np.ndarray, "bool", 2]
