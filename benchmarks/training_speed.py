"""Windows per second of training against what the arithmetic allows, on this machine's processor or accelerator.

Counts the multiplications of the encoder and of whole training steps (torch.utils.flop_counter), times them, and times
in the same round plain matrix products: of the very shapes that the encoder multiplies, and of 2048 x 2048. The share
is the achieved rate over the product's. `waiting` is the part of a training step spent on the next batch. Medians over
rounds, lowest and highest beside; ratios are taken within a round. `torch.compile` is tried on the encoder.
Writes results/training_speed.json and results/training_speed.png.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from cardiofm.config import load as load_config
from cardiofm.data.store import Store
from cardiofm.evaluate import run
from cardiofm.model.cardiofm import CardioFM, parameters_m
from cardiofm.train.batches import Batch, Batches, prefetch
from cardiofm.train.loop import adamw
from cardiofm.train.objectives import Pretraining
from cardiofm.train.pretrain import PretrainConfig

LARGE = 2048
STEPS = 6  # of training a round, the same ones each time: counted once, timed in every round
PASSES = 3  # of the encoder a round
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
aten = torch.ops.aten
Shape = tuple[int, int, int, int]  # batch, rows, inner, columns of a matrix product
TRAINING, LOADING, COMPILED = "training step", "batches alone", "encoder forward, compiled"


def main() -> None:
    """Time every model, number of threads and precision; print the table, write the results."""
    parser = run.parser(__doc__, 2, "rounds")
    parser.set_defaults(threads=2)
    parser.add_argument("--store", type=Path, default=Path("store"), help="the folder that `prepare` wrote")
    parser.add_argument("--configs", nargs="*", default=["tiny", "base"], metavar="NAME", help="files of configs/")
    parser.add_argument("--compile", nargs="*", default=["tiny"], metavar="NAME", help="models to compile, in bf16")
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads_list = [args.threads] if device.type == "cuda" else sorted({1, args.threads})
    rows: list[dict[str, Any]] = []
    flops: dict[tuple[str, str], float] = {}  # a window, by model and work
    for name in args.configs:
        config = load_config(PretrainConfig, run.ROOT / "configs" / f"{name}.toml")
        batches = Batches(Store(args.store), config.model.spec, config.batches, config.loop.seed)
        for threads in threads_list:
            torch.set_num_threads(threads)
            for precision in DTYPES:
                bench = Bench(name, config, batches, device, precision, args.limit, flops)
                try_it = name in args.compile and precision == "bf16" and threads == threads_list[-1]
                rows += [row | {"threads": threads} for row in bench.rows(try_it)]
    result = run.save(
        args.out / "training_speed.json", "training_speed", rows, args.model, {}, rounds=args.limit,
        device=torch.cuda.get_device_name() if device.type == "cuda" else "processor",
        metrics={
            "windows_per_s": "median over rounds", "share_own": "of the matrix-product rate at the encoder's shapes",
            "share_large": f"of the rate at {LARGE} x {LARGE}", "waiting": "share of the step spent on the next batch",
        },
    )  # fmt: skip
    show(result)
    picture(result, args.out / "training_speed.png")


class Bench:
    """One model at one precision and number of threads."""

    def __init__(
        self,
        name: str,
        config: PretrainConfig,
        batches: Batches,
        device: torch.device,
        precision: str,
        rounds: int,
        flops: dict[tuple[str, str], float],
    ) -> None:
        torch.manual_seed(config.loop.seed)
        self.name, self.batches, self.device, self.precision, self.rounds = name, batches, device, precision, rounds
        self.objective = Pretraining(CardioFM(config.model), config.objective, config.loop.seed).to(device)
        self.optimizer = adamw(self.objective, config.loop)
        step = next(s for s in range(1000) if len(batches(s).present) == 2)
        self.batch = batches(step).to(device)
        self.flops = flops
        self.waited_s = 0.0
        self._train()  # the codebooks start here, before anything is counted or timed

    def rows(self, compile_too: bool) -> list[dict[str, Any]]:
        """Every kind of work, timed in turn with the matrix products, round after round."""
        encoder = self.objective.model.encoder
        work: dict[str, Callable[[], int]] = {
            "encoder forward": lambda: self._encode(encoder, backward=False),
            "encoder forward and backward": lambda: self._encode(encoder, backward=True),
            TRAINING: self._train,
            LOADING: self._load,
        }
        for what in work:
            self._count(what, work[what])
        more: dict[str, Any] = {}
        if compile_too:
            compiled, more = self._compiled(encoder)
            if compiled is not None:
                self.flops[self.name, COMPILED] = self.flops[self.name, "encoder forward"]
                work[COMPILED] = lambda: self._encode(compiled, backward=False)
        shapes = shapes_of(lambda: self._encode(encoder, backward=False))
        seen: dict[str, list[dict[str, float]]] = {what: [] for what in work}
        for _ in track(range(self.rounds), f"{self.name} {self.precision}", transient=True):
            own, large = self._rate(shapes), self._rate(Counter({(1, LARGE, LARGE, LARGE): 1}))
            for what, job in work.items():
                seen[what].append(self._once(what, job, own, large))
        keys: dict[str, Any] = {"model": self.name, "precision": self.precision}
        keys["parameters_m"] = round(parameters_m(self.objective.model), 2)
        rows = [keys | {"what": what} | _summary(found) for what, found in seen.items()]
        if compile_too and COMPILED not in work:
            rows.append(keys | {"what": COMPILED, "windows_per_s": None})
        rows[-1] |= more
        return rows

    def _once(self, what: str, job: Callable[[], int], own: float, large: float) -> dict[str, float]:
        """Of the fastest pass, as the products are; a round's training steps are one pass."""
        self.waited_s, took_s, windows = 0.0, math.inf, 0
        for _ in range(PASSES if what.startswith("encoder") else 1):
            start_s = time.perf_counter()
            windows = job()
            took_s = min(took_s, time.perf_counter() - start_s)
        found = {"windows_per_s": windows / took_s}
        if what == LOADING:
            return found
        per_window = self.flops[self.name, what]
        rate = windows * per_window / took_s
        found |= {"gflop_per_window": per_window / 1e9, "gflop_per_s": rate / 1e9}
        found |= {"own_gflop_per_s": own / 1e9, "large_gflop_per_s": large / 1e9}
        found |= {"share_own": rate / own, "share_large": rate / large}
        return found | ({"waiting": self.waited_s / took_s} if what == TRAINING else {})

    def _count(self, what: str, job: Callable[[], int]) -> None:
        """Operations a window of this work, once a model: the precision and the threads do not change them."""
        if (self.name, what) in self.flops or what == LOADING:
            return
        with FlopCounterMode(display=False) as counter:
            windows = job()
        self.flops[self.name, what] = counter.get_total_flops() / windows

    def _load(self) -> int:
        """The batches of the round with nothing else to do."""
        return sum(len(self.batches(step).x_BCN) for step in range(1, STEPS + 1))

    def _encode(self, encoder: Any, backward: bool) -> int:
        batch = self.batch
        with self._autocast(), torch.set_grad_enabled(backward):
            tokens = encoder(batch.x_BCN, batch.valid_BCN, batch.in_mv_BC)
        if backward:
            torch.stack([z.float().square().mean() for z in tokens.z if z is not None]).sum().backward()
            self.optimizer.zero_grad(set_to_none=True)
        self._wait()
        return len(batch.x_BCN)

    def _train(self) -> int:
        """A round's updates as in the loop, on real batches; batch 0 only sets the loader going."""
        windows = 0
        with closing(prefetch(self.batches, 0, STEPS + 1, 0, 1)) as source:
            next(source)
            for step in range(1, STEPS + 1):
                start_s = time.perf_counter()
                batch: Batch = next(source)
                self.waited_s += time.perf_counter() - start_s
                self.optimizer.zero_grad(set_to_none=True)
                with self._autocast():
                    loss, _ = self.objective(batch.to(self.device), step)
                loss.backward()
                nn.utils.clip_grad_norm_(self.objective.parameters(), 1.0)
                self.optimizer.step()
                windows += len(batch.x_BCN)
        self._wait()
        return windows

    def _compiled(self, encoder: nn.Module) -> tuple[Any, dict[str, Any]]:
        """The compiled encoder and the seconds it took, or None and why there is none."""
        start_s = time.perf_counter()
        try:
            compiled = torch.compile(encoder)
            self._encode(compiled, backward=False)
        except Exception as error:  # whatever the compiler raises is the finding
            torch.compiler.reset()
            return None, {"why": " ".join(str(error).split())[:160] or type(error).__name__}
        return compiled, {"compile_s": round(time.perf_counter() - start_s, 1)}

    def _rate(self, shapes: Counter[Shape]) -> float:
        """Operations a second of plain products of these shapes, as often as the encoder has each."""
        dtype = DTYPES[self.precision]
        flops = seconds = 0.0
        for (batch, rows, inner, columns), count in shapes.items():
            one = 2.0 * batch * rows * inner * columns
            a = torch.randn(batch, rows, inner, device=self.device).to(dtype)
            b = torch.randn(batch, columns, inner, device=self.device).to(dtype)
            if batch == 1:
                a, b = a[0], b[0]
            best_s = min(self._product_s(a, b.mT) for _ in range(4))
            flops, seconds = flops + count * one, seconds + count * best_s
        return flops / seconds

    def _product_s(self, a: Tensor, b: Tensor) -> float:
        start_s = time.perf_counter()
        torch.matmul(a, b)
        self._wait()
        return time.perf_counter() - start_s

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


class _Products(TorchDispatchMode):
    """Notes the shape of every matrix product, a convolution as the product that it is."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[Shape] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if packet in (aten.mm, aten.addmm):
            a, b = args[-2:]
            self.found[1, a.shape[0], a.shape[1], b.shape[1]] += 1
        elif packet in (aten.bmm, aten.baddbmm):
            a, b = args[-2:]
            self.found[a.shape[0], a.shape[1], a.shape[2], b.shape[2]] += 1
        elif packet is aten.convolution:
            weight = args[1]
            rows = out.shape[0] * out[0, 0].numel()
            self.found[1, rows, weight[0].numel(), weight.shape[0]] += 1
        return out


def shapes_of(job: Callable[[], Any]) -> Counter[Shape]:
    """How often `job` multiplies matrices of each shape."""
    with _Products() as products:
        job()
    return products.found


def _summary(found: list[dict[str, float]]) -> dict[str, Any]:
    """Medians over the rounds; of the speed the lowest and the highest too."""
    speed = [one["windows_per_s"] for one in found]
    middle = {k: float(f"{statistics.median(one[k] for one in found):.4g}") for k in found[0]}
    return middle | {"low": round(min(speed), 2), "high": round(max(speed), 2)}


def show(result: dict[str, Any]) -> None:
    """The table on the terminal."""
    table = Table(title="training speed", caption=f"{result['hardware']}; shares of the matrix-product rate")
    for name in ("model", "what", "precision", "threads", "windows/s", "GFLOP/window", "GFLOP/s"):
        table.add_column(name)
    for name in ("own shapes", f"of {LARGE}²", "waiting"):
        table.add_column(name)
    for r in result["rows"]:
        first = (r["model"], r["what"], r["precision"], str(r["threads"]))
        if r["windows_per_s"] is None:
            table.add_row(*first, "-", r["why"][:60])
            continue
        speed = f"{r['windows_per_s']:.1f} ({r['low']:.1f} - {r['high']:.1f})"
        if "share_own" not in r:
            table.add_row(*first, speed)
            continue
        shares = (f"{r['share_own']:.2f}", f"{r['share_large']:.2f}", f"{r['waiting']:.3f}" if "waiting" in r else "")
        table.add_row(*first, speed, f"{r['gflop_per_window']:.3g}", f"{r['gflop_per_s']:.0f}", *shares)
    Console(width=170).print(table)


def picture(result: dict[str, Any], path: Path) -> None:
    """The share of the matrix-product rate that each kind of work reaches, at the encoder's shapes and large."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [r for r in result["rows"] if "share_own" in r]
    figure, axis = plt.subplots(figsize=(9, 0.32 * len(rows) + 1.2), layout="constrained")
    for place, r in enumerate(rows):
        axis.barh(place, r["share_own"], height=0.7, color="tab:blue" if r["precision"] == "bf16" else "0.6")
        axis.plot(r["share_large"], place, "|", color="black", ms=11, mew=2)
        right = max(r["share_own"], r["share_large"]) + 0.01
        axis.text(right, place, f"{r['windows_per_s']:.3g}/s", va="center", fontsize=7)
    names = [f"{r['model']} · {r['what']} · {r['precision']} · {r['threads']} thr." for r in rows]
    axis.set_yticks(range(len(rows)), names)
    axis.tick_params(axis="y", labelsize=7)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.margins(x=0.1)
    axis.axvline(0.6, color="tab:red", lw=0.8)
    axis.set_xlabel(f"share of the matrix-product rate: bar at the encoder's shapes, tick at {LARGE} x {LARGE}")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
