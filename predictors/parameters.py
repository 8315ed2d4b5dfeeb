"""scikit-learn's protocol of construction, without importing scikit-learn: parameters are what `__init__` takes.

`sklearn.base.clone` and whatever else asks for parameters works with it. To inherit from `BaseEstimator` would import
scikit-learn and scipy.stats, which takes longer than a forecast.
"""

from __future__ import annotations

from inspect import signature
from typing import Any, Self


class Parameters:
    """A class whose `__init__` takes keyword-only arguments with defaults, and only assigns them."""

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        parameters = signature(cls).parameters
        return {name: parameters[name].default for name in sorted(parameters)}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; `deep` is of the protocol, no parameter has parameters of its own."""
        return {name: getattr(self, name) for name in self._defaults()}

    def set_params(self, **params: Any) -> Self:
        """Assign parameters.

        Raises ValueError if there is no parameter of that name.
        """
        for name, value in params.items():
            if name not in (names := self._defaults()):
                raise ValueError(f"`{name}` is no parameter of {type(self).__name__}, which has {', '.join(names)}")
            setattr(self, name, value)
        return self

    def unfitted(self) -> Self:
        """A new one with the same parameters, which has learnt nothing."""
        return type(self)(**self.get_params())

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import Tags, TargetTags

        return Tags(estimator_type=None, target_tags=TargetTags(required=True))

    def __repr__(self) -> str:
        changed = {k: v for k, v in self._defaults().items() if repr(getattr(self, k)) != repr(v)}
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in changed)})"
