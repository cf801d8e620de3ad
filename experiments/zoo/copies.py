"""Which networks are near-copies of each other."""

import numpy as np

from kernelstudy.analysis.arrays import unit_rows

ALIKE, SHARE, MOST = 0.9995, 0.5, 400


def fingerprint(first: np.ndarray, layers: list[np.ndarray]) -> dict[tuple, np.ndarray]:
    """Unit kernels by what they are of: the first layer, and every depthwise layer by size and number."""
    found: dict[tuple, list[np.ndarray]] = {("first", first.shape[-1]): [first]}
    for layer in layers:
        found.setdefault((layer.shape[-1], len(layer)), []).append(layer)
    return {
        key: unit_rows(np.concatenate(parts)).astype(np.float32) for key, parts in found.items()
    }


def copies(a: dict[tuple, np.ndarray], b: dict[tuple, np.ndarray]) -> bool:
    """Whether half of the first layer's kernels, or of the depthwise ones, have a twin in the other."""
    for chosen in (True, False):
        alike = total = 0
        for key, kernels in a.items():
            if (key[0] == "first") is not chosen or not len(kernels):
                continue
            kernels = kernels[:: -(-len(kernels) // MOST)]
            total += len(kernels)
            if len(b.get(key, ())):
                alike += int((np.abs(kernels @ b[key].T).max(axis=1) > ALIKE).sum())
        if total and alike >= SHARE * total:
            return True
    return False


def clusters(prints: list[dict[tuple, np.ndarray]]) -> list[int]:
    """For every network the number of the first that it is a near-copy of, directly or by way of others."""
    parent = list(range(len(prints)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for i in range(len(prints)):
        for j in range(i):
            if copies(prints[i], prints[j]) or copies(prints[j], prints[i]):
                low, high = sorted((root(i), root(j)))
                parent[high] = low
    return [root(i) for i in range(len(prints))]
