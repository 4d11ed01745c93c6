"""Changes after a finished run, and what they may rerun."""

from project import Project


def jobs(rules: str, of: str) -> set[str]:
    """Every rule with every model or bucket: jobs("glm spline", "vae pca-3")."""
    return {f"{rule} {one}" for rule in rules.split() for one in of.split()}


MODELS = "vae other pca-3 pca-4"


TESTS = "glm spline joint permute omnibus mixed"  # inference


AUDITS = "confounds sites stability confounds_picture stability_picture"


SEEN = "vae pca-3"  # models that are decoded


MAPPED = "maps jacobian seeds counterfactual maps_picture counterfactuals_picture traversals_picture"


LAST = {"summary", "test", "verdict"}


ASSOCIATED = {"associate"} | LAST


PREDICTED = {"predictions", "compare", "baselines"} | LAST


SUMMARISED = ASSOCIATED | PREDICTED


TESTED = (
    jobs(f"{TESTS} {AUDITS} predict scores directions calibration importance_picture", MODELS)
    | jobs(MAPPED, SEEN)
    | SUMMARISED
    | {"power", "voxels"}
)


def older(project: Project) -> None:
    """The first person's age, other by a year."""
    table = project.bids / "participants.tsv"
    header, row, *rest = table.read_text().split("\n")
    person, age, *cells = row.split("\t")
    table.write_text("\n".join([header, "\t".join([person, f"{float(age) + 1:.1f}", *cells]), *rest]))
