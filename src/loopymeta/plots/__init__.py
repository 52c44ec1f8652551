"""Figures: what was learned, by which rule, on what graph, and what happened in one lifetime.

Every function returns a `matplotlib.figure.Figure` and touches no global state, so figures can be
made in threads, on machines without a screen and beside a program's own. `save` writes one.
`training_figures` draws all that a run folder holds.

Colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart; what matters
also differs in line style or place.
"""

from loopymeta.plots.canvas import save as save
from loopymeta.plots.curves import ladder as ladder
from loopymeta.plots.curves import learning_curve as learning_curve
from loopymeta.plots.curves import recall_by_presentation as recall_by_presentation
from loopymeta.plots.curves import recall_curve as recall_curve
from loopymeta.plots.graphs import graph as graph
from loopymeta.plots.lifetimes import lifetime as lifetime
from loopymeta.plots.lifetimes import record_network as record_network
from loopymeta.plots.rule_maps import REST as REST
from loopymeta.plots.rule_maps import rule_figure as rule_figure
from loopymeta.plots.run_folders import training_figures as training_figures
