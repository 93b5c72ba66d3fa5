"""Every option of nonBragg: one row each, or the name of nanoBragg's, in the order in which the reference tests them; see option_table.py.

Fields are those of nanoBragg's parameters (experiment/parameters.py), of the sample, and of what is written.
"""

from collections.abc import Iterator

from .option_table import BEAM_PIVOT, OPTIONS, SAMPLE_PIVOT, Option, OptionTable, _flag, _value, _vector

OF_NANOBRAGG = {option.words[0]: option for option in OPTIONS}


def of_nanobragg(words: str) -> Iterator[Option]:
    """The rows that both programs have."""
    return map(OF_NANOBRAGG.__getitem__, words.split())


SAMPLE_SIZE = "sample.size_mm.0 sample.size_mm.1 sample.size_mm.2"

NONBRAGG_OPTIONS = OptionTable((
    _value("-samplesize -sample_size", "sample", "size (mm)", "0.1", "full width of the sample, all axes", SAMPLE_SIZE, same=True),
    _value("-sample_thick -sample_x -thick", "sample", "thickness (mm)", "0.1", "thickness of the sample, along the beam", "sample.size_mm.0"),
    _value("-sample_width -sample_y -width", "sample", "width (mm)", "0.1", "width across the beam; clipped by -beamsize", "sample.size_mm.1"),
    _value("-sample_heigh -sample_z -heigh", "sample", "height (mm)", "0.1", "the other width across the beam; clipped by -beamsize", "sample.size_mm.2"),
    _value("-density -sample_den", "sample", "density (g/cm^3)", "1", "density of the sample", "sample.density_g_cm3"),
    _value("-molecules -sample_molecules", "sample", "N", "from the density", "molecules in the beam; overrules the density", "sample.molecules"),
    _value("-MW", "sample", "weight (g/mol)", "18", "molecular weight", "sample.molecular_weight", exact=True),
    _value("-molecular", "sample", "weight (g/mol)", "18", "molecular weight", "sample.molecular_weight"),
    _value("-Xbeam", "geometry", "X (mm)", "centre", "direct beam, fast coordinate", "detector.beam_center_mm.0", also=BEAM_PIVOT),
    _value("-Ybeam", "geometry", "Y (mm)", "centre", "direct beam, slow coordinate", "detector.beam_center_mm.1", also={**BEAM_PIVOT, "detector.beam_center_y_m": None}),
    *of_nanobragg("-Xclose -Yclose"),
    _value("-ORGX", "geometry", "X (pixels)", "centre", "the same in pixels from the first pixel's corner", "detector.org_pixels.0", also=SAMPLE_PIVOT),
    _value("-ORGY", "geometry", "Y (pixels)", "centre", "the same in pixels from the first pixel's corner", "detector.org_pixels.1", also=SAMPLE_PIVOT),
    Option(("-pivot",), "geometry", "beam | sample", "beam", "what stays in place when the detector turns", kind="pivot"),
    _value("-fdet_vector", "geometry", "x y z", "0 0 1", "direction of the fast axis", _vector("detector.fast_axis")),
    _value("-sdet_vector", "geometry", "x y z", "0 -1 0", "direction of the slow axis", _vector("detector.slow_axis")),
    _value("-odet_vector", "geometry", "x y z", "1 0 0", "read, and overruled by fast x slow, as in the reference", _vector("unused.normal")),
    _value("-beam_vector", "geometry", "x y z", "1 0 0", "direction of the beam", _vector("beam.direction")),
    _value("-polar_vector", "geometry", "x y z", "0 0 1", "direction of the beam's E vector", _vector("beam.polarization_axis")),
    _value("-spindle_axis", "geometry", "x y z", "0 0 1", "read and not used, as in the reference", _vector("unused.spindle")),
    _value("-twotheta_axis", "geometry", "x y z", "0 1 0", "axis of the two-theta swing; its first number is read as -twotheta too, as in the reference", _vector("detector.twotheta_axis")),
    _value("-pix0_vector", "geometry", "x y z", "", "read, and overruled by the beam centre, as in the reference", _vector("unused.pix0")),
    *of_nanobragg("-distance -close_distance"),
    _value("-source_distance", "beam", "distance (mm)", "10000", "of sources that -sourcefile gives no place, and of those made", "sample.source_distance_mm"),
    _value("-twotheta", "geometry", "angle (degrees)", "0", "swing of the detector", "detector.twotheta_deg", also=SAMPLE_PIVOT),
    *of_nanobragg("-detector_rotx -detector_roty -detector_rotz -detsize"),
    _value("-detsize_x", "detector", "size (mm)", "102.4", "size along the fast axis", "detector.size_mm.0"),
    _value("-detsize_y", "detector", "size (mm)", "102.4", "size along the slow axis", "detector.size_mm.1"),
    *of_nanobragg("-detpixels"),
    _value("-detpixels_f -detpixels_x", "detector", "N", "from -detsize_x", "pixels along the fast axis", "detector.pixels.0", kind="int"),
    _value("-detpixels_s -detpixels_y", "detector", "N", "from -detsize_y", "pixels along the slow axis", "detector.pixels.1", kind="int"),
    Option(("-curved_det",), "detector", "", "off", "all pixels at the same distance (as the last word of a line it is ignored, as in the reference)", kind="flag_not_last", also={"detector.curved": True}),
    *of_nanobragg("-pixel -point_pixel"),
    _flag("-Fmap", "output", "the float image is the structure factor at each pixel", {"sample.plots_F": True}),
    _value("-polar", "beam", "fraction", "0", "Kahn polarization factor", "beam.polarization", length=6, also={"beam.polarized": True}),
    *of_nanobragg("-nopolar"),
    _value("-oversample", "sampling", "N", "1", "sub-pixels along each axis of a pixel", "sampling.oversample", kind="int"),
    *of_nanobragg("-roi -lambda -energy -fluence -flux -exposure"),
    _value("-beamsize", "beam", "size (mm)", "0.1", "width of the beam; clips the sample across it", "beam.beamsize_mm"),
    *of_nanobragg("-dispersion -dispsteps -divergence -hdivrange -vdivrange -hdivstep -hdivsteps -vdivstep -vdivsteps -divsteps"),
    *of_nanobragg("-round_div -square_div -adc"),
    _value("-gain", "input", "counts/photon", "1", "gain of the image of -img", "sample.gain"),
    _value("-phi", "header", "angle (degrees)", "0", "spindle angle, for the header", "sampling.phi_deg", length=4),
    _value("-osc", "header", "angle (degrees)", "0", "rotation range, for the header", "sampling.osc_deg"),
    _value("-phistep", "header", "angle (degrees)", "from -phisteps", "rotation step, for the range", "sampling.phistep_deg", length=8),
    _value("-phisteps", "header", "N", "1, or 2 with a range", "rotation steps, for the range", "sampling.phisteps", kind="int"),
    _value("-img", "input", "FILE", "none", "an SMV image: its header gives the geometry, its pixels the structure factors of -stolout", "files.image", kind="text"),
    Option(("-ignore",), "input", "value", "none", "pixels of this value in the image of -img do not count; may be given again", kind="ignore"),
    _value("-stolout", "output", "FILE", "output.stol", "structure factors found from the image of -img", "files.stol_out", kind="text"),
    _value("-stol", "sample", "FILE", "none", "structure factor of a molecule (electrons) against sin(theta)/lambda (1/A)", "files.stol", kind="text", length=5, also={"sample.stol_unit": "stol"}),
    _value("-4stol", "sample", "FILE", "none", "the same against 4 sin(theta)/lambda", "files.stol", kind="text", length=6, also={"sample.stol_unit": "4stol"}),
    _value("-Q", "sample", "FILE", "none", "the same against 4 pi sin(theta)/lambda", "files.stol", kind="text", length=2, also={"sample.stol_unit": "Q"}),
    _value("-sourcefile", "beam", "FILE", "none", "lines of X Y Z (m), weight, wavelength (m); replaces divergence and dispersion", "files.sources", kind="text"),
    *of_nanobragg("-floatfile -intfile"),
    _value("-pgmfile -pgmimage", "output", "FILE", "image.pgm", "8-bit grey image", "outputs.pgm_file", kind="text"),
    *of_nanobragg("-noisefile -nonoise"),
    _flag("-nopgm", "output", "read and not used, as in the reference", {}),
    _flag("-noreject", "output", "read and not used, as in the reference", {}),
    *of_nanobragg("-scale"),
    _value("-pgmscale", "output", "factor", "automatic", "scale of the grey image", "outputs.pgm_scale"),
    _flag("-coherent", "beam", "read and not used, as in the reference", {}),
    *of_nanobragg("-printout -noprogress -progress -printout_pixel"),
    _value("-seed", "output", "N", "clock", "seed of the noise", "outputs.noise_seed", kind="int"),
))  # fmt: skip
