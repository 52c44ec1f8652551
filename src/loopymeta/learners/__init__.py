"""Learners to compare plastic networks with; all live the same lifetimes."""

from loopymeta.learners.recurrent import OnlineRNN, RNNState, Window
from loopymeta.learners.reservoir import reservoir

__all__ = ["OnlineRNN", "RNNState", "Window", "reservoir"]
