"""Reports about request traces: pure functions, and one Dagster asset each."""

from assets.reports.cost_of_pass import SPEC as COST_OF_PASS
from assets.reports.cost_of_pass import cost_of_pass_report_asset
from assets.reports.frontier import SPEC as FRONTIER
from assets.reports.frontier import frontier_report_asset
from assets.reports.price_reversals import SPEC as PRICE_REVERSALS
from assets.reports.price_reversals import price_reversals_report_asset
from assets.reports.report import Report, ReportSpec
from assets.reports.routing import SPEC as ROUTING
from assets.reports.routing import routing_report_asset
from assets.reports.thinking_share import SPEC as THINKING_SHARE
from assets.reports.thinking_share import thinking_share_report_asset
from assets.reports.token_noise import SPEC as TOKEN_NOISE
from assets.reports.token_noise import token_noise_report_asset

__all__ = ["REPORTS", "REPORT_ASSETS", "Report", "ReportSpec"]

REPORTS: dict[str, ReportSpec] = {
    spec.name.replace("_", "-"): spec
    for spec in (PRICE_REVERSALS, COST_OF_PASS, FRONTIER, THINKING_SHARE, TOKEN_NOISE, ROUTING)
}
"""By the name that the command line uses."""

REPORT_ASSETS = [
    price_reversals_report_asset,
    cost_of_pass_report_asset,
    frontier_report_asset,
    thinking_share_report_asset,
    token_noise_report_asset,
    routing_report_asset,
]
