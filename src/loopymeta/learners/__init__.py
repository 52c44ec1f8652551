"""Learners to compare plastic networks with; all live the same lifetimes."""

from loopymeta.learners.counts import CountState, OnlineNGram
from loopymeta.learners.generation import sample_text
from loopymeta.learners.hierarchical import HierarchicalLSTM, HierarchicalState
from loopymeta.learners.host import HostLearner, HostLife, Living, live_on_host
from loopymeta.learners.in_context import InContextRNN, InContextState
from loopymeta.learners.online_gradient import OnlineGradient, OnlineGradientState
from loopymeta.learners.parallel import Parallel
from loopymeta.learners.plastic_memory import PlasticMemory, PlasticMemoryLearner
from loopymeta.learners.ppm import PPM
from loopymeta.learners.recording import Recorded
from loopymeta.learners.recurrent import LEARNING_RATES, OnlineRNN, RNNState, Window
from loopymeta.learners.reservoir import decaying_delta, reservoir
from loopymeta.learners.transformer import Transformer

__all__ = [
    "LEARNING_RATES",
    "PPM",
    "CountState",
    "HierarchicalLSTM",
    "HierarchicalState",
    "HostLearner",
    "HostLife",
    "InContextRNN",
    "InContextState",
    "Living",
    "OnlineGradient",
    "OnlineGradientState",
    "OnlineNGram",
    "OnlineRNN",
    "Parallel",
    "PlasticMemory",
    "PlasticMemoryLearner",
    "RNNState",
    "Recorded",
    "Transformer",
    "Window",
    "decaying_delta",
    "live_on_host",
    "reservoir",
    "sample_text",
]
