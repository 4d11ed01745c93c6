"""Functional networks: their maps, and how stable the features of participants are."""

import pandas as pd

from neurovae.report.blocks import Block, heading, picture, table, text
from neurovae.report.results import Run, read

HEADS = {"network": "network", "course_sd": "SD of the course, training", "split_half_r": "r of two halves of a run",
         "template_map": "most similar map of the template", "template_r": "|r| with it"}  # fmt: skip
CAPTION = (
    "Networks of {model}. r of two halves: correlation over the {n} test participants of the SD of the course in the "
    "first and the second half of their series"
)


def networks(run: Run) -> list[Block]:
    """A figure, a line and a table per model of networks; nothing where there is none."""
    blocks: list[Block] = []
    for model in run.ordered():
        path = f"interpret/{model}/{run.fit}/networks.parquet"
        found, people = read(run, path), read(run, path.replace("networks", "network_people"))
        if found is None or people is None:
            continue
        caption = CAPTION.format(model=model, n=found["people"].iloc[0])
        heads = HEADS if found["template_r"].notna().any() else {key: HEADS[key] for key in list(HEADS)[:3]}
        blocks += [heading(f"{model}: functional networks"), text(line(people)),
                   picture(run, f"{model}_{run.fit}_networks.png", f"{model}: maps of the networks"),
                   table(found, heads, path, caption)]  # fmt: skip
    return blocks


def line(people: pd.DataFrame) -> str:
    """How many test participants are identified by their features."""
    test = people[people["split"] == "test"]
    if test.empty:
        return "There are no test participants."
    right, n = int(test["identified"].sum()), len(test)
    return (
        f"The features of the first half of the series identified {right} of {n} test participants by those of the "
        f"second half (by chance: 1 of {n})."
    )
