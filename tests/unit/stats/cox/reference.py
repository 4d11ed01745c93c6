"""Freeze what lifelines and scikit-survival say of three data sets into reference.json; the tests need neither.

    pip install lifelines==0.30.3 scikit-survival==0.28.0
    python tests/unit/stats/cox/reference.py

lung.tsv (North Central Cancer Treatment Group, Loprinzi 1994) and veteran.tsv (Kalbfleisch & Prentice 1980) are those of
R's survival, from the two packages; simulated.tsv is drawn here, with ties and delayed entry.
"""

import json
from pathlib import Path

import lifelines
import numpy as np
import pandas as pd
import sksurv
from lifelines import CoxPHFitter
from lifelines.datasets import load_lung
from lifelines.statistics import proportional_hazard_test
from sksurv.datasets import load_veterans_lung_cancer
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.metrics import brier_score, concordance_index_censored, concordance_index_ipcw, integrated_brier_score
from sksurv.util import Surv

HERE = Path(__file__).parent
ALPHA = np.array([0.5, 0.5, 3.0, 3.0])


def data() -> pd.DataFrame:
    """Write the three tables; return the simulated one."""
    lung = load_lung()[["time", "status", "age", "sex", "ph.ecog"]]
    lung.to_csv(HERE / "lung.tsv", sep="\t", index=False, na_rep="n/a")
    x, y = load_veterans_lung_cancer()
    veteran = pd.DataFrame({"time": y["Survival_in_days"], "status": y["Status"].astype(int)})
    veteran["trt"] = (x["Treatment"].astype(str) == "test").to_numpy() + 1
    veteran["prior"] = 10 * (x["Prior_therapy"].astype(str) == "yes").to_numpy()
    veteran["karno"] = x["Karnofsky_score"].to_numpy()
    veteran.to_csv(HERE / "veteran.tsv", sep="\t", index=False)
    rng, n = np.random.default_rng(7), 160
    z = rng.normal(size=(n, 4)).round(3)
    entry = np.floor(10 * rng.uniform(0, 0.4, n)) / 10
    event = entry + rng.exponential(size=n) * np.exp(-z @ [0.6, -0.3, 0.0, 0.2])
    end = entry + rng.uniform(0.3, 3, n)
    time = np.ceil(10 * np.minimum(event, end)) / 10
    table = pd.DataFrame(z, columns=["a", "b", "c", "d"]).assign(entry=entry, time=time, event=(event <= end) * 1)
    table = table.assign(continuous=np.minimum(event, end).round(5) - entry.round(5))
    table.to_csv(HERE / "simulated.tsv", sep="\t", index=False)
    return table


def main() -> None:
    """Write reference.json."""
    table, x = data(), ["a", "b", "c", "d"]
    late = CoxPHFitter().fit(table[[*x, "entry", "time", "event"]], "time", "event", entry_col="entry")
    plain = CoxPHFitter().fit(table[[*x, "time", "event"]], "time", "event")
    robust = CoxPHFitter().fit(table[[*x, "time", "event"]], "time", "event", robust=True)
    zph = proportional_hazard_test(plain, table[[*x, "time", "event"]], time_transform="rank")
    test = table.drop(table["continuous"].idxmax()).iloc[:60]  # scikit-survival wants the longest time in training
    train = table.drop(test.index)
    y_train, y_test = (Surv.from_arrays(part["event"] == 1, part["continuous"]) for part in (train, test))
    ridge = CoxPHSurvivalAnalysis(alpha=ALPHA, ties="efron", tol=1e-12).fit(train[x], y_train)
    predictor = ridge.predict(test[x])
    times = np.array([0.2, 0.4, 0.6, 0.8, 1.0])
    survival = np.array([step(times) for step in ridge.predict_survival_function(test[x])])
    found = {
        "versions": {"lifelines": lifelines.__version__, "scikit-survival": sksurv.__version__},
        "late": {"coef": late.params_.tolist(), "se": late.standard_errors_.tolist(), "ll": late.log_likelihood_},
        "plain": {"coef": plain.params_.tolist(), "se": plain.standard_errors_.tolist(), "ll": plain.log_likelihood_},
        "robust": robust.standard_errors_.tolist(),
        "zph": zph.test_statistic.tolist(),
        "ridge": ridge.coef_.tolist(),
        "predictor": predictor.tolist(),
        "times": times.tolist(),
        "survival": survival.tolist(),
        "harrell": concordance_index_censored(y_test["event"], y_test["time"], predictor)[0],
        "uno": concordance_index_ipcw(y_train, y_test, predictor, tau=1.0)[0],
        "brier": brier_score(y_train, y_test, survival, times)[1].tolist(),
        "ibs": integrated_brier_score(y_train, y_test, survival, times),
    }
    (HERE / "reference.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
