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
from math import lcm, prod

import numpy as np

from ...arrays import Codes, Floats
from ...errors import InvalidInputError
from .clusters import AnyEstimate

Halves = tuple[Floats, Floats]
Monomial = tuple[str, ...]
Places = tuple[int, ...]
SPLITTER = 134217729.0  # 2^27 + 1
CLUSTERS_AT_ONCE = 1024
"""What the processor's caches hold."""
LARGEST = 1e80
"""Cubes of larger numbers leave the range of a double."""


def _row_sums(rows: Floats) -> tuple[Floats, Floats]:
    """Rounded sum of each row of shape (n_rows, n), and what rounding lost."""
    missing = (1 << max(rows.shape[1] - 1, 0).bit_length()) - rows.shape[1]
    high = np.concatenate([rows, np.zeros((len(rows), missing))], axis=1) if missing else rows
    low = None
    while high.shape[1] > 1:
        half = high.shape[1] // 2
        one, other = high[:, :half], high[:, half:]
        total = one + other
        rest = total - one
        lost = one - (total - rest)
        lost += other - rest
        if low is not None:
            lost += low[:, :half]
            lost += low[:, half:]
        high, low = total, lost
    return high[:, 0], np.zeros(len(rows)) if low is None else low[:, 0]


def _product(one: Floats, other: Floats, halves: Halves) -> tuple[Floats, Floats]:
    """The rounded product and what rounding lost; `halves` are those of `other`."""
    product = one * other
    a, b = _halves(one), halves
    return product, a[1] * b[1] - (((product - a[0] * b[0]) - a[1] * b[0]) - a[0] * b[1])


def _halves(values: Floats) -> Halves:
    """Two doubles of half the digits each, whose sum is the value."""
    scaled = SPLITTER * values
    high = scaled - (scaled - values)
    return high, values - high


def _sums_of_products(columns: Floats, places: Codes) -> list[Fraction]:
    """Sums over clusters of the products of the rows `places`, shape (n_products, degree), of `columns`."""
    sums, lost = [], []
    for start in range(0, columns.shape[1], CLUSTERS_AT_ONCE):
        part = columns[:, start : start + CLUSTERS_AT_ONCE]
        high, low = _halves(part)
        first, *others = places.T
        terms = [part[first]]
        for place in others:
            factor, halves = part[place], (high[place], low[place])
            terms = [piece for term in terms for piece in _product(term, factor, halves)]
        of_part = _row_sums(np.concatenate(terms))
        sums.append(of_part[0])
        lost.append(of_part[1])
    total, rest = _row_sums(np.stack(sums, axis=1))
    pieces = np.concatenate([total, rest + np.sum(lost, axis=0)]).reshape(-1, len(places))
    return [_exact(of_product) for of_product in pieces.T.tolist()]


def _exact(pieces: Sequence[float]) -> Fraction:
    """The sum of a few doubles, whose denominators are powers of 2."""
    ratios = [piece.as_integer_ratio() for piece in pieces]
    denominator = max(lower for _, lower in ratios)
    return Fraction(sum(upper * (denominator // lower) for upper, lower in ratios), denominator)


@dataclass(frozen=True)
class ClusterSums:
    """Sums over clusters of columns and of the products of two of them, by the names that are multiplied.

    Of columns that are `cubed` the products of three are there too, for intervals that are corrected for skewness;
    `counts` says in how many clusters a column is not 0.
    """

    columns: tuple[str, ...]
    cubed: tuple[str, ...]
    counts: dict[str, int]
    sums: dict[Monomial, Fraction]

    @classmethod
    def of(cls, columns: Mapping[str, Floats], *, cubed: Sequence[str] = ()) -> ClusterSums:
        """Sums of one part from columns of shape (n_clusters,), see `cluster_sums`."""
        return cluster_sums([(columns, cubed)])[0]

    def merge(self, other: ClusterSums) -> ClusterSums:
        """Sums of two parts that share no cluster.

        Raises InvalidInputError if the parts were summed differently.
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


def cluster_sums(requests: Sequence[tuple[Mapping[str, Floats], Sequence[str]]]) -> list[ClusterSums]:
    """Sums of several tables over the same clusters of one part; a product that several ask for is made once.

    Each request is of columns by name, ndarrays of shape (n_clusters,), and the names of those of which products of
    three are wanted too. Columns that are the same object are taken for the same. Raises InvalidInputError if a number
    is not finite or beyond 1e80.
    """
    arrays: dict[int, Floats] = {}
    for columns, _ in requests:
        for name, values in columns.items():
            if id(values) not in arrays and not (np.abs(values) <= LARGEST).all():
                raise InvalidInputError(f"`{name}` must be finite and below {LARGEST:g} in size to be summed in parts")
            arrays[id(values)] = values
    counts = {key: int(np.count_nonzero(values)) for key, values in arrays.items()}
    place = {key: place for place, key in enumerate(key for key, n in counts.items() if n)}
    monomials = [_monomials(tuple(columns), tuple(cubed)) for columns, cubed in requests]
    asked = [
        {names: tuple(sorted(place.get(id(columns[name]), -1) for name in names)) for names in of_request}
        for (columns, _), of_request in zip(requests, monomials, strict=True)
    ]
    sums = _sums_by_places(np.array([arrays[key] for key in place], dtype=np.float64), asked)
    return [
        ClusterSums(
            tuple(columns),
            tuple(cubed),
            {name: counts[id(values)] for name, values in columns.items()},
            {names: sums.get(places, Fraction(0)) for names, places in of_request.items()},
        )
        for (columns, cubed), of_request in zip(requests, asked, strict=True)
    ]


def _sums_by_places(table: Floats, asked: Sequence[Mapping[Monomial, Places]]) -> dict[Places, Fraction]:
    """Sums of the products of the rows of `table` that are asked for; -1 is a row of zeros, which makes none."""
    wanted = dict.fromkeys(places for of_request in asked for places in of_request.values() if places[0] >= 0)
    sums: dict[Places, Fraction] = {}
    for degree in (1, 2, 3):
        of_degree = [places for places in wanted if len(places) == degree]
        if of_degree:
            sums |= zip(of_degree, _sums_of_products(table, np.array(of_degree)), strict=True)
    return sums


@dataclass(frozen=True, eq=False)
class MergedEstimate(AnyEstimate):
    """An estimate whose influence on a cluster is a combination of that cluster's columns, each with its weight.

    `exact` is the value before it is rounded, None where it cannot be estimated.
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

    def _power_sum(self, power: int) -> float:
        """Exact before it is rounded; for the third power the columns must be among those that are `cubed`."""
        if self.exact is None:
            return float("nan")
        names = [name for name in self.sums.columns if name in self.weights]
        terms = [(monomial, self.sums.sums[monomial]) for monomial in combinations_with_replacement(names, power)]
        over_weights = lcm(*(self.weights[name].denominator for name in names))
        over_sums = lcm(*(total.denominator for _, total in terms))
        weights = {name: int(self.weights[name] * over_weights) for name in names}
        total = sum(
            _orders(monomial) * prod(weights[name] for name in monomial) * int(of_term * over_sums)
            for monomial, of_term in terms
        )
        return float((max(total, 0) if power % 2 == 0 else total) / (over_weights**power * over_sums))


@cache
def _orders(names: Monomial) -> int:
    """In how many orders the names can be multiplied."""
    return len(set(permutations(names)))


def _estimate(
    exact: Fraction | None, weights: Mapping[str, Fraction], n_clusters: int, sums: ClusterSums
) -> MergedEstimate:
    return MergedEstimate(float("nan") if exact is None else float(exact), n_clusters, exact, weights, sums)


@cache
def _monomials(names: tuple[str, ...], cubed: tuple[str, ...]) -> tuple[Monomial, ...]:
    """Names that are multiplied; the same objects each time, so that they travel once."""
    pairs = [m for degree in (1, 2) for m in combinations_with_replacement(names, degree)]
    return (*pairs, *combinations_with_replacement([name for name in names if name in cubed], 3))
