"""The weights file: plain float64 arrays in an npz, written reproducibly and read without running code."""

from __future__ import annotations

import io
import math
import zipfile

import numpy as np

from trading_platform.core.errors import RetrainModelError
from trading_platform.core.policy import Network
from trading_platform.core.types import Floats

MAX_WEIGHTS_BYTES = 16_000_000
# Weights of trained networks are of the order of 1; with much larger ones sums overflow.
LARGEST_WEIGHT = 1e6


def pack_weights(network: Network) -> bytes:
    """Return the npz of a network. The same numbers give the same bytes."""
    buffer = io.BytesIO()
    arrays = {f"kernel_{i}": kernel for i, kernel in enumerate(network.kernels)}
    arrays |= {f"bias_{i}": bias for i, bias in enumerate(network.biases)}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(arrays[name], dtype="<f8"), allow_pickle=False)
            # The default date of an entry is the epoch of zip files, not the time of writing.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue())
    return buffer.getvalue()


def read_arrays(content: bytes) -> dict[str, Floats]:
    """Read the float64 arrays of an npz, (n,) or (n, m), without unpickling anything.

    Raises
    ------
    RetrainModelError
        The bytes are no plain npz of float64 arrays, or unpack to too much.
    """
    arrays: dict[str, Floats] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > MAX_WEIGHTS_BYTES:
                raise RetrainModelError(f"unpacks to more than {MAX_WEIGHTS_BYTES} bytes")
            for entry in entries:
                with archive.open(entry) as stream:
                    array = _array(entry.filename, stream.read(MAX_WEIGHTS_BYTES + 1))
                arrays[entry.filename.removesuffix(".npy")] = array
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, MemoryError, NotImplementedError, RuntimeError) as error:
        raise RetrainModelError(f"is no plain npz of arrays ({error}); pickled content is never loaded") from error
    return arrays


def _array(name: str, content: bytes) -> Floats:
    """Read one npy. Its header is believed only as far as there are bytes: nothing is allocated for more."""
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise RetrainModelError(f"{name} is of another npy version than 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype != np.dtype("<f8") or fortran:
        raise RetrainModelError(f"{name} holds {dtype}, not plain float64; pickled content is never loaded")
    wanted, left = math.prod(shape) * dtype.itemsize, len(content) - stream.tell()
    if any(length < 0 for length in shape) or wanted != left:
        raise RetrainModelError(f"{name} says it has shape {shape}, which is {wanted} bytes, and has {left}")
    array: Floats = np.frombuffer(content, dtype, offset=stream.tell()).reshape(shape).astype(np.float64)
    if not (np.abs(array) <= LARGEST_WEIGHT).all():
        raise RetrainModelError(f"{name} holds a weight that is not finite or above {LARGEST_WEIGHT:g} in size")
    return array
