"""Laws tried on small models: `run_laws` says of each law whether it held, and shows an example where it does not."""

from mergelang.laws.run import run_laws, verdicts
from mergelang.laws.verdict import Counterexample, Verdict

__all__ = ["Counterexample", "Verdict", "run_laws", "verdicts"]
