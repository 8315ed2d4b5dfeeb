"""Reports about request traces: pure functions, and one Dagster asset each."""

from foretell.assets.reports import (
    cascade,
    cost_of_pass,
    frontier,
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
    module.SPEC.name.replace("_", "-"): module.SPEC
    for module in (price_reversals, cost_of_pass, frontier, thinking_share, token_noise, routing, cascade, quotes,
                   spend)
}  # fmt: skip
"""By the name that the command line uses."""

REPORT_ASSETS = [build_report_asset(spec) for spec in REPORTS.values() if spec is not cascade.SPEC]
"""A night fits one router; cascades, which need another, are asked for."""
