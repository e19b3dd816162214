"""Makes the default model `diarizer`: data, network, training, export, package.

Reads `../shared/speech/train` only; `eval`, `simulated` and `real` are read at the very end, to
print the card's figures.
"""
