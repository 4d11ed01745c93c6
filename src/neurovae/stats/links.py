"""The links of each score type, and the statsmodels family that one of them makes."""

import statsmodels.api as sm
from statsmodels.genmod.families import links
from statsmodels.genmod.families.family import Family

from neurovae.errors import InputError

CLASSES = {
    "identity": links.Identity,
    "log": links.Log,
    "sqrt": links.Sqrt,
    "inverse": links.InversePower,
    "logit": links.Logit,
    "probit": links.Probit,
    "cloglog": links.CLogLog,
}
LINKS = {  # the first is the default
    "continuous": ("identity", "log"),
    "count": ("log", "sqrt", "identity"),
    "binary": ("logit", "probit", "cloglog"),
    "ordinal": ("logit", "probit", "cloglog"),
    "bounded": ("logit", "probit", "cloglog"),
    "gamma": ("log", "inverse", "identity"),
    "survival": ("log hazard",),
}


def link_of(kind: str, link: str | None) -> str:
    """Return the link of a score of this type: the given one, else the type's default.

    Raises:
        InputError: the type has no such link.
    """
    if kind not in LINKS:
        raise InputError(f"scores: no type '{kind}'; use one of {', '.join(LINKS)}")
    if link is not None and link not in LINKS[kind]:
        raise InputError(
            f"scores: type '{kind}' has no link '{link}'; use one of {', '.join(LINKS[kind])}, or remove the key"
        )
    return link or LINKS[kind][0]


def family(kind: str, link: str, alpha: float = 0.0) -> Family:
    """Return the family with variance function and link. Counts are Poisson at alpha = 0, else negative binomial."""
    link_function = CLASSES[link]()
    if kind == "count":
        return (
            sm.families.NegativeBinomial(link=link_function, alpha=alpha)
            if alpha > 0
            else sm.families.Poisson(link=link_function)
        )
    classes = {"continuous": sm.families.Gaussian, "gamma": sm.families.Gamma}
    return classes.get(kind, sm.families.Binomial)(link=link_function)


def positive_only(kind: str, link: str) -> bool:
    """Whether a linear predictor of zero or less has no mean of this type (or, for the square root, a second one)."""
    return kind in ("count", "gamma") and link in ("identity", "inverse", "sqrt")
