"""Learners to compare plastic networks with; all live the same lifetimes."""

from loopymeta.learners.counts import CountState, OnlineNGram
from loopymeta.learners.online_gradient import OnlineGradient, OnlineGradientState
from loopymeta.learners.parallel import Parallel
from loopymeta.learners.recurrent import LEARNING_RATES, OnlineRNN, RNNState, Window
from loopymeta.learners.reservoir import decaying_delta, reservoir

__all__ = [
    "LEARNING_RATES",
    "CountState",
    "OnlineGradient",
    "OnlineGradientState",
    "OnlineNGram",
    "OnlineRNN",
    "Parallel",
    "RNNState",
    "Window",
    "decaying_delta",
    "reservoir",
]
