"""Reports about request traces: pure functions, and one Dagster asset each."""

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
from foretell.assets.reports.spec import Report, ReportSpec, build_report_asset

__all__ = ["REPORTS", "REPORT_ASSETS", "Report", "ReportSpec"]

REPORTS: dict[str, ReportSpec] = {
    spec.name.replace("_", "-"): spec
    for spec in (price_reversals.SPEC, cost_of_pass.SPEC, cost_of_pass.FRONTIER, thinking_share.SPEC, token_noise.SPEC,
                 routing.SPEC, cascade.SPEC, quotes.SPEC, spend.SPEC)
}  # fmt: skip
"""By the name that the command line uses."""

REPORT_ASSETS = [build_report_asset(spec) for spec in REPORTS.values() if spec is not cascade.SPEC]
"""A night fits one router; cascades, which need another, are asked for."""
