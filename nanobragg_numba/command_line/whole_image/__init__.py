"""Options about what else than the crystal makes an image, and how it is read out."""
