"""The processor that code is compiled for, found out without loading the compiler."""

import os
from functools import cache

import llvmlite.binding as llvm


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
