"""Contact sheets: where thumbnails stand, what is kept of an iterator, and what is refused."""

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from nanobragg_numba import InputError
from nanobragg_numba.files.pictures.contact_sheet import contact_sheet
from nanobragg_numba.files.preview import brightest, grey, levels, pedestal, png


def opened(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def dot(slow, fast, shape=(64, 64)):
    image = np.ones(shape, np.float32)
    image[slow, fast] = 1000.0
    return image


def test_thumbnails_stand_row_by_row_and_keep_single_pixels():
    """Four images of 64x64 on two columns of 32: a gap of 4, and 12 for the caption below each."""
    places = [(0, 0), (10, 50), (40, 7), (63, 63)]
    sheet = opened(contact_sheet((dot(*place) for place in places), thumbnail=32, captions=[""] * 4))
    assert sheet.shape == (4 + 2 * (32 + 4 + 12), 4 + 2 * 36)
    expected = {(4 + at // 2 * 48 + slow // 2, 4 + at % 2 * 36 + fast // 2) for at, (slow, fast) in enumerate(places)}
    assert set(map(tuple, np.argwhere(sheet == 0).tolist())) == expected


def test_captions_missing_images_and_other_shapes():
    with_text = opened(contact_sheet([dot(5, 5), None], thumbnail=32, captions=["first", "gone"]))
    without = opened(contact_sheet([dot(5, 5), None], thumbnail=32, captions=["", ""]))
    differ = np.argwhere(with_text != without)
    assert len(differ) > 20 and differ[:, 0].min() >= 4 + 32
    assert (without[4:36, 40:72] == 208).all()
    wide = opened(contact_sheet([dot(0, 0, (10, 40))], thumbnail=40, captions=[""]))
    # In the middle of its square.
    assert np.argwhere(wide == 0).tolist() == [[4 + 15, 4]]
    assert opened(contact_sheet([dot(1, 1)] * 6, columns=3, thumbnail=16)).shape == (4 + 2 * 32, 4 + 3 * 20)


def test_a_pedestal_does_not_hide_spots():
    image = np.full((32, 32), 40, np.uint16)
    image[8, 9] = 44
    sheet = opened(contact_sheet([image], thumbnail=32, captions=[""]))
    assert sheet[4 + 8, 4 + 9] < 100 < sheet[4 + 20, 4 + 20]
    assert pedestal(image) == 40.0 and pedestal(image - 40) == 0.0 and pedestal(np.arange(100.0)) == 0.0


def test_of_an_iterator_one_image_is_held_and_no_more_are_asked_for():
    asked = []

    def images(count):
        for at in range(count):
            asked.append(at)
            yield dot(at % 512, 3, (512, 512))

    first = opened(contact_sheet(images(50), most=4, thumbnail=16))
    assert asked == [0, 1, 2, 3] and first.shape == (4 + 2 * 32, 4 + 2 * 20)
    asked.clear()
    contact_sheet(images(50), count=50, most=4, thumbnail=16)
    assert max(asked) == 49
    tracemalloc.start()
    contact_sheet(images(40), count=40, thumbnail=16)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Forty images are 42 MB; working on one takes some copies of its 1 MB in double precision.
    assert most < 16e6


@pytest.mark.parametrize(
    ("images", "options", "sentence"),
    [
        ([], {}, "there are no images"),
        ([np.zeros((2, 3, 4))], {}, "image 1 is no image of shape"),
        ([dot(1, 1), np.array([["a"]])], {}, "image 2 is no image of shape"),
        ([dot(1, 1)], {"thumbnail": 2}, "thumbnail must be 8 or more"),
        ([dot(1, 1)], {"columns": 0}, "columns 1 or more"),
    ],
)
def test_what_is_refused(images, options, sentence):
    with pytest.raises(InputError, match=sentence):
        contact_sheet(images, **options)


def test_brightest_of_blocks():
    image = np.arange(35.0).reshape(5, 7)
    image[0, 0], image[4, 6] = 99.0, np.nan
    assert np.array_equal(brightest(image, 3), [[99.0, 19.0, 20.0], [30.0, 33.0, 27.0]])
    assert brightest(image, 1) is image


def test_grey_is_the_picture_of_png():
    image = np.random.default_rng(3).gamma(0.5, 100.0, (20, 30))
    low, high = levels(image)
    assert np.array_equal(opened(png(image)), grey(image))
    # Half of the way in logarithms is half grey.
    assert grey(np.array([[low, np.sqrt(low * high), high]]), (low, high)).tolist() == [[255, 127, 0]]
    assert grey(np.array([[np.nan, 0.0, -1.0]])).tolist() == [[255, 255, 255]]
