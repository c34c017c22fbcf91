"""One computing thread's own things: its registers, its memory for bytes and its way to the device."""

from __future__ import annotations

from mergelang.backends.device import lane_for
from mergelang.backends.scratch import HostScratch
from mergelang.backends.workspace import Workspace
from mergelang.run.context import Context


class Worker:
    """Made within its thread, and used by it alone. `host` is for bytes on their way to and from files."""

    def __init__(self, context: Context) -> None:
        if context.takes_tensors:
            import torch

            # The plan's threads are the only ones: torch's own would split sums in other places and fight for the
            # cores.
            torch.set_num_threads(1)
        self.lane = lane_for(context.plan.budget.device)
        self.workspace = Workspace(context.plan.precision, self.lane.device)
        self.host = HostScratch()
        self._usual = context.usual_worker()

    def tidy(self) -> None:
        """Give back the memory of an unusually large block."""
        if self.workspace.nbytes + self.host.nbytes > self._usual:
            self.workspace.forget()
            self.host.forget()
