"""Estimates from sums over clusters, so that a table can be worked on in parts and the parts' sums be added.

`clusters.Estimate` keeps the influence of every query; beyond one machine there are too many. But every influence of
this package is a fixed combination of a few columns per query (loss, floor, weights), so its squares and cubes follow
from the sums of products of those columns. The sums are kept to about 32 digits (Dekker 1971; Ogita, Rump & Oishi
2005, Accurate sum and dot product): what is added in another order, or cancels, loses nothing that a double shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
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
LARGEST = 1e80
"""Cubes of larger numbers leave the range of a double."""


def exact_sum(values: Floats) -> Fraction:
    """Sum of finite doubles to about 32 digits, whatever their order.

    Examples
    --------
    >>> float(exact_sum(np.array([1e16, 1.0, -1e16])))
    1.0
    """
    high, low = np.asarray(values, dtype=np.float64), np.zeros(len(values))
    while high.size > 1:
        if high.size % 2:
            high, low = np.append(high, 0.0), np.append(low, 0.0)
        one, other = high[0::2], high[1::2]
        high = one + other
        rest = high - one
        low = low[0::2] + low[1::2] + ((one - (high - rest)) + (other - rest))
    return Fraction(float(high[0])) + Fraction(float(low[0])) if high.size else Fraction(0)


def _product(one: Floats, other: Floats) -> tuple[Floats, Floats]:
    """The rounded product and what rounding lost."""
    product = one * other
    a, b = _split(one), _split(other)
    return product, a[1] * b[1] - (((product - a[0] * b[0]) - a[1] * b[0]) - a[0] * b[1])


def _split(values: Floats) -> tuple[Floats, Floats]:
    scaled = SPLITTER * values
    high = scaled - (scaled - values)
    return high, values - high


def _sum_of_products(columns: Mapping[str, Floats], names: Monomial) -> Fraction:
    if any(not columns[name].any() for name in names):
        return Fraction(0)
    terms = [columns[names[0]]]
    for name in names[1:]:
        terms = [part for term in terms for part in _product(term, columns[name])]
    return sum((exact_sum(term) for term in terms), Fraction(0))


@dataclass(frozen=True)
class ClusterSums:
    """Sums over clusters of the products of up to `degree` columns.

    Attributes
    ----------
    columns : tuple of str
    degree : int
        2 for standard errors, 3 for intervals that are corrected for skewness as well.
    counts : dict of str to int
        Clusters in which the column is not 0.
    sums : dict of tuple of str to Fraction
        By the names that are multiplied, in the order of `columns`.
    """

    columns: tuple[str, ...]
    degree: int
    counts: dict[str, int]
    sums: dict[Monomial, Fraction]

    @classmethod
    def of(cls, columns: Mapping[str, Floats], *, degree: int = 2) -> ClusterSums:
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
        sums = {names_: _sum_of_products(columns, names_) for names_ in _monomials(names, degree)}
        return cls(names, degree, counts, sums)

    def merge(self, other: ClusterSums) -> ClusterSums:
        """Sums of two parts that share no cluster.

        Raises
        ------
        InvalidInputError
            If the parts were summed differently.
        """
        if (self.columns, self.degree) != (other.columns, other.degree):
            raise InvalidInputError(f"sums of {self.columns} and of {other.columns} cannot be merged")
        counts = {name: n + other.counts[name] for name, n in self.counts.items()}
        sums = {names: total + other.sums[names] for names, total in self.sums.items()}
        return ClusterSums(self.columns, self.degree, counts, sums)

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
        """Skewness of the influences; needs sums of degree 3."""
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


def _monomials(names: tuple[str, ...], degree: int) -> Iterator[Monomial]:
    for size in range(1, degree + 1):
        yield from combinations_with_replacement(names, size)
