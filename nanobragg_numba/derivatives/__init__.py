"""Analytic derivatives of the image: adjoint, tangent, and what they share."""
