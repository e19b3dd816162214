"""Clusters of what a stream has heard."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.cluster.hierarchy import fcluster, linkage

from voiceflow.pipeline.recluster import cut


@pytest.mark.parametrize("seed", range(20))
def test_a_tree_is_cut_as_scipy_cuts_it(seed: int) -> None:
    """With its numbers of clusters, wherever it is cut: at a join, below all, above all."""
    generator = np.random.default_rng(seed)
    points = generator.normal(size=(generator.integers(2, 60), 4)) + 2 * (seed % 3)
    tree = linkage(points, "average", "cosine")
    for distance in [0.0, *tree[:, 2], *generator.uniform(0, 2, 5), 2.0]:
        assert_array_equal(cut(tree, distance), fcluster(tree, distance, "distance"))
