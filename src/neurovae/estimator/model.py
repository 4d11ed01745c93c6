"""The models in scikit-learn's manner: fit, transform and inverse_transform on arrays and on tables of brains.

The code of the rules `train` and `latents` is run, on the same options; the class only lays data out for it.
"""

import importlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from neurovae.errors import InputError
from neurovae.estimator import images, layout
from neurovae.export.source import read as read_source
from neurovae.io import latent_table
from neurovae.io.volumes import chunks
from neurovae.train import weights
from neurovae.train.health.verdicts import STOPPING


class Model(NamedTuple):
    """Weights with their description, as `train` writes them."""

    tensors: weights.Tensors
    meta: dict[str, Any]


class LatentModel(TransformerMixin, BaseEstimator):
    """One model of train.models: scans to latents (posterior means) and back.

    X is volumes (n, x, y, z), features (n, f) that are the voxels of `mask` or stand alone, or a table (DataFrame) with
    a column `path` of preprocessed brains in MNI space, and `person` where people have several scans.

    Args:
        kind: vae, autoencoder, pca, pca_localised, mds, isomap or lle.
        n_latent: number of latents; not used with `latents: map`, where it follows from the grid.
        options: other keys of an entry in train.models, with the same defaults. `flip` and `blur` are off unless
            given where nothing says that an array is a brain in MNI space (a NIfTI mask, a table).
        mask: the voxels that count: bool array (x, y, z), or a NIfTI file; by default all, of a table the template's.
        validation_fraction: fraction of people, drawn at random, who are not trained on; they decide when the training
            of a vae or autoencoder stops.
        device: auto (cuda, then cpu), cpu or cuda.
        random_state: seed of the split, of initial weights, batches and samples.

    Attributes:
        model_: weights and their description.
        mask_: the voxels that count.
        n_features_in_: number of voxels or features.
        split_: training or validation, for each row that was fitted on.
        verdict_: of a model that was read with its health.json, else "".
    """

    def __init__(
        self,
        kind: str = "vae",
        n_latent: int = 16,
        *,
        options: dict[str, Any] | None = None,
        mask: Any = None,
        validation_fraction: float = 0.125,
        device: str = "cpu",
        random_state: Any = 0,
    ) -> None:
        self.kind = kind
        self.n_latent = n_latent
        self.options = options
        self.mask = mask
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, groups: Any = None, split: Any = None) -> "LatentModel":
        """Fit on the rows drawn for training; the others are for validation.

        Args:
            X: volumes, features or a table.
            y: not used.
            groups: person of each row, all of whose scans go to one side; default the table's `person`, or each row.
            split: "training" or "validation" of each row, in place of a draw.

        Raises:
            InputError: unknown options, sizes that do not fit the rows, images that are on another grid.
        """
        self.mask_, self.affine_ = images.where(self.mask, X)
        self.preprocessing_: dict[str, Any] = {}
        values = self._checked(X, reset=True)
        entry = layout.entry(self.kind, self.n_latent, self.options, self.affine_ is not None)
        grid_layout = layout.layout(self.mask_, self.kind, values.ndim == 2, entry["flip"])
        if groups is None and images.is_table(X) and "person" in X:
            groups = X["person"]
        seed = self._seed()
        split_of = layout.splits_of(split, groups, len(values), self.validation_fraction, self.kind, seed)
        module = importlib.import_module(f"neurovae.train.models.{self.kind}")
        start_from = (self.options or {}).get("start_from")
        beside = {"source": read_source(Path(start_from))} if start_from else {}
        with layout.as_the_rules():
            tensors, architecture, _ = module.fit(
                grid_layout.boxes(values[:]),
                split_of,
                grid_layout.mask,
                seed=seed,
                device=self.device,
                **beside,
                **entry,
            )
        people = {str(name): int(count) for name, count in zip(*np.unique(split_of, return_counts=True), strict=True)}
        meta = {"kind": self.kind, "seed": seed, "architecture": architecture, "options": entry, "people": people}
        self._layout, self.model_, self.split_, self.verdict_ = grid_layout, Model(tensors, meta), split_of, ""
        return self

    def transform(self, X: Any) -> Any:
        """Posterior means (n, latents), float64; of a table a DataFrame with its index and columns mu_000 and on."""
        check_is_fitted(self, "model_")
        values, embed = self._checked(X, reset=False), self._module().embed
        mu = self._in_parts(lambda part: embed(self._layout.boxes(values[part]), *self._fitted())[0], len(values))
        return pd.DataFrame(mu, index=X.index, columns=self.get_feature_names_out()) if images.is_table(X) else mu

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Reconstructions of latents (n, latents): in the form that was fitted, volumes with 0 outside the mask."""
        check_is_fitted(self, "model_")
        z, size = np.asarray(X, np.float32), self.model_.meta["architecture"]["n_latent"]
        if z.ndim != 2 or z.shape[1] != size:
            raise InputError(f"inverse_transform: latents are of shape {z.shape}; give (n, {size})")
        decode = self._module().reconstruct
        return self._in_parts(lambda part: self._layout.back(decode(z[part], *self._fitted())), len(z))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the latents, as in latents.parquet: mu_000 and on."""
        check_is_fitted(self, "model_")
        return np.array([latent_table.MU + one for one in latent_table.ids(self.model_.meta)], dtype=object)

    @classmethod
    def load(cls, weights_path: str | Path, mask: Any = None) -> "LatentModel":
        """A fitted model from weights.safetensors of a results folder, or from an exported folder.

        Args:
            weights_path: the file, or the folder that `python -m neurovae export` has written.
            mask: results/<cohort>/preprocess/mask.nii.gz; of an exported folder its own.

        Raises:
            InputError: no mask, or one of another grid than the weights'.
        """
        path = Path(weights_path)
        path = path / "weights.safetensors" if path.is_dir() else path
        mask = path.with_name("mask.nii.gz") if mask is None else mask
        if isinstance(mask, str | Path) and not Path(mask).is_file():
            raise InputError(f"{mask}: no such file; give mask, results/<cohort>/preprocess/mask.nii.gz")
        tensors, meta = weights.load(path)
        if not weights.reads_scans(meta):
            what = "the table" if meta["kind"] == "table" else "embeddings.parquet of the rule encode"
            raise InputError(f"{path}: latents from a {meta['kind']} entry, not a model of scans; read {what}")
        weights.refuse_supervised(path, meta)
        options = {key: value for key, value in meta["options"].items() if key != "n_latent"}
        model = cls(
            meta["kind"], meta["architecture"]["n_latent"], options=options, mask=mask, random_state=meta["seed"]
        )
        model.mask_, model.affine_ = images.where(mask, None)
        model._layout, model.n_features_in_ = (
            layout.Layout(model.mask_, model.mask_, flat=False),
            int(model.mask_.sum()),
        )
        layout.same_voxels(path, tensors, meta, model.mask_)
        model.verdict_, model.preprocessing_ = _json(path, "health").get("verdict", ""), _json(path, "preprocessing")
        if model.verdict_ in STOPPING:
            warnings.warn(f"{path}: the model is {model.verdict_}; its latents mean nothing", stacklevel=2)
        model.model_ = Model(tensors, meta)
        return model

    def _module(self) -> Any:
        return importlib.import_module(f"neurovae.train.models.{self.model_.meta['kind']}")

    def _seed(self) -> int:
        """random_state if it is a number, else one drawn from it."""
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _fitted(self) -> tuple[np.ndarray, weights.Tensors, dict[str, Any]]:
        return self._layout.mask, self.model_.tensors, self.model_.meta["architecture"]

    def _in_parts(self, function: Callable[[slice], np.ndarray], count: int) -> np.ndarray:
        """Results of a few rows at a time, computed as the rule `latents` does."""
        with layout.as_the_rules(threads=1):
            return np.concatenate([function(part) for part in chunks(count)]).astype(np.float64)

    def _checked(self, X: Any, reset: bool) -> Any:
        """Volumes (n, x, y, z), of a table read when asked for, or features (n, f); a fit sets n_features_in_."""
        if images.is_table(X):
            values = images.images(X, self.mask_, self.affine_, self.preprocessing_)
        elif getattr(X, "ndim", 0) == 4:
            values = X
            layout.finite(values)
        else:
            values = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32], ensure_min_samples=1 + reset)
            if reset and not self.mask_.size:
                self.mask_ = np.ones(values.shape[1], bool)
            if values.shape[1] != self.mask_.sum():
                raise InputError(f"X has {values.shape[1]} features, the mask {self.mask_.sum()} voxels; give these")
            return values
        if values.shape[1:] != self.mask_.shape:
            raise InputError(f"volumes of {values.shape[1:]}, mask of {self.mask_.shape}; bring them to one grid")
        if reset:
            self.n_features_in_ = int(self.mask_.sum())
        return values


def _json(path: Path, name: str) -> dict[str, Any]:
    path_beside = path.with_name(f"{name}.json")
    return dict(json.loads(path_beside.read_text(encoding="utf-8"))) if path_beside.is_file() else {}
