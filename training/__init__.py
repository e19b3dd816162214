"""Makes the default model `diarizer`: data, network, training, export, package.

Reads `../shared/speech/train` only; `eval`, `simulated` and `real` are read at the very end, to
print the card's figures.
"""

import os

# Batches are made in a process of their own beside the training: one core each. NumPy reads this
# when it is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
