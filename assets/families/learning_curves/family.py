"""The learning-curve family: where will this training curve end, and is it worth going on."""

from foretell.assets.families.learning_curves.evaluation import curve_splits
from foretell.assets.families.learning_curves.examples import DATASETS, PUBLIC, examples_from_dataset
from foretell.assets.families.learning_curves.inputs import read_inputs
from foretell.assets.judging.family import Family, predictors_of

FAMILY = Family(
    **predictors_of("learning_curves"),
    scale="identity",
    segments=("cut", "source"),
    datasets=DATASETS,
    dataset=PUBLIC,
    make_examples=examples_from_dataset,
    splits=curve_splits,
    read_inputs=read_inputs,
    limits=(
        "A curve is extrapolated from its beginning: what has no sign there (a change of the learning rate, new data) "
        "cannot be forecast."
    ),
    cadence="weekly",
    tables=("training_curves",),
    adds_own=True,
)
