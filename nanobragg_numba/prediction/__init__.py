"""Where things are on an image, worked out without computing it: spots, resolution."""
