"""Learners side by side: every entrant on every task of a suite, on the same streams.

A *cell* is one entrant on one task. What it depends on (networks, theta, task, seeds ...) is
written as canonical JSON and hashed; a finished cell is a file of that name, so that whatever is
asked for later, no cell is lived twice. Cells are lived in processes of their own: what kills one
of them costs one cell.

Learners, tasks and rules of your own take part too, in this process (``jobs=0``), and their cells
depend on their code as well: see `cell_of`.

No figure stands without its limits: chance, reservoir and an online LSTM are always beside, and
below a rule the same networks with plasticity off (frozen) and with every synapse's change given to
another (shuffled). A loss below the floor of its task cannot be honest and is never a result.

A file a step, each of which knows those above it only::

    entrants    who is compared
    cells       one entrant on one task: what names it, and where it is kept
    life        one cell is lived
    workers     processes that live cells
    board       figures of all cells: honest or not, scores, who beats whom
    comparison  from entrants and entries to the board
    tables      the board for a terminal, as Markdown, as CSV
    plots       the board as a heat map
    show        progress, and what is printed and written at the end
"""

from loopymeta.leaderboard.board import (
    CHANCE_OF_ALARM,
    CHANCE_OF_CLEAR,
    below_floor,
    figures,
    sizes,
    verdicts,
)
from loopymeta.leaderboard.cells import (
    CELL_FORMAT,
    CELL_VERSION,
    HOST_CELL_VERSION,
    Cell,
    Result,
    cell_of,
    read_cell,
    write_cell,
)
from loopymeta.leaderboard.comparison import Watcher, compare
from loopymeta.leaderboard.entrants import (
    BESIDE,
    CHANCE,
    CONTROLS,
    DEFAULT_NETWORK,
    RIVAL,
    Entrant,
    entrant_of,
    entrants_of,
    resized,
    rule_named,
    suited,
)
from loopymeta.leaderboard.life import Unable, learner_of, live_cell
from loopymeta.leaderboard.plots import heat_map
from loopymeta.leaderboard.show import LineWatcher, TerminalWatcher, report, write
from loopymeta.leaderboard.tables import COLUMNS, long_csv, markdown, reasons, table
from loopymeta.leaderboard.workers import work

__all__ = [
    "BESIDE",
    "CELL_FORMAT",
    "CELL_VERSION",
    "CHANCE",
    "CHANCE_OF_ALARM",
    "CHANCE_OF_CLEAR",
    "COLUMNS",
    "CONTROLS",
    "DEFAULT_NETWORK",
    "HOST_CELL_VERSION",
    "RIVAL",
    "Cell",
    "Entrant",
    "LineWatcher",
    "Result",
    "TerminalWatcher",
    "Unable",
    "Watcher",
    "below_floor",
    "cell_of",
    "compare",
    "entrant_of",
    "entrants_of",
    "figures",
    "heat_map",
    "learner_of",
    "live_cell",
    "long_csv",
    "markdown",
    "read_cell",
    "reasons",
    "report",
    "resized",
    "rule_named",
    "sizes",
    "suited",
    "table",
    "verdicts",
    "work",
    "write",
    "write_cell",
]
