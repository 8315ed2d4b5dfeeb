"""`foretell evaluate`: one family on one data set, judged against its floor."""

import pandas as pd

from foretell.assets.families import get_family
from foretell.pipelines.cli.console import say
from foretell.pipelines.cli.options import Dataset, FamilyName, flat
from foretell.pipelines.cli.output import PlainOutput
from foretell.pipelines.cli.progress import UnderWay
from foretell.pipelines.settings import Settings


@flat
def evaluate(family: FamilyName, dataset: Dataset, output: PlainOutput) -> None:
    """Fit on the training queries of a data set and report the error on the others, next to its floor."""
    table = evaluate_dataset(Settings(), family, dataset)

    from foretell.pipelines.cli.judge.tables import evaluation_page

    output.show(table, evaluation_page(table))


def evaluate_dataset(settings: Settings, family: str, dataset: str) -> pd.DataFrame:
    """`splits.evaluate_dataset` by names, an InvalidInputError for an unknown family too; of what is read every night
    the vault is left out."""
    from foretell.assets.judging import splits

    chosen = get_family(family)
    with settings.open_engine(), UnderWay(f"evaluate {family}"):
        return splits.evaluate_dataset(
            chosen, dataset, settings.sources, leave_out_vault=dataset == chosen.dataset, progress=say
        )
