"""MultiBoxLoss prior by prior, after bbox_util.cpp and multibox_loss_layer.cpp, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

Box = Any


def overlap(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return float(common / (area(a) + area(b) - common))


def area(a: Box) -> float:
    return max(0.0, a[2] - a[0]) * max(0.0, a[3] - a[1])


def encode(prior: Box, variance: Box, box: Box) -> Box:
    w, h = prior[2] - prior[0], prior[3] - prior[1]
    bw, bh = box[2] - box[0], box[3] - box[1]
    x = (box[0] + box[2] - prior[0] - prior[2]) / 2 / w
    y = (box[1] + box[3] - prior[1] - prior[3]) / 2 / h
    return np.array([x, y, np.log(bw / w), np.log(bh / h)]) / variance


def decode(prior: Box, variance: Box, x: Box) -> Box:
    w, h = prior[2] - prior[0], prior[3] - prior[1]
    x = x * variance
    cx, cy = x[0] * w + (prior[0] + prior[2]) / 2, x[1] * h + (prior[1] + prior[3]) / 2
    bw, bh = np.exp(x[2]) * w, np.exp(x[3]) * h
    return np.array([cx - bw / 2, cy - bh / 2, cx + bw / 2, cy + bh / 2])


def match(truth: Any, boxes: Any, threshold: float, only_pairs: bool, cross: bool) -> Any:
    """Index of the object of each box (-1 none, -2 ignored), and the overlap."""
    index, best = [-1] * len(boxes), [0.0] * len(boxes)
    pairs: dict[tuple[int, int], float] = {}
    for i, box in enumerate(boxes):
        if cross and any(v < 0 or v > 1 for v in box):
            index[i] = -2
            continue
        for j, own in enumerate(truth):
            if (common := overlap(box, own)) > 1e-6:
                best[i] = max(best[i], common)
                pairs[i, j] = common
    pool = set(range(len(truth)))
    while pool:
        left = {k: v for k, v in pairs.items() if index[k[0]] == -1 and k[1] in pool}
        if not left:
            break
        i, j = max(left, key=lambda k: left[k])
        index[i], best[i] = j, left[i, j]
        pool.remove(j)
    for i in range(len(boxes)):
        own = {j: v for (p, j), v in pairs.items() if p == i and v >= threshold}
        if index[i] == -1 and own and not only_pairs:
            index[i] = max(own, key=lambda j: own[j])
            best[i] = own[index[i]]
    return index, best


def conf_loss(scores: Any, label: int, kind: str, hot: bool = True) -> float:
    if kind == "SOFTMAX":
        shifted = scores - scores.max()
        return float(np.log(np.exp(shifted).sum()) - shifted[label])
    target = np.zeros(len(scores))
    if hot:
        target[label] = 1
    return float(
        (np.log1p(np.exp(-np.abs(scores))) + np.maximum(scores, 0) - scores * target).sum()
    )


def suppressed(order: list[int], boxes: Any, threshold: float, top_k: int | None) -> list[int]:
    kept: list[int] = []
    for p in order[:top_k]:
        if area(boxes[p]) >= 1e-5 and all(overlap(boxes[p], boxes[k]) <= threshold for k in kept):
            kept.append(p)
    return kept


def multibox_loss(loc: Any, conf: Any, prior: Any, truth: Any, **option: Any) -> float:
    """The loss; options have the names and defaults of multibox_loss_param, CENTER_SIZE."""
    get = {
        "mining_type": "MAX_NEGATIVE",
        "conf_loss_type": "SOFTMAX",
        "loc_loss_type": "SMOOTH_L1",
        "share_location": True,
        "use_prior_for_matching": True,
        "match_type": "PER_PREDICTION",
        "ignore_cross_boundary_bbox": False,
        "background_label_id": 0,
        "sample_size": 64,
        "nms": None,
        "use_prior_for_nms": False,
        **option,
    }
    boxes, variance = prior[0].reshape(2, -1, 4)
    count, background = len(boxes), get["background_label_id"]
    conf = conf.reshape(len(conf), count, -1)
    loc = loc.reshape(len(loc), count, -1, 4)
    slots = range(loc.shape[2])
    total, matches = 0.0, 0
    for n in range(len(loc)):
        own = truth[0, 0][truth[0, 0][:, 0] == n]
        labels, objects = own[:, 1].astype(int), own[:, 3:7]
        index = {s: [-1] * count for s in slots}
        best = {s: [0.0] * count for s in slots}
        for s in slots:
            if not len(own) or (not get["share_location"] and s == background):
                continue
            among = list(range(len(own)))
            predicted = boxes
            if not get["use_prior_for_matching"]:
                predicted = [
                    decode(b, v, x) for b, v, x in zip(boxes, variance, loc[n, :, s], strict=True)
                ]
                if not get["share_location"]:
                    among = [g for g in among if labels[g] == s]
            found, best[s] = match(
                objects[among],
                predicted,
                0.5,
                get["match_type"] == "BIPARTITE",
                get["ignore_cross_boundary_bbox"],
            )
            index[s] = [among[i] if i >= 0 else i for i in found]
            if not get["share_location"]:
                index[s] = [i if i >= 0 and labels[i] == s else -1 for i in index[s]]

        def loc_loss(p: int, s: int) -> float:
            d = np.abs(loc[n, p, s] - encode(boxes[p], variance[p], objects[index[s][p]]))  # noqa: B023
            small = 0.5 * d**2
            return float(
                (small if get["loc_loss_type"] == "L2" else np.where(d < 1, small, d - 0.5)).sum()
            )

        def label_of(p: int) -> int:
            found = [labels[index[s][p]] for s in slots if index[s][p] >= 0]  # noqa: B023
            return int(found[0]) if found else background

        chosen = list(range(count))
        if get["mining_type"] != "NONE":
            losses = [
                conf_loss(conf[n, p], label_of(p), get["conf_loss_type"]) for p in range(count)
            ]
            positive = [p for p in range(count) if index[0][p] >= 0]
            if get["mining_type"] == "HARD_EXAMPLE":
                losses = [
                    v + (loc_loss(p, 0) if p in positive else 0) for p, v in enumerate(losses)
                ]
                eligible, most = list(range(count)), get["sample_size"]
            else:
                eligible = [p for p in range(count) if index[0][p] == -1 and best[0][p] < 0.5]
                most = 3 * len(positive)
            order = sorted(eligible, key=lambda p: -losses[p])
            if get["nms"]:
                nms_boxes = boxes
                if not get["use_prior_for_nms"]:
                    nms_boxes = [
                        decode(b, v, x)
                        for b, v, x in zip(boxes, variance, loc[n, :, 0], strict=True)
                    ]
                order = suppressed(order, nms_boxes, *get["nms"])
            order = order[:most] if len(own) else []
            if get["mining_type"] == "HARD_EXAMPLE":
                chosen = [p for p in order if index[0][p] >= -1]
                index[0] = [i if p in order else min(i, -1) for p, i in enumerate(index[0])]
            else:
                chosen = positive + order
        for s in slots:
            for p in range(count):
                if index[s][p] >= 0:
                    total += loc_loss(p, s)
                    matches += 1
        for p in chosen:
            hot = get["mining_type"] != "NONE" or label_of(p) != background
            total += conf_loss(conf[n, p], label_of(p), get["conf_loss_type"], hot)
    return total / max(1, matches)
