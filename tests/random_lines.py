"""Random command lines over the reference's options, from a seed."""

import random

INPUTS = ("block.hkl", "erl.hkl", "erl.mat", "sources.txt", "mask.img", "header.img", "water_small.stol")


def random_line(seed: int) -> list[str]:
    """A command line that makes a small image, and that the reference runs to its end."""
    r = random.Random(seed)
    words: list[list[str]] = []

    def number(low: float, high: float, digits: int = 4) -> str:
        return f"{r.uniform(low, high):.{digits}g}"

    def maybe(chance: float, *option: str) -> None:
        if r.random() < chance:
            words.append(list(option))

    def vector(x: float = 1.0) -> list[str]:
        return [number(-x, x) for _ in range(3)]

    small_sums = r.random() < 0.5
    kind = r.choice(["cell", "cell", "cell", "mat"])
    if kind == "mat":
        words.append(["-mat", "erl.mat"])
        maybe(0.1, "-cell", "54", "23", "23.5", "90", "110", "90")
    else:
        cell = [number(20, 120) for _ in range(3)] + [number(80, 105) for _ in range(3)]
        words.append(["-cell", *cell[: r.choice([1, 2, 3, 4, 6, 6, 6])]])
    maybe(0.5, "-misset", *(number(-180, 180, 6) for _ in range(3)))
    maybe(0.1, "-misset_seed", str(r.randrange(1, 9999)))
    if r.random() < 0.1:
        words += [["-misset_seed", str(r.randrange(1, 9999))], ["-misset", "random"]]
    factors = r.choice(["F", "F", "hkl", "both"])
    if factors != "F":
        words.append(["-hkl", r.choice(["block.hkl", "erl.hkl"])])
    if factors != "hkl":
        words.append(["-default_F", number(1, 300)])
    maybe(0.3, r.choice(["-interpolate", "-nointerpolate"]))
    maybe(0.7, "-N", str(r.choice([0, 1, 2, 3, 5, 8, 13])))
    for axis in "abc":
        maybe(0.15, f"-N{axis}", str(r.randrange(1, 20)))
    maybe(0.1, "-xtalsize", number(1e-5, 6e-5))
    maybe(0.05, "-sample_y", number(1e-5, 4e-4))
    maybe(0.4, r.choice(["-round_xtal", "-gauss_xtal", "-tophat_spots", "-square_xtal", "-binary_spots"]))
    maybe(0.2, "-fudge", number(0.2, 2))

    pixels = r.randrange(8, 40)
    two_sides = ["-detpixels_x", str(pixels), "-detpixels_y", str(r.randrange(8, 40))]
    size = r.choice([["-detpixels", str(pixels)], two_sides, ["-detsize", number(1, 4)]])
    words += [size[i : i + 2] for i in range(0, len(size), 2)]
    words.append(["-pixel", number(0.05, 1.0)])
    if r.random() < 0.06:
        words[-2:] = [[r.choice(["-mask", "-mask", "-img"]), r.choice(["mask.img", "header.img"])]]
    words.append([r.choice(["-distance", "-distance", "-close_distance"]), number(30, 300)])
    maybe(0.8, "-lambda", number(0.6, 3))
    maybe(0.1, "-energy", number(6000, 15000))
    maybe(0.5, f"-{r.choice(['mosflm', 'xds', 'adxv', 'denzo', 'dials'])}")
    for option in ("-Xbeam", "-Ybeam"):
        maybe(0.25, option, number(0, 5))
    for option in ("-Xclose", "-Yclose"):
        maybe(0.06, option, number(0, 5))
    for option in ("-ORGX", "-ORGY"):
        maybe(0.08, option, number(1, 40))
    maybe(0.15, "-pivot", r.choice(["beam", "sample"]))
    for axis in "xyz":
        maybe(0.15, f"-detector_rot{axis}", number(-20, 20))
    maybe(0.15, "-twotheta", number(-30, 30))
    maybe(0.06, "-twotheta_axis", *vector())
    maybe(0.08, "-polar_vector", *vector())
    maybe(0.08, "-spindle_axis", *vector())
    maybe(0.05, "-beam_vector", "1", number(-0.2, 0.2), number(-0.2, 0.2))
    maybe(0.05, "-fdet_vector", "0", number(-0.2, 0.2), "1")
    maybe(0.05, "-sdet_vector", "0", "-1", number(-0.2, 0.2))
    maybe(0.05, "-odet_vector", "1", number(-0.2, 0.2), number(-0.2, 0.2))
    maybe(0.05, r.choice(["-pix0_vector", "-pix0_vector_mm"]), "0.1", "0.001", "-0.001")
    maybe(0.1, "-curved_det")
    maybe(0.1, "-point_pixel")

    maybe(0.3, "-phi", r.choice(["0", "-0.5", "0.25", number(-90, 90)]))
    maybe(0.3, "-osc", r.choice(["1", "0.5", number(0, 3)]))
    maybe(0.3, "-phisteps", str(r.randrange(0, 6)))
    maybe(0.1, "-phistep", r.choice(["0.25", number(0.1, 1)]))
    maybe(0.3, "-mosaic", r.choice(["0", number(0, 2)]))
    maybe(0.3, r.choice(["-mosaic_dom", "-mosaic_domains"]), str(r.randrange(0, 6)))
    maybe(0.1, "-mosaic_seed", str(r.randrange(-5, 99999)))
    if r.random() < 0.1:
        words.append(["-sourcefile", "sources.txt"])
    maybe(0.15, "-dispersion", number(0, 3))
    maybe(0.15, "-dispsteps", str(r.randrange(0, 4)))
    maybe(0.1, "-divergence", number(0, 3))
    for axis in "hv":
        maybe(0.12, f"-{axis}divrange", number(0, 3))
        maybe(0.12, f"-{axis}divsteps", str(r.randrange(0, 4)))
        maybe(0.05, f"-{axis}divstep", number(0.5, 3))
    maybe(0.05, "-divsteps", str(r.randrange(0, 4)))
    maybe(0.2, r.choice(["-round_div", "-square_div"]))
    words.append(["-oversample", str(r.choice([1, 1, 2, 3]))])
    if small_sums:
        for name in ("thick", "polar", "omega"):
            maybe(0.15, f"-oversample_{name}")
    maybe(0.3, "-polar", number(-1, 1))
    maybe(0.1, "-nopolar")
    maybe(0.15, "-detector_abs", r.choice(["inf", number(50, 900)]))
    maybe(0.15, "-detector_thick", number(50, 900))
    maybe(0.15, r.choice(["-detector_thicksteps", "-thicksteps"]), str(r.randrange(0, 4)))
    maybe(0.15, "-water", number(0, 30))
    maybe(0.15, "-dmin", number(0.8, 6))
    if r.random() < 0.15:
        low = [r.randrange(-1, 8), r.randrange(-1, 8)]
        words.append(["-roi", str(low[0]), str(low[0] + r.randrange(1, 40)), str(low[1]), str(low[1] + r.randrange(1, 40))])

    maybe(0.4, "-fluence", f"1e{r.randrange(22, 33)}")
    maybe(0.1, "-flux", f"1e{r.randrange(8, 20)}")
    maybe(0.1, "-exposure", number(0.1, 3))
    maybe(0.1, "-beamsize", number(1e-4, 0.2))
    maybe(0.1, "-scale", number(0, 100))
    maybe(0.1, "-pgmscale", number(0, 100))
    maybe(0.2, "-adc", number(-20, 80))
    maybe(0.05, "-nonoise")
    maybe(0.05, "-nopgm")
    maybe(0.05, "-noprogress")
    maybe(0.05, "-stol", "water_small.stol")
    maybe(0.05, "-floatfile", "other.bin")
    maybe(0.05, "-dump", "other_dump.bin")
    # What a printed pixel shows of steps that nothing computed yet is whatever C's memory held.
    incomplete = {word for option in words for word in option} & {"-dmin", "-gauss_xtal", "-tophat_spots", "-binary_spots"}
    if r.random() < 0.12 and not incomplete:
        words += [["-printout"], *([["-printout_pixel", str(r.randrange(0, 40)), str(r.randrange(0, 40))]] if r.random() < 0.8 else [])]
    maybe(0.05, "-coherent")
    maybe(0.05, "-unheard_of", "7")
    r.shuffle(words)
    return [word for option in words for word in option] + ["-seed", str(r.randrange(1, 10**6))]
