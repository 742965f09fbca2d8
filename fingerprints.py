"""sha256 of what results depend on: files, and plain values."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any


def sha256_of(value: Any) -> str:
    """Of a JSON-like value; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def sha256_of_files(folder: Path, *patterns: str) -> str:
    """Of the names and contents of the files in `folder` that match, in sorted order."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}):
        status = path.stat()
        digest.update(path.name.encode() + _contents(path, status.st_size, status.st_mtime_ns))
    return digest.hexdigest()


@cache
def _contents(path: Path, size: int, modified: int) -> bytes:
    """Weights are gigabytes: a file that has not changed is read once in a process."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
