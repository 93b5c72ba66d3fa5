"""Which pixels of a row are computed together: stretches of those that a mask or regions ask for, so that shoeboxes cost what they hold."""

from nanobragg_numba.jit.decorators import inlined

GAP = 8
"""So many neighbours that nobody asks for end a stretch; fewer cost no more than a stretch of their own would."""


@inlined
def live_run(mask, slow, start, end):
    """The next stretch of row ``slow`` of ``mask`` between ``start`` and ``end``: its first pixel, and how many.

    It begins and ends with a pixel that is to be computed; without one there are none, from ``end`` on.
    """
    live = 0
    for i in range(start, end):
        live += mask[slow, i]
    if live == end - start:
        return start, live
    first = start
    while first < end and not mask[slow, first]:
        first += 1
    n = 0
    for i in range(end - first):
        if mask[slow, first + i]:
            n = i + 1
        elif i - n >= GAP:
            break
    return first, n
