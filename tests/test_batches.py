from __future__ import annotations

import threading
from collections import Counter

import numpy as np
import pytest
import torch

from cardiofm.config import ConfigError
from cardiofm.signals import InputSpec, SignalError
from cardiofm.train.batches import Batch, BatchConfig, Batches, prefetch
from cardiofm.train.settle import PLAIN
from small_run import SPEC, SmallStore, small_batches

FIELDS = ("x_BCN", "target_BCN", "valid_BCN", "in_mv_BC")


def same(a: Batch, b: Batch) -> bool:
    return a.present == b.present and all(torch.equal(getattr(a, f), getattr(b, f)) for f in FIELDS)


class Ramp(SmallStore):
    """Sample k of row i is i + k / 10,000, so a window tells where it was cut."""

    def read(self, i):
        window = super().read(i)
        ramp = (i + np.arange(window.values.shape[1]) / 1e4).astype(np.float32)
        window.values[:] = np.where(window.valid, ramp, 0)
        return window


def plain(store: SmallStore, **settings) -> Batches:
    return Batches(store, SPEC, BatchConfig(**{"size": 8, "augment": PLAIN, **settings}), seed=1)


def test_a_batch_is_a_function_of_seed_and_step_alone():
    batches = small_batches()
    first = [batches(step) for step in range(4)]
    assert all(same(batches(step), first[step]) for step in (3, 0, 2, 1))
    assert all(same(small_batches()(step), first[step]) for step in (2, 0))
    assert not torch.equal(first[0].x_BCN, first[1].x_BCN)
    other = Batches(SmallStore(), SPEC, BatchConfig(size=8), seed=4)
    assert not same(other(0), first[0])


def test_shapes_zeros_and_hours():
    for step in range(10):
        batch = small_batches()(step)
        assert batch.x_BCN.shape == batch.target_BCN.shape == batch.valid_BCN.shape == (8, 2, SPEC.samples)
        assert batch.x_BCN.dtype == torch.float32
        assert batch.in_mv_BC.dtype == torch.bool
        assert not batch.x_BCN[~batch.valid_BCN].any()
        assert not batch.target_BCN[~batch.valid_BCN].any()
        assert batch.hours == pytest.approx(8 * SPEC.window_s / 3600)


@pytest.mark.parametrize("world", [2, 4])
def test_the_batches_of_several_processes_laid_end_to_end_are_the_batch_of_one(world):
    batches = small_batches()
    for step in range(4):
        whole, parts = batches(step), [batches(step, rank, world) for rank in range(world)]
        assert {p.present for p in parts} == {whole.present}
        for name in FIELDS:
            assert torch.equal(torch.cat([getattr(p, name) for p in parts]), getattr(whole, name))
    with pytest.raises(ConfigError, match="multiple of 6"):
        batches(0, 0, 3)


def test_two_windows_of_one_segment_lie_apart_where_it_is_long_enough():
    batches = plain(Ramp(), paired_share=1.0)
    distances = []
    for step in range(15):
        x = batches(step).x_BCN[:, 0].double()
        for a, b in zip(x[0::2], x[1::2], strict=True):
            row = int(a[0])
            assert int(b[0]) == row
            distance = abs(round(float(b[0] - a[0]) * 1e4))
            torch.testing.assert_close(
                a.diff(), torch.full((SPEC.samples - 1,), 1e-4, dtype=torch.double), atol=3e-6, rtol=0
            )
            if row == 17:  # one window long
                assert distance == 0
            else:
                assert SPEC.samples - 1 <= distance <= 2500 + 1
                distances.append(distance)
    assert len(set(distances)) > 20


def test_the_same_window_twice_is_augmented_differently():
    store = SmallStore()
    store.rows["split"] = np.array(["other"] * 17 + ["train"])
    batch = Batches(store, SPEC, BatchConfig(size=2), seed=1)(0)
    assert not torch.equal(batch.x_BCN[0], batch.x_BCN[1])


def test_present_says_which_rows_hold_signal_and_the_shares_are_as_asked():
    store = SmallStore()
    batches = plain(store, paired_share=0.4)
    kinds = Counter()
    for step in range(150):
        store.reads.clear()
        batch = batches(step)
        kinds[batch.present] += 1
        datasets = {str(store.rows["dataset"][i]) for i in store.reads}
        assert datasets == {{("ecg", "ppg"): "both", ("ecg",): "ecg", ("ppg",): "ppg"}[batch.present]}
        for c, name in enumerate(SPEC.channels):
            assert batch.valid_BCN[:, c].any() == (name in batch.present)
            assert batch.in_mv_BC[:, c].all() == (name == "ecg" and name in batch.present)
        assert 16 not in store.reads  # the test split
    assert 40 < kinds[("ecg", "ppg")] < 80
    assert 25 < kinds[("ecg",)] < 65
    assert {plain(store, paired_share=1.0)(s).present for s in range(20)} == {("ecg", "ppg")}
    assert ("ecg", "ppg") not in {plain(store, paired_share=0.0)(s).present for s in range(20)}


def test_datasets_weigh_by_the_square_root_of_their_hours_times_the_given_factor():
    store = SmallStore()
    store.rows["dataset"] = np.array([*["long"] * 7, "short", *["ecg"] * 4, *["ppg"] * 4, "long", "long"])
    store.rows["patient"] = store.rows["record"]

    def share(**settings) -> float:
        batches, drawn = plain(store, paired_share=1.0, size=2, **settings), []
        store.reads.clear()
        for step in range(250):
            batches(step)
        drawn = [str(store.rows["dataset"][i]) for i in store.reads]
        return drawn.count("short") / len(drawn)

    hours = {"short": 3000.0, "long": 7 * 3000.0 + SPEC.samples}
    expected = hours["short"] ** 0.5 / (hours["short"] ** 0.5 + hours["long"] ** 0.5)
    assert share() == pytest.approx(expected, abs=0.08)
    assert share(weights={"short": 3.0}) == pytest.approx(3 * expected / (1 + 2 * expected), abs=0.08)
    assert share(weights={"short": 0.0}) == 0
    with pytest.raises(ConfigError, match="names 'shrt'"):
        share(weights={"shrt": 1.0})


def test_the_pairs_of_a_batch_are_of_different_patients_where_there_are_enough():
    store = SmallStore()
    for step in range(10):
        store.reads.clear()
        plain(store, paired_share=1.0, size=4)(step)
        assert len({str(store.rows["patient"][i]) for i in store.reads}) == 2


def test_a_window_in_a_gap_is_drawn_again():
    class Gap(SmallStore):
        def read(self, i):
            window = super().read(i)
            window.valid[:, :1200] &= i == 17  # the other rows hold signal in their last 60 %
            return window

    good = plain(Gap(), paired_share=1.0, size=128)(0).valid_BCN.float().mean(-1).amin(-1) > 0.4
    assert good.float().mean() > 0.95  # about 0.5 where the first draw is taken


def test_a_stretched_window_at_the_end_of_its_segment_invents_nothing():
    from dataclasses import replace

    config = BatchConfig(size=8, augment=replace(PLAIN, stretch_share=1.0))
    store = SmallStore()
    store.rows["split"] = np.array(["other"] * 17 + ["train"])
    batch = Batches(store, SPEC, config, seed=1)(0)
    lengths = batch.valid_BCN[:, 0].sum(-1)
    assert lengths.min() < SPEC.samples
    assert lengths.min() >= SPEC.samples / 1.1 - 2


def test_errors_name_what_is_wrong():
    class Broken(SmallStore):
        def read(self, i):
            raise OSError("input/output error")

    class Empty(SmallStore):
        def read(self, i):
            window = super().read(i)
            window.valid[:] = False
            return window

    with pytest.raises(SignalError, match=r"segment \d+ of both/r\d must be readable: input/output error"):
        plain(Broken(), paired_share=1.0)(0)
    with pytest.raises(SignalError, match=r"valid sample, found none at step 7 in both/r"):
        plain(Empty(), paired_share=1.0)(7)
    with pytest.raises(SignalError, match="split 'valid'"):
        plain(SmallStore(), split="valid")
    with pytest.raises(SignalError, match=r"model's 125 Hz, found \[250.0\]"):
        Batches(SmallStore(), InputSpec(fs_hz=125.0, patch=10), BatchConfig(), seed=0)
    with pytest.raises(ConfigError, match="size"):
        BatchConfig(size=7)
    with pytest.raises(ConfigError, match="paired_share"):
        BatchConfig(paired_share=2.0)
    with pytest.raises(ConfigError, match="weights"):
        BatchConfig(weights={"a": -1.0})


def test_a_batch_names_its_recordings_and_those_with_a_number_that_is_not_finite():
    batches = plain(SmallStore(), paired_share=1.0)
    batch = batches(0)
    assert len(batch.records) == 4
    assert batches(0, 1, 2).records == batch.records[2:]
    assert set(batch.suspects()) == set(batch.records)
    batch.x_BCN[5, 0, 17] = float("nan")
    assert batch.suspects() == (batch.records[2],)


def test_a_process_without_a_valid_sample_goes_on_while_another_has_one():
    class Half(SmallStore):
        def read(self, i):
            window = super().read(i)
            window.valid[:] &= i not in empty
            return window

    empty: set[int] = set()
    rows = [int(name.split("/r")[1]) for name in plain(Half(), paired_share=1.0)(0).records]
    empty |= set(rows[2:]) - set(rows[:2])
    assert empty
    batches = plain(Half(), paired_share=1.0)
    assert batches(0).valid_BCN.any()
    assert not batches(0, 3, 4).valid_BCN.any()
    empty |= set(rows)
    for rank in range(4):
        with pytest.raises(SignalError, match="found none at step 0 in both/r"):
            batches(0, rank, 4)


def test_a_store_without_noise_is_fine():
    store = SmallStore()
    store.manifest = {}
    assert Batches(store, SPEC, BatchConfig(size=4), seed=1)(0).valid_BCN.any()


def test_prefetch_gives_the_same_batches_in_order_passes_errors_on_and_ends_its_thread():
    batches = small_batches()
    for step, batch in zip(range(2, 8), prefetch(batches, 2, 8, 0, 1), strict=True):
        assert same(batch, batches(step))

    def failing(step: int, rank: int, world: int) -> Batch:
        if step == 3:
            raise SignalError("shard 1 is damaged")
        return batches(step, rank, world)

    source = prefetch(failing, 0, 9, 0, 1)
    for _ in range(3):
        next(source)
    with pytest.raises(SignalError, match="shard 1 is damaged"):
        next(source)
    open_source = prefetch(batches, 0, 100, 0, 1)
    next(open_source)
    open_source.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("batches")]
