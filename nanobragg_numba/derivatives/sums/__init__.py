"""Sums over the steps at n scattering vectors: of gradients in the adjoint, of changes in the tangent."""
