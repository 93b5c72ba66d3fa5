"""Structure factors for nanoBragg from coordinates (PDB or mmCIF) or from a column of an MTZ file, by gemmi.

    python examples/hkl_from_model.py MODEL OUT.hkl [--dmin 2]
    python examples/hkl_from_model.py DATA.mtz OUT.hkl [--column FC]

Writes lines of h k l F of all P1, Friedel mates too, and prints the cell. F is in electrons per cell for coordinates, and
as it is in the file for an MTZ.
"""

import argparse

import gemmi
import numpy as np


def from_coordinates(path, d_min):
    """Indices (n, 3) of an asymmetric unit and amplitudes (n,) of the first model in the file, to ``d_min`` A; cell; space group."""
    structure = gemmi.read_structure(path)
    density = gemmi.DensityCalculatorX()
    density.d_min = d_min
    density.grid.setup_from(structure)
    density.set_refmac_compatible_blur(structure[0])
    density.put_model_density_on_grid(structure[0])
    transform = gemmi.transform_map_to_f_phi(density.grid)
    data = transform.prepare_asu_data(dmin=d_min, unblur=density.blur)
    # (0, 0, 0), the number of electrons, is not among them.
    hkl = np.vstack([(0, 0, 0), data.miller_array])
    amplitudes = np.abs(np.append(transform.get_value(0, 0, 0), data.value_array))
    return hkl, amplitudes, structure.cell, structure.find_spacegroup()


def from_mtz(path, label):
    """The same from the amplitudes in column ``label``; what is missing there is left out."""
    data = gemmi.read_mtz_file(path)
    amplitudes = data.column_with_label(label).array
    known = np.isfinite(amplitudes)
    return data.make_miller_array()[known], amplitudes[known], data.cell, data.spacegroup


def expanded(hkl, amplitudes, group):
    """All reflections that symmetry and Friedel's law make of these, each once."""
    operations = group.operations().sym_ops
    turned = [hkl @ np.array(operation.rot) // operation.DEN for operation in operations]
    everything = np.vstack([*turned, *(-indices for indices in turned)])
    unique, first = np.unique(everything, axis=0, return_index=True)
    return unique, np.tile(amplitudes, 2 * len(turned))[first]


def main(arguments=None):
    """Write the list; returns the cell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="coordinates, or an MTZ file")
    parser.add_argument("out", help="the list to write")
    parser.add_argument("--dmin", type=float, default=2.0, help="resolution (A), of coordinates (default: 2)")
    parser.add_argument("--column", default="FC", help="amplitudes in an MTZ file (default: FC)")
    options = parser.parse_args(arguments)
    if options.source.endswith(".mtz"):
        hkl, amplitudes, cell, group = from_mtz(options.source, options.column)
    else:
        hkl, amplitudes, cell, group = from_coordinates(options.source, options.dmin)
    hkl, amplitudes = expanded(hkl, amplitudes, group)
    np.savetxt(options.out, np.column_stack([hkl, amplitudes]), fmt="%d %d %d %.4f")
    print(f"{len(hkl)} reflections; -cell " + " ".join(f"{number:g}" for number in cell.parameters))
    return cell


if __name__ == "__main__":
    main()
