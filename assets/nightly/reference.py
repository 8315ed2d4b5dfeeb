"""The reference baseline of a family as a registered version, for as long as no version of its predictor beats it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from foretell.assets.judging.family import Family
from foretell.assets.judging.pipeline import FittedFamily
from foretell.assets.judging.splits import evaluate_family
from foretell.assets.registry.model_card import model_card
from foretell.assets.registry.tracking import BASELINE, BASIS_TAG, Fit, Registry

if TYPE_CHECKING:
    from foretell.assets.registry.versions import Version


def register_reference(
    registry: Registry, family: Family, fitted: FittedFamily, examples: pd.DataFrame, fit: Fit
) -> Version:
    """Register the reference baseline of a fit as a version of its own, labelled so."""
    digest = f"{fitted.digest}-{family.reference}"
    registered = registry.find(family.name, digest)
    if registered is not None:
        return registered
    alone = replace(fitted, digest=digest, predictor=fitted.baselines[family.reference])
    table = evaluate_family(family, alone, examples, dataset=family.dataset, leave_out_vault=True)
    return registry.register(
        replace(
            fit,
            digest=digest,
            predictor=alone.predictor,
            evaluation=table,
            model_card=model_card(family, alone, examples, table),
            tags={**fit.tags, BASIS_TAG: BASELINE},
            plots={},
        )
    )
