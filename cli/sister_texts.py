"""What noisify and nonBragg print without input, the reference's texts, and with -help."""

from collections.abc import Sequence

from nanobragg_numba.command_line.noisify_options import NOISIFY_OPTIONS
from nanobragg_numba.command_line.nonbragg_options import NONBRAGG_OPTIONS
from nanobragg_numba.command_line.option_table import Option

from .help import entry_text
from .own_options import SISTER_ROWS

NOISIFY_USAGE = (
    'usage: noisify -floatfile floatimage.bin\n'
    'options:\n'
    '\tfloatimage.bin\t nearBragg-style binary dump file\n'
    '\t-scale\tscale factor to put floatimage.bin in photons/pixel\n'
    '\t-gain\tpixel units per photon\n'
    '\t-readout_noise\tgaussian noise added to every pixel\n'
    '\t-flicker\t fractional 1/f noise in source\n'
    '\t-calibration\t static fractional error per pixel\n'
    '\t-calib_seed\t change seed for calibration error\n'
    '\t-seed\t specify seed for all non-calibration errors\n'
    '\t-gain\t pixel units per photon\n'
    '\t-adc\t offset added to each pixel after noise\n'
    '\t-distance\t distance from origin to detector center in mm\n'
    '\t-detsize\t detector size in mm\n'
    '\t-pixel\t detector pixel size in mm\n'
    '\t-psf gauss|fiber\t point spread function type (gaussian or fiber)\n'
    '\t-psf_fwhm\t point spread function size in um\n'
    '\t-psf_radius\t radius to render PSF in pixels (default automatic)\n'
    '\t-lambda\t incident x-ray wavelength in Angstrom\n'
    '\t-intfile\t name of smv-formatted output file (arbitrary scale)\n'
    '\t-pgmfile\tname of pgm-formatted output file (arbitrary scale)\n'
    '\t-noisefile\t name of smv-formatted output file (with noise)\n'
    '\t-Xbeam\t image X coordinate of direct-beam spot (mm)\n'
    '\t-Ybeam\t image Y coordinate of direct-beam spot (mm)\n'
    '\t-header\t import 512-byte header from specified SMV file\n'
)  # fmt: skip
NONBRAGG_USAGE = (
    'usage: nonBragg -stol water.stol\n'
    'options:\n'
    '\t-stol filename.stol\ttext file containing sin(theta)/lambda and F for one molecule\n'
    '\t-thickness\tthickness of the sample in mm\n'
    '\t-samplesize\tlinear dimension of the (cube shaped) sample in mm\n'
    '\t-density\tdensity of the sample in g/cm^3\n'
    '\t-MW\tmolecular weight of the sample material in g/mol\n'
    '\t-hdivrange\thorizontal angular spread of source points in mrad\n'
    '\t-vdivrange\tvertical angular spread of source points in mrad\n'
    '\t-hdivstep\tnumber of source points in the horizontal\n'
    '\t-vdivstep\tnumber of source points in the vertical\n'
    '\t-distance\tdistance from origin to detector center in mm\n'
    '\t-detsize\tdetector size in mm\n'
    '\t-pixel\tdetector pixel size in mm\n'
    '\t-oversample\tnumber of sub-pixels per pixel\n'
    '\t-lambda\tincident x-ray wavelength in Angstrom\n'
    '\t-dispersion\tspectral dispersion: delta-lambda/lambda in percent\n'
    '\t-dispsteps\tnumber of wavelengths in above range\n'
    '\t-fluence\tintegrated beam intensity in photons/m^2\n'
    '\t-flux\t beam intensity in photons/s\n'
    '\t-exposure\t exposure time in s\n'
    '\t-beamsize\t linear dimension of the (square) beam profile in mm\n'
    '\t-sourcefile filename.txt\ttext file containing source positions in mm\n'
    '\t-floatfile\tname of binary output file (4-byte floats)\n'
    '\t-intfile\tname of smv-formatted output file (arbitrary scale)\n'
    '\t-pgmfile\tname of pgm-formatted output file (arbitrary scale)\n'
    '\t-noisefile\tname of smv-formatted output file (with Poisson noise)\n'
    '\t-Xbeam\timage X coordinate of direct-beam spot (mm)\n'
    '\t-Ybeam\timage Y coordinate of direct-beam spot (mm)\n'
    '\t-printout\tprint pixel values out to the screen\n'
    '\t-noprogress\tturn off the progress meter\n'
)  # fmt: skip


NOISIFY_INTRODUCTION = """\
noisify: photon, calibration and read-out noise, and a point spread, for the float image of nanoBragg or nonBragg.

  noisify -floatfile floatimage.bin -detpixels 1024 -scale 1 -readout_noise 3 -flicker 0.02 -calibration 0.03

The options and all output are those of the C program noisify; docs/sisters.md says what there is to know about it.
"""


def noisify_help() -> str:
    """The text of ``noisify -help``."""
    return _help(NOISIFY_INTRODUCTION, NOISIFY_OPTIONS)


NONBRAGG_INTRODUCTION = """\
nonBragg: X-ray diffraction images of amorphous samples: water, air, ice.

  nonBragg -stol water.stol -distance 250 -density 1 -thickness 1 -detpixels 1024 -lambda 1

The options and all output are those of the C program nonBragg; docs/sisters.md says what there is to know about it.
"""


def nonbragg_help() -> str:
    """The text of ``nonBragg -help``."""
    return _help(NONBRAGG_INTRODUCTION, NONBRAGG_OPTIONS)


def _help(introduction: str, options: Sequence[Option]) -> str:
    rows = (*options, *SISTER_ROWS)
    groups = dict.fromkeys(option.group for option in rows)
    parts = [introduction]
    for group in groups:
        parts += [f"\n{group.capitalize()}\n", *(entry_text(option) for option in rows if option.group == group)]
    return "".join(parts)
