"""The family of success: will this model get this request right?"""

from foretell.assets.families.success.evaluation import success_splits
from foretell.assets.families.success.examples import DATASETS, examples_of_dataset, lake_examples
from foretell.assets.judging.family import LAKE, Family, late, predictors_of

FAMILY = Family(
    **predictors_of("success"),
    scale="identity",
    segments=("benchmark", "model"),
    datasets=DATASETS,
    dataset=LAKE,
    make_examples=examples_of_dataset,
    from_requests=lake_examples,
    splits=success_splits,
    read_inputs=late("thinking_tokens.family:read_inputs"),
    limits=(
        "The chance of a right answer says nothing of how wrong a wrong one is, and is as good as the scores behind: "
        "of a judge that errs it forecasts the judge. A text alone says little of what a model knows; outcomes of "
        "other models on the same item say much more. A version holds words of prompts as those of tokens do."
    ),
)
