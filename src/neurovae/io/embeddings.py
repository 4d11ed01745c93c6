"""The embeddings that the rule `encode` writes: a Parquet table that describes its encoder in its metadata."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from neurovae.io.files import write_beside

KEY = b"neurovae_encoder"  # of the description, in the file's metadata
PREFIX = "emb_"
DECODER = "decoder.safetensors"  # beside the table; empty where the encoder has no decoder
KEYS = ["scan", "preproc_sha256"]


def names(size: int) -> list[str]:
    """Names of the columns of embeddings of so many numbers: emb_000 and on."""
    width = max(3, len(str(size - 1)))
    return [f"{PREFIX}{k:0{width}d}" for k in range(size)]


def write(path: Path, table: pd.DataFrame, encoder: dict[str, Any]) -> None:
    """Write scans, their digests and embeddings, with the description of the encoder."""
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    described = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), KEY: json.dumps(encoder)})
    with write_beside(path) as temporary:
        pq.write_table(described, temporary)


def described(path: str | Path) -> dict[str, Any]:
    """The description of the encoder; empty for any other file."""
    if not str(path).lower().endswith(".parquet"):
        return {}
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except (OSError, pa.ArrowException):  # which the reader of tables names
        return {}
    return dict(json.loads(metadata[KEY])) if KEY in metadata else {}
