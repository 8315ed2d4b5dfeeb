"""Clusters of items that are alike in how hard each small model finds them.

The first half of Clustering-On-Difficulty (COD; Xu et al., arXiv 2502.17262, fourth version, Algorithm 1): a vector of
pass rates per item, and a mean shift that keeps only tight clusters of enough items.
"""

import numpy as np

from ...arrays import Codes, Floats

LEAST_ITEMS = 10
QUANTILE = 0.1
RADIUS_SHARE = 0.1
MAX_ROUNDS = 30
MAX_SHIFTS = 100


def _distances(a: Floats, b: Floats) -> Floats:
    square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))


def estimate_bandwidth(points: Floats) -> float:
    """Mean distance of the points (n, d) to the farthest of their nearest ``QUANTILE * n`` neighbours, itself one."""
    n = len(points)
    nearest = max(1, int(n * QUANTILE))
    ordered = np.partition(_distances(points, points), nearest - 1, axis=1)
    return float(ordered[:, nearest - 1].mean())


def mean_shift(points: Floats, radius: float) -> Codes:
    """Flat-kernel mean shift: the cluster of each of `points` (n, d), shape (n,), the most populous first.

    Seeds are the occupied cells of a grid of width `radius`; each moves to the mean of the points within `radius` until
    it stands still. Of centres nearer than `radius` to each other the one with more points stays.
    """
    cells = np.unique(np.round(points / radius), axis=0) * radius
    centres = cells[(_distances(cells, points) <= radius).any(axis=1)]
    if not len(centres):
        centres = points[:1]
    moving = np.ones(len(centres), dtype=bool)
    for _ in range(MAX_SHIFTS):
        near = _distances(centres[moving], points) <= radius
        mean = near.astype(np.float64) @ points / np.maximum(near.sum(axis=1), 1)[:, None]
        stirred = np.sqrt(((mean - centres[moving]) ** 2).sum(axis=1)) > 1e-3 * radius
        centres[moving] = mean
        moving[moving] = stirred
        if not moving.any():
            break
    count = (_distances(centres, points) <= radius).sum(axis=1)
    order = np.lexsort((*np.round(centres, 9).T[::-1], -count))
    kept: list[int] = []
    for i in order.tolist():
        if all(np.sqrt(((centres[i] - centres[j]) ** 2).sum()) > radius for j in kept):
            kept.append(i)
    return np.asarray(_distances(points, centres[kept]).argmin(axis=1))


def cluster_difficulty(pass_rates: Floats) -> tuple[Codes, float]:
    """Improved mean shift on difficulty vectors.

    Mean shift runs on the items without a cluster; those farther than the radius from their cluster's mean, and
    clusters of fewer than `LEAST_ITEMS`, go back; until nothing changes. The radius is `estimate_bandwidth`, at most
    a tenth of the largest possible distance ``sqrt(n_models)``.

    Parameters
    ----------
    pass_rates : ndarray of shape (n_models, n_items)
        Pass rates (0-1) of the small models, by compute. Items that none ever solves are left out.

    Returns
    -------
    labels : ndarray of int of shape (n_items,)
        Cluster of each item; -1 for outliers, -2 for items that no small model ever solves.
    radius : float
        Bandwidth of the mean shift and largest distance from a centre; NaN where too few items are solved.
    """
    n_models, n_items = pass_rates.shape
    labels = np.full(n_items, -1, dtype=np.intp)
    labels[(pass_rates == 0).all(axis=0)] = -2
    points = pass_rates.T
    solved = labels != -2
    if solved.sum() < LEAST_ITEMS:
        return labels, float("nan")
    radius = max(min(estimate_bandwidth(points[solved]), RADIUS_SHARE * np.sqrt(n_models)), 1e-6)
    for _ in range(MAX_ROUNDS):
        before = labels.copy()
        free = np.flatnonzero(labels == -1)
        if len(free) >= LEAST_ITEMS:
            labels[free] = labels.max(initial=-1).clip(-1) + 1 + mean_shift(points[free], radius)
        labels = _tightened(points, labels, radius)
        if np.array_equal(before, labels):
            break
    return labels, radius


def _tightened(points: Floats, labels: Codes, radius: float) -> Codes:
    """Labels without far items and small clusters, clusters numbered anew by size."""
    out = labels.copy()
    sizes: list[tuple[int, int]] = []
    for label in np.unique(labels[labels >= 0]).tolist():
        rows = np.flatnonzero(labels == label)
        centre = points[rows].mean(axis=0)
        far = np.sqrt(((points[rows] - centre) ** 2).sum(axis=1)) > radius
        out[rows[far]] = -1
        if (~far).sum() < LEAST_ITEMS:
            out[rows] = -1
        else:
            sizes.append((-int((~far).sum()), label))
    renumbered = out.copy()
    for new, (_, label) in enumerate(sorted(sizes)):
        renumbered[out == label] = new
    return renumbered
