"""Sloth: families of base models on the tasks of the Open LLM leaderboards, with size and tokens.

Rows of source ``sloth`` in a prepared table of scores (felipemaiapolo/sloth, MIT; Maia Polo et al. 2024): columns
``model``, ``org`` (family), ``n_params``, ``train_tokens``, ``benchmark``, ``config``, ``score01`` (0-1).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

_MMLU_ITEMS = """
abstract_algebra 100 anatomy 135 astronomy 152 business_ethics 100 clinical_knowledge 265 college_biology
144 college_chemistry 100 college_computer_science 100 college_mathematics 100 college_medicine 173
college_physics 102 computer_security 100 conceptual_physics 235 econometrics 114 electrical_engineering 145
elementary_mathematics 378 formal_logic 126 global_facts 100 high_school_biology 310 high_school_chemistry
203 high_school_computer_science 100 high_school_european_history 165 high_school_geography 198
high_school_government_and_politics 193 high_school_macroeconomics 390 high_school_mathematics 270
high_school_microeconomics 238 high_school_physics 151 high_school_psychology 545 high_school_statistics 216
high_school_us_history 204 high_school_world_history 237 human_aging 223 human_sexuality 131
international_law 121 jurisprudence 108 logical_fallacies 163 machine_learning 112 management 103 marketing
234 medical_genetics 100 miscellaneous 783 moral_disputes 346 moral_scenarios 895 nutrition 306 philosophy
311 prehistory 324 professional_accounting 282 professional_law 1534 professional_medicine 272
professional_psychology 612 public_relations 110 security_studies 245 sociology 201 us_foreign_policy 100
virology 166 world_religions 171
"""
"""Subject and number of its items, in turn."""
_MMLU = _MMLU_ITEMS.split()
_BBH_CHOICES = {
    "boolean_expressions": 2, "causal_judgement": 2, "date_understanding": 6, "disambiguation_qa": 3,
    "formal_fallacies": 2, "geometric_shapes": 11, "hyperbaton": 2, "logical_deduction_five_objects": 5,
    "logical_deduction_seven_objects": 7, "logical_deduction_three_objects": 3, "movie_recommendation": 6,
    "navigate": 2, "object_counting": 19, "penguins_in_a_table": 5, "reasoning_about_colored_objects": 18,
    "ruin_names": 6, "salient_translation_error_detection": 6, "snarks": 2, "sports_understanding": 2,
    "temporal_sequences": 4, "tracking_shuffled_objects_five_objects": 5,
    "tracking_shuffled_objects_seven_objects": 7, "tracking_shuffled_objects_three_objects": 3, "web_of_lies": 2,
}  # fmt: skip
_BBH_ITEMS = {"causal_judgement": 187, "penguins_in_a_table": 146, "snarks": 178}
_MATH = {"algebra": 307, "counting_and_prob": 123, "geometry": 132, "intermediate_algebra": 280, "num_theory": 154,
         "prealgebra": 193, "precalculus": 135}  # fmt: skip
SLOTH_TASKS: dict[str, tuple[float, int]] = {
    **{f"hendrycksTest-{name}": (25.0, int(n)) for name, n in zip(_MMLU[::2], _MMLU[1::2], strict=True)},
    **{f"bbh_{name}": (100 / k, _BBH_ITEMS.get(name, 250)) for name, k in _BBH_CHOICES.items()},
    **{f"math_{name}_hard": (0.0, n) for name, n in _MATH.items()},
    "gpqa_diamond": (25.0, 198), "gpqa_extended": (25.0, 546), "gpqa_main": (25.0, 448),
    "musr_murder_mysteries": (50.0, 250), "musr_object_placements": (20.0, 256), "musr_team_allocation": (100 / 3, 250),
    "MMLU": (25.0, 14_042), "ARC": (25.0, 1_172), "HellaSwag": (25.0, 10_042), "Winogrande": (50.0, 1_267),
    "GSM8K": (0.0, 1_319), "IFEval": (0.0, 541), "MMLU-PRO": (10.0, 12_032), "HumanEval": (0.0, 164),
    "XWinograd": (50.0, 2_325),
}  # fmt: skip
"""Task -> (score of a guess in points, number of items); other tasks are means of these or have no guess."""


def load_sloth(path: Path) -> pd.DataFrame:
    """Base models of known size and tokens, one row per model and task.

    Returns
    -------
    DataFrame
        ``model``, ``model_family``, ``n_params``, ``n_train_tokens``, ``train_flops`` (6 N D), ``benchmark`` and
        ``score`` (points).
    """
    rows = pd.read_parquet(path)
    is_base = rows["config"].astype("str").str.contains('"instruct": false', regex=False)
    rows = rows[rows["source"].eq("sloth") & is_base & rows["benchmark"].isin(list(SLOTH_TASKS))]
    rows = rows.dropna(subset=["n_params", "train_tokens", "score01"]).drop_duplicates(["model", "benchmark"])
    table = pd.DataFrame({
        "model": rows["model"], "model_family": rows["org"], "n_params": rows["n_params"].astype("float64"),
        "n_train_tokens": rows["train_tokens"].astype("float64"), "benchmark": rows["benchmark"],
        "score": 100.0 * rows["score01"].astype("float64"),
    })  # fmt: skip
    table["train_flops"] = 6.0 * table["n_params"] * table["n_train_tokens"]
    return table.sort_values(["model_family", "benchmark", "train_flops"], kind="stable", ignore_index=True)
