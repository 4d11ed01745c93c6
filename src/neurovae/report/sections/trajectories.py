"""Trajectories: how latents change over the visits of each person, and how well a later visit is predicted."""

import pandas as pd

from neurovae.report.blocks import Block, by_model, details, file_table, note, pictures, table, text
from neurovae.report.results import LEVEL, Row, Run, read, why
from neurovae.report.text import count, listed
from neurovae.report.words import participants as in_participants
from neurovae.trajectory.frame import AGE
from neurovae.trajectory.growth_rows import TERMS

EFFECTS, CHANGE, FORECAST = "trajectory/effects.tsv", "trajectory/change.tsv", "trajectory/forecast.tsv"
TESTED = {"score": "score", "latent": "latent", "effect": "difference in yearly change", "ci_low": "95 % CI low",
          "ci_high": "95 % CI high", "p": "p", "q": "q", "p_permutation": "permutation p", "p_maxt": "max-T p",
          "n": "n", "n_repeated": "with two or more visits", "status": "status", "reason": "note"}  # fmt: skip
CHANGED = {"latent": "latent", "term": "term", "effect_sd": "effect, SD per year", "effect": "effect",
           "ci_low": "95 % CI low", "ci_high": "95 % CI high", "p": "p", "q": "q", "var_level": "variance of levels",
           "var_slope": "variance of slopes", "r_level_slope": "their correlation", "var_residual": "residual variance",
           "n": "n", "n_repeated": "with two or more visits", "n_scans": "visits", "random": "random effects",
           "status": "status", "reason": "note"}  # fmt: skip
PREDICTED = {"space": "space", "measure": "measure", "against": "against", "value": "value", "ci_low": "95 % CI low",
             "ci_high": "95 % CI high", "n": "n", "folds": "folds", "status": "status", "reason": "note"}  # fmt: skip
REGIONS = {"region": "region", "hemisphere": "hemisphere", "voxels": "voxels", "change": "change in a year",
           "low": "95 % CI low", "high": "95 % CI high", "percent": "volume, % in a year"}  # fmt: skip
VOLUMES = (
    "Volume: log-Jacobian of the registration of the decoded mean brain at first visits to that after {years:.3g} "
    "years, the longest follow-up, per year. It has no interval, and is rather too small (decoded brains are smooth)."
)
SAME_PEOPLE = (
    "Level and slope of a person are predictions of the growth model, shrunken towards the mean: do not correlate "
    "slopes with scores, use the tests of time x score here. Their reliabilities are in people.tsv of each model."
)


def trajectories(run: Run) -> list[Block]:
    """Sentences, the figures and the tables of each model; nothing in a run without trajectories."""
    effects, change, forecast = (read(run, path) for path in (EFFECTS, CHANGE, FORECAST))
    if effects is None or change is None or forecast is None:
        return []
    blocks = [text(line) for line in sentences(run, effects, change, forecast)]
    for model in dict.fromkeys(effects["model"]):
        parts = (frame[frame["model"] == model] for frame in (change, effects, forecast))
        blocks += by_model(run, model, _of_model(run, str(model), *parts))
    return [*blocks, note(SAME_PEOPLE, "info")]


def _of_model(run: Run, model: str, change: pd.DataFrame, effects: pd.DataFrame, forecast: pd.DataFrame) -> list[Block]:
    names = {"trajectory": "trajectories, scores against change, and the prediction of a hidden visit"}
    decoded = (run.cohort / "report" / f"{model}_{run.fit}_yearly.png").exists()
    names |= {"yearly": "map of the mean change in a year"} if decoded else {}
    title = "Prediction of the hidden last visit: squared error of the model over that of each alternative"
    blocks = [*pictures(run, model, run.fit, names), table(forecast, PREDICTED, FORECAST, title)]
    shown = change.sort_values(["p_maxt", "p"], kind="stable")
    blocks.append(table(shown, TESTED, CHANGE, "Scores at the first visit against the change of each latent"))
    if decoded:
        blocks += _regions(run, f"trajectory/{model}/{run.fit}")
    closed = table(effects, CHANGED, EFFECTS, "Change within people and differences between people, each latent")
    return [*blocks, details("Growth model of each latent", [closed])]


def _regions(run: Run, folder: str) -> list[Block]:
    """The change of intensity of each region, and that of its volume beside it."""
    title, path = "Mean change of regions in a year, decoded, largest first", f"{folder}/regions.tsv"
    regions, volumes = read(run, path), read(run, f"{folder}/volume_change.tsv")
    if regions is None or volumes is None or not (volumes["status"] == "ok").any():
        return [file_table(run, path, REGIONS, title)]
    both = regions.merge(volumes[["index", "percent"]], on="index", how="left")
    return [table(both, REGIONS, path, title), note(VOLUMES.format(years=volumes["years"].iloc[0]), "info")]


def sentences(run: Run, effects: pd.DataFrame, change: pd.DataFrame, forecast: pd.DataFrame) -> list[str]:
    """What changes, which scores go with it, and whether a later visit is predicted, of the primary model."""
    model = run.primary if (effects["model"] == run.primary).any() else str(effects["model"].iloc[0])
    own = effects[(effects["model"] == model) & (effects["term"] == TERMS["years"]) & (effects["status"] == "ok")]
    if own.empty:
        row = effects[effects["model"] == model].iloc[0]
        return [f"{model}: {row['status']}, {row['reason']}. {why(run, model)}".strip()]
    first = own.iloc[0]
    found = [
        f"{model}: of {count(len(own), 'latent')}, {int((own['q'] < LEVEL).sum())} changed over time within people "
        f"(q < {LEVEL:g}; {int(first['n_repeated'])} people with two or more visits, {int(first['n_scans'])} visits). "
        f"Random effects: {first['random']}."
    ]
    tested = change[(change["model"] == model) & (change["status"] == "ok") & change["p_maxt"].notna()]
    if len(tested):
        smallest = tested.groupby("score", sort=False)["p_maxt"].min()
        hits = [f"{score} (max-T p = {p:.2g})" for score, p in smallest.items() if p < LEVEL]
        said = f"associated with change: {', '.join(hits)}" if hits else "none was associated with change"
        found.append(f"Of {count(len(smallest), 'score')} at the first visit, {said}.")
    ratios = forecast[(forecast["model"] == model) & (forecast["measure"] == "error ratio")]
    for space, part in ratios.groupby("space", sort=False):
        rows: list[Row] = part.to_dict("records")
        words = ", ".join(
            f"{row['value']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}] ({row['against']})" for row in rows
        )
        found.append(
            f"The hidden last visit of {count(int(rows[0]['n']), 'unseen participant')} was predicted in {space} "
            f"with a squared error, relative to that of each alternative, of {words}."
        )
    return found


def methods(run: Run) -> str:
    """The growth models, tests and predictions as the tables have them, for the methods text; empty without them."""
    effects, change, forecast = (read(run, path) for path in (EFFECTS, CHANGE, FORECAST))
    if effects is None or change is None or forecast is None or not (effects["status"] == "ok").any():
        return ""
    row = effects[effects["status"] == "ok"].iloc[0]
    slopes = "random levels and slopes" if row["random"] == "level and slope" else "random levels"
    aged = "age at the first session (between participants) and " if (effects["term"] == TERMS[AGE]).any() else ""
    tested = change[change["p_maxt"].notna()]
    said = [
        f"Trajectories. Each latent variable was modelled over the visits of {count(int(row['n']), 'participant')} "
        f"({int(row['n_repeated'])} with two or more visits) by a linear mixed model [laird, bernal] with {aged}years "
        f"since then (within participants) [neuhaus], confounds, and {slopes}, fitted by restricted maximum "
        "likelihood; degrees of freedom were those of between- and within-participant terms [schluchter].",
        "Associations of scores at the first session with change were tested as the product of time and score, "
        "adjusted for the products of time with age and constant confounds, by max-T over latents [maxt] with "
        f"{int(tested['permutations'].iloc[0]):,} permutations of {_moved(tested)} [blocks]."
        if len(tested)
        else "",
        "The last visit of each test participant was hidden and predicted by models fitted to the training and "
        "validation participants; squared errors were compared with those of carrying the last visit forward, with "
        f"{int(forecast['resamples'].max()):,} bootstrap samples of participants."
        if forecast["resamples"].notna().any()
        else "",
    ]
    return " ".join(words for words in said if words)


def _moved(tested: pd.DataFrame) -> str:
    """What was permuted, as the rows say."""
    return listed([in_participants(rule) for rule in tested["exchangeability"].drop_duplicates()])
