"""Section of the report that is read first: people, verdicts, findings with what speaks against them, predictions."""

from typing import Any

import pandas as pd

from neurovae.design.tables import STOPPING
from neurovae.report.blocks import Block, Run, absent, details, interval, note, of_fit, read, shown, table
from neurovae.report.sections.models import HEADS, health, verdicts, why
from neurovae.report.sections.tested import QUALITY, below, estimate, positive, scans, tested

ASSOCIATIONS = "findings/associations.tsv"
FINDINGS = {"score": "score", "latent": "strongest latent", "effect": "effect per SD [95 % CI]", "q": "q",
            "p_maxt": "max-T p", "audits": "audits", "replicated": "other seeds", "omnibus": "omnibus p",
            "partial_r2_cv": "share told", "below": "latents below .05", "bend": "U: smallest max-T p",
            "n": "n"}  # fmt: skip
PREDICTED = {"score": "score", "model": "model", "seed": "seed", "features": "features", "learner": "learner",
             "metric": "metric", "value": "value", "ci_low": "95 % low", "ci_high": "high",
             "gain": "gain over confounds", "p_permutation": "permutation p", "n": "n", "policy": "policy",
             "verdict": "verdict", "status": "status", "reason": "reason"}  # fmt: skip
PASSED = "nothing flagged"


def audits(row: dict[Any, Any]) -> str:
    """What speaks against a finding: nuisances, the model's verdict and caveats, other seeds; or that nothing does."""
    found = []
    if str(row.get("flagged")) == "True":
        found.append(f"the latent goes with {row['nuisance']}")
    if isinstance(row.get("score_nuisance"), str) and row["score_nuisance"]:
        found.append(row["score_nuisance"])
    verdict, *caveats = str(row.get("verdict")).split("; ")
    if verdict != "healthy":
        found.append(f"model: {verdict}")
    seen = row.get("replicated")
    if isinstance(seen, str) and (seen.startswith("0 of") or seen == "no counterpart"):
        found.append(f"other seeds: {seen}")
    said = "FLAGGED: " + "; ".join(found) if found else PASSED
    return said + (f" ({'; '.join(caveats)})" if caveats else "")


def findings(run: Run, tests: pd.DataFrame, whole: pd.DataFrame | None) -> pd.DataFrame:
    """A row per score: the primary model's strongest latent with q, max-T p, omnibus p, stability and audits."""
    rows = []
    for score, part in of_fit(tests[tests["model"] == run.primary], run.fit).groupby("score", sort=False, dropna=False):
        known = tested(part)
        if known.empty:
            name = "every score" if pd.isna(score) else score
            rows.append(
                {"score": name, "latent": part["status"].iloc[0], "audits": f"NOT TESTED: {part['reason'].iloc[0]}"}
            )
            continue
        best = known.iloc[0].to_dict()
        row = {"score": score, "effect": estimate(best, positive(run, score)), "audits": audits(best)}
        row |= {name: best[name] for name in ("latent", "q", "p_maxt", "n", "replicated")}
        row |= {"below": below(known), "bend": known["p_quadratic_maxt"].min()}
        rows.append(row | together(run, whole, score))
    return pd.DataFrame(rows)


def together(run: Run, whole: pd.DataFrame | None, score: Any) -> dict[str, Any]:
    """The primary model's omnibus p and share of one score; empty where it was not tested."""
    if whole is None:
        return {}
    one = of_fit(whole[(whole["model"] == run.primary) & (whole["score"] == score)], run.fit)
    return {} if one.empty else {"omnibus": one["p"].iloc[0], "partial_r2_cv": one["partial_r2_cv"].iloc[0]}


def summary(run: Run) -> list[Block]:
    """The run on one screen: people, verdicts, findings with what speaks against them, predictions."""
    checks, people, left = read(run, QUALITY), scans(run), read(run, "cohort/excluded.tsv")
    counts: list[tuple[str, Any]] = []
    if people is not None:
        counts += [("people analysed", int(people["person"].nunique())), ("scans analysed", len(people))]
    counts += [("left out by the tables", "not there" if left is None else len(left))]
    counts += [("excluded by quality", "not there" if checks is None else int(checks["excluded"].astype(bool).sum()))]
    found = health(run, run.primary)
    counts += [("primary model", run.primary), ("its verdict", found["verdict"] if found else "not there")]
    blocks: list[Block] = [{"kind": "tiles", "pairs": [(name, shown(value)) for name, value in counts]}]
    if found and found["verdict"] in STOPPING:
        blocks += [note(f"Primary model: {why(run, run.primary)}")]
    short = {
        name: HEADS[name]
        for name in (
            "model",
            "verdict",
            "variance_explained_training",
            "variance_explained_test",
            "identified",
            "reason",
        )
    }
    caption = f"Verdict of each model on its own, {run.fit}"
    blocks += [table(verdicts(run), short, f"train/<model>/{run.fit}/health.json", caption, 12, "verdict")]
    tests = read(run, ASSOCIATIONS)
    if tests is None:
        blocks += [absent(ASSOCIATIONS, "the stage associate has not written it")]
    else:
        caption = f"Inference, {run.fit}, primary model {run.primary}: strongest latent, and what speaks against it"
        frame = findings(run, tests, read(run, "findings/omnibus.tsv"))
        blocks += [table(frame, FINDINGS, f"{ASSOCIATIONS}, findings/omnibus.tsv", caption, 30, "audits")]
    blocks += _told(run)
    path = run.cohort / "report" / "summary.txt"
    if path.exists():
        blocks += [details("The same as text (report/summary.txt)", [{"kind": "pre", "text": path.read_text("utf-8")}])]
    return blocks


def _told(run: Run) -> list[Block]:
    """Prediction in one table: R2 or AUC of the linear learner, from confounds, latents, both and voxels."""
    predictions = read(run, "predict/predictions.tsv")
    if predictions is None:
        return [absent("predict/predictions.tsv", "the stage predict has not written it")]
    seeds = predictions["seed"].isna() | (predictions["seed"] == int(run.seed.split("-")[1]))
    mine = seeds & predictions["model"].isin([run.primary, "voxels"]) & (predictions["learner"] == "linear")
    kept = predictions[mine & predictions["metric"].isin(["r2", "auc"])].copy()
    kept["told"] = [interval(*row) for row in kept[["value", "ci_low", "ci_high"]].itertuples(index=False)]
    wide = kept[~kept["features"].astype(str).str.endswith("without confounds")].drop_duplicates(["score", "features"])
    if wide.empty:
        lost = predictions[predictions["status"] != "ok"].drop_duplicates(["score", "model"])
        return [table(lost, PREDICTED, "predict/predictions.tsv", "No prediction of the primary model", 30)]
    frame = wide.pivot(index="score", columns="features", values="told").reindex(wide["score"].unique()).reset_index()
    p = wide[wide["features"] == "latents + confounds"].set_index("score")
    frame["metric"] = [{"r2": "R²", "auc": "AUC"}[m] for m in wide.drop_duplicates("score")["metric"]]
    tested = predictions[mine & (predictions["features"] == "latents + confounds")].dropna(subset="p_permutation")
    tested = tested[tested["model"] == run.primary].drop_duplicates("score")  # it stands in the row of its statistic
    frame["p_permutation"] = frame["score"].map(tested.set_index("score")["p_permutation"])
    frame["policy"] = frame["score"].map(p["policy"]) if len(p) else None
    heads = {"score": "score", "metric": "metric", "confounds": "confounds", "latents": "latents",
             "latents + confounds": "latents + confounds", "p_permutation": "permutation p", "voxels": "voxels",
             "voxels + confounds": "voxels + confounds", "policy": "policy"}  # fmt: skip
    caption = (
        f"Prediction of people left out of the fit by {run.primary} and by all voxels, linear learner [95 % interval]"
    )
    return [table(frame, heads, "predict/predictions.tsv", caption, 30)]
