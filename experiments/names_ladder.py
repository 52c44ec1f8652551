"""How well can names be predicted, by whom, after one pass over them and after many?

Every learner that models characters, on the two splits of makemore's names: that of Karpathy's
lectures and that of makemore's own script. One pass: the training names once, in random order, each
symbol predicted before it is learned from (*prequential*), then the test names with the learner
frozen. Many passes: minibatches of whole names, the pass to stop at chosen by development names,
and the test names looked at once, with the weights of that pass.

    python experiments/names_ladder.py                          # whatever is not done yet
    python experiments/names_ladder.py --rows lstm,ppm --splits lecture
    python experiments/names_ladder.py --rule runs/names        # a rule of `loopymeta train names`
    python experiments/names_ladder.py --tune lstm,snap1        # rates, by development names alone
    python experiments/names_ladder.py --invent                 # names, by what many passes trained
    python experiments/names_ladder.py --rows none --publish    # the page and the figure alone

A row is a process of its own for every split and seed, so that its memory is its own. What it found
is kept in ``--out`` under the SHA-256 of all that it depends on, so that nothing is run twice; many
passes are also kept pass by pass, and go on where they were killed. With ``--publish`` what was
found is laid over docs/names_ladder.json (every figure, by seed), and docs/figures/names_ladder.png
and the part of docs/names.md between its marks are made of that.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from loopymeta import data, plots, runs
from loopymeta.checkpoint import write_atomic
from loopymeta.learners.recurrent import OnlineRNN
from loopymeta.learners.transformer import Transformer
from loopymeta.offline import Passes, Recurrent, SequenceModel, mean_nats, rows_of, sample, train
from loopymeta.tasks import Names
from loopymeta.tasks.language import NAME_SYMBOLS, encode

ROOT = Path(__file__).resolve().parent.parent
VERSION = 1
"""To be raised when a change of the code changes figures: what other versions found is not used."""
DEV = 1000  # names that are taken from the end of makemore's training names, which has none for it


@dataclasses.dataclass(frozen=True)
class Config:
    """What is run."""

    rows: tuple[str, ...] = ()
    """Rows of `ROWS`; empty: all; ``none``: none, what there is is shown."""
    splits: tuple[str, ...] = ("lecture", "makemore")
    """Of the names; see `loopymeta.data.names_split`."""
    seeds: tuple[int, ...] = (11, 12, 13)
    """Of orders and newborn weights; rates are to be chosen on others."""
    rule: str | None = None
    """Rule file or run folder of a meta-learned rule, which is the row ``rule`` then."""
    tune: tuple[str, ...] = ()
    """Rows of which other settings are tried (`TRIED` and what follows it), and nothing else."""
    invent: bool = False
    """Whether the models of many passes that are there make names up, and nothing else is run."""
    publish: bool = False
    """Whether what was found goes into docs/."""
    out: str = "runs/names_ladder"
    """Folder of what was found."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
      title: what it is called there.
      order: of an n-gram that is counted on the host; 0: it is none.
      learner: who lives one pass, by name (`loopymeta.learners.by_name`), or a rule file.
      model: what is trained in many passes, one of `MODELS`.
      again: passes that the learner lives besides, to see what more than one is good for; 0: none.
      seeds: how many; None: all. One where there is no chance in it but the order of the names.
    """

    title: str
    order: int = 0
    learner: str = ""
    model: str = ""
    again: int = 0
    seeds: int | None = None


AGAIN = 5  # passes


ROWS: dict[str, Row] = {
    **{
        name: Row(title, order=order, seeds=1)
        for order, name, title in (
            (1, "unigram", "unigram"),
            (2, "bigram", "bigram"),
            (3, "trigram", "trigram"),
            (4, "4-gram", "4-gram (Kneser-Ney)"),
            (5, "5-gram", "5-gram (Kneser-Ney)"),
        )
    },
    "counts": Row("count table, 4-gram", learner="counts", again=AGAIN),
    "counts5": Row("count table, 5-gram", learner="counts(order=5)", again=AGAIN),
    "ppm": Row("prediction by partial matching", learner="ppm", again=AGAIN),
    "plastic_memory": Row("plastic memory", learner="plastic_memory", again=AGAIN),
    "plastic_graph": Row(
        "plastic memory, from its graph",
        learner='plastic_memory(share=("prefix", "infix"), counts="graph", order=3)',
        again=AGAIN,
    ),
    "reservoir": Row("reservoir, 512 nodes", learner="reservoir", again=AGAIN),
    "dfa": Row("direct feedback alignment", learner="dfa", again=AGAIN),
    "uoro": Row("UORO", learner="uoro", again=AGAIN),
    "online_eprop": Row("e-prop", learner="online_eprop", again=AGAIN),
    "online_rflo": Row("RFLO", learner="online_rflo", again=AGAIN),
    "snap1": Row("SnAp-1", learner="snap1", again=AGAIN),
    "rtrl": Row("RTRL, 64 units", learner="rtrl", again=AGAIN),
    "hierarchical": Row("hierarchical LSTM", learner="hierarchical", again=AGAIN),
    "elman": Row("Elman, 128 units", learner="elman", model="elman"),
    "gru": Row("GRU, 128 units", learner="gru", model="gru"),
    "lstm": Row("LSTM, 128 units", learner="lstm", model="lstm"),
    "lstm256": Row(
        "LSTM, 256 units", learner="lstm(width=256, learning_rate=0.02)", model="lstm256"
    ),
    "rule": Row("**meta-learned rule**"),
    "transformer": Row("transformer, 4 layers of 64", model="transformer"),
}


@dataclasses.dataclass(frozen=True)
class Trained:
    """What is trained in many passes, and how.

    Attributes:
      model: the network.
      passes: how it is trained.
      seeds: how many.
    """

    model: SequenceModel
    passes: Passes
    seeds: int | None = None


def _recurrent(cell: str, rate: float, epochs: int, width: int = 128) -> Trained:
    network = OnlineRNN(len(NAME_SYMBOLS), len(NAME_SYMBOLS), cell=cell, width=width)
    return Trained(Recurrent(network), Passes(epochs=epochs, learning_rate=rate))


MODELS: dict[str, Trained] = {
    "elman": _recurrent("elman", 0.008, 10),
    "gru": _recurrent("gru", 0.006, 10),
    "lstm": _recurrent("lstm", 0.005, 10),
    "lstm256": _recurrent("lstm", 0.005, 10, width=256),
    "transformer": Trained(
        Transformer(dropout=0.1), Passes(epochs=20, learning_rate=0.002), seeds=2
    ),
}
"""What is trained in many passes, at the best of the rates that were tried: of the wider LSTM none
were, it has that of the other; the transformer's was tried over all of its passes, with dropout and
without, the others over four of them."""

TRIED: dict[str, tuple[float, ...]] = {
    "elman": (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016),
    "gru": (0.0015, 0.003, 0.006, 0.012, 0.024),
    "lstm": (0.0025, 0.005, 0.01),
}
"""Learning rates of many passes that are tried, on a seed of their own."""
TRIED_WHOLE: dict[str, tuple[tuple[float, int, float], ...]] = {
    "transformer": (
        *((rate, 4, 0.0) for rate in (0.0005, 0.001, 0.004)),
        *((0.002, 20, dropout) for dropout in (0.0, 0.1)),
    ),
}
"""Learning rate, passes, and the part that is left out while it learns."""
TRIED_ONCE: dict[str, tuple[float, ...]] = {
    "dfa": (0.0003, 0.001, 0.003, 0.01),
    "uoro": (0.0001, 0.0003, 0.001, 0.003),
    "online_eprop": (0.0003, 0.001, 0.003, 0.01),
    "online_rflo": (0.0003, 0.001, 0.003, 0.01),
    "snap1": (0.0003, 0.001, 0.003, 0.01),
}
"""The same in one pass, of learners by name."""
TRIED_SETTINGS: dict[str, tuple[str, ...]] = {
    "counts": ("order=3", "order=4", "order=5", "order=5, discount=0.85"),
    "ppm": tuple(
        f'order={order}, counting="{counting}"'
        for order in (3, 4, 5)
        for counting in ("single", "all")
    ),
    "reservoir": ("gain=0.7", "gain=0.9", "gain=1.1", "input_gain=2", "num_hidden=1024"),
    "lstm": (
        *(f"learning_rate={rate}, momentum=0.9" for rate in (0.01, 0.02, 0.03)),
        *(f"learning_rate={rate}, momentum=0.5" for rate in (0.01, 0.02, 0.03)),
        "learning_rate=0.03, clip=0.5",
        "learning_rate=0.02, window=8, interval=8",
        "learning_rate=0.02, window=32, interval=32",
        "learning_rate=0.03, horizon=0.2",
        "learning_rate=0.02, num_layers=2",
        'learning_rate=0.01, optimizer="rmsprop"',
    ),
    "gru": (
        "learning_rate=0.005",
        "learning_rate=0.01",
        "learning_rate=0.02",
        "learning_rate=0.01, momentum=0.9",
        "learning_rate=0.01, clip=0.5",
    ),
    "elman": (
        "learning_rate=0.0025",
        "learning_rate=0.005",
        "learning_rate=0.01",
        "learning_rate=0.005, momentum=0.9",
        "learning_rate=0.005, clip=0.5",
        "learning_rate=0.005, window=8, interval=8",
    ),
    "hierarchical": (
        *(
            f"learning_rate={rate}, feedback={feedback}"
            for rate in (0.01, 0.02, 0.04)
            for feedback in (0.03, 0.1, 0.3)
        ),
        *(f"learning_rate=0.02, feedback=0.03, upper_rate={rate}" for rate in (0.001, 0.01, 0.03)),
    ),
    "snap1": ("momentum=0.5",),
    "online_rflo": ("momentum=0.5",),
    "online_eprop": ("momentum=0.5",),
    "uoro": ("momentum=0.5",),
    "dfa": ("momentum=0.5",),
}
"""Other settings that are tried in one pass."""
TUNE_SEED = 1001


# --- what is to be done --------------------------------------------------------------------------


def rows_asked(config: Config) -> list[str]:
    """The names of the rows that are to be there."""
    named = [name for name in config.rows if name != "none"]
    if unknown := [name for name in named if name not in ROWS]:
        raise SystemExit(f"unknown rows {unknown}; there are {', '.join(ROWS)}")
    return named if config.rows else list(ROWS)


def jobs_of(name: str, config: Config) -> Iterator[dict[str, Any]]:
    """All jobs of a row: what one says, as JSON holds it, is all that it depends on."""
    row = ROWS[name]
    learner = config.rule if name == "rule" else row.learner
    for split in config.splits:
        head = {"version": VERSION, "row": name, "split": split}
        for seed in config.seeds[: row.seeds]:
            if row.order:
                yield head | {"kind": "counted", "order": row.order, "seed": seed}
            elif learner:
                yield head | {"kind": "one pass", "seed": seed} | _who(learner, split)
        if row.again:
            again = {"kind": "lived again", "seed": config.seeds[0], "lives": row.again}
            yield head | again | _who(learner, split)
        if row.model:
            trained = MODELS[row.model]
            for seed in config.seeds[: trained.seeds]:
                yield head | _training(row.model, trained.passes, seed)


def _who(learner: str, split: str) -> dict[str, Any]:
    """A learner by name or a rule by its file, with all of its settings."""
    from loopymeta.leaderboard import entrant_of

    entrant = entrant_of(learner)
    return {
        "entrant": runs.to_dict(entrant.content()),
        "settings": entrant.settings(Names(held_out="test", split=split)),
    }


def _training(name: str, passes: Passes, seed: int, dropout: float | None = None) -> dict[str, Any]:
    job = {"kind": "many passes", "seed": seed, "name": name, "passes": dataclasses.asdict(passes)}
    model = MODELS[name].model
    if dropout is None:
        dropout = getattr(model, "dropout", None)
    if dropout is not None:
        job["dropout"] = dropout
    return job | {"model": repr(_model(job))}


def _model(job: dict[str, Any]) -> SequenceModel:
    """The model that a job trains."""
    model = MODELS[job["name"]].model
    if "dropout" in job:
        model = dataclasses.replace(model, dropout=job["dropout"])
    return model


def tuning_jobs(config: Config) -> Iterator[dict[str, Any]]:
    """What is tried for rows that are to be tuned: the lecture split, its development names."""
    known = list(dict.fromkeys((*TRIED, *TRIED_WHOLE, *TRIED_ONCE, *TRIED_SETTINGS)))
    if unknown := [name for name in config.tune if name not in known]:
        raise SystemExit(f"nothing to try for {unknown}, but for {known}")
    head = {"version": VERSION, "split": "lecture", "tuning": True}
    for name in config.tune:
        for rate in TRIED_ONCE.get(name, ()):
            job = head | {"row": name, "kind": "one pass", "seed": TUNE_SEED, "rate": rate}
            yield job | _who(f"{name}(learning_rate={rate})", "lecture")
        for setting in TRIED_SETTINGS.get(name, ()):
            job = head | {"row": name, "kind": "one pass", "seed": TUNE_SEED, "setting": setting}
            yield job | _who(f"{name}({setting})", "lecture")
        for rate in TRIED.get(name, ()):
            passes = dataclasses.replace(MODELS[name].passes, learning_rate=rate)
            yield head | {"row": name} | _training(name, passes, TUNE_SEED)
        for rate, epochs, dropout in TRIED_WHOLE.get(name, ()):
            passes = Passes(epochs=epochs, learning_rate=rate)
            yield head | {"row": name} | _training(name, passes, TUNE_SEED, dropout)


# --- one job, in a process of its own ------------------------------------------------------------


def work(job: dict[str, Any], progress: Path) -> dict[str, Any]:
    """What a job found: figures, processor seconds, bytes of memory."""
    began = time.process_time()
    if job["kind"] == "many passes":
        found = _many_passes(job, progress)
    else:
        found = _counted(job) if job["kind"] == "counted" else _lived(job)
    return {"seconds": time.process_time() - began} | found | {"memory": _peak_memory()}


def _counted(job: dict[str, Any]) -> dict[str, Any]:
    from loopymeta.ngrams import NGram

    train_names, _, test_names = data.names_split(job["split"])
    np.random.default_rng(job["seed"]).shuffle(train_names)
    taught, tested = (
        encode("." + "".join(name + "." for name in names), NAME_SYMBOLS)
        for names in (train_names, test_names)
    )
    # As `loopymeta.ngrams.baseline_ngrams` has them.
    smoothing = "absolute" if job["order"] <= 3 else "kneser_ney"
    model = NGram(job["order"], len(NAME_SYMBOLS), smoothing, boundary=0)
    nats, known = model.held_out(taught, tested), set(train_names)
    unseen = np.repeat([n not in known for n in test_names], [len(n) + 1 for n in test_names])
    found = {"prequential": model.prequential(taught), "test": nats, "unseen": nats[unseen]}
    return {name: float(values.mean()) for name, values in found.items()}


def _lived(job: dict[str, Any]) -> dict[str, Any]:
    import loopymeta as lm
    from loopymeta.leaderboard import learner_of
    from loopymeta.living import live_through

    part = "dev" if job.get("tuning") else "test"
    task = Names(held_out=part, split=job["split"], passes=job.get("lives", 1))
    learner, theta = learner_of(job["entrant"], task, job["seed"])
    lived = live_through(
        lm.Lifetime(learner, task), theta, lm.key(job["seed"]), every=task.spec.length
    )
    names = {part: f"{part}_nats"}
    if task.passes == 1:  # else most of it was met before
        names["prequential"] = "prequential_nats"
    if part == "test":
        names["unseen"] = "test_unseen_nats"
    return {own: float(lived.metrics[name]) for own, name in names.items()}


def _many_passes(job: dict[str, Any], progress: Path) -> dict[str, Any]:
    import jax

    model, passes = _model(job), Passes(**job["passes"])
    train_rows, dev_rows, test_rows = _rows(job["split"])
    began, spent = time.process_time(), []

    def watch(state: Any) -> None:
        spent.append(time.process_time() - began)
        print(
            f"pass {int(state.epoch)}: development {float(state.dev_nats[state.epoch - 1]):.4f}",
            file=sys.stderr,
            flush=True,
        )

    key = jax.random.key(job["seed"])
    done = train(model, passes, train_rows, dev_rows, key, file=progress, watch=watch)
    curve = np.asarray(done.dev_nats).tolist()
    found = {
        "dev_curve": curve,
        "train_curve": np.asarray(done.train_nats).tolist(),
        "dev": float(np.nanmin(curve)),
        "stopped": 1 + int(np.nanargmin(curve)),
    }
    # Passes of a process that was killed count as much each as those of this one, if it made any.
    found["seconds"] = spent[-1] * passes.epochs / len(spent) if spent else None
    if not job.get("tuning"):
        known = set(data.names_split(job["split"])[0])
        unseen = [name not in known for name in data.names_split(job["split"])[2]]
        for name, rows in (("test", test_rows), ("unseen", test_rows[unseen])):
            found[name] = float(mean_nats(model, done.best, jax.numpy.asarray(rows)))
    return found


def _rows(split: str) -> list[np.ndarray]:
    """Training, development and test names as rows of one length."""
    train_names, dev_names, test_names = data.names_split(split)
    if not dev_names:
        train_names, dev_names = train_names[:-DEV], train_names[-DEV:]
    length = Transformer().context
    return [
        rows_of([encode(name + ".", NAME_SYMBOLS) for name in names], length)
        for names in (train_names, dev_names, test_names)
    ]


def _peak_memory() -> int:
    """Bytes that this process held at most."""
    import resource

    status = Path("/proc/self/status")
    if status.exists():  # in ru_maxrss Linux counts the process that started this one, too
        return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


# --- all of them ---------------------------------------------------------------------------------


def _file(job: dict[str, Any], out: Path) -> Path:
    text = json.dumps(job, sort_keys=True)
    return out / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"


def run(job: dict[str, Any], out: Path) -> bool:
    """Does a job that is not done yet: whether it is done now."""
    path = _file(job, out)
    if path.exists():
        return True
    what = f"{job['row']}, {job['kind']}, {job['split']}, seed {job['seed']}"
    print(what, flush=True)
    command = [sys.executable, __file__, "--work", str(path.with_suffix(".safetensors"))]
    done = subprocess.run(command, input=json.dumps(job), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        print(f"{what}: failed, the rest goes on", file=sys.stderr)
        return False
    found = json.loads(done.stdout.splitlines()[-1])
    write_atomic(path, (json.dumps({"job": job, "found": found}, indent=1) + "\n").encode())
    shown = {k: round(v, 4) for k, v in found.items() if isinstance(v, float)}
    print(f"  {shown}, {found['memory'] / 1e6:.0f} MB", flush=True)
    return True


def collect(jobs: list[dict[str, Any]], out: Path) -> list[dict[str, Any]]:
    """What is known of the jobs, without what makes them up."""
    kept = ("row", "split", "kind", "seed", "passes", "lives", "rate", "setting", "dropout")
    found = []
    for job in jobs:
        path = _file(job, out)
        if path.exists():
            about = {name: job[name] for name in kept if name in job}
            found.append(about | json.loads(path.read_text())["found"])
    return found


def merged(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was published before, replaced by what is known now, in the order of the table."""

    def of(one: dict[str, Any]) -> tuple[Any, ...]:
        if "test" in one:
            tried = ()
        elif "passes" in one:
            tried = ("", one["passes"]["learning_rate"], one.get("dropout", 0.0))
        else:
            tried = (one.get("setting", ""), one.get("rate", 0.0))
        return (list(ROWS).index(one["row"]), one["split"], one["kind"], one["seed"], *tried)

    return [each for _, each in sorted({of(one): one for one in (*old, *new)}.items())]


# --- names that are made up ----------------------------------------------------------------------

INVENTED = 1000
"""Names that a model makes up."""
SHOWN = 12
"""How many of them stand on the page."""


def invented(job: dict[str, Any], out: Path) -> dict[str, Any] | None:
    """What a model that was trained in many passes makes up; None: it was not trained yet."""
    import jax

    path = _file(job, out)
    if not path.exists():
        return None
    model, (rows, dev, _) = _model(job), _rows(job["split"])
    key = jax.random.key(job["seed"])
    weights = path.with_suffix(".safetensors")
    done = train(model, Passes(**job["passes"]), rows, dev, key, file=weights)
    made = sample(model, done.best, INVENTED, rows.shape[1], jax.random.key(TUNE_SEED))
    names = ["".join(NAME_SYMBOLS[s] for s in row if s > 0) for row in made]
    known = set(data.names_split(job["split"])[0])
    return {
        "row": job["row"],
        "split": job["split"],
        "seed": job["seed"],
        "names": names[:SHOWN],
        "known": float(np.mean([name in known for name in names])),
        "different": len(set(names)) / len(names),
    }


def real_ones(split: str) -> dict[str, Any]:
    """The same of test names, in the place of names that were made up."""
    train_names, _, test_names = data.names_split(split)
    np.random.default_rng(TUNE_SEED).shuffle(test_names)
    names, known = test_names[:INVENTED], set(train_names)
    return {
        "row": None,
        "split": split,
        "names": names[:SHOWN],
        "known": float(np.mean([name in known for name in names])),
        "different": len(set(names)) / len(names),
    }


def all_invented(config: Config, out: Path) -> list[dict[str, Any]]:
    """Names that are made up by each model that is trained, of one split and seed."""
    one = dataclasses.replace(config, splits=config.splits[:1], seeds=config.seeds[:1])
    jobs = [job for name in ROWS for job in jobs_of(name, one) if job["kind"] == "many passes"]
    made = [each for job in jobs if (each := invented(job, out)) is not None]
    if not made:
        raise SystemExit(f"nothing is trained in {out} yet: --rows lstm,transformer does")
    return [real_ones(config.splits[0]), *made]


def invented_table(made: list[dict[str, Any]]) -> str:
    """Names that were made up, as Markdown."""
    lines = ["| | names | training names | different |", "|---" * 4 + "|"]
    for one in made:
        title = ROWS[one["row"]].title if one["row"] else "test names"
        lines.append(
            f"| {title} | {', '.join(one['names'])} | {one['known']:.1%} | {one['different']:.1%} |"
        )
    return "\n".join(lines)


# --- the page ------------------------------------------------------------------------------------


AGAIN_KINDS = ("many passes", "lived again")


def _of(found: list[dict[str, Any]], kind: str, value: str) -> str:
    """Mean and standard deviation over seeds of one figure of a row, as text."""
    kinds = ("counted", "one pass") if kind == "one pass" else AGAIN_KINDS
    values = [one[value] for one in found if one["kind"] in kinds and one[value] is not None]
    if not values:
        return ""
    if value == "seconds":
        return f"{np.mean(values):.3g}" if np.mean(values) < 100 else f"{np.mean(values):,.0f}"
    if value == "memory":
        return f"{np.mean(values) / 1e6:,.0f}"
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"


def table(found: list[dict[str, Any]], split: str) -> str:
    """The rows of a split as Markdown."""
    lines = [
        "| | one pass: prequential | test | unseen | s | MB "
        "| many passes: test | unseen | s | MB |",
        "|---" * 10 + "|",
    ]
    for name, row in ROWS.items():
        mine = [one for one in found if one["row"] == name and one["split"] == split]
        if not mine:
            continue
        values = ("test", "unseen", "seconds", "memory")
        cells = [_of(mine, "one pass", value) for value in ("prequential", *values)]
        cells += [_of(mine, "many passes", value) for value in values]
        lines.append(f"| {row.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def passes_table(found: list[dict[str, Any]]) -> str:
    """How many passes were made, and at which of them the development names were predicted best."""
    lines = [
        "| | split | seed | rate | left out | passes | best | development | test |",
        "|---" * 9 + "|",
    ]
    for one in found:
        if one["kind"] == "many passes":
            passes = one["passes"]
            test = f"{one['test']:.4f}" if "test" in one else ""
            lines.append(
                f"| {ROWS[one['row']].title} | {one['split']} | {one['seed']} "
                f"| {passes['learning_rate']:g} | {one.get('dropout', 0):g} "
                f"| {passes['epochs']} | {one['stopped']} "
                f"| {one['dev']:.4f} | {test} |"
            )
    return "\n".join(lines)


def tried_table(tuned: list[dict[str, Any]]) -> str:
    """What was tried in one pass."""
    lines = ["| | setting | prequential | development |", "|---" * 4 + "|"]
    for one in tuned:
        if one["kind"] == "one pass":
            lines.append(
                f"| {ROWS[one['row']].title} | {_setting(one)} | {one['prequential']:.4f} "
                f"| {one['dev']:.4f} |"
            )
    return "\n".join(lines)


def _setting(one: dict[str, Any]) -> str:
    """What was other than the learner's own settings."""
    if "rate" in one:
        return f"rate {one['rate']:g}"
    text = one["setting"].replace("learning_rate", "rate").replace("=", " ").replace('"', "")
    return text.replace("num_", "") or "its own"


def figure(found: list[dict[str, Any]]) -> Any:
    """The ladder: a dot a seed, a line a row, a panel a split."""
    from matplotlib.figure import Figure

    splits = [s for s in Config.splits if any(one["split"] == s for one in found)]
    shown = [one for one in found if "test" in one]

    def best(name: str) -> float:
        return min(one["test"] for one in shown if one["row"] == name)

    names = sorted({one["row"] for one in shown}, key=best, reverse=True)
    whole = Figure(figsize=(5.2 * len(splits), 1.4 + 0.3 * len(names)), layout="constrained")
    panels = whole.subplots(1, len(splits), sharey=True, squeeze=False)[0]
    styles = (
        ("one pass", ("counted", "one pass"), plots.canvas.BLUE, "o"),
        ("many passes, in minibatches", ("many passes",), plots.canvas.VERMILLION, "D"),
        ("five passes, online", ("lived again",), plots.canvas.GREEN, "s"),
    )
    for axes, split in zip(panels, splits, strict=True):
        for label, kinds, color, marker in styles:
            mine = [o for o in shown if o["split"] == split and o["kind"] in kinds]
            places = [names.index(one["row"]) for one in mine]
            tests = [one["test"] for one in mine]
            axes.scatter(tests, places, s=40, color=color, marker=marker, alpha=0.75, label=label)
        axes.set_title(f"{split} split", loc="left", fontsize=12)
        axes.set_xlabel("test names, nats per symbol", fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#eeeeee")
        axes.set_axisbelow(True)
    titles = [ROWS[name].title.replace("**", "") for name in names]
    panels[0].set_yticks(range(len(names)), titles, fontsize=11)
    panels[0].invert_yaxis()
    panels[-1].legend(frameon=False, loc="center right")
    return whole


def write_page(
    found: list[dict[str, Any]], tuned: list[dict[str, Any]], made: list[dict[str, Any]]
) -> None:
    """Fills docs/names.md, and draws its figure."""
    path = ROOT / "docs" / "names.md"
    begin, end = "<!-- results -->", "<!-- end -->"
    parts = ["![The ladder of names](figures/names_ladder.png)"]
    for split in Config.splits:
        parts += [f"### The {split} split", table(found, split)]
    parts += ["### Passes", passes_table(found)]
    if made:
        about = (
            f"Of {INVENTED:,} names that were drawn from what a model predicts after many passes "
            f"(lecture split, one seed), the first {SHOWN}; how many of them are training names, "
            "and how many are different:"
        )
        parts += ["### Names that were made up", about, invented_table(made)]
    if tuned:
        parts += ["### Rates that were tried", passes_table(tuned), tried_table(tuned)]
    page = path.read_text(encoding="utf-8")
    filled = "\n\n".join([begin, *parts, end])
    page = re.sub(re.escape(begin) + ".*" + re.escape(end), lambda _: filled, page, flags=re.S)
    write_atomic(path, page.encode())
    plots.save(figure(found), ROOT / "docs" / "figures" / "names_ladder.png")


def main(config: Config) -> int:
    """Does what is not done yet; shows what there is: the jobs that failed."""
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    tuning = list(tuning_jobs(config))
    asked = [] if config.tune or config.invent else rows_asked(config)
    jobs = [job for name in asked for job in jobs_of(name, config)]
    failed = [job for job in (*tuning, *jobs) if not run(job, out)]
    known = {"found": collect(jobs, out), "tuned": collect(tuning, out), "invented": []}
    if config.invent:
        known["invented"] = all_invented(config, out)
        print(invented_table(known["invented"]))
    if config.publish:
        known = publish(known)
    for split in config.splits:
        if any(one["split"] == split for one in known["found"]):
            print(f"\n{split}\n{table(known['found'], split)}")
    if known["tuned"] and config.tune:
        print(f"\n{passes_table(known['tuned'])}\n\n{tried_table(known['tuned'])}")
    for job in failed:
        print(f"failed: {job['row']}, {job['kind']}, {job['split']}", file=sys.stderr)
    return len(failed)


def publish(new: dict[str, Any]) -> dict[str, Any]:
    """Lays what was found over what was published before, and makes the page of both."""
    path = ROOT / "docs" / "names_ladder.json"
    known = {"found": [], "tuned": [], "invented": []}
    if path.exists():
        known |= json.loads(path.read_text())
    for part in ("found", "tuned"):
        known[part] = merged(known[part], new[part])
    known["invented"] = new["invented"] or known["invented"]
    write_atomic(path, (json.dumps(known, indent=1) + "\n").encode())
    write_page(known["found"], known["tuned"], known["invented"])
    return known


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(","))


def _splits(text: str) -> tuple[str, ...]:
    if unknown := set(_listed(text)) - set(Config.splits):
        raise argparse.ArgumentTypeError(f"unknown {sorted(unknown)}: {', '.join(Config.splits)}")
    return _listed(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    rows = f"rows, with commas between: {', '.join(ROWS)}; none: nothing is run (default: all)"
    parser.add_argument("--rows", type=_listed, default=Config.rows, help=rows)
    splits = "lecture, makemore or, by default, both"
    parser.add_argument("--splits", type=_splits, default=Config.splits, help=splits)
    seeds = "of orders and newborn weights (default: 11,12,13)"
    parser.add_argument("--seeds", type=_seeds, default=Config.seeds, help=seeds)
    rule = "rule file or run folder of a meta-learned rule: a row of its own"
    parser.add_argument("--rule", default=Config.rule, help=rule)
    tune = "rows of which other settings are tried on the development names; nothing else is run"
    parser.add_argument("--tune", type=_listed, default=Config.tune, help=tune)
    invent = "names made up by what many passes trained; nothing else is run"
    parser.add_argument("--invent", action="store_true", help=invent)
    parser.add_argument("--publish", action="store_true", help="put what was found into docs/")
    out = f"folder of what was found (default: {Config.out})"
    parser.add_argument("--out", default=Config.out, help=out)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = vars(parser.parse_args())
    progress = given.pop("work")
    if progress is None:
        sys.exit(1 if main(Config(**given)) else 0)
    print(json.dumps(work(json.load(sys.stdin), progress)))
