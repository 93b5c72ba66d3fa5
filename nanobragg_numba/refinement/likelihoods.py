"""How probable measured counts are: negative log likelihoods as torch functions of the expected photons, and modules that hold the data.

A pixel's counts are offset + gain * photons + read-out noise. Built on ``torch.nn.functional``; the term of the data alone, which
``poisson_nll_loss`` leaves out or takes from Stirling's formula, is added exactly, so that values compare across models.
"""

from typing import Any

import torch
from torch.nn import functional

from nanobragg_numba.errors import InputError

Tensor = torch.Tensor
NO_PHOTONS = {torch.float64: 1e-300, torch.float32: 1e-37}
"""Added inside the logarithm: 0 log 0 is then 0, with a gradient of 0."""


def poisson_nll(expected: Tensor, counts: Any, *, gain: float = 1.0, offset: float = 0.0, good: Any = None) -> Tensor:
    """-log P of counts = offset + gain * n with n Poisson of mean ``expected``: the sum of expected - n log(expected) + log(n!), a scalar.

    ``expected`` (pixels,): photons. ``counts`` (pixels,): as read out. ``gain``: counts a photon. ``good`` (pixels,): False where a pixel
    is left out; its counts may be anything. inf where a pixel's expectation is negative. Raises InputError for shapes that differ, a
    gain that is not positive, and counts that are not finite or below the offset.
    """
    expected, photons = _photons(expected, counts, gain, offset, good)
    if bool((photons < 0.0).any()):
        raise InputError(f"poisson_nll: {int((photons < 0.0).sum())} pixels have counts below the offset {offset:g}; use gaussian_nll")
    if bool((expected < 0.0).any()):
        return expected.sum() * 0.0 + torch.inf
    eps = NO_PHOTONS.get(expected.dtype, 1e-7)
    return functional.poisson_nll_loss(expected, photons, log_input=False, eps=eps, reduction="sum") + torch.lgamma(photons + 1.0).sum()


def gaussian_nll(
    expected: Tensor, counts: Any, *, readout: float, gain: float = 1.0, offset: float = 0.0, good: Any = None, variance: Any = None
) -> Tensor:
    """-log p of counts that are normal with mean offset + gain * expected and variance gain^2 * expected + readout^2, a scalar.

    Arguments as for ``poisson_nll``; ``readout``: standard deviation of the read-out noise in counts, positive. ``variance`` (pixels,), in
    counts squared: in place of the model's, for steps of weighted least squares. The photons' part counts as 0 where ``expected`` is
    negative. Raises InputError as ``poisson_nll`` does, though counts may be below the offset, and for a readout that is not positive.
    """
    if not readout > 0.0:
        raise InputError(f"gaussian_nll: readout must be positive, not {readout!r}")
    if variance is not None:
        variance = _chosen(torch.as_tensor(variance, dtype=expected.dtype, device=expected.device), good)
    expected, photons = _photons(expected, counts, gain, offset, good)
    if variance is None:
        variance = gain**2 * expected.clamp(min=0.0) + readout**2
    if variance.shape != expected.shape or not bool((variance > 0.0).all()):
        raise InputError("gaussian_nll: variance must be positive, one number a pixel")
    # In units of counts; torch's eps is a least variance.
    eps = torch.finfo(expected.dtype).tiny
    return functional.gaussian_nll_loss(gain * expected, gain * photons, variance, full=True, eps=eps, reduction="sum")


def photon_variance(expected: Tensor, readout: float = 0.0, gain: float = 1.0, least: float = 0.0) -> Tensor:
    """(pixels,): variance of a pixel in photons squared: expected + (readout / gain)^2, no less than ``least``."""
    return (expected.clamp(min=0.0) + (readout / gain) ** 2).clamp(min=least)


def _chosen(tensor: Tensor, good: Any) -> Tensor:
    return tensor if good is None else tensor[torch.as_tensor(good, dtype=torch.bool, device=tensor.device)]


def _photons(expected: Tensor, counts: Any, gain: float, offset: float, good: Any) -> tuple[Tensor, Tensor]:
    """Expected and measured photons of the good pixels."""
    measured = torch.as_tensor(counts, device=expected.device).to(expected.dtype)
    if measured.shape != expected.shape:
        raise InputError(f"likelihood: counts have shape {tuple(measured.shape)}, and expected photons {tuple(expected.shape)}")
    if good is not None and torch.as_tensor(good).shape != expected.shape:
        raise InputError(f"likelihood: good has shape {tuple(torch.as_tensor(good).shape)}, and the pixels {tuple(expected.shape)}")
    if not 0.0 < gain < float("inf"):
        raise InputError(f"likelihood: gain must be positive, not {gain!r}")
    measured = _chosen(measured, good)
    if not bool(measured.isfinite().all()):
        raise InputError(
            f"likelihood: {int((~measured.isfinite()).sum())} pixels have counts that are not finite: leave them out with good"
        )
    return _chosen(expected, good), (measured - offset) / gain


class PoissonLikelihood(torch.nn.Module):
    """``poisson_nll`` of fixed counts: ``forward(expected)``."""

    def __init__(self, counts: Any, *, gain: float = 1.0, offset: float = 0.0, good: Any = None):
        super().__init__()
        self.gain, self.offset = gain, offset
        self.register_buffer("counts", torch.as_tensor(counts))
        self.register_buffer("good", None if good is None else torch.as_tensor(good, dtype=torch.bool))

    def forward(self, expected: Tensor) -> Tensor:
        """A scalar from ``expected`` (pixels,) photons."""
        return poisson_nll(expected, self.counts, gain=self.gain, offset=self.offset, good=self.good)


class GaussianLikelihood(torch.nn.Module):
    """``gaussian_nll`` of fixed counts: ``forward(expected)``."""

    def __init__(self, counts: Any, *, readout: float, gain: float = 1.0, offset: float = 0.0, good: Any = None):
        super().__init__()
        if not readout > 0.0:
            raise InputError(f"GaussianLikelihood: readout must be positive, not {readout!r}")
        self.readout, self.gain, self.offset = readout, gain, offset
        self.register_buffer("counts", torch.as_tensor(counts))
        self.register_buffer("good", None if good is None else torch.as_tensor(good, dtype=torch.bool))

    def forward(self, expected: Tensor) -> Tensor:
        """A scalar from ``expected`` (pixels,) photons."""
        return gaussian_nll(expected, self.counts, readout=self.readout, gain=self.gain, offset=self.offset, good=self.good)
