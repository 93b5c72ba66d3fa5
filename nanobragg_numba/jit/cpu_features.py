"""The processor that code is compiled for, found out without loading the compiler."""

import os
from functools import cache

import llvmlite.binding as llvm

WIDE = frozenset("skylake-avx512 cascadelake cooperlake icelake-server sapphirerapids emeraldrapids graniterapids graniterapids-d".split())
"""Processors with two units for multiplications of 512 bits, whose programs LLVM gives vectors of 256 bits for the sake of short ones:
a step's 147 instructions take them 83 cycles at either width (docs/performance.md), and at 512 bits they are for twice as many pixels."""


def cpu_name() -> str:
    """The processor's name, as LLVM and numba call it; NUMBA_CPU_NAME names another."""
    return os.environ.get("NUMBA_CPU_NAME") or str(llvm.get_host_cpu_name())


def cpu_features() -> str:
    """Its instruction sets, a comma between them; NUMBA_CPU_FEATURES names others."""
    given = os.environ.get("NUMBA_CPU_FEATURES")
    if given is not None:
        return given
    if os.environ.get("NUMBA_CPU_NAME") == "generic":
        return ""
    return _host_features(os.environ.get("NUMBA_ENABLE_AVX") != "0")


def features_of_code() -> str:
    """What code is compiled with: the instruction sets, and the width of vectors."""
    features = cpu_features()
    if cpu_name() not in WIDE or "prefer-256-bit" in features:
        return features
    return ",".join(filter(None, (features, "-prefer-256-bit")))


@cache
def _host_features(vectors: bool) -> str:
    """The host's, which LLVM takes a part of a millisecond to find out; without ``vectors``, but for those that numba leaves out then."""
    try:
        features = llvm.get_host_cpu_features()
    except RuntimeError:
        return ""
    if not vectors:
        features.update({name: False for name in features if name.startswith("avx") or name == "fma"})
    return str(features.flatten())


def is_on(variable: str, default: bool) -> bool:
    """Whether an environment variable is set to something other than 0."""
    return os.environ.get(variable, str(int(default))) not in ("", "0")


def has_fused_multiply_add() -> bool:
    """Whether compiled code may use it; without, every ``fma`` is a slow library call."""
    features = cpu_features().split(",")
    return "+fma" in features or "+neon" in features


def has_known_libm() -> bool:
    """Whether sin and cos are glibc's, whose errors the bound builds on."""
    names = getattr(os, "confstr_names", {})
    return "CS_GNU_LIBC_VERSION" in names and (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")


def reason_for_exact_engine() -> str | None:
    """Why the vector loop cannot be taken here, and every step is computed as in C; None where it can."""
    if not has_fused_multiply_add():
        return f"code for the processor {cpu_name()} has no fused multiply-add"
    return None if has_known_libm() else "the C library is not glibc"
