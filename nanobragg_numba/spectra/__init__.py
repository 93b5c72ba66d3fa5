"""Spectra of the beam, as files hold them: two columns of text, or a beam of an HDF5 file in NeXus's words."""
