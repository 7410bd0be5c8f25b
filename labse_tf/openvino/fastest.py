"""The fastest precision on this CPU, by its instructions."""

from __future__ import annotations

AUTO = "auto"
_BFLOAT16 = {"avx512_bf16", "amx_bf16"}
_INT8 = {"avx512_vnni", "avx_vnni", "amx_int8"}


def choose_precision(
    precision: str,
    backend: str,
    num_layers: int,
    is_prepared: bool,
    flags: frozenset[str] | None = None,
) -> str:
    """Return the precision to embed in: `precision`, unless that is "auto".

    "auto" is the fastest one, as measured with 12 layers of 768 (labse_tf/inference/README.md):
    prepared int8 is 1.7 to 1.9 times as fast as bfloat16; unprepared int8 is 1.3 times as fast as
    bfloat16 on a CPU without AMX, and 0.9 times as fast on one with AMX.

    Args:
        precision: Precision that was asked for.
        backend: "tensorflow" or "openvino".
        num_layers: Number of the encoder's layers. Without any, no precision is faster.
        is_prepared: Whether `labse quantize` prepared the model.
        flags: Instruction set flags of the CPU; None for those of this machine.
    """
    if precision != AUTO:
        return precision
    flags = _cpu_flags() if flags is None else flags
    if not num_layers:
        return "float32"
    if backend == "openvino" and flags & _INT8 and (is_prepared or "amx_bf16" not in flags):
        return "int8"
    return "bfloat16" if flags & _BFLOAT16 else "float32"


def _cpu_flags() -> frozenset[str]:
    """Return the flags that Linux lists; none on other systems."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                name, _, flags = line.partition(":")
                if name.strip() == "flags":
                    return frozenset(flags.split())
    except FileNotFoundError:  # not Linux
        pass
    return frozenset()
