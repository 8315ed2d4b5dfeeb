"""Saved boosters: a few rows walk down their trees here, many are asked of LightGBM; both say the same to the bit.

To import LightGBM takes longer than everything else that a forecast of one request does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from ..arrays import Codes, Floats

MAX_ROWS = 16
"""As many are walked here."""
ZERO = 1e-35
"""LightGBM takes smaller values for 0."""
_PLAIN = ("quantile", "regression", "regression_l1")
"""Objectives whose forecast is the sum of the trees."""
_OF_NODE = ("split_feature", "decision_type", "threshold", "left_child", "right_child")
_CATEGORICAL, _DEFAULT_LEFT, _MISSING_ZERO, _MISSING_NAN = 1, 2, 4, 8
"""Bits of a node's `decision_type`."""


class SavedBooster:
    """A booster read from the text of ``booster.model_to_string()``; nothing is parsed before it is asked."""

    def __init__(self, text: str) -> None:
        self._text = text

    def model_to_string(self) -> str:
        """The text it was read from."""
        return self._text

    def predict(self, columns: Floats, num_threads: int = 1) -> Floats:
        """Forecast of every row, shape (n_samples,)."""
        return predict_saved([self], columns, num_threads)[:, 0]

    @cached_property
    def booster(self) -> Any:
        """LightGBM's own."""
        import lightgbm as lgb

        return lgb.Booster(model_str=self._text)

    def __deepcopy__(self, memo: object) -> "SavedBooster":
        return self  # nothing changes it


@dataclass(frozen=True, eq=False)
class Trees:
    """Trees of boosters with as many trees each: inner nodes of all of them on end, then their leaves.

    `roots` (n_trees, n_boosters) are first nodes. Of each node (n_nodes,) `feature` is the column that it looks at,
    `kind` its `decision_type`, `threshold` for a category the number of its set in `sets` (categories that go left),
    `left` and `right` the next node, where -1 - i is leaf i. `is_averaged`: a forecast is the mean of the trees (a
    random forest) rather than their sum.
    """

    roots: Codes
    feature: Codes
    kind: Codes
    threshold: Floats
    left: Codes
    right: Codes
    leaves: Floats
    sets: tuple[frozenset[int], ...]
    is_averaged: bool = False

    @classmethod
    def parsed(cls, texts: Sequence[str]) -> "Trees | None":
        """The trees of each text; None where a forecast is no sum or mean of its trees, or not all are alike."""
        nodes: list[list[Any]] = [[], [], [], [], []]  # in the order of `_OF_NODE`
        roots: list[list[int]] = []
        leaves: list[float] = []
        sets: list[frozenset[int]] = []
        averaged: set[bool] = set()
        for text in texts:
            head, *trees = text.partition("\nend of trees")[0].split("\nTree=")
            if not _is_plain(head):
                return None
            averaged.add("average_output" in head.splitlines())
            roots.append([])
            for tree in trees:
                field = dict(line.split("=", 1) for line in tree.splitlines() if "=" in line)
                feature, kind, threshold, *children = (field.get(name, "").split() for name in _OF_NODE)
                n_nodes, n_leaves, n_sets = len(nodes[0]), len(leaves), len(sets)
                roots[-1].append(n_nodes if feature else -1 - n_leaves)
                kinds = list(map(int, kind))
                nodes[0] += map(int, feature)
                nodes[1] += kinds
                nodes[2] += [float(t) + n_sets * (k & _CATEGORICAL) for t, k in zip(threshold, kinds, strict=True)]
                for column, nexts in zip(nodes[3:], children, strict=True):
                    column += [i + n_nodes if i >= 0 else i - n_leaves for i in map(int, nexts)]
                bounds = list(map(int, field.get("cat_boundaries", "").split()))
                words = list(map(int, field.get("cat_threshold", "").split()))
                sets += [_members(words[a:b]) for a, b in pairwise(bounds)]
                leaves += map(float, field["leaf_value"].split())
        if len(set(map(len, roots))) != 1 or len(averaged) != 1:
            return None
        thresholds = np.array(nodes.pop(2), dtype=np.float64)
        features, kinds_, lefts, rights = (np.array(column, dtype=np.intp) for column in nodes)
        shape = (features, kinds_, thresholds, lefts, rights)
        return cls(np.array(roots).T, *shape, np.array(leaves), tuple(sets), is_averaged=averaged.pop())

    def predict(self, columns: Floats) -> Floats:
        """Sums or means of leaves, shape (n_samples, n_boosters), added in the order of the trees as LightGBM does."""
        at = np.repeat(self.roots[:, None, :], len(columns), axis=1)
        inner = np.nonzero(at >= 0)
        while inner[0].size:
            node, row = at[inner], inner[1]
            kind, value = self.kind[node], columns[row, self.feature[node]]
            is_unknown = np.isnan(value)
            is_missing = is_unknown & (kind & (_MISSING_ZERO | _MISSING_NAN) > 0)
            is_missing |= (kind & _MISSING_ZERO > 0) & (np.abs(value) <= ZERO)
            goes_left = np.where(is_unknown, 0.0, value) <= self.threshold[node]
            goes_left = np.where(is_missing, kind & _DEFAULT_LEFT > 0, goes_left)
            for place in np.flatnonzero(kind & _CATEGORICAL):
                is_category = not is_unknown[place] and value[place] >= 0
                goes_left[place] = is_category and int(value[place]) in self.sets[int(self.threshold[node[place]])]
            at[inner] = np.where(goes_left, self.left[node], self.right[node])
            inner = tuple(index[at[inner] >= 0] for index in inner)
        sums: Floats = np.cumsum(self.leaves[-1 - at], axis=0)[-1]  # one after the other, where `sum` adds pairs
        return sums / len(self.roots) if self.is_averaged else sums


def predict_saved(boosters: Sequence[Any], columns: Floats, num_threads: int = 1) -> Floats:
    """What each booster says of each row, shape (n_samples, n_boosters); boosters of LightGBM may be among them."""
    if len(columns) <= MAX_ROWS and all(isinstance(booster, SavedBooster) for booster in boosters):
        trees = _trees_of(tuple(boosters))
        if trees is not None:
            return trees.predict(columns)
    asked = [booster.booster if isinstance(booster, SavedBooster) else booster for booster in boosters]
    return np.column_stack([np.asarray(booster.predict(columns, num_threads=num_threads)) for booster in asked])


@lru_cache(maxsize=32)
def _trees_of(boosters: tuple[SavedBooster, ...]) -> Trees | None:
    return Trees.parsed([booster.model_to_string() for booster in boosters])


def _is_plain(head: str) -> bool:
    """Whether LightGBM answers with a sum or mean of the trees, by what a booster's text says before the first."""
    lines = head.splitlines()
    return any(f"objective={name}" in lines for name in _PLAIN) and "num_tree_per_iteration=1" in lines


def _members(words: Sequence[int]) -> frozenset[int]:
    """Numbers whose bit is set in words of 32 bits."""
    return frozenset(32 * i + bit for i, word in enumerate(words) for bit in range(32) if word >> bit & 1)
