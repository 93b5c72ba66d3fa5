"""Random command lines over the options of noisify and nonBragg, from a seed."""

import random

NOISIFY_INPUTS = ("spots.bin", "bright.bin", "header.img")
NONBRAGG_INPUTS = ("air.stol", "ice.stol", "nanoice.stol", "shortwater.stol", "unity.stol", "water.stol", "header.img", "sources.txt")


class _Line:
    """Options in the making."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.words: list[list[str]] = []

    def number(self, low: float, high: float, digits: int = 4) -> str:
        return f"{self.random.uniform(low, high):.{digits}g}"

    def maybe(self, chance: float, *option: str) -> None:
        if self.random.random() < chance:
            self.words.append(list(option))

    def any_of(self, chance: float, option: str, *values: str) -> None:
        self.maybe(chance, option, self.random.choice(values))

    def whole(self, seed: str = "-seed") -> list[str]:
        self.random.shuffle(self.words)
        return [word for option in self.words for word in option] + [seed, str(self.random.randrange(1, 10**6))]


def noisify_line(seed: int) -> list[str]:
    """A command line of noisify that runs to its end."""
    x = _Line(seed)
    bright = x.random.random() < 0.25
    x.words.append([x.random.choice(["-floatfile", "-floatimage", "-bin"]), "bright.bin" if bright else "spots.bin"])
    headed = x.random.random() < 0.2
    if headed:
        x.words.append(["-header", "header.img"])
    sizes = (
        [["-detpixels", "80"], ["-detpixels_x", "80"]] if bright else [["-detpixels_x", "64", "-detpixels_y", "48"], ["-detpixels_y", "48"]]
    )
    size = x.random.choice([*sizes, []])
    x.words += [size[i : i + 2] for i in range(0, len(size), 2)]
    x.maybe(0.9, "-pixel", x.number(0.05, 1.0))
    x.maybe(0.2, x.random.choice(["-detsize", "-detsize_x", "-detsize_y"]), x.number(1, 90))
    x.maybe(0.7, "-distance", x.number(30, 300))
    x.maybe(0.6, "-lambda", x.number(0.6, 3))
    x.maybe(0.3, "-Xbeam", x.number(-5, 60))
    x.maybe(0.3, "-Ybeam", x.number(-5, 60))
    x.any_of(0.7, "-scale", "1", "1e-3", "0.37", "100", "1e4", x.number(0.001, 10), "-1")
    x.maybe(0.05, "-fluence", "1e28")
    x.any_of(0.4, "-gain", "1", "1.7", "0.25", "28", x.number(0.1, 40))
    x.any_of(0.5, "-adc", "0", "10", "100", "-20", x.number(0, 200))
    x.any_of(0.6, "-readout_noise", "0", "1.5", "3", x.number(0, 60))
    x.any_of(0.4, "-flicker", "0", "0.02", "0.1", "0.9")
    x.any_of(0.5, "-calibration", "0", "0.03", "0.2")
    x.maybe(0.4, "-calib_seed", str(x.random.randrange(-5, 10**6)))
    if x.random.random() < 0.55:
        x.any_of(1.0, "-psf", "gauss", "fiber", "gauss", "fiber", "gaussian", "moffat")
        x.any_of(0.9, x.random.choice(["-psf_fwhm", "-psf_size", "-psf_width"]), "100", "800", "1500", x.number(1, 2500), "0", "-3")
        x.any_of(0.7, "-psf_radius", "1", "3", "10", "30", "100", "0", "-4", "2.7")
    x.any_of(0.3, "-bits", "16", "32", "8")
    x.maybe(0.1, "-nonoise")
    x.maybe(0.1, "-nopgm")
    x.maybe(0.2, "-phi", x.number(-90, 90))
    x.maybe(0.2, "-osc", x.number(0, 3))
    x.maybe(0.1, x.random.choice(["-badpix_seed", "-hotpix_seed"]), "77")
    x.maybe(0.1, "-noisefile", "other.img")
    x.maybe(0.1, "-intimage", "whole.img")
    x.maybe(0.1, "-pgmfile", "grey.pgm")
    return x.whole()


def nonbragg_line(seed: int) -> list[str]:
    """A command line of nonBragg that runs to its end."""
    x = _Line(seed)
    table = x.random.choice(["air", "ice", "nanoice", "shortwater", "unity", "water"])
    x.words.append([x.random.choice(["-stol", "-stol", "-stol", "-4stol", "-Q"]), f"{table}.stol"])
    pixels = str(x.random.randrange(8, 60))
    two_sides = ["-detpixels_x", pixels, "-detpixels_y", str(x.random.randrange(8, 60))]
    size = x.random.choice([["-detpixels", pixels], two_sides, ["-detsize", x.number(2, 20), "-pixel", "0.4"]])
    x.words += [size[i : i + 2] for i in range(0, len(size), 2)]
    if size[0] != "-detsize":
        x.words.append(["-pixel", x.random.choice(["0.9", "2", "0.1", x.number(0.05, 2)])])
    x.words.append([x.random.choice(["-distance", "-distance", "-close_distance"]), x.number(30, 300)])
    x.maybe(0.8, "-lambda", x.number(0.6, 3))
    x.maybe(0.1, "-energy", x.number(6000, 15000))
    x.maybe(0.5, "-thickness", x.random.choice(["0.02", "0.1", "1", x.number(0.01, 2)]))
    x.maybe(0.1, x.random.choice(["-width", "-heigh", "-samplesize"]), x.number(0.01, 0.3))
    x.any_of(0.5, "-density", "1", "0.92", "1.2e-3", x.number(0.1, 3))
    x.any_of(0.4, "-MW", "28", "18", "4", x.number(2, 90))
    x.maybe(0.05, "-molecules", "1e15")
    x.maybe(0.5, "-oversample", str(x.random.randrange(1, 4)))
    for option in ("-Xbeam", "-Ybeam"):
        x.maybe(0.3, option, x.number(0, 50))
    for option in ("-Xclose", "-Yclose", "-ORGX", "-ORGY"):
        x.maybe(0.06, option, x.number(1, 40))
    x.maybe(0.1, "-pivot", x.random.choice(["beam", "sample"]))
    for axis in "xyz":
        x.maybe(0.2, f"-detector_rot{axis}", x.number(-20, 20))
    x.maybe(0.25, "-twotheta", x.number(-30, 30))
    for option in ("-twotheta_axis", "-polar_vector", "-spindle_axis", "-pix0_vector"):
        x.maybe(0.06, option, *(x.number(-1, 1) for _ in range(3)))
    x.maybe(0.05, "-beam_vector", "1", x.number(-0.2, 0.2), x.number(-0.2, 0.2))
    x.maybe(0.05, "-fdet_vector", "0", x.number(-0.2, 0.2), "1")
    x.maybe(0.05, "-sdet_vector", "0", "-1", x.number(-0.2, 0.2))
    x.maybe(0.05, "-odet_vector", "1", x.number(-0.2, 0.2), x.number(-0.2, 0.2))
    x.maybe(0.1, "-curved_det")
    x.maybe(0.15, "-point_pixel")
    x.any_of(0.5, "-polar", "0", "1", "0.9", x.number(-1, 1))
    x.maybe(0.15, "-nopolar")
    x.maybe(0.2, "-roi", "5", "30", "4", "20")
    x.maybe(0.05, "-Fmap")
    x.any_of(0.5, "-fluence", "1e24", "1e26", "1e22", "1e29")
    x.maybe(0.4, "-flux", "1e12")
    x.maybe(0.4, "-exposure", x.number(0.1, 3))
    x.maybe(0.4, "-beamsize", x.random.choice(["0.1", "0.05", x.number(0.01, 0.2)]))
    x.maybe(0.3, "-dispersion", x.number(0, 3))
    x.maybe(0.3, "-dispsteps", str(x.random.randrange(0, 4)))
    x.maybe(0.1, "-divergence", x.number(0, 3))
    for axis in "hv":
        x.maybe(0.25, f"-{axis}divrange", x.number(0, 3))
        x.maybe(0.2, f"-{axis}divstep", x.number(0.5, 3))
        x.maybe(0.1, f"-{axis}divsteps", str(x.random.randrange(0, 4)))
    x.maybe(0.2, x.random.choice(["-round_div", "-square_div"]))
    x.maybe(0.05, "-sourcefile", "sources.txt")
    x.maybe(0.05, "-source_distance", x.number(100, 10000))
    x.maybe(0.06, "-img", "header.img")
    x.maybe(0.1, "-ignore", "40")
    x.maybe(0.1, "-gain", x.number(0.5, 3))
    x.any_of(0.3, "-adc", "0", "5", x.number(-20, 80))
    x.maybe(0.1, "-scale", x.number(0, 2))
    x.maybe(0.1, "-phi", x.number(-90, 90))
    x.maybe(0.1, "-osc", x.number(0, 3))
    x.maybe(0.1, "-phisteps", str(x.random.randrange(0, 5)))
    x.maybe(0.05, "-phistep", x.number(0.1, 1))
    x.maybe(0.1, "-nonoise")
    x.maybe(0.1, "-noprogress")
    x.maybe(0.1, x.random.choice(["-interpolate", "-coherent", "-noreject", "-nopgm"]))
    x.maybe(0.1, x.random.choice(["-mosflm", "-xds", "-dials"]))
    x.maybe(0.1, "-detector_thick", "450")
    x.maybe(0.05, "-floatfile", "other.bin")
    return x.whole()
