"""The bar appears late, and on a terminal only."""

import io
import sys

from nanobragg_numba.cli import progress_bar
from nanobragg_numba.cli.progress_bar import ProgressBar


class Terminal(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


def shown(monkeypatch, terminal, delay):
    monkeypatch.setattr(sys, "stderr", Terminal(terminal))
    monkeypatch.setattr(progress_bar, "DELAY", delay)
    with ProgressBar(10) as bar:
        bar.add(3)
        bar.add(4)
    return sys.stderr.getvalue()


def test_a_bar_is_shown_late_and_to_people_only(monkeypatch):
    assert "/10" in shown(monkeypatch, True, 0.0)
    assert shown(monkeypatch, False, 0.0) == ""
    assert shown(monkeypatch, True, 60.0) == ""
