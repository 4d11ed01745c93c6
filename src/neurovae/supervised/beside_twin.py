"""An aligned network beside its linear twin, and the tests that fit it again, where they were asked for."""

from typing import Any

import numpy as np
import pandas as pd

from neurovae.stats.aligned import partial_r
from neurovae.supervised import inference

PERMUTATION, SPLIT = "permutation", "split"  # of `refits`
NOT_REFITTED = (
    "no permutation p: in each permutation the network would be fitted again in every fold; ask for it with "
    "supervised.network_permutations"
)


def beside_twin(data: inference.Cases, z: np.ndarray, twin: np.ndarray, settings: dict[str, int]) -> dict[str, Any]:
    """Columns that hold a network against its linear twin in the same left-out people; z, twin: latents (n,)."""
    x = inference.given(data)
    r, of_twin = (float(partial_r(one[None], data.y[None], x)[0]) for one in (z, twin))
    return {"partial_r": r, "twin_partial_r": of_twin} | inference.gain(
        data, z, twin, settings["bootstraps"], settings["seed"]
    )


def of_refits(data: inference.Cases, z: np.ndarray, refits: pd.DataFrame | None, name: str) -> dict[str, Any]:
    """Columns of the tests that fit a network again; without them, the reason why they are missing."""
    own = refits[refits["score"] == name] if refits is not None else pd.DataFrame({"what": [], "value": []})
    values = {what: own.loc[own["what"] == what, "value"].to_numpy(float) for what in (PERMUTATION, SPLIT)}
    row: dict[str, Any] = inference.combined(values[SPLIT], "splits")
    if len(values[PERMUTATION]):
        observed = float(partial_r(z[None], data.y[None], inference.given(data))[0])
        return row | inference.permutation_p(observed, values[PERMUTATION])
    few = inference.too_few_permutations(data)
    return row | {"permutations": 0, "reason": few or NOT_REFITTED}
