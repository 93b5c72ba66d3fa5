"""Run by test_cuda_batch.py in a process with NUMBA_ENABLE_CUDASIM=1: batches on a simulated GPU against images one by one on the CPU.

Prints one JSON object.
"""

import json
import shutil
import sys
import warnings
from contextlib import ExitStack
from dataclasses import replace
from unittest.mock import patch

import numpy as np
from running import GOLDEN

from nanobragg_numba import InputError, parameters_from_command_line, simulate, simulate_batch
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.gpu import batch_plan, batch_stream, compilation, device, device_batch
from nanobragg_numba.gpu.batch_plan import Job, grouped
from nanobragg_numba.gpu.image_numbers import COUNT, numbers_of, pixels_in, tables_for, tile_starts, traits_of

BASE = "-cell 70 80 90 75 85 95 -misset 10 20 30 -default_F 100 -N 7 -lambda 1 -distance 100 -pixel 0.5 -detpixels 9 -oversample 1"
ERL = "-mat erl.mat -hkl erl.hkl -lambda 0.9768 -N 9 -distance 75 -pixel 1 -detpixels 9 -oversample 1"
SWEEP = f"{BASE} -phi 0 -osc 1 -phisteps 2 -mosaic 0.5 -mosaic_dom 2 -polar 0.9"
VARIED = (
    "", "-misset 40 50 60", "-cell 60 70 80 90 90 90", "-distance 120 -detector_rotx 3", "-lambda 1.1 -polar 0.5", "-fluence 1e26",
    "-water 20", "-N 12", "-default_F 33", "-Xbeam 2 -Ybeam 3", "-dmin 1.5", "-detector_thick 450 -detector_abs 200 -thicksteps 1",
)  # fmt: skip
BATCHES = {
    "varied": [f"{BASE} {extra}" for extra in VARIED],
    "varied sweep": [f"{SWEEP} {extra}" for extra in VARIED[:8]],
    "listed": [f"{ERL} {extra}" for extra in ("", "-misset 1 2 3", "-distance 80", "-N 11")],
    "sources": [f"{BASE} -dispersion 1 -dispsteps 2 -hdivrange 0.3 -hdivsteps 2 {extra}" for extra in ("", "-lambda 1.2 -oversample 2")],
    "shapes": [f"{BASE} {extra}" for extra in ("-gauss_xtal", "-gauss_xtal -N 5", "-tophat_spots", "-round_xtal", "")],
    "masked": [f"{SWEEP} MASKED", f"{SWEEP} -roi 2 6 3 7", f"{SWEEP} -misset 40 50 60 MASKED"],
}
SPOTS = f"{BASE} -detpixels 40 -mosaic 0.2 -mosaic_dom 4"
REGIONS = [[(0, 3, 1, 4), (4, 9, 5, 7)], [], [(2, 20, 8, 30)], [(0, 9, 0, 9)], [(3, 5, 3, 5), (4, 6, 4, 6)], [(8, 9, 0, 9)]]


def parameters_of(lines, compat):
    """The parameters of each line; MASKED at its end leaves out every third pixel, but for the first row all of it."""
    found = []
    for line in lines:
        one = parameters_from_command_line(line.removesuffix(" MASKED"), compat)
        if line.endswith(" MASKED"):
            mask = np.arange(81).reshape(9, 9) % 3 > 0
            mask[0] = False
            one = replace(one, detector=replace(one.detector, mask=mask.astype(np.uint8)))
        found.append(one)
    return found


def bits(images) -> list[bytes]:
    return [np.ascontiguousarray(image).tobytes() for image in images]


def singles(parameters, compat, **options) -> list[np.ndarray]:
    return [simulate(one, compat=compat, **options).image for one in parameters]


def batch_against_singles() -> list[dict]:
    results = []
    for name, lines in BATCHES.items():
        for compat in ("c", "spec"):
            parameters = parameters_of(lines, compat)
            want = singles(parameters, compat)
            results.append(
                {
                    "name": f"{name}, {compat}",
                    "cpu": bits(simulate_batch(parameters, compat=compat)) == bits(want),
                    "gpu": bits(simulate_batch(parameters, compat=compat, device="cuda")) == bits(want),
                    "bright": sum(bool(image.any()) for image in want),
                    "different": len(set(bits(want))),
                    "images": len(lines),
                    "launches": len(
                        grouped([Job(derive_experiment(one, compat).tables, np.zeros((1, 4)), None, -1) for one in parameters])
                    ),
                }
            )
    return results


def regions() -> list[dict]:
    results = []
    for compat in ("c", "spec"):
        lines = [f"{SWEEP} {extra}" for extra in VARIED[:6]]
        parameters = parameters_of(lines, compat)
        on_gpu = list(simulate_batch(parameters, compat=compat, regions=REGIONS, device="cuda"))
        on_cpu = list(simulate_batch(parameters, compat=compat, regions=REGIONS))
        masked, same_inside = [], True
        for one, boxes, image in zip(parameters, REGIONS, on_gpu, strict=True):
            mask = np.zeros((9, 9), np.uint8)
            for fast, fast_end, slow, slow_end in boxes:
                mask[slow:slow_end, fast:fast_end] = 1
            masked.append(simulate(replace(one, detector=replace(one.detector, mask=mask)), compat=compat).image)
            whole = simulate(one, compat=compat).image
            same_inside = same_inside and not image[mask == 0].any() and np.array_equal(image[mask == 1], whole[mask == 1])
        results.append(
            {"name": compat, "gpu": bits(on_gpu) == bits(masked), "cpu": bits(on_cpu) == bits(masked), "inside": bool(same_inside)}
        )
    return results


def split_by_memory() -> dict:
    parameters = parameters_of([f"{SWEEP} -misset {angle} 0 0" for angle in range(8)], "spec")
    want = bits(singles(parameters, "spec"))
    tables = derive_experiment(parameters[0]).tables
    fixed = device_batch.bytes_of_images(tables, 0, 0, "guarded")
    each = device_batch.bytes_of_images(tables, 1, 1, "guarded") - fixed + 9 * 9 * 4
    result = {}
    for name, free in {"three images a slot": 2 * (fixed + 3 * each), "one image": fixed + each}.items():
        sizes = []
        start = batch_stream.Slot.start

        def counted(slot, part, start=start, sizes=sizes):
            sizes.append(part.end - part.start)
            start(slot, part)

        with (
            patch.object(batch_plan, "free_bytes", lambda index, free=free: int((free + 64) / batch_plan.USABLE) + 1),
            patch.object(batch_plan, "PARTS_A_DEVICE", 1),
            patch.object(batch_stream.Slot, "start", counted),
            warnings.catch_warnings(record=True) as seen,
        ):
            warnings.simplefilter("always")
            same = bits(simulate_batch(parameters, device="cuda")) == want
        result[name] = {"same": same, "sizes": sizes, "said": [str(w.message) for w in seen if "parts" in str(w.message)]}
    with patch.object(batch_plan, "free_bytes", lambda index: fixed + each // 2):
        try:
            simulate_batch(parameters, device="cuda")
        except InputError as error:
            result["refused"] = str(error)
    return result


class Cards:
    """Several simulated devices, and which of them were used."""

    def __init__(self, count: int):
        self.count, self.used = count, set()

    def require(self, index: int):
        if index >= self.count:
            raise InputError(f"no device {index}")
        self.used.add(index)
        return device.cuda.gpus[0]

    def patched(self) -> ExitStack:
        stack = ExitStack()
        for module in (batch_stream, batch_plan, device_batch):
            stack.enter_context(patch.object(module, "require_device", self.require))
        return stack


def several_devices() -> dict:
    parameters = parameters_of([f"{SWEEP} -misset {angle} 0 0" for angle in range(11)], "c")
    want = bits(singles(parameters, "c"))
    cards = Cards(3)
    progress = []
    with cards.patched():
        names = ["cuda:0", "cuda:1", "cuda:2"]
        images = simulate_batch(parameters, compat="c", device=names, progress=lambda done, total: progress.append((done, total)))
        same = bits(images) == want
        # Given up half-way: the threads end.
        images = simulate_batch(parameters, compat="c", device=names)
        next(images)
        images.close()
        failures = []
        with patch.object(batch_stream.Slot, "finish", lambda *given: 1 / 0):
            try:
                list(simulate_batch(parameters, compat="c", device=names))
            except ZeroDivisionError as error:
                failures.append(str(error))
    return {"same": same, "used": sorted(cards.used), "progress": progress == [(i + 1, 11) for i in range(11)], "failures": failures}


def two_slots() -> dict:
    """The order in which parts start and end, and whether views are views."""
    parameters = parameters_of([f"{BASE} -misset {angle} 0 0" for angle in range(6)], "spec")
    want = bits(singles(parameters, "spec"))
    events, streams = [], []
    start, finish = batch_stream.Slot.start, batch_stream.Slot.finish

    def started(slot, part):
        events.append(f"start {part.start}")
        # Kept, so that no other gets its identity.
        streams.append(slot.stream)
        start(slot, part)

    def finished(slot, *given):
        events.append(f"end {slot.part.start}")
        return finish(slot, *given)

    with patch.object(batch_stream.Slot, "start", started), patch.object(batch_stream.Slot, "finish", finished):
        copies = bits(simulate_batch(parameters, device="cuda"))
        order = events.copy()
        images = simulate_batch(parameters, device="cuda", copy=False)
        views = [(image.tobytes(), image) for image in images]
    return {
        "order": order, "same": copies == want and [content for content, _ in views] == want, "streams": len(set(map(id, streams[:3]))),
        "overwritten": any(content != image.tobytes() for content, image in views),
    }  # fmt: skip


def overflow() -> dict:
    """More doubtful pixels than the list holds: the images are searched for nan."""
    parameters = parameters_of([f"{SWEEP} -misset {angle} 0 0" for angle in range(3)], "spec")
    want = bits(singles(parameters, "spec"))
    results, bound = {}, 2.0**-20
    for name, size in {"listed": 1000, "overflowing": 5}.items():
        counts = []
        listed = device_batch.DeviceBatch.listed

        def seen(batch, listed=listed, counts=counts):
            found = listed(batch)
            counts.append((int(batch._counted[0]), None if found is None else len(found)))
            return found

        with (
            patch.object(device_batch, "gpu_error_bound", lambda tables: bound),
            patch.object(
                device_batch.DeviceBatch.__init__, "__kwdefaults__", {**device_batch.DeviceBatch.__init__.__kwdefaults__, "doubtful": size}
            ),
            patch.object(device_batch.DeviceBatch, "listed", seen),
        ):
            results[name] = {"same": bits(simulate_batch(parameters, device="cuda")) == want, "counts": counts}
            single = simulate(parameters[0], device="cuda").image
            results[name]["single"] = single.tobytes() == want[0]
    return results


def layout() -> dict:
    """What goes into the numbers comes out of them, in the kernel's function; tiles; blocks of several threads."""
    x = derive_experiment(
        parameters_from_command_line(
            f"{BASE} -gauss_xtal -N_cross 1,-2,3 -fudge 1.5 -polar 0.3 -dmin 1 -water 5 -detector_thick 9 -detector_abs 7"
        )
    )
    tables = x.tables
    numbers = np.full(COUNT, np.nan)
    numbers_of(tables, 0.125, numbers)
    common = device_batch.common_of(tables)
    again = tables_for(traits_of(tables))(
        numbers,
        tables.beam.axes[:1],
        common,
        tables.crystal.orientations,
        tables.beam.incident,
        tables.beam.wavelengths,
        tables.beam.weights,
    )
    wrong = []
    # running_products says how the oversampling switches count, and none is on.
    assert not (tables.rules.each_thick or tables.rules.each_polar or tables.rules.each_omega)
    for part, one in zip(tables, again, strict=True):
        for field in part._fields:
            # Nothing reads the sources' numbers of tables, since there is one.
            if field not in ("axes_repeat_from", "running_products", "channels") and not np.array_equal(
                getattr(part, field), getattr(one, field)
            ):
                wrong.append(field)
    boxes = np.array([(0, 0, 5, 0, 2), (0, 1, 1, 0, 9), (1, 0, 4, 0, 4)])
    threads = {}
    parameters = parameters_of(BATCHES["varied"][:3], "spec")
    want = bits(singles(parameters, "spec"))
    for shape in ((1, 1), (3, 5)):
        with patch.object(compilation, "SIMULATED_SHAPE", shape):
            threads[str(shape)] = bits(simulate_batch(parameters, device="cuda")) == want
    return {
        "wrong": wrong, "nan": bool(np.isnan(numbers).any()), "last": float(numbers[-1]), "tiles": tile_starts(boxes, 4).tolist(),
        "pixels": pixels_in(boxes), "threads": threads,
    }  # fmt: skip


def lower_level() -> dict:
    """``render`` into a caller's array, on his stream: regions, other pixels left alone, doubtful pixels nan."""
    parameters = parameters_of(BATCHES["varied"][:3], "spec")
    want = [simulate(one, dtype=np.float64, precision="exact").image for one in parameters]
    tables = [derive_experiment(one).tables for one in parameters]
    out = np.full((3, 9, 9), -1.0)
    boxes = np.array([(0, 0, 9, 0, 9), (2, 1, 4, 2, 5)])
    batch = device_batch.render(0, tables, out, boxes=boxes, precision="double", stream=device.cuda.stream())
    inside = np.zeros(out.shape, bool)
    inside[0], inside[2, 2:5, 1:4] = True, True
    doubtful = batch.doubtful()
    error = np.max(np.abs(out - np.array(want))[inside] / np.array(want)[inside])
    said = []
    for action in (
        lambda: batch.load([*tables, tables[0]]),
        lambda: batch.load([derive_experiment(parameters_of([f"{BASE} -phisteps 2 -osc 1"], "spec")[0]).tables]),
        lambda: batch.render(out, np.zeros((9, 5), np.int64)),
    ):
        try:
            action()
        except ValueError as refusal:
            said.append(str(refusal))
    return {"left": bool((out[~inside] == -1.0).all()), "error": float(error), "doubtful": doubtful.tolist(), "said": said}


def precisions() -> list[dict]:
    """Errors of mixed and single precision, relative to the exact image, of pixels above a thousandth of the brightest."""
    results = []
    # A Gaussian of many cells is zero between the spots.
    for cells, extra in ((7, ""), (100, ""), (1000, ""), (7, "-gauss_xtal")):
        one = parameters_from_command_line(f"{SPOTS} -N {cells} {extra}")
        slow, fast = (int(at) for at in np.unravel_index(np.argmax(simulate(one).image), (40, 40)))
        crop = max(fast - 4, 0), min(fast + 4, 39), max(slow - 4, 0), min(slow + 4, 39)
        one = replace(one, detector=replace(one.detector, roi=crop))
        exact = simulate(one, dtype=np.float64, precision="exact").image
        bright = exact > 1e-3 * exact.max()
        row = {"name": f"{cells} cells {extra}", "bright": int(bright.sum())}
        for precision in ("mixed", "single"):
            for where in ("cpu", "cuda"):
                image = simulate(one, precision=precision, device=where).image
                row[f"{precision} {where}"] = float(np.max(np.abs(image - exact)[bright] / exact[bright]))
                row[f"{precision} {where}, of the sum"] = float(abs(image.sum() / exact.sum() - 1.0))
            batch = next(iter(simulate_batch([one], precision=precision, device="cuda")))
            row[f"{precision} batch"] = batch.tobytes() == image.tobytes()
        results.append(row)
    return results


def table_of_singles() -> dict:
    parameters = parameters_of(BATCHES["listed"], "spec")
    want = singles(parameters, "spec")
    factors = parameters[0].crystal.structure_factors
    rounded = replace(factors, table=factors.table.astype(np.float32).astype(np.float64))
    exact = [replace(one, crystal=replace(one.crystal, structure_factors=rounded)) for one in parameters]
    same = bits(simulate_batch(exact, device="cuda", factors=np.float32)) == bits(singles(exact, "spec"))
    unlike = rounded if np.array_equal(rounded.table, factors.table) else factors
    inexact = replace(unlike, table=unlike.table * (1.0 + 1e-12))
    others = [replace(one, crystal=replace(one.crystal, structure_factors=inexact)) for one in parameters]
    try:
        list(simulate_batch(others, device="cuda", factors=np.float32))
        said = ""
    except InputError as error:
        said = str(error)
    doubled = list(simulate_batch(others, device="cuda", factors=np.float32, precision="double"))
    error = max(float(np.max(np.abs(a - b) / b.max())) for a, b in zip(doubled, want, strict=True))
    return {"same": same, "said": said, "error": error}


def refusals() -> dict[str, str]:
    one = parameters_from_command_line(BASE)
    other = parameters_from_command_line(f"{BASE} -detpixels 10")
    said = {}
    for name, (parameters, options) in {
        "shape": ([one, other], {}),
        "number of regions": ([one], {"regions": []}),
        "box": ([one], {"regions": [[(1, 2, 3)]]}),
        "order": ([one], {"regions": [[(3, 2, 1, 4)]]}),
        "fraction": ([one], {"regions": [[(0.5, 2, 1, 4)]]}),
        "mixed devices": ([one], {"device": ["cpu", "cuda"]}),
        "twice": ([one], {"device": ["cuda:0", "cuda"]}),
        "no device": ([one], {"device": "cuda:7"}),
        "image": ([one, replace(one, beam=replace(one.beam, wavelength_A=-1.0))], {}),
    }.items():
        try:
            simulate_batch(parameters, **options)
        except InputError as error:
            said[name] = str(error)
    return said


def main() -> None:
    # The simulator's threads wait for each other in a loop that keeps the interpreter to itself.
    sys.setswitchinterval(1e-4)
    for path in (GOLDEN / "inputs").iterdir():
        shutil.copy(path, ".")
    groups = (
        batch_against_singles, regions, split_by_memory, several_devices, two_slots, overflow, layout, lower_level, precisions,
        table_of_singles, refusals,
    )  # fmt: skip
    wanted = sys.argv[1:]
    json.dump({group.__name__: group() for group in groups if not wanted or group.__name__ in wanted}, sys.stdout)


main()
