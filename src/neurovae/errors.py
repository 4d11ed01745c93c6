"""The exception whose message is written for the user: where, what is wrong, what was found, what to do."""

from collections.abc import Sequence


class InputError(ValueError):
    """Bad input; `problems` lists every problem, one per line."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))
