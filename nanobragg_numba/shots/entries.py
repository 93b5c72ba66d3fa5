"""Entry points of many shots; see jit/entries.py."""

from nanobragg_numba.jit.entries import Entry, Library

ROOMS = ("kernels", "simd", "derivatives", "shots")
REPLAY = Library("replay", "many shots", ("shots",), 3.0)
SHOT_VALUES = Library("shot_values", "many shots", ROOMS, 18.0)
SHOT_GRADIENTS = Library("shot_gradients", "gradients of many shots", ROOMS, 11.0)
SHOT_TANGENTS = Library("shot_tangents", "forward derivatives of many shots", ROOMS, 10.0)

replay = Entry(REPLAY, "shots.replay", "replay")
replay_adjoint = Entry(REPLAY, "shots.replay", "replay_adjoint")
replay_tangent = Entry(REPLAY, "shots.replay", "replay_tangent")

shot_values = Entry(SHOT_VALUES, "shots.values", "shot_values")
exact_values = Entry(SHOT_VALUES, "shots.values", "exact_values")

shot_gradients = Entry(SHOT_GRADIENTS, "shots.gradients", "shot_gradients")

shot_tangents = Entry(SHOT_TANGENTS, "shots.tangents", "shot_tangents")
