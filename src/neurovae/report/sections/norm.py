"""Brain age, and deviations of single participants from the norm of the reference."""

import pandas as pd

from neurovae.io.volumes import given
from neurovae.norm.reference import people as reference_people
from neurovae.norm.words import MODEL, NORMED, OTHERS, REFERENCE
from neurovae.plan.norm import shared_sites
from neurovae.report.blocks import Block, details, note, picture, table, text
from neurovae.report.results import Row, Run, read, scans, with_page
from neurovae.report.text import count, p_value, unsigned

ACCURACY = {"people": "participants", "metric": "metric", "value": "value", "ci_low": "95 % CI low",
            "ci_high": "95 % CI high", "n": "n", "age_min": "youngest", "age_max": "oldest", "age_sd": "SD of the age",
            "status": "status", "reason": "note"}  # fmt: skip
TESTED = {"score": "score", "type": "type", "n": "n", "effect": "effect per SD of predicted age",
          "ci_low": "95 % CI low", "ci_high": "95 % CI high", "p": "p", "p_permutation": "permutation p",
          "permutations": "permutations", "naive_r": "not to be used: r with the uncorrected gap",
          "naive_p": "not to be used: its p", "status": "status", "reason": "note"}  # fmt: skip
GAPS = {"grouping": "grouping", "level": "group", "n": "n", "age_mean": "mean age", "gap": "gap, years",
        "gap_low": "95 % CI low", "gap_high": "95 % CI high", "gap_adjusted": "adjusted gap, years",
        "gap_adjusted_low": "95 % CI low, adjusted", "gap_adjusted_high": "95 % CI high, adjusted"}  # fmt: skip
DEVIANT = {"scan": "scan", "reference": "reference", "age": "age", "extrapolated": "age outside the reference",
           "extreme": "share of extreme voxels", "extreme_low": "of these too dark",
           "extreme_image": "the same without a model", "d2_percentile": "percentile of the latents",
           "n_reference": "reference participants in the norm", "status": "status", "reason": "note"}  # fmt: skip
CALIBRATED = {"way": "norm of", "scope": "over", "level": "level", "tercile": "age tercile",
              "share": "share beyond 1.96", "low": "low", "high": "high", "within": "within the bounds",
              "n": "n"}  # fmt: skip
REGIONAL = {"scan": "scan", "way": "norm of", "region": "region", "hemisphere": "side", "z": "z", "centile": "centile",
            "centile_low": "95 % CI low", "centile_high": "95 % CI high"}  # fmt: skip
NO_DIAGNOSIS = (
    "A deviation is not a diagnosis. It says that a scan differs from those of the reference; motion, scanner, anatomy "
    "without clinical meaning and error of registration have the same effect, and many healthy participants have some."
)
LARGE = 3.0  # |z| of regions that are listed


def norm(run: Run) -> list[Block]:
    """The primary model first; nothing in a run without `norm.age`."""
    blocks: list[Block] = []
    for model in run.ordered():
        if (found := read(run, f"norm/{model}/brain_age_metrics.tsv")) is not None:
            blocks += _brain_age(run, model, found)
        if (people := read(run, f"norm/{model}/deviation.tsv")) is not None:
            blocks += _deviation(run, model, people)
            blocks += [block for one in with_page(run) for block in person(run, model, one, people)]
    return [*(note(line) for line in _sites(run)), *blocks] if blocks else []


def _brain_age(run: Run, model: str, metrics: pd.DataFrame) -> list[Block]:
    folder = f"norm/{model}"
    if not (metrics["status"] == "ok").any():
        return [note(f"{model}: age was not predicted: {metrics['reason'].iloc[0]}.")]
    tests, groups, ages = (read(run, f"{folder}/brain_age{name}.tsv") for name in ("_tests", "_groups", ""))
    blocks = [text(f"{model}: {line}") for line in (accuracy(metrics), *_marked(ages))]
    blocks += [note(line) for line in uninformative(metrics)]
    blocks.append(picture(run, f"{model}_brainage.png", f"{model}: predicted against true age, and gaps by group"))
    if tests is not None and len(tests):
        blocks += [text(line) for line in sentences(tests)]
        caption = "Each score against predicted age, given a spline of age and the confounds"
        blocks.append(table(tests, TESTED, f"{folder}/brain_age_tests.tsv", caption))
    more = [table(metrics, ACCURACY, f"{folder}/brain_age_metrics.tsv", "Accuracy of the uncorrected predictions")]
    if groups is not None and len(groups):
        more.append(table(groups, GAPS, f"{folder}/brain_age_groups.tsv", "Mean gap by group"))
    return [*blocks, details(f"Brain age of {model}: all numbers", more)]


def accuracy(metrics: pd.DataFrame) -> str:
    """The accuracy in the reference in one sentence."""
    rows: dict[str, Row] = {row["metric"]: row for row in metrics[metrics["people"] == REFERENCE].to_dict("records")}
    mae, mean, r2, r = (rows[name] for name in ("mae", "mae_of_the_mean", "r2", "r"))
    said = f"age was predicted out of fold with a mean absolute error of {_interval(mae)} years "
    said += f"in {count(int(mae['n']), 'participant')} "
    said += f"aged {mae['age_min']:.0f} to {mae['age_max']:.0f} (predicting the mean age: {_interval(mean)}), "
    said += f"R² {_interval(r2)}, r {_interval(r)}, all without correction for age."
    others = metrics[(metrics["people"] == OTHERS) & (metrics["metric"] == "mae")].to_dict("records")
    return said + (f" In the others it was {_interval(others[0])} years (n = {int(others[0]['n'])})." if others else "")


def uninformative(metrics: pd.DataFrame) -> list[str]:
    """That age is not predicted better than by its mean, where the interval of R2 includes 0."""
    found = metrics[(metrics["people"] == REFERENCE) & (metrics["metric"] == "r2")].to_dict("records")
    if not found or found[0]["ci_low"] > 0:
        return []
    return [
        f"Age was not predicted better than by its mean (R² {_interval(found[0])}). The uncorrected gap is then little "
        "more than the age with its sign changed, and the test has little power."
    ]


def sentences(tests: pd.DataFrame) -> list[str]:
    """The tests of the gap, score by score."""
    done = tests[tests["status"] == "ok"].to_dict("records")
    said = [
        f"{row['score']}: predicted age given age and confounds, effect {_interval(row, 'effect')}, permutation p "
        f"{p_value(row['p_permutation'])} (n = {int(row['n'])})."
        for row in done
    ]
    untested = tests[tests["status"] != "ok"].to_dict("records")
    return [*said, *(f"{row['score']}: not tested, {row['reason']}." for row in untested)]


def _marked(ages: pd.DataFrame | None) -> list[str]:
    """How many are outside the ages of the reference."""
    if ages is None or not (beyond := int(ages["extrapolated"].astype(str).isin(["True", "true"]).sum())):
        return []
    return [
        f"{count(beyond, 'scan')} of participants outside the ages of the reference: marked, and in no test or mean."
    ]


def _deviation(run: Run, model: str, people: pd.DataFrame) -> list[Block]:
    folder = f"norm/{model}"
    if people["status"].iloc[0] not in NORMED:
        return [note(f"{model}: no norm: {people['reason'].iloc[0]}.")]
    calibrated, regions = (read(run, f"{folder}/deviation_{name}.tsv") for name in ("calibration", "regions"))
    n = int(people["n_reference"].max())
    said = f"{model}: the norm rests on {count(n, 'held-out reference participant')}. With as many, no centile below "
    outermost = people["outermost_centile"].min()
    said += f"{outermost:.1f} % or above {100 - outermost:.1f} % is bounded by what was observed (95 % confidence); "
    said += "centiles farther out rest on the assumed shape of the distribution."
    blocks = [note(NO_DIAGNOSIS), text(said)]
    blocks += [text(line) for line in calibration(calibrated)] if calibrated is not None else []
    blocks.append(picture(run, f"{model}_deviation.png", f"{model}: calibration, extreme voxels, latents"))
    others = people[~people["reference"].astype(str).isin(["True", "true"])]
    shown = (others if len(others) else people).sort_values("d2_percentile", ascending=False)
    blocks.append(
        table(shown, DEVIANT, f"{folder}/deviation.tsv", "Deviation of each participant outside the reference")
    )
    more = []
    if calibrated is not None and len(calibrated):
        more.append(table(calibrated, CALIBRATED, f"{folder}/deviation_calibration.tsv", "Calibration of the norm"))
    if regions is not None and len(regions):
        large = regions[regions["z"].abs() > LARGE].sort_values("z", key=lambda z: -z.abs())
        caption = f"Regions with |z| above {LARGE:g}; all regions are in the file"
        more.append(table(large, REGIONAL, f"{folder}/deviation_regions.tsv", caption))
    return [*blocks, details(f"Norm of {model}: calibration and regions", more)] if more else blocks


def person(run: Run, model: str, name: str, people: pd.DataFrame) -> list[Block]:
    """The page of one participant who was asked for: numbers, what they do not say, maps and regions."""
    title = f"Participant {name} ({model})"
    rows = people[people["person"].astype(str) == name].to_dict("records")
    if not rows or rows[0]["status"] not in NORMED:
        reason = rows[0]["reason"] if rows else "excluded, without age or sex, or not held out of any model of this run"
        return [details(title, [note(f"No deviation: {reason}.")])]
    row = rows[0]
    folder, regions = f"norm/{model}", read(run, f"norm/{model}/deviation_regions.tsv")
    blocks = [note(NO_DIAGNOSIS), *(note(line) for line in _doubts(row, people)), text(described(row, people))]
    if regions is None or row["status"] != "ok":
        return [details(title, [*blocks, note(f"No maps and regions: {row['reason']}.", "info")])]
    own = regions[regions["scan"] == row["scan"]].sort_values("z", key=lambda z: -z.abs())
    blocks.append(picture(run, f"{model}_{name}_person.png", f"{name}: maps of deviation, and z of all regions"))
    caption = "Regions, the largest |z| first"
    return [details(title, [*blocks, table(own, REGIONAL, f"{folder}/deviation_regions.tsv", caption)])]


def described(row: Row, people: pd.DataFrame) -> str:
    """Age, extreme voxels and percentile of the latents of a participant, beside the reference."""
    own = people[people["reference"].astype(str).isin(["True", "true"])]
    said = f"{row['person']}, {row['age']:.0f} years, scan {row['scan']}."
    if pd.notna(row["extreme"]):
        middle, high = (100 * own["extreme"].quantile(part) for part in (0.5, 0.95))
        said += f" Extreme voxels: {100 * row['extreme']:.1f} % of the scan minus its reconstruction "
        said += f"(reference: median {middle:.1f} %, 95th percentile {high:.1f} %)"
        said += f", {100 * row['extreme_image']:.1f} % without a model."
    if pd.notna(row["d2_percentile"]):
        said += f" The latents are at percentile {row['d2_percentile']:.0f} of the reference by their distance "
        said += f"(median of {count(int(row['d2_folds']), 'fold')})."
    return said


def _doubts(row: Row, people: pd.DataFrame) -> list[str]:
    """What else may explain the deviations of this participant."""
    own = people["reference"].astype(str).isin(["True", "true"])
    said = []
    if str(row["extrapolated"]) in ("True", "true"):
        said.append("The age is outside the ages of the reference: its norm is extrapolated.")
    if row["site"] not in set(people.loc[own, "site"]):
        said.append(f"No reference participant is of site {row['site']}: the deviation may be that of the scanner.")
    return said


def calibration(found: pd.DataFrame) -> list[str]:
    """The share beyond 1.96 over all regions, and how many cells of region and tercile are outside their bounds."""
    said = []
    for way, part in found.groupby("way", sort=False):
        whole = part[part["scope"] == "all regions"].to_dict("records")[0]
        cells = part[part["scope"] == "region and age tercile"]
        outside = int((~cells["within"].astype(str).isin(["True", "true"])).sum())
        name = "scan minus reconstruction" if way == MODEL else "smoothed scan, without a model"
        share, low, high = (100 * whole[key] for key in ("share", "low", "high"))
        said.append(
            f"Calibration ({name}): {share:.1f} % [{low:.1f}, {high:.1f}] of the regions of {int(whole['n'])} held-out "
            f"reference participants were beyond 1.96 (5 % expected); {outside} of {len(cells)} cells of region and "
            "age tercile were outside their simultaneous 95 % bounds."
        )
    return said


def _sites(run: Run) -> list[str]:
    """That reference and others share no site, where that is so."""
    file, people = run.cohort / "cohort" / "reference.tsv", scans(run)
    chosen = reference_people(file) if given(file) and file.exists() else None
    if chosen is None or people is None:
        return []
    sites = people["site"].fillna("n/a").astype(str)
    return shared_sites([(site, person in chosen) for site, person in zip(sites, people["person"], strict=True)])


def _interval(row: Row, value: str = "value") -> str:
    return unsigned(row[value], row["ci_low"], row["ci_high"])
