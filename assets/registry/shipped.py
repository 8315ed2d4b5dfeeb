"""The predictors that the package brings: what answers where no version of a family is registered yet."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from foretell.assets.registry.model_card import evaluation_cells
from foretell.assets.registry.tracking import BASIS_TAG, Fit, Registry
from foretell.assets.registry.versions import Version
from foretell.assets.store.digests import folder_digest
from foretell.assets.store.markdown import markdown
from foretell.predictors.base import BasePredictor, load_predictor
from foretell.predictors.errors import DatasetError

SHIPPED = "shipped"
"""Value of `BASIS_TAG` for a version that came with the package."""
ABOUT, EVALUATION, EXAMPLE = "about.json", "evaluation.parquet", "example.parquet"


@dataclass(frozen=True)
class Shipped:
    """A predictor that came with the package, its folder ``public/champions/<family>``, and what it has learnt from."""

    folder: Path
    predictor: BasePredictor
    learnt_from: str

    @property
    def note(self) -> str:
        """What must be said before an answer."""
        family = self.predictor.family
        return (
            f"no version of {family} is registered here, so the one that came with foretell answers; it has learnt "
            f"from {self.learnt_from}. `foretell retrain {family}` learns from your own runs as well."
        )

    @property
    def evaluation(self) -> pd.DataFrame:
        """The Evaluation table of the same recipe, fitted without what it is judged on."""
        return pd.read_parquet(self.folder / EVALUATION)


def load_shipped(public: Path, family: str) -> Shipped | None:
    """The predictor of a family in the folder of public figures; None where none came.

    Raises DatasetError if it is damaged, or of another version of the code.
    """
    folder = public / "champions" / family
    if not folder.is_dir():
        return None
    try:
        about = json.loads((folder / ABOUT).read_text("utf-8"))
        return Shipped(folder, load_predictor(folder), str(about["learnt_from"]))
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(f"{folder}: not whole ({error}); install foretell again") from error


def register_shipped(registry: Registry, shipped: Shipped) -> Version:
    """Register it as a version, with its evaluation; the version that is there already where it was registered."""
    family, digest = shipped.predictor.family, folder_digest(shipped.folder)
    example, evaluation = pd.read_parquet(shipped.folder / EXAMPLE), shipped.evaluation
    head = markdown(evaluation_cells(evaluation[evaluation["segment"].eq("all")]))
    card = f"# {family}: came with foretell\n\nLearnt from {shipped.learnt_from}.\n\n{head}\n"
    return registry.register(
        Fit(family, digest, digest, shipped.predictor, evaluation, example, example, card, {BASIS_TAG: SHIPPED})
    )
