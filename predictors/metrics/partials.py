"""Estimates from sums over clusters, so that a table can be worked on in parts and the parts' sums be added.

`clusters.Estimate` keeps the influence of every query; beyond one machine there are too many. But every influence of
this package is a fixed combination of a few columns per query (loss, floor, weights), so its squares and cubes follow
from the sums of products of those columns. The sums are kept to about 32 digits (Dekker 1971; Ogita, Rump & Oishi
2005, Accurate sum and dot product): what is added in another order, or cancels, loses nothing that a double shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import combinations_with_replacement, permutations
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from predictors.errors import InvalidInputError
from predictors.metrics.clusters import AnyEstimate

__all__ = ["ClusterSums", "MergedEstimate", "exact_sum"]

Floats = NDArray[np.float64]
Monomial = tuple[str, ...]
SPLITTER = 134217729.0  # 2^27 + 1
CLUSTERS_AT_ONCE = 4096
"""What the processor's caches hold."""
LARGEST = 1e80
"""Cubes of larger numbers leave the range of a double."""


def exact_sum(values: Floats) -> Fraction:
    """Sum of finite doubles to about 32 digits, whatever their order.

    Examples
    --------
    >>> float(exact_sum(np.array([1e16, 1.0, -1e16])))
    1.0
    """
    high, low = _row_sums(np.asarray(values, dtype=np.float64)[None])
    return _exact([float(high[0]), float(low[0])])


def _row_sums(rows: Floats) -> tuple[Floats, Floats]:
    """Rounded sum of each row of shape (n_rows, n), and what rounding lost."""
    width = 1 << max(rows.shape[1] - 1, 0).bit_length()
    high, low = np.zeros((2, rows.shape[0], width))
    high[:, : rows.shape[1]] = rows
    while width > 1:
        width //= 2
        one, other = high[:, :width], high[:, width:]
        high = one + other
        rest = high - one
        low = low[:, :width] + low[:, width:] + ((one - (high - rest)) + (other - rest))
    return high[:, 0], low[:, 0]


def _product(one: Floats, other: Floats) -> tuple[Floats, Floats]:
    """The rounded product and what rounding lost."""
    product = one * other
    a, b = _split(one), _split(other)
    return product, a[1] * b[1] - (((product - a[0] * b[0]) - a[1] * b[0]) - a[0] * b[1])


def _split(values: Floats) -> tuple[Floats, Floats]:
    scaled = SPLITTER * values
    high = scaled - (scaled - values)
    return high, values - high


def _sums_of_products(columns: Floats, places: NDArray[np.intp]) -> list[Fraction]:
    """Sums over clusters of the products of the rows `places`, shape (n_products, degree), of `columns`."""
    found = []
    for start in range(0, columns.shape[1], CLUSTERS_AT_ONCE):
        part = columns[:, start : start + CLUSTERS_AT_ONCE]
        terms = [part[places[:, 0]]]
        for place in places.T[1:]:
            terms = [piece for term in terms for piece in _product(term, part[place])]
        found += [sums.reshape(len(terms), -1) for sums in _row_sums(np.concatenate(terms))]
    return [_exact(pieces) for pieces in np.concatenate(found).T.tolist()]


def _exact(pieces: Sequence[float]) -> Fraction:
    """The sum of a few doubles, whose denominators are powers of 2."""
    ratios = [piece.as_integer_ratio() for piece in pieces]
    denominator = max(lower for _, lower in ratios)
    return Fraction(sum(upper * (denominator // lower) for upper, lower in ratios), denominator)


@dataclass(frozen=True)
class ClusterSums:
    """Sums over clusters of columns and of the products of two, or three, of them.

    Attributes
    ----------
    columns : tuple of str
    cubed : tuple of str
        Columns whose products of three are there too, for intervals that are corrected for skewness.
    counts : dict of str to int
        Clusters in which the column is not 0.
    sums : dict of tuple of str to Fraction
        By the names that are multiplied, in the order of `columns`.
    """

    columns: tuple[str, ...]
    cubed: tuple[str, ...]
    counts: dict[str, int]
    sums: dict[Monomial, Fraction]

    @classmethod
    def of(cls, columns: Mapping[str, Floats], *, cubed: Sequence[str] = ()) -> ClusterSums:
        """Sums of one part: each column of shape (n_clusters,), finite, one number per cluster.

        Raises
        ------
        InvalidInputError
            If a number is not finite or beyond 1e80.
        """
        for name, values in columns.items():
            if not (np.abs(values) <= LARGEST).all():
                raise InvalidInputError(f"`{name}` must be finite and below {LARGEST:g} in size to be summed in parts")
        names = tuple(columns)
        counts = {name: int(np.count_nonzero(columns[name])) for name in names}
        monomials = _monomials(names, tuple(cubed))
        sums = dict.fromkeys(monomials, Fraction(0))
        used = [name for name in names if counts[name]]
        table = np.array([columns[name] for name in used], dtype=np.float64)
        row = {name: place for place, name in enumerate(used)}
        for degree in (1, 2, 3):
            wanted = [m for m in monomials if len(m) == degree and all(counts[name] for name in m)]
            if wanted:
                places = np.array([[row[name] for name in monomial] for monomial in wanted])
                sums |= zip(wanted, _sums_of_products(table, places), strict=True)
        return cls(names, tuple(cubed), counts, sums)

    def merge(self, other: ClusterSums) -> ClusterSums:
        """Sums of two parts that share no cluster.

        Raises
        ------
        InvalidInputError
            If the parts were summed differently.
        """
        if (self.columns, self.cubed) != (other.columns, other.cubed):
            raise InvalidInputError(f"sums of {self.columns} and of {other.columns} cannot be merged")
        counts = {name: n + other.counts[name] for name, n in self.counts.items()}
        sums = {names: total + other.sums[names] for names, total in self.sums.items()}
        return ClusterSums(self.columns, self.cubed, counts, sums)

    def ratio(self, numerator: str, denominator: str) -> MergedEstimate:
        """Ratio of totals as an estimate over clusters, as `ratio_estimate`; NaN where the denominator is 0."""
        total, n = self.sums[(denominator,)], self.counts[denominator]
        if total == 0:
            return _estimate(None, {}, n, self)
        ratio = self.sums[(numerator,)] / total
        return _estimate(ratio, {numerator: 1 / total, denominator: -ratio / total}, n, self)


@dataclass(frozen=True, eq=False)
class MergedEstimate(AnyEstimate):
    """An estimate whose influence on a cluster is a combination of that cluster's columns.

    Attributes
    ----------
    value : float
        In the unit of the quantity.
    n_clusters : int
        Clusters that contribute.
    exact : Fraction or None
        `value` before it is rounded; None where it cannot be estimated.
    weights : dict of str to Fraction
        What each column counts in the influence.
    sums : ClusterSums
    """

    value: float
    n_clusters: int
    exact: Fraction | None
    weights: Mapping[str, Fraction]
    sums: ClusterSums

    def __sub__(self, other: MergedEstimate) -> MergedEstimate:
        n = min(self.n_clusters, other.n_clusters)
        if self.exact is None or other.exact is None:
            return _estimate(None, {}, n, self.sums)
        return _estimate(self.exact - other.exact, self._combined(other, Fraction(1)), n, self.sums)

    def __truediv__(self, other: MergedEstimate) -> MergedEstimate:
        """Ratio of two estimates on the same clusters, linearised (delta method)."""
        n = min(self.n_clusters, other.n_clusters)
        if self.exact is None or not other.exact:
            return _estimate(None, {}, n, self.sums)
        ratio = self.exact / other.exact
        weights = {name: weight / other.exact for name, weight in self._combined(other, ratio).items()}
        return _estimate(ratio, weights, n, self.sums)

    def _combined(self, other: MergedEstimate, factor: Fraction) -> dict[str, Fraction]:
        names = dict.fromkeys([*self.weights, *other.weights])
        zero = Fraction(0)
        return {name: self.weights.get(name, zero) - factor * other.weights.get(name, zero) for name in names}

    @property
    def standard_error(self) -> float:
        """Cluster-robust standard error; NaN (never 0) where fewer than two clusters contribute."""
        n = self.n_clusters
        if n < 2 or self.exact is None:
            return float("nan")
        return sqrt(n / (n - 1) * float(self._power_sum(2)))

    @property
    def skewness(self) -> float:
        """Skewness of the influences; its columns must be among those that are `cubed`."""
        n = self.n_clusters
        second = float(self._power_sum(2)) / n
        if n < 3 or second <= 0:
            return 0.0
        third = float(self._power_sum(3)) / n
        return float(third / second**1.5 * sqrt(n * (n - 1)) / (n - 2))

    def _power_sum(self, power: int) -> Fraction:
        """Sum over clusters of the influence to `power`."""
        total = Fraction(0)
        for names in combinations_with_replacement([c for c in self.sums.columns if c in self.weights], power):
            product = Fraction(len(set(permutations(names)))) * self.sums.sums[names]
            for name in names:
                product *= self.weights[name]
            total += product
        return max(total, Fraction(0)) if power % 2 == 0 else total


def _estimate(
    exact: Fraction | None, weights: Mapping[str, Fraction], n_clusters: int, sums: ClusterSums
) -> MergedEstimate:
    return MergedEstimate(float("nan") if exact is None else float(exact), n_clusters, exact, weights, sums)


@cache
def _monomials(names: tuple[str, ...], cubed: tuple[str, ...]) -> tuple[Monomial, ...]:
    """Names that are multiplied; the same objects each time, so that they travel once."""
    pairs = [m for degree in (1, 2) for m in combinations_with_replacement(names, degree)]
    return (*pairs, *combinations_with_replacement([name for name in names if name in cubed], 3))
