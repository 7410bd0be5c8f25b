"""A map from code points to numbers as TensorFlow Text reads it: the double array of Darts-clone.

https://github.com/s-yata/darts-clone. A unit of the array is a uint32. Bits 10 to 31 of a node hold
the offset from its own index to the base of its children (by XOR), bit 8 whether a value is at that
base, and bits 0 to 7 the byte that leads to the node. The child of a byte is at the base XOR the
byte; it is one if the unit there has this byte. A value has bit 31 set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

_HAS_VALUE, _IS_VALUE = 1 << 8, 1 << 31
_OFFSET_BIT = 10
_MOST_UNITS = 1 << (31 - _OFFSET_BIT)  # an offset has 22 bits, and bit 31 must stay clear
# Where the children of a node are: of the root any byte, else continuation bytes, 0x80 to 0xBF.
_ROOT, _BLOCK, _CONTINUATION = 256, 64, 0x80


def double_array(values: Mapping[int, int]) -> np.ndarray:
    """The double array of a map whose keys are the UTF-8 of code points.

    Equal parts of the tree are there once: 137,468 private use characters of one value are a few
    hundred units.

    Args:
        values: code point, not 0 and no surrogate -> number of 31 bits.

    Returns:
        uint32 [units]; no lookup reaches behind its end.

    Raises:
        ValueError: a key or a value is out of range, or there are too many units.
    """
    for code_point, value in values.items():
        if not 0 < code_point < 0x110000 or 0xD800 <= code_point < 0xE000:
            raise ValueError(f"{code_point:#x} is no code point that a key can be.")
        if not 0 <= value < _IS_VALUE:
            raise ValueError(f"The value {value} of {code_point:#x} is not of 31 bits.")
    tree: dict = {}
    for code_point, value in values.items():
        *path, last = chr(code_point).encode()
        node = tree
        for byte in path:
            node = node.setdefault(byte, {})
        node[last] = value
    return _Units().of(tree)


class _Units:
    """The units, by index, and where equal parts of the tree are."""

    def __init__(self):
        self._units: dict[int, int] = {}
        self._places: dict[object, int] = {}
        self._end = _ROOT + 256

    def of(self, tree: dict) -> np.ndarray:
        self._units[0] = _ROOT << _OFFSET_BIT
        self._fill(_ROOT, tree)
        size = -(-self._end // 256) * 256  # a base XOR any byte
        if size > _MOST_UNITS:
            raise ValueError(f"The map needs {size:,} units, of which there are {_MOST_UNITS:,}.")
        array = np.zeros(size, np.uint32)
        array[list(self._units)] = np.array(list(self._units.values()), np.uint32)
        return array

    def _fill(self, base: int, children: dict) -> None:
        for byte, child in children.items():
            index, flag = base ^ byte, 0 if isinstance(child, dict) else _HAS_VALUE
            self._units[index] = (index ^ self._base_of(child)) << _OFFSET_BIT | flag | byte

    def _base_of(self, child: dict | int) -> int:
        """Where the children of a node are; or its value."""
        key = _key(child)
        if key not in self._places:
            if isinstance(child, dict):
                self._places[key] = self._take(_BLOCK) ^ _CONTINUATION
                self._fill(self._places[key], child)
            else:
                self._places[key] = self._take(1)
                self._units[self._places[key]] = child | _IS_VALUE
        return self._places[key]

    def _take(self, count: int) -> int:
        """The first index of `count` new units, a multiple of `count`."""
        start = -(-self._end // count) * count
        self._end = start + count
        return start


def _key(tree: dict | int) -> Iterable | int:
    """What equal trees, and equal values, have in common."""
    if isinstance(tree, dict):
        return tuple((byte, _key(child)) for byte, child in sorted(tree.items()))
    return tree
