"""Faults that tests hold already: bad inputs above all. They are run, and counted by what they break."""

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from project import ROOT

Names = str | tuple[str, ...]  # of one test: the faults that it shows
KEY, COLUMN, FOLDER = "an unknown key, an impossible value", "a column that is not there", "a folder that is not there"
QUICK: dict[str, list[Names]] = {  # a name per case, in the order of the cases; variants bear one name
    "test_cohort.py::test_values_that_do_not_fit": [
        "text where a number is due",
        "a decimal comma",
        "an infinite value",
        "a negative count",
        *["a fraction where a whole number is due"] * 2,
        "a value beyond the bounds of its score",
        "a bounded score without bounds",
        "a binary score with three values",
        *["a binary score without the value that counts as 1"] * 2,
        "a constant score",
        "a score without any value",
        "a score of an unknown type",
    ],
    "test_cohort.py::test_reserved_names": ["a score named like a column of the pipeline"] * 10,
    "test_cohort.py::test_columns_that_do_not_exist": [COLUMN] * 5,
    "test_cohort.py::test_duplicate_ids": ["a person given twice"],
    "test_cohort.py::test_fewer_people_than_folds": ["more folds than people"],
    "test_cohort.py::test_stratify_needs_groups": ["strata that are no groups"],
    "test_cohort.py::test_tables_that_disagree_can_be_told_apart": ["two tables that disagree"],
    "test_cohort.py::test_folds_by_site_need_sites": ["folds by site without sites"],
    "test_cohort.py::test_a_confound_without_values_is_refused": ["a confound without any value"],
    "test_cohort.py::test_a_gamma_score_is_above_zero": ["a gamma score of zero"],
    "test_cohort.py::test_folds_of_other_people_are_refused": ["folds of other people"],
    "test_index.py::test_scan_without_row_and_row_without_scan_are_left_out": [
        "a scan without a row, a row without one"
    ],
    "test_index.py::test_no_id_matches": ["ids written differently in folder and table"],
    "test_index.py::test_folder_that_is_no_id": ["a folder whose name is no id"] * 6,
    "test_index.py::test_row_that_has_no_id": ["an id that climbs paths or holds shell characters"] * 6,
    "test_index.py::test_two_files_of_one_key_and_misnamed_files": [
        ("two files of one scan", "a misnamed file", "a link to a file that is not there")
    ],
    "test_index.py::test_no_scan_says_what_was_looked_for": ["no scan of the suffix asked for"],
    "test_index.py::test_exactly_one_source": ["no source of data, or two"] * 2,
    "test_index.py::test_folder_or_table_not_found": [(FOLDER, "a table that is not there")],
    "test_index.py::test_plain_table_bad_rows": [
        ("a path without a file", "a path to no NIfTI", "one file given twice")
    ],
    "test_index.py::test_any_spreadsheet_reads_like_the_clean_table": ["a spreadsheet's marks, line ends, quotes"] * 8,
    "test_index.py::test_broken_table": [
        "a row with too few cells",
        *["a column given twice"] * 2,
        "an empty table",
        "a table that is not UTF-8",
    ],
    "test_preprocess.py::test_each_broken_scan_is_named_with_its_cause": [
        (
            "a scan that is cut short",
            "an empty scan",
            "a scan that is no NIfTI",
            "NaN and Inf voxels",
            "a scan of one value",
            "a series in place of a volume",
            "a scan without orientation",
            "voxels of impossible size",
        )
    ],
    "test_preprocess.py::test_a_broken_scan_leaves_its_neighbours_work": ["a scan that vanishes while the chain runs"],
    "test_preprocess.py::test_work_is_kept_only_while_its_key_holds": ["an image changed by hand"],
    "test_preprocess.py::test_one_file_under_two_people_is_refused": ["one file under two people"],
    "test_preprocess.py::test_intensities_that_half_precision_cannot_hold_are_refused": ["too large or small values"]
    * 2,
}
REST: dict[str, list[Names]] = {
    "test_end_to_end.py::test_bad_input_is_named_without_a_traceback": [
        KEY,
        "several mistakes in one table",
        "a constant score",
        "more folds than people",
        FOLDER,
        "a table that is not there",
        "two models of one name",
        "a cohort without a name",
        "a configuration that is no YAML",
        "an empty section",
    ],
    "test_end_to_end.py::test_a_cohort_of_broken_scans_is_refused_with_their_causes": ["broken scans only"],
    "test_workflow.py::test_a_key_given_twice_is_refused": ["a key given twice"],
    "test_workflow.py::test_what_would_fail_after_hours_is_refused_before_the_first_job": [
        *["a quality column that is not measured"] * 2,
        "a file named in the configuration that is not there",
        "a normalisation without its reference",
        "a file named in the configuration that is not there",
        *["more latents than people"] * 2,
        "more parts than a batch has scans",
        "more neighbours than people",
        "a model named that is not there",
    ],
    "test_frozen.py::test_other_preprocessing_is_refused": ["a frozen model, other preprocessing"],
    "test_frozen.py::test_a_training_scan_under_another_id_is_not_new": ["a training scan under a new id"],
    "test_engine.py::test_one_that_is_terminated_while_a_checkpoint_is_written_too": ["SIGTERM in a checkpoint"],
    "test_engine.py::test_a_corrupted_checkpoint_is_named_and_the_one_before_it_used": ["a corrupted checkpoint"] * 5,
    "test_engine.py::test_a_checkpoint_of_other_options_code_or_data_is_not_used": ["a checkpoint of something else"]
    * 3,
    "test_search.py::test_a_half_written_last_line_is_mended": ["a search journal whose last line is half"] * 2,
    "test_search.py::test_a_damaged_journal_is_named": ["a damaged search journal"],
    "test_search.py::test_a_killed_trial_is_tried_again_with_the_same_values": ["kill -9 of a trial of a search"],
    "test_search.py::test_a_worker_waits_for_the_lock": ["a search journal that is locked"],
    "test_train.py::test_volumes_that_are_not_finite_are_named": ["packed volumes with NaN"],
    "test_train.py::test_people_without_a_fold_and_empty_splits_are_refused": ["people without a fold"],
    "test_atlas.py::test_an_atlas_that_is_not_in_mni_space_or_no_labels_is_refused": ["an atlas in another space"],
    "test_health.py::test_a_file_without_a_verdict_is_named": ["a health file without verdict"],
}


def found(quick: bool) -> dict[str, tuple[bool, int]]:
    """Run the tests; of each fault whether all of its cases passed, and how many there were."""
    wanted = QUICK if quick else {**QUICK, **REST}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        called = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        done = subprocess.run(
            [*called, *(f"tests/{name}" for name in wanted)], cwd=ROOT, capture_output=True, text=True
        )
        if not report.exists():
            raise AssertionError(done.stdout[-2000:] + done.stderr[-2000:])
        cases = list(ElementTree.parse(report).iter("testcase"))
    seen: dict[str, tuple[bool, int]] = {}
    for test, names in wanted.items():
        results = [len(case) == 0 for case in cases if _is(case, test)]
        if len(results) != len(names):
            raise AssertionError(f"{test} has {len(results)} cases, here are {len(names)} names")
        for passed, name in zip(results, names, strict=True):
            for one in (name,) if isinstance(name, str) else name:
                before = seen.get(one, (True, 0))
                seen[one] = (before[0] and passed, before[1] + 1)
    return seen


def _is(case: ElementTree.Element, test: str) -> bool:
    file, function = test.removesuffix("]").split("::")
    return case.attrib["classname"] == f"tests.{file.removesuffix('.py')}" and (
        case.attrib["name"].split("[")[0] == function
    )
