"""What of an image is not the crystal's: parameters of backgrounds, shadows and the detector's response."""

from .parameters import LARGEST_READING as LARGEST_READING
from .parameters import Background as Background
from .parameters import DetectorResponse as DetectorResponse
from .parameters import Shadow as Shadow
from .parameters import Spread as Spread
