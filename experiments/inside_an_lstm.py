"""What changes inside an LSTM while it learns to reverse strings online?

An online LSTM of 128 units lives one stream of strings of one to three symbols, each to be said
backwards. Every so many symbols its cell state, gates, biases, norms of weights and mean error are
recorded, and drawn:

    python experiments/inside_an_lstm.py [--sequences 2000] [--file docs/figures/inside_an_lstm.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jax

import loopymeta as lm
from loopymeta.learners import OnlineRNN, Recorded, recording
from loopymeta.learners.learner_plots import plot_record
from loopymeta.plots import save

FILE = Path(__file__).resolve().parents[1] / "docs" / "figures" / "inside_an_lstm.png"


def main(sequences: int, file: str | Path, records: int = 100, seed: int = 0) -> None:
    """Lives, records and draws."""
    task = lm.tasks.Reversal(n=3, sequences=sequences, window=min(500, sequences))
    learner = OnlineRNN.for_spec(task.spec, window=8, interval=1)
    inside = recording.together(
        recording.cell_state, recording.gates, recording.biases, recording.weight_norms
    )
    every = max(task.spec.length // records, 1)
    life = Recorded(learner, task, record=inside, every=every)
    theta = learner.init_theta() | {"learning_rate": 0.01, "horizon": 1.0}
    _, metrics = jax.device_get(jax.jit(life)(theta, lm.key(seed)))
    title = f"LSTM on {sequences:,} strings to be reversed: recall {metrics['recall']:.3f}"
    save(plot_record(metrics["record"], title, units={"error": "nats"}), file)
    print(f"{file}: recall {metrics['recall']:.4f}, loss late {metrics['loss_late']:.4f} nats")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sequences", type=int, default=2000)
    parser.add_argument("--file", default=FILE)
    given = parser.parse_args()
    main(given.sequences, given.file)
