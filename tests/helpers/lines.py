"""A line per check, and their count: what the checks outside pytest print."""

LINES: list[str] = []


def said(passed: bool | None, what: str, value: object, bar: str, n: int) -> None:
    """Print a check as it is found; passed None: it was skipped."""
    word = {True: "passed", False: "FAILED", None: "SKIPPED"}[passed]
    LINES.append(word)
    print(f"{word}: {what} {value} (bar {bar}), n {n}", flush=True)


def closed() -> int:
    """Print the count; the exit status."""
    print(", ".join(f"{LINES.count(word)} {word.lower()}" for word in ("passed", "FAILED", "SKIPPED")), flush=True)
    return int("FAILED" in LINES)
