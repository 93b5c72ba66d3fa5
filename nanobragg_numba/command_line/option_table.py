"""Every option of the command line: one row each, in the order in which the reference tests them.

A word on the command line is tested against all rows. ``words`` match by containment (``-matrix`` is ``-mat``)
unless ``exact`` is set or ``length`` gives the word's length; several rows may match one word, and a row with
``stop`` ends the search. ``sets`` names the fields that the values go to, as ``object.field`` or
``object.field.index``; ``also`` holds constants set at the same time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BEAM_PIVOT = {"detector.pivot": "beam"}
SAMPLE_PIVOT = {"detector.pivot": "sample"}
CUSTOM = {"detector.convention": "custom"}


@dataclass(frozen=True)
class Option:
    """One row of the table."""

    words: tuple[str, ...]
    group: str
    arguments: str
    """What follows the word, with units; for the help."""
    default: str
    help: str
    kind: str = "float"
    """How the values are read: float (atof), int (atoi), text, or the name of a special reader."""
    sets: tuple[str, ...] = ()
    also: Mapping[str, Any] = field(default_factory=dict)
    same: bool = False
    """One value goes to all the fields."""
    exact: bool = False
    bare: bool = False
    """The word, which need not begin with a dash, is the value itself, and no other row sees it."""
    length: int = 0
    stop: bool = False
    sensor: bool = False
    """About the sensor's thickness: what it is as the last word, without a value, is the mode's to say."""
    unless: str = ""
    """In "spec", a word that contains this is another option's alone."""
    quirk: str = ""
    """The row of the reference's quirks that the option meets."""

    def matches(self, word: str) -> bool:
        """Whether the reference would take ``word`` for this option."""
        if self.exact:
            return word in self.words
        return (not self.length or len(word) == self.length) and any(own in word for own in self.words)


def _flag(words: str, group: str, help: str, also: dict[str, Any], **more: Any) -> Option:
    return Option(tuple(words.split()), group, "", "off", help, kind="flag", also=also, **more)


def _value(words: str, group: str, arguments: str, default: str, help: str, sets: str, **more: Any) -> Option:
    return Option(tuple(words.split()), group, arguments, default, help, sets=tuple(sets.split()), **more)


N_CELLS = "crystal.n_cells.0 crystal.n_cells.1 crystal.n_cells.2"
SIZE = "crystal.size_mm.0 crystal.size_mm.1 crystal.size_mm.2"


def _vector(field_name: str) -> str:
    return " ".join(f"{field_name}.{i}" for i in range(3))


class OptionTable(tuple[Option, ...]):
    """The options of one program; equal to itself alone, so that what was found in it can be kept by table and word."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


OPTIONS = OptionTable((
    _value("-Na", "crystal", "N", "1", "unit cells along a", "crystal.n_cells.0", kind="int", stop=True),
    _value("-Nb", "crystal", "N", "1", "unit cells along b", "crystal.n_cells.1", kind="int", stop=True),
    _value("-Nc", "crystal", "N", "1", "unit cells along c", "crystal.n_cells.2", kind="int", stop=True),
    _value("-N", "crystal", "N", "1", "unit cells along all three axes; 0 is one cell", N_CELLS, kind="int", same=True, exact=True, stop=True),
    Option(("-cell",), "crystal", "a b c alpha beta gamma (A, degrees)", "none", "unit cell, one to six numbers; missing lengths copy a, missing angles are 90", kind="cell", quirk="Q13"),
    Option(("-misset",), "crystal", "x y z (degrees) | random", "0 0 0", "missetting angles about laboratory x, then y, then z", kind="misset", unless="-misset_seed", quirk="Q8"),
    _value("-samplesize -sample_size", "crystal", "size (mm)", "from -N", "full width of the crystal, all axes", SIZE, same=True),
    _value("-sample_thick -sample_x", "crystal", "size (mm)", "from -N", "full width along a", "crystal.size_mm.0"),
    _value("-sample_width -sample_y -width", "crystal", "size (mm)", "from -N", "full width along b", "crystal.size_mm.1"),
    _value("-sample_heigh -sample_z -heigh", "crystal", "size (mm)", "from -N", "full width along c", "crystal.size_mm.2"),
    _value("-xtalsize -xtal_size", "crystal", "size (mm)", "from -N", "full width of the crystal, all axes", SIZE, same=True),
    _value("-xtal_thick -xtal_x", "crystal", "size (mm)", "from -N", "full width along a", "crystal.size_mm.0"),
    _value("-xtal_width -xtal_y -width", "crystal", "size (mm)", "from -N", "full width along b", "crystal.size_mm.1"),
    _value("-xtal_heigh -xtal_z -heigh", "crystal", "size (mm)", "from -N", "full width along c", "crystal.size_mm.2"),
    _value("-density -sample_den", "crystal", "density (g/cm^3)", "1.2", "read and not used, as in the reference", "", quirk="Q22"),
    _value("-molec", "crystal", "weight (g/mol)", "from the cell", "read and not used, as in the reference", "", quirk="Q22"),
    _value("-MW", "crystal", "weight (g/mol)", "from the cell", "read and not used, as in the reference", "", exact=True, quirk="Q22"),
    _value("-Xbeam", "geometry", "X (mm)", "centre", "direct beam, as the convention counts it", "detector.beam_center_mm.0", also=BEAM_PIVOT),
    _value("-Ybeam", "geometry", "Y (mm)", "centre", "direct beam, as the convention counts it", "detector.beam_center_mm.1", also={**BEAM_PIVOT, "detector.beam_center_y_m": None}),
    _value("-Xclose", "geometry", "X (mm)", "centre", "point of the detector nearest to the sample, fast coordinate", "detector.close_point_mm.0", also=SAMPLE_PIVOT),
    _value("-Yclose", "geometry", "Y (mm)", "centre", "point of the detector nearest to the sample, slow coordinate", "detector.close_point_mm.1", also=SAMPLE_PIVOT),
    _value("-ORGX", "geometry", "X (pixels)", "centre", "XDS's origin, fast coordinate", "detector.org_pixels.0", also=SAMPLE_PIVOT),
    _value("-ORGY", "geometry", "Y (pixels)", "centre", "XDS's origin, slow coordinate", "detector.org_pixels.1", also=SAMPLE_PIVOT),
    Option(("-pivot",), "geometry", "beam | sample", "by convention", "what stays in place when the detector turns", kind="pivot"),
    _flag("-mosflm", "geometry", "MOSFLM convention (the default)", {"detector.convention": "mosflm", **BEAM_PIVOT}),
    _flag("-xds", "geometry", "XDS convention", {"detector.convention": "xds", **SAMPLE_PIVOT}),
    _flag("-adxv", "geometry", "ADXV convention", {"detector.convention": "adxv", **BEAM_PIVOT}),
    _flag("-denzo", "geometry", "DENZO convention", {"detector.convention": "denzo", **BEAM_PIVOT}),
    _flag("-dials", "geometry", "DIALS convention", {"detector.convention": "dials", **BEAM_PIVOT}),
    _value("-fdet_vector", "geometry", "x y z", "0 0 1", "direction of the fast axis", _vector("detector.fast_axis"), also=CUSTOM),
    _value("-sdet_vector", "geometry", "x y z", "0 -1 0", "direction of the slow axis", _vector("detector.slow_axis"), also=CUSTOM),
    _value("-odet_vector", "geometry", "x y z", "1 0 0", "detector normal, away from the sample; becomes fast x slow unless its length is exactly 1", _vector("detector.normal_axis"), also=CUSTOM),
    _value("-beam_vector", "geometry", "x y z", "1 0 0", "direction of the beam", _vector("beam.direction"), also=CUSTOM),
    _value("-polar_vector", "geometry", "x y z", "0 0 1", "direction of the beam's E vector", _vector("beam.polarization_axis"), also=CUSTOM, quirk="Q4"),
    _value("-spindle_axis", "geometry", "x y z", "0 0 1", "axis of the phi rotation", _vector("sampling.spindle_axis"), also=CUSTOM),
    _value("-twotheta_axis", "geometry", "x y z", "0 1 0", "axis of the two-theta swing; in -compat c its first number is read as -twotheta too", _vector("detector.twotheta_axis"), also=CUSTOM),
    Option(("-pix0_vector",), "geometry", "x y z (m; mm for -pix0_vector_mm)", "from the beam centre", "position of the first pixel; -compat c ignores the numbers", kind="pix0", quirk="Q11"),
    _value("-distance", "geometry", "distance (mm)", "100", "sample to detector along the beam", "detector.distance_mm", also=BEAM_PIVOT),
    _value("-close_distance", "geometry", "distance (mm)", "from -distance", "sample to the nearest point of the detector plane", "detector.close_distance_mm", also=SAMPLE_PIVOT),
    Option(("-detector_abs",), "detector", "depth (um) | inf", "inf", "attenuation depth of the sensor; inf or 0 drops thickness too", kind="attenuation", sensor=True),
    _value("-detector_thick", "detector", "thickness (um)", "0", "thickness of the sensor", "detector.thickness_um", length=15, sensor=True),
    _value("-detector_thicksteps", "detector", "N", "1, or 2 with a thickness", "layers of the sensor", "detector.layers", kind="int", quirk="Q5", sensor=True),
    _value("-thicksteps", "detector", "N", "1, or 2 with a thickness", "layers of the sensor", "detector.layers", kind="int", quirk="Q5", sensor=True),
    _value("-twotheta", "geometry", "angle (degrees)", "0", "swing of the detector", "detector.twotheta_deg", also=SAMPLE_PIVOT, unless="-twotheta_axis", quirk="Q30"),
    _value("-detector_rotx", "geometry", "angle (degrees)", "0", "detector rotation about laboratory x", "detector.rotations_deg.0"),
    _value("-detector_roty", "geometry", "angle (degrees)", "0", "detector rotation about laboratory y", "detector.rotations_deg.1"),
    _value("-detector_rotz", "geometry", "angle (degrees)", "0", "detector rotation about laboratory z", "detector.rotations_deg.2"),
    _value("-detsize", "detector", "size (mm)", "102.4", "width and height", "detector.size_mm.0 detector.size_mm.1", same=True, length=8),
    _value("-detsize_f", "detector", "size (mm)", "102.4", "size along the fast axis", "detector.size_mm.0"),
    _value("-detsize_s", "detector", "size (mm)", "102.4", "size along the slow axis", "detector.size_mm.1"),
    _value("-detpixels", "detector", "N", "from -detsize", "pixels along both axes", "detector.pixels.0 detector.pixels.1", kind="int", same=True, length=10),
    _value("-detpixels_f -detpixels_x", "detector", "N", "from -detsize_f", "pixels along the fast axis", "detector.pixels.0", kind="int"),
    _value("-detpixels_s -detpixels_y", "detector", "N", "from -detsize_s", "pixels along the slow axis", "detector.pixels.1", kind="int"),
    Option(("-curved_det",), "detector", "", "off", "all pixels at the same distance (as the last word of a line it is ignored in -compat c, as in the reference)", kind="flag_not_last", also={"detector.curved": True}),
    _value("-pixel", "detector", "size (mm)", "0.1", "pixel size", "detector.pixel_size_mm"),
    _flag("-point_pixel", "detector", "inverse square law only, no pixel area or obliquity", {"detector.point_pixel": True}),
    _value("-polar", "beam", "fraction", "0", "Kahn polarization factor", "beam.polarization", length=6, also={"beam.polarized": True}, quirk="Q4"),
    _flag("-nopolar", "beam", "no polarization factor", {"beam.polarized": False}),
    _flag("-oversample_thick", "sampling", "absorption anew for each sub-pixel", {"sampling.oversample_thick": True}, stop=True, quirk="Q3"),
    _flag("-oversample_polar", "sampling", "polarization anew for each sub-pixel and source", {"sampling.oversample_polar": True}, stop=True, quirk="Q3"),
    _flag("-oversample_omega", "sampling", "solid angle anew for each sub-pixel", {"sampling.oversample_omega": True}, stop=True, quirk="Q3"),
    _value("-oversample", "sampling", "N", "from the crystal size", "sub-pixels along each axis of a pixel", "sampling.oversample", kind="int", quirk="Q5"),
    _value("-roi", "detector", "xmin xmax ymin ymax (pixels)", "whole image", "compute this window only, ends included", "detector.roi.0 detector.roi.1 detector.roi.2 detector.roi.3", kind="int"),
    _value("-lambda -wave", "beam", "wavelength (A)", "1", "wavelength", "beam.wavelength_A"),
    Option(("-energy",), "beam", "energy (eV)", "12398.42", "photon energy, instead of -lambda", kind="energy"),
    _value("-fluence", "beam", "photons/m^2", "1.26e29", "photons per square metre, exposure included", "beam.fluence"),
    _value("-flux", "beam", "photons/s", "0", "gives the fluence, with -exposure and -beamsize", "beam.flux"),
    _value("-exposure", "beam", "time (s)", "1", "exposure time", "beam.exposure_s"),
    _value("-beamsize", "beam", "size (mm)", "0.1", "width of the beam; clips the crystal's b and c size", "beam.beamsize_mm"),
    _value("-mosaic", "crystal", "angle (degrees)", "0", "mosaic spread", "crystal.mosaic_spread_deg", length=7),
    _value("-mosaici -mosaic_spr", "crystal", "angle (degrees)", "0", "mosaic spread", "crystal.mosaic_spread_deg"),
    _value("-mosaic_dom", "crystal", "N", "1, or 10 with a spread", "mosaic domains", "crystal.mosaic_domains", kind="int"),
    _value("-dispersion", "beam", "percent", "0", "full spectral width", "beam.dispersion_percent"),
    _value("-dispsteps", "beam", "N", "1, or 2 with a dispersion", "wavelengths", "beam.dispersion_steps", kind="int"),
    _value("-divergence", "beam", "angle (mrad)", "0", "full divergence, both ways", "beam.hdivrange_mrad beam.vdivrange_mrad", same=True),
    _value("-hdivrange", "beam", "angle (mrad)", "0", "full horizontal divergence", "beam.hdivrange_mrad"),
    _value("-vdivrange", "beam", "angle (mrad)", "0", "full vertical divergence", "beam.vdivrange_mrad"),
    _value("-hdivstep", "beam", "angle (mrad)", "from -hdivsteps", "horizontal step", "beam.hdivstep_mrad", length=9),
    _value("-hdivsteps", "beam", "N", "from -hdivstep", "horizontal steps", "beam.hdivsteps", kind="int"),
    _value("-vdivstep", "beam", "angle (mrad)", "from -vdivsteps", "vertical step", "beam.vdivstep_mrad", length=9),
    _value("-vdivsteps", "beam", "N", "from -vdivstep", "vertical steps", "beam.vdivsteps", kind="int"),
    _value("-divsteps", "beam", "N", "from the step size", "steps both ways", "beam.hdivsteps beam.vdivsteps", kind="int", same=True),
    Option(("-round_div",), "beam", "", "on", "cut the corners off the divergence grid", kind="flag", also={"beam.round_divergence": True}),
    _flag("-square_div", "beam", "keep the corners of the divergence grid", {"beam.round_divergence": False}),
    _value("-adc", "output", "counts", "40", "offset added to the integer images", "outputs.adc_offset"),
    _value("-phi", "sampling", "angle (degrees)", "0", "start of the rotation", "sampling.phi_deg", length=4, quirk="Q1"),
    _value("-osc", "sampling", "angle (degrees)", "0", "rotation range", "sampling.osc_deg", quirk="Q1"),
    _value("-phistep", "sampling", "angle (degrees)", "from -phisteps", "rotation step", "sampling.phistep_deg", length=8),
    _value("-phisteps", "sampling", "N", "1, or 2 with a range", "rotation steps", "sampling.phisteps", kind="int"),
    _value("-dmin", "sampling", "resolution (A)", "0", "skip scattering beyond this resolution", "sampling.dmin_A"),
    _value("-mat", "crystal", "FILE", "none", "orientation matrix (reciprocal axes, MOSFLM's form)", "files.matrix", kind="text"),
    _value("-hkl", "structure factors", "FILE", "none", "lines of h k l F, expanded to P1, Friedel mates too; or an MTZ, CIF or PDB file, which is expanded (docs/from-a-pdb-entry.md)", "files.hkl", kind="text", quirk="Q10"),
    _value("-default_F", "structure factors", "F (electrons)", "0", "structure factor of every unlisted reflection", "crystal.default_F"),
    _value("-dump", "structure factors", "FILE", "Fdump.bin", "binary copy of the -hkl table, written with -hkl, read without", "files.dump", kind="text", quirk="Q10"),
    _value("-img", "detector", "FILE", "none", "take the geometry from the header of this SMV image (in spec: miniCBF and EDF too)", "files.image", kind="text", quirk="Q19"),
    _value("-mask", "detector", "FILE", "none", "skip the pixels that are zero in this SMV image (in spec: in any that fabio reads); its header counts as -img does", "files.mask", kind="text", quirk="Q19"),
    _value("-stolout", "structure factors", "FILE", "output.stol", "read and not used, as in the reference", "files.stol_out", kind="text", quirk="Q22"),
    _value("-stol", "structure factors", "FILE", "none", "structure factor of a molecule of -water against sin(theta)/lambda, in spec; in c read and not used", "files.stol", kind="text", length=5, also={"files.stol_unit": "stol"}, quirk="Q22"),
    _value("-4stol", "structure factors", "FILE", "none", "the same against 4 sin(theta)/lambda", "files.stol", kind="text", length=6, also={"files.stol_unit": "4stol"}, quirk="Q22"),
    _value("-Q", "structure factors", "FILE", "none", "the same against 4 pi sin(theta)/lambda", "files.stol", kind="text", length=2, also={"files.stol_unit": "Q"}, quirk="Q22"),
    _value("-sourcefile", "beam", "FILE", "none", "lines of X Y Z (m), intensity, wavelength (m); replaces divergence and dispersion", "files.sources", kind="text", quirk="Q7"),
    _value("-floatfile -floatimage", "output", "FILE", "floatimage.bin", "photons per pixel, 4-byte floats; in spec the suffix names the format", "outputs.float_file", kind="text"),
    _value("-intfile -intimage", "output", "FILE", "intimage.img", "noiseless SMV image, scaled; in spec the suffix names the format", "outputs.int_file", kind="text"),
    _value("-pgmfile -pgmimage", "output", "FILE", "image.pgm", "8-bit grey image", "outputs.pgm_file", kind="text", also={"outputs.write_pgm": True}),
    _value("-noisefile -noiseimage", "output", "FILE", "noiseimage.img", "SMV image in photons, with Poisson noise; in spec the suffix names the format", "outputs.noise_file", kind="text", also={"outputs.noise": True}),
    _flag("-nonoise", "output", "no noise image", {"outputs.noise": False}),
    _flag("-nopgm", "output", "no grey image", {"outputs.write_pgm": False}),
    _value("-scale", "output", "factor", "automatic", "scale of the noiseless image", "outputs.int_scale"),
    _value("-pgmscale", "output", "factor", "automatic", "scale of the grey image", "outputs.pgm_scale", also={"outputs.write_pgm": True}),
    _flag("-coherent", "beam", "read and not used, as in the reference", {}, quirk="Q22"),
    _flag("-printout", "output", "print every pixel, or that of -printout_pixel", {"outputs.printout": True}),
    _flag("-noprogress", "output", "no progress lines on standard output", {"outputs.progress": False}),
    Option(("-progress",), "output", "", "on", "progress lines on standard output", kind="flag", also={"outputs.progress": True}),
    _flag("-interpolate", "structure factors", "tricubic interpolation of structure factors; without it, on when Na, Nb or Nc is 2 or less", {"crystal.interpolate": True}, quirk="Q2"),
    _flag("-nointerpolate", "structure factors", "nearest reflection only", {"crystal.interpolate": False}),
    _flag("-round_xtal", "crystal", "ellipsoidal crystal", {"crystal.shape": "round"}),
    Option(("-square_xtal",), "crystal", "", "on", "parallelepiped crystal", kind="flag", also={"crystal.shape": "square"}),
    _flag("-gauss_xtal", "crystal", "Gaussian spots", {"crystal.shape": "gauss"}, quirk="Q9"),
    _flag("-tophat_spots -binary_spots", "crystal", "flat spots", {"crystal.shape": "tophat"}, quirk="Q9"),
    _value("-fudge", "crystal", "factor", "1", "multiplies the squared radius of round, gauss and tophat spots", "crystal.fudge"),
    _value("-printout_pixel", "output", "fast slow (pixels)", "all", "the pixel to print", "outputs.printout_fast outputs.printout_slow", kind="int"),
    _value("-seed", "output", "N", "clock; in spec fresh for each image", "seed of the noise", "outputs.noise_seed", kind="int"),
    _value("-mosaic_seed", "crystal", "N", "12345678", "seed of the mosaic domains", "crystal.mosaic_seed", kind="int"),
    _value("-misset_seed", "crystal", "N", "clock; in spec fresh for each image", "seed of -misset random", "crystal.misset_seed", kind="int", quirk="Q8"),
    Option(("-phi_carryover_mode",), "this program", "c-parity | spec", "as -compat", "the phi = 0 carryover alone, on or off", kind="carryover", exact=True, quirk="Q1"),
    _value("-water", "crystal", "thickness (um)", "0", "background of this much water", "crystal.water_um", quirk="Q6"),
))  # fmt: skip
