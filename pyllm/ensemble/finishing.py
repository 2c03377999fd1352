"""What is done to averaged trees once they are grown: pruning, medians, monotone values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pyllm.trees.averaged import Averaged
from pyllm.trees.leaf_values import set_medians
from pyllm.trees.monotone import bound_values
from pyllm.trees.prune import prune
from pyllm.trees.risk import absolute_risk, likelihood_risk, squared_risk
from pyllm.trees.tree import Tree

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Finishing:
    """How trees are finished.

    criterion: what their splits lowered, as in `TreeParameters`; "absolute" puts medians in leaves.
    ccp_alpha: splits that lower the impurity by less for each leaf are cut off; 0: none.
    monotone: by feature, whether values rise (1) or fall (-1) with it; None: free.
    impurity_scale: impurity as users know it per unit of the engine's gain.
    """

    criterion: str
    ccp_alpha: float
    monotone: Sequence[int] | None
    impurity_scale: float

    @property
    def needed(self) -> bool:
        """Whether there is anything to do."""
        return self.ccp_alpha > 0.0 or self.criterion == "absolute" or self.monotone is not None

    def finish(self, grown: Averaged, columns: FloatArray, weight: FloatArray | None) -> Averaged:
        """The trees as they are to be; `grown` has the leaves of the rows."""
        assert grown.leaf_of_row is not None
        trees, leaves = grown.forest.trees(), list(grown.leaf_of_row)
        for t, tree in enumerate(trees):
            each = np.ones(len(columns)) if weight is None else weight
            if grown.drawn is not None:
                each = grown.drawn[t].astype(np.float64)
            if self.ccp_alpha > 0.0:
                trees[t], place = prune(
                    tree, self.risk(tree, leaves[t], columns, each), self.ccp_alpha
                )
                leaves[t] = place[leaves[t]]
            trees[t] = trees[t].with_value(trees[t].value.copy())
            if self.criterion == "absolute":
                set_medians(trees[t], leaves[t], columns, each)
            if self.monotone is not None:
                bound_values(trees[t], self.monotone)
        forest = grown.forest.with_trees(trees, grown.forest.tree_output)
        return replace(grown, forest=forest, leaf_of_row=np.array(leaves))

    def risk(
        self, tree: Tree, leaf: NDArray[np.int32], columns: FloatArray, weight: FloatArray
    ) -> FloatArray:
        """(n_nodes,): impurity times the share of the rows."""
        if self.criterion == "newton":
            centred = columns - np.average(columns, axis=0, weights=weight)
            risk = squared_risk(tree, leaf, centred, weight)
        elif self.criterion == "absolute":
            risk = absolute_risk(tree, leaf, columns, weight)
        else:
            risk = likelihood_risk(tree, leaf, columns, weight, self.criterion)
        return self.impurity_scale * risk
