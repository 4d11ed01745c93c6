"""Clinical tables in the published layouts of PPMI, ADNI and OASIS-3, with invented people and values."""

import csv
from pathlib import Path

NP3 = [f"NP3{name}" for name in (
    "SPCH FACXP RIGN RIGRU RIGLU RIGRL RIGLL FTAPR FTAPL HMOVR HMOVL PRSPR PRSPL TTAPR TTAPL LGAGR LGAGL RISNG GAIT "
    "FRZGT PSTBL POSTR BRADY PTRMR PTRML KTRMR KTRML RTARU RTALU RTARL RTALL RTALJ RTCON"
).split()]  # fmt: skip


def quoted(path: Path, rows: list[dict]) -> Path:
    """A CSV file with every cell in quotes, as the studies export them; cells that a row lacks are empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, quoting=csv.QUOTE_ALL)
        lines.writerow(columns)
        lines.writerows([row.get(name, "") for name in columns] for row in rows)
    return path


def updrs3(patno: int, event: str, month: str, each: int, *, page: str = "NUPDRS3", state: str = "", **items) -> dict:
    """A row of PPMI's MDS-UPDRS Part III with all 33 items at `each`, but for those given by name."""
    keys = {"REC_ID": "IA1", "PATNO": patno, "EVENT_ID": event, "PAG_NAME": page, "INFODT": month, "PDSTATE": state}
    values = {name: each for name in NP3} | items
    known = [value for value in values.values() if value not in ("", 101)]
    return {**keys, **values, "NP3TOT": sum(known) if len(known) == len(NP3) else "", "ORIG_ENTRY": month}


def adni(rid: int, visit: str, day: str, mmse: int | str, adas: float | str) -> dict:
    """A row of ADNI's scores, -4 and -1 for missing; RID and PTID are the person, VISCODE2 the visit."""
    ids = {"Phase": "ADNI1", "RID": rid, "PTID": f"002_S_{rid:04d}", "VISCODE": visit, "VISCODE2": visit}
    return {**ids, "EXAMDATE": day, "MMSCORE": mmse, "TOTAL13": adas, "update_stamp": "2020-01-01 10:00:00.0"}


def bids_sessions(root: Path, sessions: dict[str, dict[str, str]], more: str = "") -> Path:
    """An empty BIDS folder: person -> session -> acq_time (ISO, or empty)."""
    lines = []
    for person, dated in sessions.items():
        lines.append(person)
        rows = ["session_id\tacq_time"]
        for session, day in dated.items():
            folder = root / person / session / "anat"
            folder.mkdir(parents=True)
            (folder / f"{person}_{session}_T1w.nii.gz").touch()
            rows.append(f"{session}\t{day or 'n/a'}")
        (root / person / f"{person}_sessions.tsv").write_text("\n".join(rows) + "\n")
    (root / "participants.tsv").write_text("participant_id\n" + "\n".join(lines) + "\n" if not more else more)
    return root
