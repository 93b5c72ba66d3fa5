"""NXmx files: a master file, and files of frames.

============================================  ==========================================================================================
``encode(image) -> bytes``                    one image (slow, fast) as an HDF5 chunk, bitshuffle-lz4; called where the image is made
``decode(chunk, shape, dtype)``               back again
``write_frames(path, shape, dtype, frames)``  a file of consecutive frames: chunks, or None for an image that failed
``setup_of(experiment) -> Setup``             what all frames of a master share; ``==`` where they may stand in one file
``frame_of(experiment, command) -> Frame``    what one image was made from; ``Frame(command, failed)`` of one that was not made
``read_frame(path, number)``                  a frame, counted from 1, of a master or a file of frames, ours or another's; ``read_frames``
``count_frames(path)``                        how many there should be
``image_bytes(image, experiment)``            a file of one image, frame and all
``pixel_mask(experiment)``                    of ``-roi`` and ``-mask``, for the master
``write_master(path, setup, frames, files, dtype)``  the master; ``files`` is a list of ``DataFile(name, frames)``
============================================  ==========================================================================================

h5py and hdf5plugin (the extra ``nexus``) are imported when a file is written or read, not with this package.
"""

from .contents import DataFile as DataFile
from .contents import Frame as Frame
from .contents import Module as Module
from .contents import Setup as Setup
from .contents import frame_of as frame_of
from .contents import pixel_mask as pixel_mask
from .contents import setup_of as setup_of
from .frames import decode as decode
from .frames import encode as encode
from .frames import write_frames as write_frames
from .master import image_bytes as image_bytes
from .master import write_master as write_master
from .reader import count_frames as count_frames
from .reader import read_frame as read_frame
from .reader import read_frames as read_frames
