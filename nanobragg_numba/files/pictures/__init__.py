"""Pictures of more than one image."""
