"""Types of what entry points take: numbers, and C-contiguous arrays by element and number of axes.

``Number`` and its arrays are what images are differentiated with respect to: doubles, or complex numbers in the library of
second derivatives (derivatives/complex_step.py).
"""

from typing import Annotated

import numpy as np

Number = Annotated[float, "number"]
Vector = tuple[Number, Number, Number]
NineNumbers = tuple[Number, Number, Number, Number, Number, Number, Number, Number, Number]
Numbers1 = Annotated[np.ndarray, "number", 1]
Numbers2 = Annotated[np.ndarray, "number", 2]
Numbers3 = Annotated[np.ndarray, "number", 3]
Doubles1 = Annotated[np.ndarray, "float64", 1]
Doubles2 = Annotated[np.ndarray, "float64", 2]
Doubles3 = Annotated[np.ndarray, "float64", 3]
Doubles4 = Annotated[np.ndarray, "float64", 4]
Singles1 = Annotated[np.ndarray, "float32", 1]
Singles2 = Annotated[np.ndarray, "float32", 2]
Whole1 = Annotated[np.ndarray, "int64", 1]
Whole2 = Annotated[np.ndarray, "int64", 2]
Words2 = Annotated[np.ndarray, "uint16", 2]
Bytes1 = Annotated[np.ndarray, "uint8", 1]
Bytes2 = Annotated[np.ndarray, "uint8", 2]
Flags2 = Annotated[np.ndarray, "bool", 2]
