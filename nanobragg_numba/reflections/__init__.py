"""Structure factors from the files of crystallographers: MTZ, CIF and mmCIF reflections, and coordinates; all through gemmi.

``opening.py`` says which files are of these kinds, ``listed.py`` reads reflections, ``calculated.py`` makes them of coordinates, and
``expansion.py`` makes the table of P1 of either.
"""
