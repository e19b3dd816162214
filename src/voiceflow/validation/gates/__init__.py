"""The gates: each measures, in the sandbox or on paper, and judges what was measured."""
