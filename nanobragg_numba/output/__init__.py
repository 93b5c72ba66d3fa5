"""From the float image to statistics, integer images and photon noise."""
