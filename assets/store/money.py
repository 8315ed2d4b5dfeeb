"""Dollars and shares as text."""


def money(usd: float) -> str:
    """Dollars with cents, or with two significant digits where cents would hide them: ``$0.00042``."""
    sign, size = "-" if usd < 0 else "", abs(usd)
    if not size or size >= 0.095 or size != size:
        return f"{sign}${size:,.2f}" if size == size else "-"
    return f"{sign}${float(f'{size:.2g}'):.12f}".rstrip("0")


def percent(share: float, digits: int = 0) -> str:
    """A share in percent, such as ``90 %``; a dash where it is not known."""
    return f"{100 * share:,.{digits}f} %" if share == share else "-"
