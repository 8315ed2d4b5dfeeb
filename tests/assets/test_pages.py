"""Tables of values as a page shows them."""

from __future__ import annotations

import pandas as pd

from foretell.assets.pages import Page, Section, as_text


def test_ends_of_an_interval_are_dollars_where_what_they_are_of_is() -> None:
    values = {"usd_per_pass": [5e-05], "ci_lower": [3.861e-05], "ci_upper": [6.356e-05], "rate": [0.5]}
    table = pd.DataFrame({**values, "ci_lower_rate": [3e-05]})
    assert as_text(table).iloc[0].tolist()[:3] == ["$0.00005", "$0.000039", "$0.000064"]
    assert as_text(pd.DataFrame({"rate": [0.5], "ci_lower": [3.861e-05]})).iloc[0, 1] == "3.861e-05"


def test_the_longer_a_text_the_more_room_it_has_and_short_words_take_none() -> None:
    table = pd.DataFrame({"check": ["ok"], "found": ["eleven files can be read"], "remedy": ["x" * 80], "n": ["3"]})
    html = Page("t", [Section(table=table)]).html()
    kinds = ['<td class="text">ok', '<td class="text long">eleven', '<td class="text long prose">x', "<td>3"]
    assert [kind for kind in kinds if kind not in html] == []
