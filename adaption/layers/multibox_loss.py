"""MultiBoxLoss: SSD's training loss, of locations and confidences. SSD: multibox_loss_layer.cpp.

Bottoms: locations (N, 4 P) or, without share_location, (N, 4 P num_classes), confidences
(N, P num_classes), priors (1, 2, 4 P) and ground truth (1, 1, M, 8): image (-1: ignored), label,
instance, xmin, ymin, xmax, ymax, difficult.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from adaption.errors import FieldError, ShapeError
from adaption.later import F, Tensor, np, npt, torch
from adaption.layers.base import Layer, Runtime, Shape, layer
from adaption.layers.boxes import Priors, check_predictions, count_priors, read_priors, to_array
from adaption.layers.gradient import own_gradient
from adaption.layers.losses import log_likelihood, normalizer, smooth_l1
from adaption.layers.multibox import NONE, Objects, hardest, match, read_objects

Array: TypeAlias = "npt.NDArray[np.float32]"
Indices: TypeAlias = "npt.NDArray[np.intp]"


@layer(
    "MultiBoxLoss",
    param="multibox_loss_param",
    kind="loss",
    bottoms=4,
    is_loss=True,
    no_gradient=(2, 3),
)
@dataclass(frozen=True)
class MultiBoxLoss(Layer):
    loc_loss_type: str
    conf_loss_type: str
    loc_weight: float
    num_classes: int | None
    share_location: bool
    match_type: str
    overlap_threshold: float
    use_prior_for_matching: bool
    background_label_id: int
    use_difficult_gt: bool
    do_neg_mining: bool | None
    neg_pos_ratio: float
    neg_overlap: float
    code_type: str
    encode_variance_in_target: bool
    map_object_to_agnostic: bool
    ignore_cross_boundary_bbox: bool
    bp_inside: bool
    mining_type: str
    nms_param: Any
    sample_size: int
    use_prior_for_nms: bool

    def check(self) -> None:
        if not self.num_classes:
            raise FieldError("multibox_loss_param.num_classes", "missing", "1 or more")
        if self.map_object_to_agnostic and self.num_classes != 2:
            raise FieldError(
                "multibox_loss_param.num_classes", self.num_classes, "2 with map_object_to_agnostic"
            )
        if self.conf_loss_type == "SOFTMAX" and self.background_label_id >= self.num_classes:
            raise FieldError(
                "multibox_loss_param.background_label_id",
                self.background_label_id,
                f"0..{self.num_classes - 1}",
            )
        if self._mining != "NONE" and not self.share_location:
            raise FieldError(
                "multibox_loss_param.mining_type", self._mining, "NONE without share_location"
            )
        if self._mining == "HARD_EXAMPLE" and self.sample_size < 1:
            raise FieldError("multibox_loss_param.sample_size", self.sample_size, "1 or more")
        has_mining = self.spec.message.multibox_loss_param.HasField("mining_type")
        if has_mining and self.do_neg_mining not in (None, self.mining_type != "NONE"):
            raise FieldError(
                "multibox_loss_param.do_neg_mining",
                self.do_neg_mining,
                f"what mining_type {self.mining_type} says, or nothing",
            )

    @property
    def _mining(self) -> str:
        param = self.spec.message.multibox_loss_param
        if self.do_neg_mining is False and not param.HasField("mining_type"):
            return "NONE"
        return self.mining_type

    @property
    def _classes(self) -> int:
        return int(self.num_classes or 0)

    @property
    def _loc_classes(self) -> int:
        return 1 if self.share_location else self._classes

    def top_shape(self, *bottoms: Shape) -> Shape:
        loc, conf, prior, truth = bottoms
        priors = count_priors(prior)
        check_predictions("the location bottom", loc, priors, 4 * self._loc_classes)
        check_predictions("the confidence bottom", conf, priors, self._classes)
        if loc[0] != conf[0]:
            raise ShapeError(f"bottoms have shapes {loc} and {conf}, allowed: as many samples")
        if len(truth) < 4 or truth[3] != 8:
            raise ShapeError(f"the ground truth has shape {truth}, allowed: (1, 1, M, 8)")
        return ()

    def run(self, runtime: Runtime, *tensors: Tensor) -> Tensor:
        return self._loss(*tensors, original=runtime.original_semantics)

    def forward(self, loc: Tensor, conf: Tensor, prior: Tensor, truth: Tensor) -> Tensor:
        return self._loss(loc, conf, prior, truth)

    def _loss(
        self, loc: Tensor, conf: Tensor, prior: Tensor, truth: Tensor, *, original: bool = False
    ) -> Tensor:
        priors = read_priors(prior, self.code_type, plain=self.encode_variance_in_target)
        loc = loc.reshape(len(loc), len(priors), self._loc_classes, 4).transpose(1, 2)
        conf = conf.reshape(len(conf), len(priors), self._classes)
        objects = self._objects(truth)
        index, overlaps = self._match(loc.detach(), priors, objects)
        rows = np.nonzero(index > NONE)
        loc_losses = self._loc_losses(loc, priors, objects, index, original=original)
        labels = self._labels(objects, index)
        counts = np.ones(labels.shape, bool)
        if self._mining != "NONE":
            losses = to_array(self._mining_losses(conf, labels))
            if self._mining == "HARD_EXAMPLE":
                losses[rows[0], rows[2]] += to_array(loc_losses)
            boxes = self._suppressed_boxes(loc.detach(), priors)
            counts = self._mine(losses, boxes, index, overlaps, objects, original=original)
        is_matched = index > NONE
        param = self.spec.message.loss_param
        divisor = normalizer(param, len(loc), len(priors), int(is_matched.sum()))
        down = list(self.spec.message.propagate_down) or [True, True]
        total = loc.new_zeros(())
        if down[0]:
            kept = torch.from_numpy(is_matched[rows]).to(loc.device)
            total = total + self.loc_weight * loc_losses[kept].sum()
        if down[1]:
            learns = torch.from_numpy(counts).to(conf.device)
            targets = self._targets(labels, index.max(1) > NONE, conf, original=original)
            total = total + self._conf_loss(conf[learns], targets[learns])
        return total / divisor

    def _objects(self, truth: Tensor) -> Objects:
        objects = read_objects(
            to_array(truth).reshape(-1, 8),
            self.background_label_id,
            use_difficult=self.use_difficult_gt,
        )
        bad = (objects.labels < 0) | (objects.labels >= self._classes)
        if bad.any() and not self.map_object_to_agnostic:
            raise FieldError(
                "label of an object", int(objects.labels[bad][0]), f"0..{self._classes - 1}"
            )
        return objects

    def _match(self, loc: Tensor, priors: Priors, objects: Objects) -> tuple[Indices, Array]:
        """Index of the object of each prior and its overlap, both (N, loc classes, P)."""
        shape = (len(loc), self._loc_classes, len(priors))
        index, overlaps = np.full(shape, NONE), np.zeros(shape, np.float32)
        threshold = self.overlap_threshold if self.match_type == "PER_PREDICTION" else None
        boxes = priors.boxes.expand(loc.shape)
        if not self.use_prior_for_matching:
            boxes = priors.decode(loc)
        for i, label in np.ndindex(shape[:2]):
            own = np.flatnonzero(objects.images == i)
            if not self.share_location:
                if label == self.background_label_id:
                    continue
                if not self.use_prior_for_matching:
                    own = own[objects.labels[own] == label]
            if not len(own):
                continue
            found, overlaps[i, label] = match(
                objects.boxes[own],
                to_array(boxes[i, label]),
                threshold=threshold,
                ignore_cross_boundary=self.ignore_cross_boundary_bbox,
            )
            found = np.where(found > NONE, own[found], found)
            if not self.share_location:
                found[(found > NONE) & (objects.labels[found] != label)] = NONE
            index[i, label] = found
        return index, overlaps

    def _loc_losses(
        self, loc: Tensor, priors: Priors, objects: Objects, index: Indices, *, original: bool
    ) -> Tensor:
        """The location loss of each matched prior, in the order of np.nonzero: (M,)."""
        rows = tuple(torch.from_numpy(r).to(loc.device) for r in np.nonzero(index > NONE))
        prior = rows[2]
        boxes = torch.from_numpy(objects.boxes[index[index > NONE]]).to(loc)
        target = priors.encode(boxes, prior)
        predicted = loc[rows]
        if self.bp_inside:
            where = priors.boxes[prior]
            if not self.use_prior_for_matching:
                where = priors.decode(loc.detach())[rows]
            predicted = torch.where((where < 0) | (where > 1), target, predicted)
        if self.encode_variance_in_target:
            variance = priors.variances[prior]
            target, scaled = target / variance, predicted / variance
            # The original hands the gradient of the quotient to the prediction as it is.
            predicted = own_gradient(scaled, lambda g: (g,), predicted) if original else scaled
        d = predicted - target
        losses = 0.5 * d.square() if self.loc_loss_type == "L2" else smooth_l1(d)
        return losses.sum(1)

    def _labels(self, objects: Objects, index: Indices) -> Indices:
        """The class of each prior, the background's where it has no object: (N, P)."""
        labels = np.full((len(index), index.shape[2]), self.background_label_id)
        image, _, prior = np.nonzero(index > NONE)
        own = objects.labels[index[index > NONE]]
        labels[image, prior] = self.background_label_id + 1 if self.map_object_to_agnostic else own
        return labels

    def _mining_losses(self, conf: Tensor, labels: Indices) -> Tensor:
        """The confidence loss of each prior, (N, P)."""
        flat, classes = conf.detach().flatten(0, 1), torch.from_numpy(labels).to(conf.device)
        if self.conf_loss_type == "SOFTMAX":
            return -log_likelihood(torch.log_softmax(flat, 1), classes.flatten()).view_as(classes)
        hot = (torch.arange(self._classes, device=conf.device) == classes[..., None]).to(conf)
        return F.binary_cross_entropy_with_logits(conf.detach(), hot, reduction="none").sum(2)

    def _suppressed_boxes(self, loc: Tensor, priors: Priors) -> Array | None:
        """The boxes (N, P, 4) that suppress each other before mining, if any."""
        has_nms = self.spec.message.multibox_loss_param.HasField("nms_param")
        if not has_nms or self.nms_param.nms_threshold <= 0:
            return None
        boxes = priors.boxes.expand(loc.shape) if self.use_prior_for_nms else priors.decode(loc)
        return to_array(boxes[:, 0])

    def _mine(
        self,
        losses: Array,
        boxes: Array | None,
        index: Indices,
        overlaps: Array,
        objects: Objects,
        *,
        original: bool,
    ) -> npt.NDArray[np.bool_]:
        """Which priors learn their class (N, P); takes matches that are too easy out of `index`.

        In an image without objects none does.
        """
        counts = index[:, 0] > NONE
        is_hard_example = self._mining == "HARD_EXAMPLE"
        top_k = self.nms_param.top_k
        if top_k < 0 or not (original or self.nms_param.HasField("top_k")):
            top_k = None  # left out, the original reads it as 0 and selects nothing
        for i, own in enumerate(index[:, 0]):
            if i not in objects.images:
                continue
            if is_hard_example:
                eligible, count = np.arange(len(own)), self.sample_size
            else:
                is_far = (own == NONE) & (overlaps[i, 0] < np.float32(self.neg_overlap))
                eligible = np.flatnonzero(is_far)
                count = int(np.float32(self.neg_pos_ratio) * np.float32((own > NONE).sum()))
            chosen = hardest(
                losses[i],
                eligible,
                count,
                boxes=None if boxes is None else boxes[i],
                threshold=self.nms_param.nms_threshold,
                top_k=top_k,
            )
            is_chosen = np.isin(np.arange(len(own)), chosen)
            if is_hard_example:
                counts[i] = is_chosen & (own >= NONE)
                own[(own > NONE) & ~is_chosen] = NONE
            else:
                counts[i] |= is_chosen
        return counts

    def _targets(
        self, labels: Indices, is_matched: npt.NDArray[np.bool_], conf: Tensor, *, original: bool
    ) -> Tensor:
        """What the confidences learn: classes (N, P), or for LOGISTIC shares (N, P, C)."""
        if self.conf_loss_type == "SOFTMAX":
            return torch.from_numpy(labels).to(conf.device)
        hot = labels[..., None] == np.arange(self._classes)
        if self._mining == "NONE":
            hot &= is_matched[..., None]  # as the original: without mining no class is no class
        if original:
            return torch.from_numpy(self._original_shares(hot)).to(conf)
        return torch.from_numpy(hot).to(conf)

    def _original_shares(self, hot: npt.NDArray[np.bool_]) -> Array:
        """The original fills with the background's label instead of 0, and without mining takes
        steps of P instead of P C from image to image (EncodeConfPrediction)."""
        shares = np.full(hot.shape, self.background_label_id, np.float32)
        if self._mining != "NONE":
            shares[hot] = 1
            return shares
        image, prior, label = np.nonzero(hot)
        shares.reshape(-1)[image * hot.shape[1] + prior * hot.shape[2] + label] = 1
        return shares

    def _conf_loss(self, conf: Tensor, targets: Tensor) -> Tensor:
        if self.conf_loss_type == "SOFTMAX":
            return -log_likelihood(torch.log_softmax(conf, 1), targets).sum()
        return F.binary_cross_entropy_with_logits(conf, targets, reduction="sum")
