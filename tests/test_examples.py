"""The examples, at their quick settings: each ends as close to the truth as the noise allows."""

import importlib.util
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_refine_geometry(tmp_path, capsys):
    script = example("refine_geometry")
    by_adam, by_newton, deviation = script.main(["--quick", "--out", str(tmp_path)])
    assert script.misorientation_deg(script.START) > 0.1
    assert script.misorientation_deg(by_newton) < 0.003
    assert ((by_newton - script.TRUE) / deviation).abs().max() < 4.0  # of ten errors
    assert script.misorientation_deg(by_adam) < 0.04
    assert (tmp_path / "refine_geometry.png").stat().st_size > 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("orientation error: start 0.10")


def test_refine_structure_factors(tmp_path, capsys):
    start, end, pulls = example("refine_structure_factors").main(["--quick", "--out", str(tmp_path)])
    assert start > 0.5
    assert end < 0.02
    assert len(pulls) > 50
    assert 0.4 < pulls.abs().median() < 1.2
    assert (tmp_path / "refine_structure_factors.png").stat().st_size > 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("relative error of")
