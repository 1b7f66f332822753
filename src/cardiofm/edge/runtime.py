"""The network run by ONNX Runtime alone: the same arrays in and out as torch gives.

Shapes: B batch, C channels, N samples, S token steps, D width, Q codebook levels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.model.checkpoint import ACROSS_WEIGHTS, HEAD_WEIGHTS, WEIGHTS
from cardiofm.model.encoded import Encoded
from cardiofm.signals import CheckpointError

ENCODERS = {(0, 1): "encode.onnx", (0,): "encode_ecg.onnx", (1,): "encode_ppg.onnx"}  # by the streams that they run
EMBEDDERS = {present: name.replace("encode", "embed") for present, name in ENCODERS.items()}  # no codes: less to do
MEASURERS = {(0, 1): "measure.onnx", (0,): "measure_ecg.onnx", (1,): "measure_ppg.onnx"}  # there is a head for them
DRAW, DECODE, ACROSS_GRAPH = "draw.onnx", "decode.onnx", "across.onnx"
INT8_WEIGHTS = "embed.int8.safetensors"  # of the embedders with eight-bit matrices, where a folder has them
LAYOUT = "weights_layout"  # metadata key: the hash of the weights files' headers that a graph's offsets belong to
SOURCE = "weights_sha256"  # metadata key: the hash of the weights that an eight-bit graph was made from


class OnnxBackend:
    """The graphs of a model folder. Each is loaded at its first use; all read their weights from model.safetensors.

    With `int8` what embeds is the encoder whose matrices have eight bits; what codes, measures and draws is not.
    """

    def __init__(self, folder: Path, threads: int | None = None, int8: bool = False) -> None:
        self.folder, self.threads = folder, threads
        self.embedders = {present: int8_name(name) if int8 else name for present, name in EMBEDDERS.items()}
        self._sessions: dict[str, Any] = {}
        for name in (*ENCODERS.values(), DRAW, DECODE):
            if not (folder / name).is_file():
                raise CheckpointError(
                    f"a model folder must hold {name} to run without torch, {folder} lacks it; "
                    f"write the graphs with `cardiofm export {folder}`, or use backend='torch'"
                )
        for name in self.embedders.values() if int8 else ():
            if not (folder / name).is_file():
                raise CheckpointError(
                    f"a model folder must hold {name} to run in eight bits, {folder} lacks it; "
                    f"write it with `cardiofm export {folder} --int8`"
                )

    def encode(
        self,
        x_BCN: NDArray[np.float32],
        visible_BCN: NDArray[np.bool_],
        in_mv_BC: NDArray[np.bool_],
        present: tuple[int, ...] = (0, 1),
    ) -> Encoded:
        """Encode windows, running only the streams in `present`."""
        return Encoded(*self._run(ENCODERS[present], x_BCN, visible_BCN, in_mv_BC))

    def embed(
        self,
        x_BCN: NDArray[np.float32],
        visible_BCN: NDArray[np.bool_],
        in_mv_BC: NDArray[np.bool_],
        present: tuple[int, ...] = (0, 1),
    ) -> NDArray[np.float32]:
        """Only the embeddings `(B, E)` of windows: no codes are searched."""
        if not (self.folder / self.embedders[present]).is_file():  # a folder exported before there were such graphs
            return self.encode(x_BCN, visible_BCN, in_mv_BC, present).embedding
        return self._run(self.embedders[present], x_BCN, visible_BCN, in_mv_BC)[0]

    def draw(self, code: Encoded, denoise: bool = False) -> NDArray[np.float32]:
        """Both waveforms `(B, C, N)` in normalised units from tokens; gaps and absent streams are filled in.

        What is seen passes unchanged, or cleaned of noise where `denoise`.
        """
        drawn = self._run(DRAW, code.tokens, code.patches, code.seen)
        if denoise and len(drawn) < 2:
            raise CheckpointError(f"{DRAW} must give a cleaned drawing too, and does not; export {self.folder} again")
        return drawn[int(denoise)]

    def across(self, code: Encoded) -> NDArray[np.float32] | None:
        """Waveforms `(B, C, N)` in normalised units, each channel drawn from the other one alone; flat where that is
        not seen. None for a model without a head for it."""
        if not (self.folder / ACROSS_GRAPH).is_file():
            return None
        return self._run(ACROSS_GRAPH, code.tokens, code.patches, code.seen)[0]

    def decode(
        self, codes_BCSQ: NDArray[np.int64], depth_BCS: NDArray[np.int64], coded_BCS: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Waveforms `(B, C, N)`, normalised, from the first `depth` codes of each token; 0 for an absent stream."""
        return self._run(DECODE, codes_BCSQ, depth_BCS, coded_BCS)[0]

    def measure(
        self,
        x_BCN: NDArray[np.float32],
        visible_BCN: NDArray[np.bool_],
        in_mv_BC: NDArray[np.bool_],
        present: tuple[int, ...] = (0, 1),
    ) -> list[NDArray[np.float32]]:
        """What the head says: waves `(B, 4, N)`, chance, reach in s and spread in s, each `(B, K, N)`."""
        if not (self.folder / MEASURERS[present]).is_file():
            raise CheckpointError(
                f"a model folder must hold {MEASURERS[present]} to measure without torch, {self.folder} lacks it; "
                f"measure with `base`, or put a fiducial head into it and run `cardiofm export {self.folder}`"
            )
        return self._run(MEASURERS[present], x_BCN, visible_BCN, in_mv_BC)

    def _run(self, name: str, *arrays: NDArray) -> list[NDArray]:
        if name not in self._sessions:
            self._sessions[name] = self._session(self.folder / name)
        session = self._sessions[name]
        names = [i.name for i in session.get_inputs()]
        return session.run(None, dict(zip(names, arrays, strict=True)))

    def _session(self, path: Path) -> Any:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = 3
        if self.threads is not None:
            options.intra_op_num_threads = self.threads
        if path.name in EMBEDDERS.values():  # as fast without them, and a quarter less to wait for at the start
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        try:
            session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own classes, which it does not export
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"{path} must be readable by ONNX Runtime: {reason}; export the model again"
            ) from error
        said = session.get_modelmeta().custom_metadata_map
        if SOURCE in said:
            fits = said[SOURCE] == source_hash(self.folder)
        else:
            fits = said.get(LAYOUT) == layout(self.folder, path.name)
        if not fits:
            raise CheckpointError(
                f"{path} must belong to the {WEIGHTS} beside it, and does not; export the model again"
            )
        return session


def weights_of(graph: str) -> dict[str, str]:
    """The files that the weights of a graph lie in, by what the names of its tensors begin with.

    >>> weights_of("across.onnx")
    {'head.': 'across.safetensors'}
    """
    if graph == ACROSS_GRAPH:
        return {"head.": ACROSS_WEIGHTS}
    return {"model.": WEIGHTS} | ({"head.": HEAD_WEIGHTS} if graph in MEASURERS.values() else {})


def layout(folder: Path, graph: str) -> str:
    """A hash of where each tensor lies in the weights files of a graph, whatever its values."""
    import hashlib

    found = hashlib.sha256()
    for name in weights_of(graph).values():
        with (folder / name).open("rb") as file:
            found.update(file.read(int.from_bytes(file.read(8), "little")))
    return found.hexdigest()


def int8_name(graph: str) -> str:
    """The file of the same graph in eight bits.

    >>> int8_name("encode.onnx")
    'encode.int8.onnx'
    """
    return graph.replace(".onnx", ".int8.onnx")


def source_hash(folder: Path) -> str:
    """A hash of the weights themselves: rounded copies of them are of no use for others."""
    import hashlib

    with (folder / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
