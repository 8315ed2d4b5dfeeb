"""Reports about request traces: pure functions."""

from foretell.assets.reports import (
    cascade,
    cost_of_pass,
    price_reversals,
    quotes,
    routing,
    spend,
    thinking_share,
    token_noise,
)
from foretell.assets.reports.spec import Report, ReportSpec

__all__ = ["REPORTS", "Report", "ReportSpec"]

REPORTS: dict[str, ReportSpec] = {
    spec.name.replace("_", "-"): spec
    for spec in (price_reversals.SPEC, cost_of_pass.SPEC, cost_of_pass.FRONTIER, thinking_share.SPEC, token_noise.SPEC,
                 routing.SPEC, cascade.SPEC, quotes.SPEC, spend.SPEC)
}  # fmt: skip
"""By the name that the command line uses."""
