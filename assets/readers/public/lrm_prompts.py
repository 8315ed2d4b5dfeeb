"""The prompts of LRMTokenEconomy, which its table of runs names but does not hold.

``evalset/TokenEconomyDataset_V1.json``: an object with ``prompts``, each with ``prompt_id`` and ``prompt``.
https://github.com/cpldcpu/LRMTokenEconomy, Apache-2.0.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from foretell.predictors.errors import DatasetError

_REMEDY = "fetch the file again: `foretell fetch lrm-token-economy`"


def read_prompts(path: Path) -> pd.Series:
    """Text of every prompt, index `prompt_id`.

    Raises
    ------
    DatasetError
        If the file is missing, not JSON, or names a prompt twice or without text.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
        found = [(str(item["prompt_id"]), str(item["prompt"])) for item in document["prompts"]]
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); {_REMEDY}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: no list `prompts` of objects with prompt_id and prompt ({error}); {_REMEDY}"
        ) from None
    prompts = pd.Series(dict(found), name="prompt_text", dtype="str")
    if len(prompts) != len(found) or (prompts.str.strip() == "").any():
        raise DatasetError(f"{path}: a prompt stands twice or is empty; {_REMEDY}")
    return prompts
