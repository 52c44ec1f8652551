"""Learners to compare plastic networks with; all live the same lifetimes."""

from loopymeta.learners.counts import CountState, OnlineNGram
from loopymeta.learners.generation import sample_text
from loopymeta.learners.hierarchical import HierarchicalLSTM, HierarchicalState
from loopymeta.learners.in_context import InContextRNN, InContextState
from loopymeta.learners.online_gradient import OnlineGradient, OnlineGradientState
from loopymeta.learners.parallel import Parallel
from loopymeta.learners.recording import Recorded
from loopymeta.learners.recurrent import LEARNING_RATES, OnlineRNN, RNNState, Window
from loopymeta.learners.reservoir import decaying_delta, reservoir

__all__ = [
    "LEARNING_RATES",
    "CountState",
    "HierarchicalLSTM",
    "HierarchicalState",
    "InContextRNN",
    "InContextState",
    "OnlineGradient",
    "OnlineGradientState",
    "OnlineNGram",
    "OnlineRNN",
    "Parallel",
    "RNNState",
    "Recorded",
    "Window",
    "decaying_delta",
    "reservoir",
    "sample_text",
]
