"""Changes after a finished run, and what they may rerun."""

from project import Project


def jobs(rules: str, of: str) -> set[str]:
    """Every rule with every model or bucket: jobs("train health", "vae pca-3")."""
    return {f"{rule} {one}" for rule in rules.split() for one in of.split()}


MODELS = "vae other pca-3"


TESTS = "univariate multivariable omnibus mixed"  # inference


AUDITS = "confounds sites stability"


SEEN = "vae pca-3"  # models that are decoded


MAPPED = "maps jacobian seeds counterfactual"


LAST = {"summary", "report", "verdict"}


ASSOCIATED = {"findings"} | LAST


PREDICTED = {"predictions", "compare", "plot_predict"} | LAST


SUMMARISED = ASSOCIATED | PREDICTED


TESTED = (
    jobs(f"{TESTS} {AUDITS} predict", MODELS)
    | jobs(MAPPED, SEEN)
    | SUMMARISED
    | {"power", "voxels", "plot_associate", "plot_audit", "plot_interpret"}
)


def older(project: Project) -> None:
    """The first person's age, other by a year."""
    table = project.bids / "participants.tsv"
    header, row, *rest = table.read_text().split("\n")
    person, age, *cells = row.split("\t")
    table.write_text("\n".join([header, "\t".join([person, f"{float(age) + 1:.1f}", *cells]), *rest]))
