import dataclasses
import itertools
import json
import math
import os
import signal
import time

import pytest
import torch

from hemometric.errors import IntegrityError, InterruptedRunError, PrecheckError, UsageError
from hemometric.learning import CheckpointStore, Learner, OptimiserConfig, World
from hemometric.learning.generators import seed_generators
from hemometric.learning.step import train_step
from hemometric.tracker import MemoryTracker

STATE = {"fingerprint": "config-a", "manifest_hash": "corpus-a"}


def assert_same(one, other):
    assert one.losses == other.losses
    assert one.validations == other.validations
    assert (one.best_step, one.best_validation_loss) == (other.best_step, other.best_validation_loss)
    for pair in ((one.weights, other.weights), (one.best_weights, other.best_weights)):
        assert pair[0].keys() == pair[1].keys()
        for name, value in pair[0].items():
            assert torch.equal(value, pair[1][name]), name


@pytest.fixture(scope="module")
def clean(tiny):
    return tiny.train()


def test_a_run_learns_and_is_the_plain_loop(tiny):
    """The oracle: the same steps in a dozen lines of plain torch."""
    learner = tiny.make_learner()
    run = tiny.train(validate=None)
    no_decay = [p for p in learner.parameters() if p.ndim < 2]
    groups = [{"params": [p for p in learner.parameters() if p.ndim > 1]}, {"params": no_decay, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=1e-2, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, tiny.CosineSchedule(warmup_steps=2).build(12))
    losses = []
    for step in range(12):
        seed_generators(5, step, 0)
        optimiser.zero_grad()
        batch = tiny.make_batch(step)
        loss, _ = learner(batch, World())
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    assert run.losses == losses
    for name, value in learner.state_dict().items():
        assert torch.equal(value, run.weights[name]), name


def test_the_same_run_twice_is_the_same(tiny, clean):
    torch.manual_seed(99)
    assert_same(tiny.train(), clean)


def test_the_callers_generator_is_left_alone(tiny):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    tiny.train(num_steps=4)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("stop_at", [1, 4, 5, 9, 11])
def test_stopped_and_resumed_is_the_clean_run(tiny, clean, tmp_path, stop_at):
    store = CheckpointStore(tmp_path)
    asked = itertools.count(1)
    with pytest.raises(InterruptedRunError, match=rf"after step {stop_at} of 12; the same command goes on") as raised:
        tiny.train(store=store, stop=lambda: next(asked) >= stop_at)
    assert raised.value.exit_code == 130
    assert store.latest(**STATE).step == stop_at
    tracker = MemoryTracker()
    resumed = tiny.train(store=CheckpointStore(tmp_path), tracker=tracker)
    assert resumed.resumed_from == stop_at
    assert tracker.tags_seen == {"resumed_from": str(stop_at)}
    assert_same(resumed, clean)


def test_sigterm_checkpoints_and_goes_on(tiny, clean, tmp_path):
    def batches(first_step):
        for batch in tiny.batches(first_step):
            if batch.step == 6:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(InterruptedRunError, match="after step 7 of 12"):
        tiny.train(batches=batches, store=CheckpointStore(tmp_path))
    assert signal.getsignal(signal.SIGTERM) is handler
    assert_same(tiny.train(store=CheckpointStore(tmp_path)), clean)


def test_a_stop_at_the_last_step_is_a_finish(tiny, clean):
    asked = itertools.count(1)
    assert_same(tiny.train(stop=lambda: next(asked) == 12), clean)


def test_without_a_store_a_stop_says_that_nothing_is_kept(tiny):
    with pytest.raises(InterruptedRunError, match="nothing was kept"):
        tiny.train(stop=lambda: True)


def test_a_finished_run_does_nothing_twice(tiny, clean, tmp_path):
    tiny.train(store=CheckpointStore(tmp_path))

    def no_batches(first_step):
        raise AssertionError("nothing is left to do")

    learner = tiny.make_learner()
    again = tiny.train(learner, batches=no_batches, store=CheckpointStore(tmp_path))
    assert_same(again, clean)
    assert again.resumed_from == 12
    assert again.metrics == {}
    assert torch.equal(learner.encoder.last.weight, clean.weights["encoder.last.weight"])


def test_a_damaged_newest_checkpoint_costs_only_its_steps(tiny, clean, tmp_path):
    asked = itertools.count(1)
    with pytest.raises(InterruptedRunError):
        tiny.train(store=CheckpointStore(tmp_path, keep=3), stop=lambda: next(asked) >= 10)
    content = bytearray((tmp_path / "step-00000010" / "state.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "step-00000010" / "state.pt").write_bytes(content)
    store = CheckpointStore(tmp_path)
    resumed = tiny.train(store=store)
    assert 0 < resumed.resumed_from < 10
    assert len(store.warnings) == 1
    assert_same(resumed, clean)


def test_another_config_or_corpus_is_refused(tiny, tmp_path):
    tiny.train(store=CheckpointStore(tmp_path), num_steps=4)
    with pytest.raises(UsageError, match="config config-a, this run has config config-b"):
        tiny.train(store=CheckpointStore(tmp_path), fingerprint="config-b")
    with pytest.raises(UsageError, match="corpus corpus-a, this run has corpus corpus-b"):
        tiny.train(store=CheckpointStore(tmp_path), manifest_hash="corpus-b")
    with pytest.raises(UsageError, match="step 4, beyond num_steps 3"):
        tiny.train(store=CheckpointStore(tmp_path), num_steps=3)


def test_another_model_is_refused(tiny, tmp_path):
    tiny.train(store=CheckpointStore(tmp_path), num_steps=4)
    learner = Learner(torch.nn.Sequential(tiny.Encoder()), tiny.Objective(), seed=3)
    with pytest.raises(IntegrityError, match="does not fit this model"):
        tiny.train(learner, store=CheckpointStore(tmp_path))


def test_validation_changes_nothing(tiny, clean):
    def rude(learner):
        learner.train()
        learner.encoder(tiny.make_batch(77).signals)
        return tiny.validate(learner)

    assert tiny.train(validate=None).losses == clean.losses
    run = tiny.train(validate=rude)
    assert run.losses == clean.losses
    for name, value in run.weights.items():
        assert torch.equal(value, clean.weights[name]), name


def test_validation_sees_evaluation_mode_and_its_own_steps(tiny):
    seen = []

    def validate(learner):
        assert not learner.encoder.layers.training
        assert not torch.is_grad_enabled()
        return {"validation_loss": float(len(seen))} | (seen.append(1) or {})

    run = tiny.train(validate=validate, num_steps=7)
    assert [step for step, _ in run.validations] == [3, 6, 7]


def test_a_validation_without_its_loss_is_refused(tiny):
    with pytest.raises(UsageError, match="validate gave rmse; it must give validation_loss"):
        tiny.train(validate=lambda _: {"rmse": 1.0})


def test_the_best_is_a_copy_of_its_own_step(tiny, tmp_path):
    values = iter([3.0, 1.0, math.nan, 2.0])
    seen = {}

    def validate(learner):
        value = next(values)
        seen[value] = learner.encoder.last.weight.clone()
        return {"validation_loss": value}

    store = CheckpointStore(tmp_path, keep=1)
    reports = []
    run = tiny.train(validate=validate, store=store, on_report=reports.append)
    assert (run.best_step, run.best_validation_loss) == (6, 1.0)
    assert torch.equal(run.best_weights["encoder.last.weight"], seen[1.0])
    assert not torch.equal(run.weights["encoder.last.weight"], seen[1.0])
    assert torch.equal(run.weights["encoder.last.weight"], seen[2.0])
    assert [report.step for report in reports if report.is_best] == [3, 6]
    best = store.best(**STATE)
    assert (best.step, best.validation_loss) == (6, 1.0)
    assert torch.equal(best.load()["learner"]["encoder.last.weight"], seen[1.0])
    assert torch.equal(store.latest(**STATE).load()["best"]["weights"]["encoder.last.weight"], seen[1.0])


def test_without_validation_the_best_are_the_last(tiny):
    run = tiny.train(validate=None)
    assert run.best_step is None
    assert all(torch.equal(value, run.weights[name]) for name, value in run.best_weights.items())


def test_reports_come_after_validations_and_checkpoints(tiny, tmp_path):
    reports = []
    tiny.train(store=CheckpointStore(tmp_path, keep=9), on_report=reports.append, num_steps=10, validate=None)
    assert [(r.step, r.checkpoint and r.checkpoint.name) for r in reports] == [
        (4, "step-00000004"), (8, "step-00000008"), (10, "step-00000010")
    ]  # fmt: skip
    reports.clear()
    worsening = itertools.count()
    tiny.train(validate=lambda _: {"validation_loss": float(next(worsening))}, num_steps=10, on_report=reports.append)
    assert [(r.step, r.is_best, r.checkpoint) for r in reports] == [
        (3, True, None), (4, False, None), (6, False, None), (8, False, None), (9, False, None), (10, False, None)
    ]  # fmt: skip
    assert "validation_loss" in reports[0].metrics
    assert "validation_loss" not in reports[1].metrics


def test_metrics_are_means_over_the_steps_between(tiny):
    tracker = MemoryTracker()
    run = tiny.train(tracker=tracker, validate=None, checkpoint_every_steps=100, num_steps=7)
    assert tracker.series("loss") == [
        (2, pytest.approx(sum(run.losses[:2]) / 2)),
        (4, pytest.approx(sum(run.losses[2:4]) / 2)),
        (6, pytest.approx(sum(run.losses[4:6]) / 2)),
        (7, pytest.approx(run.losses[6])),
    ]
    for (_, loss), (_, pull), (_, push) in zip(*map(tracker.series, ("loss", "pull", "push")), strict=True):
        assert loss == pytest.approx(pull + push)
    assert [rate for _, rate in tracker.series("learning_rate")][:1] == [1e-2]
    assert all(norm > 0 for _, norm in tracker.series("grad_norm"))
    assert [epoch for _, epoch in tracker.series("epoch")] == [0.0, 0.0, 1.0, 1.0]
    assert run.metrics == tracker.metrics_seen[-1][1]


class Slow:
    """Batches of which the iterator says itself how long it was waited for."""

    def __init__(self, source, delay_s, claimed_s=None):
        self.source = source
        self.delay_s = delay_s
        self.closed = False
        if claimed_s is not None:
            self.stalled_s = 0.0
        self.claimed_s = claimed_s

    def __iter__(self):
        return self

    def __next__(self):
        time.sleep(self.delay_s)
        if self.claimed_s is not None:
            self.stalled_s += self.claimed_s
        return next(self.source)

    def close(self):
        self.closed = True


@pytest.mark.parametrize(("claimed_s", "low", "high"), [(None, 1e-6, 1.0), (0.0, 0.0, 0.0), (100.0, 1.0, 1.0)])
def test_the_stalled_share_is_that_of_the_feed(tiny, claimed_s, low, high):
    feeds = []

    def batches(first_step):
        feeds.append(Slow(tiny.batches(first_step), 0.02, claimed_s))
        return feeds[0]

    run = tiny.train(batches=batches, validate=None, num_steps=4)
    assert low <= run.metrics["stalled_share"] <= high
    assert 0 < run.metrics["ecg_per_s"] < 8 / 0.02
    assert feeds[0].closed


class Timed(Slow):
    """Batches of which the iterator says how long making them took, and when nothing was made."""

    def __init__(self, source, quiet):
        super().__init__(source, 0.0, claimed_s=0.0)
        self.quiet = quiet
        self.taken = -1
        self.made_s = 0.0

    def __next__(self):
        self.taken += 1
        return super().__next__()

    @property
    def making_s(self):
        if self.taken >= 0 and self.taken not in self.quiet:
            self.made_s += 0.25
        return self.made_s


def test_inflation_is_told_from_the_first_bare_step_on(tiny):
    tracker = MemoryTracker()
    tiny.train(batches=lambda first: Timed(tiny.batches(first), {5}), validate=None, num_steps=12, tracker=tracker)
    assert [step for step, _ in tracker.series("step_inflation")] == [6, 8, 10, 12]
    assert all(value > 0 for _, value in tracker.series("step_inflation"))  # steps of milliseconds: no more can be said
    # Making is asked for twice a step, and stands still in the quiet one.
    assert [value for _, value in tracker.series("mining_s")] == [0.5, 0.5, 0.25, 0.5, 0.5, 0.5]


def test_an_iterator_that_does_not_tell_gives_no_inflation(tiny):
    run = tiny.train(batches=lambda first: Slow(tiny.batches(first), 0.0, 0.0), validate=None)
    assert not {"step_inflation", "mining_s"} & set(run.metrics)


def test_hubs_are_told_with_every_reading(tiny):
    tracker = MemoryTracker()
    tiny.train(validate=None, num_steps=6, tracker=tracker)
    assert [step for step, _ in tracker.series("hub_share_negatives")] == [2, 4, 6]
    assert all(0 < share < 1 for _, share in tracker.series("hub_share_positives"))


@pytest.mark.parametrize("mined_by", ["", "aaaa"])
def test_triplets_of_other_recordings_or_parameters_are_refused(tiny, mined_by):
    learner = Learner(tiny.Encoder(), tiny.Objective(), seed=3, mined_by=mined_by)
    batch = tiny.make_batch(0)
    by_us = dataclasses.replace(batch.mined, params_hash=mined_by)
    learner(dataclasses.replace(batch, mined=by_us), World())
    shuffled = dataclasses.replace(by_us, recording_ids=batch.recording_ids[::-1])
    with pytest.raises(IntegrityError, match="step 0: the triplets were mined of other recordings"):
        learner(dataclasses.replace(batch, mined=shuffled), World())
    if mined_by:
        with pytest.raises(IntegrityError, match="mined by unknown parameters, and this run mines by aaaa"):
            learner(batch, World())


def test_the_feed_is_closed_after_an_error(tiny):
    feed = Slow(iter([]), 0.0)
    with pytest.raises(IntegrityError, match="end before step 0"):
        tiny.train(batches=lambda _: feed)
    assert feed.closed


def test_a_batch_of_another_step_is_refused(tiny):
    with pytest.raises(IntegrityError, match="batch 1 came at step 0"):
        tiny.train(batches=lambda first: tiny.batches(first + 1))


def spoil(tiny, steps, row=5, value=math.nan):
    def batches(first_step):
        for batch in tiny.batches(first_step):
            if batch.step in steps:
                batch.signals[row, 0, 0] = value
            yield batch

    return batches


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_step_that_is_not_finite_is_skipped_whole(tiny, caplog, value):
    tracker = MemoryTracker()
    run = tiny.train(batches=spoil(tiny, {4}, value=value), tracker=tracker)
    assert [step for step, loss in enumerate(run.losses) if math.isnan(loss)] == [4]
    assert run.num_skipped == 1
    assert all(torch.isfinite(tensor).all() for tensor in run.weights.values())
    assert run.weights["encoder.layers.1.num_batches_tracked"] == 11  # running statistics never saw it
    assert sum(count for _, count in tracker.series("skipped_steps")) == 1
    assert "recordings recording-4-5" in caplog.text
    assert tracker.series("num_skipped")[-1] == (12, 1.0)


def test_a_skipped_step_leaves_everything_as_it_was(tiny):
    class Watched(Learner):
        def forward(self, batch, world):
            if batch.step in (4, 5):
                states.append({name: value.clone() for name, value in self.state_dict().items()})
            return super().forward(batch, world)

    states = []
    torch.manual_seed(7)
    tiny.train(Watched(tiny.Encoder(), tiny.Objective(), seed=3), batches=spoil(tiny, {4}), num_steps=6)
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_an_input_that_is_not_finite_is_never_trained_on_even_where_the_model_hides_it(tiny):
    class Forgiving(tiny.Encoder):
        def forward(self, signals):
            return super().forward(torch.nan_to_num(signals))

    learner = Learner(Forgiving(), tiny.Objective(), seed=3)
    batch = next(spoil(tiny, {0})(0))
    result = train_step(learner, torch.optim.SGD(learner.parameters(), lr=1.0), batch, tiny.World())
    assert result.skipped
    assert result.suspects == ("recording-0-5",)


def test_a_gradient_that_is_not_finite_is_skipped(tiny, caplog):
    class Cliff(tiny.Objective):
        def forward(self, z, mined):
            loss, parts = super().forward(z, mined)
            # sqrt(0): the value is 0, the slope is infinite
            return loss + torch.sqrt(0.0 * z.square().sum()), parts

    learner = Learner(tiny.Encoder(), Cliff(), seed=3)
    before = learner.encoder.last.weight.detach().clone()
    with pytest.raises(IntegrityError, match=r"2 steps in a row, up to step 2, .*all inputs are finite; lower the"):
        tiny.train(learner, max_skipped_in_a_row=2)
    assert torch.equal(learner.encoder.last.weight, before)


def test_too_many_in_a_row_end_the_run_even_across_a_restart(tiny, tmp_path):
    batches = spoil(tiny, {1, 3, 4, 5, 6})
    asked = itertools.count(1)
    with pytest.raises(InterruptedRunError):
        tiny.train(
            batches=batches, store=CheckpointStore(tmp_path), stop=lambda: next(asked) >= 5, max_skipped_in_a_row=3
        )
    with pytest.raises(IntegrityError, match=r"3 steps in a row, up to step 6, .*recordings recording-5-5; verify"):
        tiny.train(batches=batches, store=CheckpointStore(tmp_path), max_skipped_in_a_row=3)


def test_clipping_shortens_the_gradient_and_reports_its_length(tiny):
    tracker, clipped = MemoryTracker(), MemoryTracker()
    sgd_like = {"learning_rate": 1e-9, "epsilon": 1e6}
    runs = [
        tiny.train(optimiser=OptimiserConfig(**sgd_like, clip_norm=norm), tracker=t, validate=None, log_every_steps=1)
        for norm, t in ((None, tracker), (1e-3, clipped))
    ]
    assert tracker.series("grad_norm") == [
        (step, pytest.approx(norm, rel=1e-4)) for step, norm in clipped.series("grad_norm")
    ]
    assert runs[0].losses == pytest.approx(runs[1].losses, rel=1e-4)


def test_a_clipped_gradient_has_the_length_asked_for(tiny):
    learner = tiny.make_learner()
    optimiser = torch.optim.SGD(learner.parameters(), lr=1.0)
    before = [value.detach().clone() for value in learner.parameters()]
    train_step(learner, optimiser, tiny.make_batch(0), tiny.World(), clip_norm=1e-2)
    moved = torch.cat([(a - b).flatten() for a, b in zip(before, learner.parameters(), strict=True)])
    assert moved.norm().item() == pytest.approx(1e-2, rel=1e-3)


@pytest.mark.parametrize(
    "name",
    ["num_steps", "checkpoint_every_steps", "validate_every_steps", "log_every_steps", "max_skipped_in_a_row"],
)
def test_counts_below_one_are_refused(tiny, name):
    with pytest.raises(UsageError, match=f"{name} is 0; give at least 1"):
        tiny.train(**{name: 0})


def test_a_checkpoint_that_cannot_be_written_ends_the_run(tiny, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PrecheckError, match="step-00000003"):
        tiny.train(store=CheckpointStore(tmp_path / "file"))


def test_progress_hears_each_step(tiny):
    class Listener:
        def __init__(self):
            self.heard = []
            self.closed = 0

        def start(self, step, num_steps):
            self.heard.append((step, num_steps))

        def update(self, step, loss, ecg_per_s, time_left_s, parts):
            assert ecg_per_s > 0
            assert time_left_s > 0 or step == 12
            self.heard.append((step, loss))

        def close(self):
            self.closed += 1

    listener = Listener()
    run = tiny.train(progress=listener)
    assert listener.heard == [(0, 12), *((step + 1, loss) for step, loss in enumerate(run.losses))]
    assert listener.closed == 1


def test_a_checkpoint_is_plain(tiny, tmp_path):
    store = CheckpointStore(tmp_path)
    tiny.train(store=store)
    manifest = json.loads((store.latest(**STATE).folder / "manifest.json").read_text())
    assert manifest.keys() == {
        "schema", "step", "fingerprint", "manifest_hash", "state_sha256", "state_bytes", "validation_loss"
    }  # fmt: skip
