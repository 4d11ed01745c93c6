"""Warnings of a dry run: problems that would otherwise show only after hours; standard library only, for parse time."""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean, pvariance
from typing import Any

from neurovae.cohort import survival
from neurovae.cohort.columns import Cells, codes, plain, source, values
from neurovae.cohort.deal import fold_of
from neurovae.cohort.words import read_as_missing, same_words, unknown_words
from neurovae.errors import InputError
from neurovae.io.levels import level
from neurovae.io.suspects import USUAL, suspects
from neurovae.io.tables import Row, lookup, number, thousands
from neurovae.plan.index import Index, people, used

RESIDUAL_DF = 10  # as in design.design, which needs pandas
RARER = 5  # people of a class, or beside the commonest value
CROSS_VALIDATED = 20  # people, as in predict.folds
SPLINE = 3  # columns of a continuous confound
SITE = 5  # people of a site
COSTLY = 0.1  # share of the people with a score who lack a confound
NARROW = 0.5  # variance of a count over its mean; a Poisson has 1
ENDS = 0.25  # share at the lowest or highest value that occurs, where the bounds of the scale are not declared
CEILING = 0.15  # fraction at the lowest or highest possible value (Terwee et al. 2007, J Clin Epidemiol 60:34)


def print_warnings(cohort: dict[str, Any], index: Index, additional: Sequence[str] = ()) -> None:
    """Print the warnings, and additional ones, to stderr."""
    for warning in [*warnings(cohort, index), *additional]:
        print(f"warning: {warning}", file=sys.stderr)


def warnings(cohort: dict[str, Any], index: Index) -> list[str]:
    """List settings and data that are allowed but should be checked before anything runs."""
    if not index.scans or not any(table.columns for table in index.tables):
        return index.notes
    items = [*(cohort.get("scores") or []), *_confounds(cohort)]
    cells: Cells = {column: values(index, column) for column in dict.fromkeys(column for _, column in used(cohort))}
    lines = [*index.notes, *_sites(cohort, index)]
    for column in cells:
        lines += [hint.removeprefix("; ")] if (hint := read_as_missing(index.tables, column)) else []
    for column in dict.fromkeys(_text_columns(cohort)):
        texts = [level(text) for text, _ in cells[column]]
        lines += [f"column '{column}'{note}"] if (note := same_words(texts)) else []
        lines += [odd] if (odd := unknown_words(column, texts)) else []
        lines += _suspects(column, {"type": "categorical"}, cells[column])
    for column, item in {source(item): item for item in items if item["type"] not in ("binary", "categorical")}.items():
        lines += _suspects(column, item, cells[column])
        lines += _thousands(column, cells[column])
    constant = [c for c in map(source, _confounds(cohort)) if len({plain(text) for text, _ in cells[c]}) == 1]
    lines += [f"confound column '{column}' has one value" for column in dict.fromkeys(constant)]
    lines += _lacking(cohort, index)
    for score in cohort.get("scores") or []:
        lines += _score(score, cohort, index, cells)
    return lines


def _confounds(cohort: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in cohort.get("confounds") or [] if item.get("from", "table") == "table"]


def _lacking(cohort: dict[str, Any], index: Index) -> list[str]:
    """Confounds that many people with a score lack in every scan with one, and what becomes of these people."""
    scores, imputed = [source(score) for score in cohort.get("scores") or []], cohort.get("missing_confounds")
    scans = [scan for scan in index.scans if any(lookup(index.tables, column, scan.keys) for column in scores)]
    everyone = {scan.person for scan in scans}
    lines = []
    for column in dict.fromkeys(source(item) for item in _confounds(cohort)):
        lost = len(everyone - {scan.person for scan in scans if lookup(index.tables, column, scan.keys)})
        if lost > COSTLY * len(everyone):
            fate = (
                "it is imputed for them"
                if imputed == "impute" and column not in ("site", cohort.get("site"))
                else "tests and predictions leave them out; see cohort.missing_confounds, or do without this confound"
            )
            lines.append(
                f"confound column '{column}': {lost} of {len(everyone)} people with a score "
                f"({lost / len(everyone):.0%}) lack it; {fate}"
            )
    return lines


def _text_columns(cohort: dict[str, Any]) -> list[str]:
    columns = [cohort.get("site"), cohort.get("family"), (cohort.get("folds") or {}).get("stratify")]
    columns += [source(item) for item in _confounds(cohort) if item["type"] == "categorical"]
    columns += [source(score) for score in cohort.get("scores") or [] if score["type"] == "binary"]
    return [column for column in columns if column]


def _sites(cohort: dict[str, Any], index: Index) -> list[str]:
    """List sites with few people, and count people without a site."""
    counts = Counter(site for _, site, _ in people(index.scans))
    n_without_site = counts.pop("n/a", 0) if cohort.get("site") else 0
    small = [(site, count) for site, count in sorted(counts.items()) if count < SITE and len(counts) > 1]
    lines = [
        f"site '{site}' has {count} {'person, who is left out of the tests' if count == 1 else 'people'}; effects of a "
        f"site with fewer than {SITE} people are poorly estimated: combine small sites if that is justified"
        for site, count in small
    ]
    return lines + (
        [f"{n_without_site} people have no site; tests with site as a confound leave them out"]
        if n_without_site
        else []
    )


def _suspects(column: str, item: dict[str, Any], cells: list[tuple[str, Row]]) -> list[str]:
    """List values that are probably codes for missing, with their rows; none where a plausible range is declared.

    Of categories written as numbers (sex 1, 2, 9), only usual codes.
    """
    numbers = [(numbers, row) for text, row in cells if (numbers := number(text)) is not None]
    category = item["type"] == "categorical"
    if item.get("plausible") or item["type"] == "bounded" or (category and len(numbers) < len(cells)):
        return []
    lines = []
    odd = suspects([value for value, _ in numbers])
    odd = {value: reason for value, reason in odd.items() if not category or reason == USUAL}
    plausible = [value for value, _ in numbers if value not in odd]
    for value, reason in sorted(odd.items()):
        rows = [row for row_value, row in numbers if row_value == value]
        row_numbers = ", ".join(str(row.number) for row in rows[:8]) + (" ..." if len(rows) > 8 else "")
        lines.append(
            f"{rows[0].file}, row{'s' * (len(rows) > 1)} {row_numbers}: {column} is {value:g}, {reason} "
            f"({min(plausible):g} to {max(plausible):g}); "
            f"if it is a code, set cohort.missing: {{{column}: [{value:g}]}}"
            + ("" if category else ", else declare plausible: [lowest, highest]")
        )
    return lines


def _thousands(column: str, cells: list[tuple[str, Row]]) -> list[str]:
    """Point to numbers such as 1.234 beside 950, which are probably 1234."""
    texts = set(thousands(text for text, _ in cells))
    rows = [(text, row) for text, row in cells if text in texts and number(text) is not None]
    if not rows:
        return []
    (text, row), others = rows[0], f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
    return [
        f"{row.where}{others}: {column} is read as {text}, beside whole numbers of hundreds; if the point separates "
        "thousands, write the numbers without it"
    ]


def _score(score: dict[str, Any], cohort: dict[str, Any], index: Index, cells: Cells) -> list[str]:
    """Warn of too few people for a test or a prediction, a fold without a class, most people at one value."""
    entries, n_with_score = _complete(score, cohort, index)
    if not entries:
        return [f"score '{score['name']}': nobody has it and all confounds; nothing will be tested"] * bool(
            n_with_score
        )
    name, n, counts = score["name"], len(entries), Counter(entries.values())
    if score["type"] == "survival":
        return _survival(score, cohort, index, cells, entries)
    columns, binary = _columns(score, cohort, index, cells), score["type"] == "binary"
    n_other = n - max(counts.values())
    lines = []
    if n - columns - 2 < RESIDUAL_DF:
        lines.append(
            f"score '{name}': {n} people have it and all confounds; with {columns} confound column"
            f"{'s' * (columns > 1)} (`split` among them) at least {columns + 2 + RESIDUAL_DF} are needed: it will not "
            "be tested"
        )
    if n < CROSS_VALIDATED:
        lines.append(
            f"score '{name}': {n} people have it, at least {CROSS_VALIDATED} are needed: it will not be predicted"
        )
    if score["type"] in ("binary", "count", "bounded", "ordinal") and n_other < RARER:
        group = "in the rarer class" if binary else "beside the commonest value"
        lines.append(
            f"score '{name}': {n_other} people {group}, at least {RARER} are needed: it will not be tested or predicted"
        )
    elif binary:
        lines += _folds(score, entries, cohort, index)
    return lines + _crowded(score, counts, n) + _narrow(score, entries.values())


def _survival(
    score: dict[str, Any], cohort: dict[str, Any], index: Index, cells: Cells, entries: dict[str, str]
) -> list[str]:
    """Warn of fewer events than the tests and predictions need, and of people without any follow-up."""
    follow: dict[str, survival.Follow] = {}
    for scan in sorted(index.scans, key=lambda scan: (scan.person, index.order.get(scan.scan) or 1, scan.scan)):
        one = survival.follow_up(score, survival.cells(score, index, scan))
        if scan.person in entries and one is not None:
            follow.setdefault(scan.person, one)
    events, columns = sum(event for _, _, event in follow.values()), _columns(score, cohort, index, cells)
    needed = max(survival.EVENTS, columns + 1 + survival.EVENTS // 2)
    lines = []
    if events < needed:
        lines.append(
            f"score '{score['name']}': {events} of {len(follow)} people have the event; with {columns} confound column"
            f"{'s' * (columns > 1)} at least {needed} are needed: it will not be tested"
        )
    if events < survival.PREDICTED:
        lines.append(
            f"score '{score['name']}': {events} of {len(follow)} people have the event, at least {survival.PREDICTED} "
            "are needed: it will not be predicted"
        )
    none = sum(entry == time for entry, time, _ in follow.values())
    if none:
        lines.append(f"score '{score['name']}': {none} people have no follow-up after their scan; they add nothing")
    return lines


def _complete(score: dict[str, Any], cohort: dict[str, Any], index: Index) -> tuple[dict[str, str], int]:
    """Person -> score of their first scan with score and confounds, and the number of people who have the score.

    Confounds that are imputed are not needed.
    """
    needed = [] if cohort.get("missing_confounds") == "impute" else _confounds(cohort)
    columns = [source(item) for item in needed if source(item) != source(score)]
    columns = [source(score), *(column for column in columns if any(column in t.columns for t in index.tables))]
    entries: dict[str, str] = {}
    with_score = set()
    for scan in sorted(index.scans, key=lambda scan: (scan.person, index.order.get(scan.scan) or 1, scan.scan)):
        cells = [lookup(index.tables, column, scan.keys) for column in columns]
        with_score |= {scan.person} if cells[0] else set()
        if all(cells) and index.order.get(scan.scan, 1) is not None:
            entries.setdefault(scan.person, plain(cells[0][0][0]))
    return entries, len(with_score)


def _columns(score: dict[str, Any], cohort: dict[str, Any], index: Index, cells: Cells) -> int:
    """Count the columns that the confounds of this score take in a regression; `split` is the first."""
    total = 1
    for item in cohort.get("confounds") or []:
        if item.get("from", "table") != "table":
            total += SPLINE
        elif source(item) != source(score) and item["name"] != score["name"]:
            distinct = len({level(text) for text, _ in cells[source(item)]})
            total += (SPLINE if distinct >= 5 else 1) if item["type"] == "continuous" else max(distinct - 1, 0)
    sites = {scan.site for scan in index.scans} - {"n/a"}
    site_declared = any(item["name"] == "site" for item in cohort.get("confounds") or [])
    return total + (len(sites) - 1 if len(sites) > 1 and not site_declared else 0)


def _folds(score: dict[str, Any], entries: dict[str, str], cohort: dict[str, Any], index: Index) -> list[str]:
    """List folds in which one of the two classes has no people."""
    settings = cohort.get("folds") or {}
    if cohort.get("freeze") or not codes(set(entries.values()), score.get("positive")):
        return []
    try:
        n, seed, by = settings.get("n", 5), settings.get("seed", 0), settings.get("by", "person")
        fold = fold_of(people(index.scans), n=n, seed=seed, by=by)
    except InputError:  # too few people or sites, which check reports
        return []
    classes = sorted(set(entries.values()))
    present = {(fold[person], value) for person, value in entries.items()}
    empty = [
        f"fold {k} has nobody with '{c}'" for k in sorted(set(fold.values())) for c in classes if (k, c) not in present
    ]
    return (
        [f"score '{score['name']}': {', '.join(empty)}; AUC cannot be computed there; set folds.n lower"]
        if empty
        else []
    )


def _crowded(score: dict[str, Any], counts: Counter[str], n: int) -> list[str]:
    """Warn of many people at the end of a bounded scale, or at one value of a count or ordinal score."""
    name, (value, max_count) = score["name"], counts.most_common(1)[0]
    if score["type"] == "bounded":
        ends = zip(("lowest (floor)", "highest (ceiling)"), score.get("bounds") or [], strict=False)
        return [
            f"score '{name}': {fraction:.0%} of {n} people are at the {end} possible value {bound:g}; it "
            "distinguishes these people poorly"
            for end, bound in ends
            if (fraction := counts[plain(str(bound))] / n) >= CEILING
        ]
    if score["type"] in ("continuous", "gamma") and max_count >= ENDS * n and len(counts) > 2:
        ordered = sorted(counts, key=lambda text: number(text) or 0.0)
        end = {ordered[0]: "lowest (floor?)", ordered[-1]: "highest (ceiling?)"}.get(value)
        return (
            [
                f"score '{name}': {max_count / n:.0%} of {n} people have its {end} value {value}; it "
                "distinguishes these people poorly: declare it bounded if the scale ends there"
            ]
            if end
            else []
        )
    if score["type"] in ("count", "ordinal") and max_count > n / 2:
        return [
            f"score '{name}': {max_count / n:.0%} of {n} people have the value {value}; tests of it have little power"
        ]
    return []


def _narrow(score: dict[str, Any], texts: Iterable[str]) -> list[str]:
    """Warn of a count with much less variance than mean, as right answers out of 30 have."""
    values = [value for text in texts if (value := number(text)) is not None]
    if score["type"] != "count" or len(values) < CROSS_VALIDATED:
        return []
    mean, variance = fmean(values), pvariance(values)
    if variance >= NARROW * mean:
        return []
    return [
        f"score '{score['name']}': its variance is {variance:.3g}, its mean {mean:.3g}; counts should vary at "
        "least as much, or effects are missed: declare it bounded or continuous"
    ]
