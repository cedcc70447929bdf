"""Cases of NonMaxSuppression: limits of every shape, and limits that are left out."""

import numpy as np
from nodes import node

TOPIC = "nn/non_max_suppression"
RANDOM = np.random.default_rng(3)
CORNERS = RANDOM.random((2, 12, 2)).astype(np.float32)
SIZES = (RANDOM.random((2, 12, 2)) * 0.6).astype(np.float32)
BOXES = np.concatenate([CORNERS, CORNERS + SIZES], axis=2)
CENTERS = np.concatenate([CORNERS, SIZES], axis=2)
SCORES = RANDOM.random((2, 3, 12)).astype(np.float32)


def case(name, limits, boxes=BOXES, scores=SCORES, **attributes):
    """Writes a case. `limits` are the maximum number of boxes, the IoU threshold and the score threshold, or fewer."""
    kinds = [np.int64, np.float32, np.float32]
    constants = [None if limit is None else kind(limit) for kind, limit in zip(kinds, limits, strict=False)]
    constants = [None if limit is None else np.asarray(limit) for limit in constants]
    data_sets = [[boxes, scores], [boxes[:1], scores[:1]]]
    node(TOPIC, name, "NonMaxSuppression", data_sets, np.int64, constants=constants, domain="", **attributes)


case("scalar_limits", [3, 0.4, 0.2])
case("vector_limits", [[3], [0.4], [0.2]])
case("mixed_limits", [[4], 0.3])
case("only_maximum", [5])
case("no_overlap", [12, None, 0.5])
case("no_limits", [])
case("no_maximum", [None, 0.5, 0.1])
case("maximum_of_zero", [0, 0.5])
case("negative_maximum", [-1, 0.5])
case("no_box_is_selected", [3, 0.5, 2.0])
case("centers", [4, 0.3, 0.1], CENTERS, center_point_box=1)
swapped = BOXES[:, :, [2, 1, 0, 3]]
case("swapped_corners", [4, 0.3], swapped)
equal = np.round(SCORES * 3) / 3
case("equal_scores", [12, 0.6], scores=equal)
empty = BOXES.copy()
empty[:, ::3, 2] = empty[:, ::3, 0]
case("empty_boxes", [12, 0.0], empty)
