"""The same plastic network written out by hand: in C, in NumPy and, where installed, in PyTorch.

All take and give weights [P, E] on edges sorted by receiver and obey the five-term rule
c0 pre post + c1 pre + c2 post + c3 post^2 weight + c4 weight. The dense C and NumPy forms hold a
matrix over receivers x nodes instead, with a mask. What they compute is what the library computes,
so that each is a check of the other.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

SOURCE = r"""
#include <math.h>
#include <string.h>

/* One candidate after another on each core; all T ticks of one before the next. Weights and nodes
   of a candidate stay in its core's cache. Nodes: I inputs (the last one constant), R receivers, of
   which the last O are linear outputs. */

void dense(int P, int T, int I, int R, int O, const float *stimuli, const float *restrict mask,
           const float *c, float *weight, float *nodes, float *scratch) {
  const int N = I + R;
  #pragma omp parallel for schedule(dynamic)
  for (int p = 0; p < P; p++) {
    const float *k = c + 5 * p;
    float *restrict w = weight + (size_t)p * R * N;
    float *restrict a = nodes + (size_t)p * N, *restrict b = scratch + (size_t)p * N;
    for (int t = 0; t < T; t++) {
      memcpy(a, stimuli + (size_t)t * (I - 1), sizeof(float) * (I - 1));
      a[I - 1] = 1.0f;
      for (int r = 0; r < R; r++) {
        float *row = w + (size_t)r * N;
        const float *m = mask + (size_t)r * N;
        float u = 0.0f;
        for (int n = 0; n < N; n++) u += row[n] * a[n];
        const float y = r < R - O ? tanhf(u) : u;
        const float by_pre = k[0] * y + k[1], by_weight = k[3] * y * y + k[4], alone = k[2] * y;
        for (int n = 0; n < N; n++) row[n] += m[n] * (by_pre * a[n] + by_weight * row[n] + alone);
        b[I + r] = y;
      }
      memcpy(a + I, b + I, sizeof(float) * R);
    }
  }
}

void sparse(int P, int T, int I, int R, int O, const float *stimuli, const int *restrict sender,
            const int *start, const float *c, float *weight, float *nodes, float *scratch) {
  const int N = I + R;
  const size_t E = start[R];
  #pragma omp parallel for schedule(dynamic)
  for (int p = 0; p < P; p++) {
    const float *k = c + 5 * p;
    float *restrict w = weight + p * E;
    float *restrict a = nodes + (size_t)p * N, *restrict b = scratch + (size_t)p * N;
    for (int t = 0; t < T; t++) {
      memcpy(a, stimuli + (size_t)t * (I - 1), sizeof(float) * (I - 1));
      a[I - 1] = 1.0f;
      for (int r = 0; r < R; r++) {
        float u = 0.0f;
        for (int e = start[r]; e < start[r + 1]; e++) u += w[e] * a[sender[e]];
        const float y = r < R - O ? tanhf(u) : u;
        const float by_pre = k[0] * y + k[1], by_weight = k[3] * y * y + k[4], alone = k[2] * y;
        for (int e = start[r]; e < start[r + 1]; e++)
          w[e] += by_pre * a[sender[e]] + by_weight * w[e] + alone;
        b[I + r] = y;
      }
      memcpy(a + I, b + I, sizeof(float) * R);
    }
  }
}

/* The same for blocks of L candidates side by side, the last axis of every array: no gathers, and
   the vectors are full. P must be a multiple of L. */
#define L 16
void lanes(int P, int T, int I, int R, int O, const float *stimuli, const int *restrict sender,
           const int *restrict start, const float *c, float *weight, float *nodes, float *scratch) {
  const int N = I + R;
  const size_t E = start[R];
  #pragma omp parallel for schedule(dynamic)
  for (int p = 0; p < P / L; p++) {
    float (*restrict w)[L] = (float (*)[L])weight + p * E;
    float (*restrict a)[L] = (float (*)[L])nodes + (size_t)p * N;
    float (*restrict b)[L] = (float (*)[L])scratch + (size_t)p * N;
    const float (*k)[L] = (const float (*)[L])c + 5 * p;
    for (int t = 0; t < T; t++) {
      for (int i = 0; i < I; i++)
        for (int l = 0; l < L; l++) a[i][l] = i < I - 1 ? stimuli[(size_t)t * (I - 1) + i] : 1.0f;
      for (int r = 0; r < R; r++) {
        float u[L] = {0}, by_pre[L], by_weight[L], alone[L];
        for (int e = start[r]; e < start[r + 1]; e++)
          for (int l = 0; l < L; l++) u[l] += w[e][l] * a[sender[e]][l];
        if (r < R - O)
          for (int l = 0; l < L; l++) u[l] = tanhf(u[l]);
        for (int l = 0; l < L; l++) {
          by_pre[l] = k[0][l] * u[l] + k[1][l];
          alone[l] = k[2][l] * u[l];
          by_weight[l] = k[3][l] * u[l] * u[l] + k[4][l];
          b[I + r][l] = u[l];
        }
        for (int e = start[r]; e < start[r + 1]; e++)
          for (int l = 0; l < L; l++)
            w[e][l] += by_pre[l] * a[sender[e]][l] + by_weight[l] * w[e][l] + alone[l];
      }
      memcpy(a[I], b[I], sizeof(float) * R * L);
    }
  }
}
"""
LANES = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """A population of networks on one graph, as plain arrays.

    Attributes:
      num_inputs: I, the constant one included.
      num_outputs: O.
      num_nodes: N.
      senders: [E] nodes, sorted by receiver.
      receivers: [E] nodes.
      stimuli: [T, I - 1].
      coefficients: [P, 5].
      weight: [P, E] at birth.
    """

    num_inputs: int
    num_outputs: int
    num_nodes: int
    senders: np.ndarray
    receivers: np.ndarray
    stimuli: np.ndarray
    coefficients: np.ndarray
    weight: np.ndarray

    @property
    def num_receivers(self) -> int:
        """R: hidden nodes and outputs."""
        return self.num_nodes - self.num_inputs

    def matrices(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights [P, R, N] and mask [R, N]."""
        place = (self.receivers - self.num_inputs, self.senders)
        mask = np.zeros((self.num_receivers, self.num_nodes), np.float32)
        mask[place] = 1.0
        weight = np.zeros((len(self.weight), *mask.shape), np.float32)
        weight[:, place[0], place[1]] = self.weight
        return weight, mask


def compiler() -> str | None:
    """The C compiler of this machine, if there is one."""
    return next(filter(None, map(shutil.which, ("gcc", "clang", "cc"))), None)


class CReference:
    """The C form, compiled into a folder of its own that is removed at once.

    Raises:
      RuntimeError: there is no compiler, or it cannot compile.
    """

    def __init__(self) -> None:
        found = compiler()
        if found is None:
            raise RuntimeError("no C compiler on this machine")
        with tempfile.TemporaryDirectory() as folder:
            source, library = Path(folder, "reference.c"), Path(folder, "reference.so")
            source.write_text(SOURCE)
            # Sums may be reordered: without that no compiler turns them into vector instructions.
            options = [
                "-O3",
                "-march=native",
                "-fno-math-errno",
                "-fno-trapping-math",
                "-fno-signed-zeros",
                "-fassociative-math",
                "-freciprocal-math",
                "-fopenmp",
                "-shared",
                "-fPIC",
            ]
            command = [found, *options, str(source), "-o", str(library), "-lm"]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode:
                raise RuntimeError(f"the C reference does not compile: {result.stderr[-500:]}")
            # Threads that wait for work by spinning would take the cores from what runs next.
            os.environ.setdefault("OMP_WAIT_POLICY", "passive")
            self._library = ctypes.CDLL(str(library))

    def start(self, problem: Problem, form: str) -> Any:
        """Arrays for `run`; ``form`` is ``dense``, ``sparse`` or ``lanes`` (P a multiple of 16)."""
        ends = np.searchsorted(
            problem.receivers, np.arange(problem.num_inputs, problem.num_nodes + 1)
        )
        constants = [problem.senders.astype(np.int32), ends.astype(np.int32)]
        coefficients, born = problem.coefficients.astype(np.float32), problem.weight
        if form == "dense":
            born, mask = problem.matrices()
            constants = [mask]
        if form == "lanes":
            coefficients, born = _in_blocks(coefficients), _in_blocks(born)
        nodes = np.zeros((len(problem.weight), problem.num_nodes), np.float32)
        weight = np.array(born, np.float32)
        return form, born, [*constants, coefficients, weight, nodes, np.zeros_like(nodes)]

    def reset(self, arrays: Any) -> None:
        """Newborn networks again: weights that decay run after run end as slow denormal numbers."""
        _, born, (*_, weight, nodes, scratch) = arrays
        weight[:] = born
        nodes[:] = scratch[:] = 0.0

    def run(self, problem: Problem, arrays: Any) -> None:
        """All ticks of all candidates, in place."""
        form, _, given = arrays
        stimuli = np.ascontiguousarray(problem.stimuli, np.float32)
        sizes = (len(problem.weight), len(stimuli), problem.num_inputs, problem.num_receivers)
        getattr(self._library, form)(
            *(ctypes.c_int(size) for size in (*sizes, problem.num_outputs)),
            *(array.ctypes.data_as(ctypes.c_void_p) for array in (stimuli, *given)),
        )

    def weights(self, problem: Problem, arrays: Any) -> np.ndarray:
        """[P, E] of the arrays."""
        form, _, (*_, weight, _, _) = arrays
        if form == "dense":
            return weight[:, problem.receivers - problem.num_inputs, problem.senders]
        if form == "lanes":
            return weight.swapaxes(1, 2).reshape(problem.weight.shape)
        return weight


def _in_blocks(values: np.ndarray) -> np.ndarray:
    """[P, E] -> [P / 16, E, 16]."""
    return np.ascontiguousarray(values.reshape(-1, LANES, values.shape[1]).swapaxes(1, 2))


def run_numpy(problem: Problem, dense: bool, ticks: int) -> np.ndarray:
    """Weights [P, E] after ``ticks`` ticks, in NumPy."""
    first, last = problem.num_inputs, problem.num_nodes - problem.num_outputs
    c = [column[:, None, None] if dense else column[:, None] for column in problem.coefficients.T]
    nodes = np.zeros((len(problem.weight), problem.num_nodes), np.float32)
    nodes[:, first - 1] = 1.0
    place = problem.receivers - first
    weight, mask = problem.matrices() if dense else (problem.weight.copy(), None)
    # Receivers without edges would take their neighbour's first edge; every receiver has one here.
    starts = np.searchsorted(place, np.arange(problem.num_receivers))
    for stimulus in problem.stimuli[:ticks]:
        nodes[:, : first - 1] = stimulus
        if dense:
            drive = (weight @ nodes[:, :, None])[..., 0]
        else:
            pre = nodes[:, problem.senders]
            drive = np.add.reduceat(weight * pre, starts, axis=1)
        value = drive.copy()
        value[:, : last - first] = np.tanh(drive[:, : last - first])
        if dense:
            pre, post = nodes[:, None], value[:, :, None]
        else:
            post = value[:, place]
        change = c[0] * pre * post + c[1] * pre + c[2] * post + c[3] * post * post * weight
        change += c[4] * weight
        weight += change * mask if dense else change
        nodes[:, first:] = value
    return weight[:, place, problem.senders] if dense else weight


def run_torch(problem: Problem, dense: bool, ticks: int) -> np.ndarray:
    """The same in PyTorch, eagerly, on the CPU.

    Raises:
      ImportError: PyTorch is not installed.
    """
    import torch

    tensor = torch.as_tensor
    first, last = problem.num_inputs, problem.num_nodes - problem.num_outputs
    columns = tensor(problem.coefficients).T
    c = [column[:, None, None] if dense else column[:, None] for column in columns]
    nodes = torch.zeros(len(problem.weight), problem.num_nodes)
    nodes[:, first - 1] = 1.0
    place, senders = tensor(problem.receivers - first).long(), tensor(problem.senders).long()
    weight, mask = (
        map(tensor, problem.matrices()) if dense else (tensor(problem.weight.copy()), None)
    )
    for stimulus in tensor(problem.stimuli[:ticks]):
        nodes[:, : first - 1] = stimulus
        if dense:
            drive = (weight @ nodes[:, :, None])[..., 0]
        else:
            pre = nodes[:, senders]
            drive = torch.zeros(len(weight), problem.num_receivers)
            drive.index_add_(1, place, weight * pre)
        value = drive.clone()
        value[:, : last - first] = torch.tanh(drive[:, : last - first])
        if dense:
            pre, post = nodes[:, None], value[:, :, None]
        else:
            post = value[:, place]
        change = c[0] * pre * post + c[1] * pre + c[2] * post + c[3] * post * post * weight
        change = change + c[4] * weight
        weight = weight + (change * mask if dense else change)
        nodes[:, first:] = value
    return (weight[:, place, senders] if dense else weight).numpy()
