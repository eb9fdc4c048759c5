"""Any training run on Ray Train: N workers that call the same function as the single process does.

Checkpoints are ours (`learning.CheckpointStore` under the run's own folder), not Ray's: each attempt of the driver
is a new Ray run, so neither a lost nor a damaged snapshot of Ray's can make a run begin at step 0. The run's folder
must lie where every node sees it.
"""

from __future__ import annotations

import contextlib
import datetime
import shutil
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from hemometric.errors import ClusterError, HemometricError, InterruptedRunError, UsageError
from hemometric.learning import Report, World
from hemometric.progress import Progress, progress_on
from hemometric.runs.outcome import open_trackers
from hemometric.runs.records import ProgressFile, read_progress
from hemometric.runs.training import Hooks
from hemometric.runs.training_run import TrainingRun
from hemometric.runtime.failures import translated
from hemometric.runtime.mailbox import Mailbox
from hemometric.runtime.session import check_cpus, cluster_cpus, cluster_gpus, needed_cpus

MAX_FAILURES = 3
"""How often the workers are started again before the driver gives up."""

MINING_TIMEOUT = datetime.timedelta(minutes=10)
"""How long the mining of one rank waits for the others: a rank that died alone must end the run, not hang it."""

Loop = Callable[[Any, World, Hooks], Any]
"""`runs.pretrain.pretrain` or `runs.finetune.finetune`."""


def train_on_ray(
    loop: Loop,
    config: TrainingRun,
    *,
    identity: str,
    name: str,
    parent: str | None = None,
    callbacks: tuple[Any, ...] = (),
    watch: bool = True,
) -> None:
    """Train on ``config.workers`` Ray workers inside an open session, and return when ``out/model`` is there.

    Parameters
    ----------
    loop : callable
        What each worker calls with (config, world, hooks).
    identity : str
        Of the run, for tracking.
    parent : str, optional
        The MLflow run that this one belongs to.
    callbacks : tuple
        For Ray Train's controller; a Tune trial passes its own.
    watch : bool
        Show progress and listen for SIGINT and SIGTERM here; not inside a Tune trial.

    Raises
    ------
    UsageError
        The batch does not fit the workers.
    PrecheckError
        The cluster has too few CPUs; Ray itself would wait for ever.
    InterruptedRunError
        Stopped; the same call goes on.
    ClusterError
        The workers failed more than `MAX_FAILURES` times.
    """
    check_fits(config)
    trainer = _trainer(loop, config, identity, name, parent, callbacks)
    mailbox = Mailbox(config.out)
    mailbox.clear()
    outcome: dict[str, Any] = {}

    def fit() -> None:
        try:
            trainer.fit()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the watching thread raises it
            outcome["error"] = error
        finally:
            ended.set()

    ended = threading.Event()
    if not watch:
        fit()
    else:
        threading.Thread(target=fit, name="train", daemon=True).start()
        _watch(ended, config, name, mailbox)
    told = mailbox.open()
    if told is not None:
        raise told
    if "error" in outcome:
        raise translated(outcome["error"]) from outcome["error"]
    if not (config.out / "model" / "_SUCCESS").is_file():
        raise ClusterError("the workers ended without a model; run the same command again to go on")
    shutil.rmtree(config.out / "ray", ignore_errors=True)


def check_fits(config: TrainingRun, *, concurrent: int = 1, driver: float = 0.0) -> None:
    """Refuse what could never start: a batch that cannot be dealt, or more CPUs than the session has.

    Raises
    ------
    UsageError, PrecheckError
        See `train_on_ray`.
    """
    if config.batch_size % config.workers:
        raise UsageError(
            f"batch_size {config.batch_size} cannot be dealt to {config.workers} workers evenly; "
            f"take a multiple of {config.workers}"
        )
    needed = needed_cpus(
        workers=config.workers, cpus_per_worker=config.cpus_per_worker, concurrent=concurrent, driver=driver
    )
    check_cpus(
        needed, cluster_cpus(), advice="take fewer workers, a smaller cpus_per_worker, or a smaller max_concurrent"
    )


def _trainer(
    loop: Loop, config: TrainingRun, identity: str, name: str, parent: str | None, callbacks: tuple[Any, ...]
) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    gpus = config.gpus_per_worker
    if gpus is None:
        gpus = 1.0 if cluster_gpus() >= config.workers else 0.0
    resources = {"CPU": config.cpus_per_worker} | ({"GPU": gpus} if gpus else {})
    return TorchTrainer(
        _worker,
        train_loop_config={
            "loop": loop,
            "kind": type(config),
            "config": config.model_dump_json(),
            "identity": identity,
            "name": name,
            "parent": parent,
        },
        torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
        scaling_config=ScalingConfig(num_workers=config.workers, use_gpu=bool(gpus), resources_per_worker=resources),
        run_config=RunConfig(
            name=f"{name}-{uuid.uuid4().hex[:8]}",
            storage_path=str((config.out / "ray").resolve()),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
            callbacks=list(callbacks) or None,
        ),
    )


def _worker(given: Mapping[str, Any]) -> None:
    """Run on each worker: the world from Ray, a gloo group for mining, and the same loop as without Ray."""
    import ray.train
    import ray.train.torch
    import torch
    import torch.distributed as dist

    context = ray.train.get_context()
    config = given["kind"].model_validate_json(given["config"])
    mailbox = Mailbox(config.out)
    if mailbox.stop_asked():
        return
    threads = max(1, int(config.cpus_per_worker))
    torch.set_num_threads(threads)
    if getattr(config, "mining", None) is not None and config.mining.threads is None:
        config = config.model_copy(update={"mining": config.mining.model_copy(update={"threads": threads})})
    world = World(
        rank=context.get_world_rank(),
        size=context.get_world_size(),
        device=ray.train.torch.get_device(),
        mining_group=dist.new_group(backend="gloo", timeout=MINING_TIMEOUT) if context.get_world_size() > 1 else None,
    )

    def report(told: Report) -> None:
        # Every rank hears the same, so all of them leave out what Tune could not compare.
        if "validation_loss" in told.metrics:
            ray.train.report({**told.metrics, "step": told.step})

    # All ranks agreed to stop and a checkpoint is written: an error would only make Ray start them again.
    with contextlib.suppress(InterruptedRunError), contextlib.ExitStack() as stack:
        hooks = Hooks(on_report=report, stop=mailbox.stop_asked)
        if world.is_main:
            tracker = stack.enter_context(
                open_trackers(config, given["identity"], name=given["name"], parent=given["parent"])
            )
            progress = ProgressFile(config.out / "progress.json")
            hooks = Hooks(tracker=tracker, progress=progress, on_report=report, stop=mailbox.stop_asked)
        try:
            given["loop"](config, world, hooks)
        except HemometricError as error:
            mailbox.tell_failure(error)
            raise


def _watch(ended: threading.Event, config: TrainingRun, name: str, mailbox: Mailbox) -> None:
    """Show what the main rank writes; the first interruption asks the workers to stop, the second gives up.

    It waits for an event, not for the thread: an interrupted ``Thread.join(timeout)`` of Python 3.11 and 3.12 takes
    the thread for ended, and the workers would be gone before they have written a checkpoint.
    """
    progress: Progress = progress_on(name)
    shown: int | None = None
    interrupted = False
    try:
        while not ended.is_set():
            try:
                ended.wait(0.3)
                state = read_progress(config.out / "progress.json")
                if state is None or state["step"] == shown:
                    continue
                if shown is None:
                    progress.start(state["step"], state["num_steps"])
                is_beginning = shown is None and state["loss"] is None
                shown = state["step"]
                if is_beginning:
                    continue  # nothing has been trained yet that could be shown
                loss = float("nan") if state["loss"] is None else state["loss"]
                progress.update(shown, loss, state["ecg_per_s"], state["time_left_s"], state["parts"])
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                mailbox.ask_to_stop()
    finally:
        progress.close()
