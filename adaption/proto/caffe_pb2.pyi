"""Message classes of protos/caffe.proto. Generated: do not edit.

By: scripts/generate_proto.py
caffe.proto sha256: a7a9b8f3c3d7f3328a465d2e7e5e89b52db5d83176e9bbbc40a5284b8aaaf465
"""
# ruff: noqa
# fmt: off

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self, SupportsIndex, TypeVar, overload

_T = TypeVar("_T")
_M = TypeVar("_M", bound=Message)

DESCRIPTOR: Any

class Message:
    DESCRIPTOR: ClassVar[Any]
    def ByteSize(self) -> int: ...
    def Clear(self) -> None: ...
    def ClearField(self, field_name: str) -> None: ...
    def CopyFrom(self, other_msg: Self) -> None: ...
    def FindInitializationErrors(self) -> list[str]: ...
    @classmethod
    def FromString(cls, s: bytes) -> Self: ...
    def HasField(self, field_name: str) -> bool: ...
    def IsInitialized(self) -> bool: ...
    def ListFields(self) -> list[tuple[Any, Any]]: ...
    def MergeFrom(self, other_msg: Self) -> None: ...
    def MergeFromString(self, serialized: bytes | memoryview) -> int: ...
    def ParseFromString(self, serialized: bytes | memoryview) -> int: ...
    def SerializePartialToString(self, *, deterministic: bool = ...) -> bytes: ...
    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...
    def SetInParent(self) -> None: ...

class _Repeated(Sequence[_T]):
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: SupportsIndex) -> _T: ...
    @overload
    def __getitem__(self, index: slice) -> list[_T]: ...
    def __delitem__(self, index: SupportsIndex | slice) -> None: ...
    def append(self, value: _T) -> None: ...
    def extend(self, values: Iterable[_T]) -> None: ...
    def insert(self, index: int, value: _T) -> None: ...
    def pop(self, index: int = ...) -> _T: ...
    def remove(self, value: _T) -> None: ...
    def reverse(self) -> None: ...
    def sort(self, *, key: Any = ..., reverse: bool = ...) -> None: ...
    def MergeFrom(self, other: Self) -> None: ...

class _Scalars(_Repeated[_T]):
    @overload
    def __setitem__(self, index: SupportsIndex, value: _T) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[_T]) -> None: ...

class _Messages(_Repeated[_M]):
    def add(self, **fields: Any) -> _M: ...

class _Enum:
    DESCRIPTOR: Any
    def Name(self, number: int) -> str: ...
    def Value(self, name: str) -> int: ...
    def keys(self) -> list[str]: ...
    def values(self) -> list[int]: ...
    def items(self) -> list[tuple[str, int]]: ...

class _Phase(_Enum):
    TRAIN: int
    TEST: int

Phase: _Phase
TRAIN: int
TEST: int

class BlobShape(Message):
    DIM_FIELD_NUMBER: ClassVar[int]
    @property
    def dim(self) -> _Scalars[int]: ...
    def __init__(
        self,
        *,
        dim: Iterable[int] | None = ...,
    ) -> None: ...

class BlobProto(Message):
    SHAPE_FIELD_NUMBER: ClassVar[int]
    DATA_FIELD_NUMBER: ClassVar[int]
    DIFF_FIELD_NUMBER: ClassVar[int]
    DOUBLE_DATA_FIELD_NUMBER: ClassVar[int]
    DOUBLE_DIFF_FIELD_NUMBER: ClassVar[int]
    NUM_FIELD_NUMBER: ClassVar[int]
    CHANNELS_FIELD_NUMBER: ClassVar[int]
    HEIGHT_FIELD_NUMBER: ClassVar[int]
    WIDTH_FIELD_NUMBER: ClassVar[int]
    @property
    def shape(self) -> BlobShape: ...
    @property
    def data(self) -> _Scalars[float]: ...
    @property
    def diff(self) -> _Scalars[float]: ...
    @property
    def double_data(self) -> _Scalars[float]: ...
    @property
    def double_diff(self) -> _Scalars[float]: ...
    num: int
    channels: int
    height: int
    width: int
    def __init__(
        self,
        *,
        shape: BlobShape | Mapping[str, Any] | None = ...,
        data: Iterable[float] | None = ...,
        diff: Iterable[float] | None = ...,
        double_data: Iterable[float] | None = ...,
        double_diff: Iterable[float] | None = ...,
        num: int | None = ...,
        channels: int | None = ...,
        height: int | None = ...,
        width: int | None = ...,
    ) -> None: ...

class BlobProtoVector(Message):
    BLOBS_FIELD_NUMBER: ClassVar[int]
    @property
    def blobs(self) -> _Messages[BlobProto]: ...
    def __init__(
        self,
        *,
        blobs: Iterable[BlobProto | Mapping[str, Any]] | None = ...,
    ) -> None: ...

class Datum(Message):
    CHANNELS_FIELD_NUMBER: ClassVar[int]
    HEIGHT_FIELD_NUMBER: ClassVar[int]
    WIDTH_FIELD_NUMBER: ClassVar[int]
    DATA_FIELD_NUMBER: ClassVar[int]
    LABEL_FIELD_NUMBER: ClassVar[int]
    FLOAT_DATA_FIELD_NUMBER: ClassVar[int]
    ENCODED_FIELD_NUMBER: ClassVar[int]
    channels: int
    height: int
    width: int
    data: bytes
    label: int
    @property
    def float_data(self) -> _Scalars[float]: ...
    encoded: bool
    def __init__(
        self,
        *,
        channels: int | None = ...,
        height: int | None = ...,
        width: int | None = ...,
        data: bytes | None = ...,
        label: int | None = ...,
        float_data: Iterable[float] | None = ...,
        encoded: bool | None = ...,
    ) -> None: ...

class LabelMapItem(Message):
    NAME_FIELD_NUMBER: ClassVar[int]
    LABEL_FIELD_NUMBER: ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: ClassVar[int]
    name: str
    label: int
    display_name: str
    def __init__(
        self,
        *,
        name: str | None = ...,
        label: int | None = ...,
        display_name: str | None = ...,
    ) -> None: ...

class LabelMap(Message):
    ITEM_FIELD_NUMBER: ClassVar[int]
    @property
    def item(self) -> _Messages[LabelMapItem]: ...
    def __init__(
        self,
        *,
        item: Iterable[LabelMapItem | Mapping[str, Any]] | None = ...,
    ) -> None: ...

class Sampler(Message):
    MIN_SCALE_FIELD_NUMBER: ClassVar[int]
    MAX_SCALE_FIELD_NUMBER: ClassVar[int]
    MIN_ASPECT_RATIO_FIELD_NUMBER: ClassVar[int]
    MAX_ASPECT_RATIO_FIELD_NUMBER: ClassVar[int]
    min_scale: float
    max_scale: float
    min_aspect_ratio: float
    max_aspect_ratio: float
    def __init__(
        self,
        *,
        min_scale: float | None = ...,
        max_scale: float | None = ...,
        min_aspect_ratio: float | None = ...,
        max_aspect_ratio: float | None = ...,
    ) -> None: ...

class SampleConstraint(Message):
    MIN_JACCARD_OVERLAP_FIELD_NUMBER: ClassVar[int]
    MAX_JACCARD_OVERLAP_FIELD_NUMBER: ClassVar[int]
    MIN_SAMPLE_COVERAGE_FIELD_NUMBER: ClassVar[int]
    MAX_SAMPLE_COVERAGE_FIELD_NUMBER: ClassVar[int]
    MIN_OBJECT_COVERAGE_FIELD_NUMBER: ClassVar[int]
    MAX_OBJECT_COVERAGE_FIELD_NUMBER: ClassVar[int]
    min_jaccard_overlap: float
    max_jaccard_overlap: float
    min_sample_coverage: float
    max_sample_coverage: float
    min_object_coverage: float
    max_object_coverage: float
    def __init__(
        self,
        *,
        min_jaccard_overlap: float | None = ...,
        max_jaccard_overlap: float | None = ...,
        min_sample_coverage: float | None = ...,
        max_sample_coverage: float | None = ...,
        min_object_coverage: float | None = ...,
        max_object_coverage: float | None = ...,
    ) -> None: ...

class BatchSampler(Message):
    USE_ORIGINAL_IMAGE_FIELD_NUMBER: ClassVar[int]
    SAMPLER_FIELD_NUMBER: ClassVar[int]
    SAMPLE_CONSTRAINT_FIELD_NUMBER: ClassVar[int]
    MAX_SAMPLE_FIELD_NUMBER: ClassVar[int]
    MAX_TRIALS_FIELD_NUMBER: ClassVar[int]
    use_original_image: bool
    @property
    def sampler(self) -> Sampler: ...
    @property
    def sample_constraint(self) -> SampleConstraint: ...
    max_sample: int
    max_trials: int
    def __init__(
        self,
        *,
        use_original_image: bool | None = ...,
        sampler: Sampler | Mapping[str, Any] | None = ...,
        sample_constraint: SampleConstraint | Mapping[str, Any] | None = ...,
        max_sample: int | None = ...,
        max_trials: int | None = ...,
    ) -> None: ...

class EmitConstraint(Message):
    class _EmitType(_Enum):
        CENTER: int
        MIN_OVERLAP: int

    EmitType: ClassVar[_EmitType]
    CENTER: ClassVar[int]
    MIN_OVERLAP: ClassVar[int]
    EMIT_TYPE_FIELD_NUMBER: ClassVar[int]
    EMIT_OVERLAP_FIELD_NUMBER: ClassVar[int]
    emit_type: int
    emit_overlap: float
    def __init__(
        self,
        *,
        emit_type: int | str | None = ...,
        emit_overlap: float | None = ...,
    ) -> None: ...

class NormalizedBBox(Message):
    XMIN_FIELD_NUMBER: ClassVar[int]
    YMIN_FIELD_NUMBER: ClassVar[int]
    XMAX_FIELD_NUMBER: ClassVar[int]
    YMAX_FIELD_NUMBER: ClassVar[int]
    LABEL_FIELD_NUMBER: ClassVar[int]
    DIFFICULT_FIELD_NUMBER: ClassVar[int]
    SCORE_FIELD_NUMBER: ClassVar[int]
    SIZE_FIELD_NUMBER: ClassVar[int]
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    label: int
    difficult: bool
    score: float
    size: float
    def __init__(
        self,
        *,
        xmin: float | None = ...,
        ymin: float | None = ...,
        xmax: float | None = ...,
        ymax: float | None = ...,
        label: int | None = ...,
        difficult: bool | None = ...,
        score: float | None = ...,
        size: float | None = ...,
    ) -> None: ...

class Annotation(Message):
    INSTANCE_ID_FIELD_NUMBER: ClassVar[int]
    BBOX_FIELD_NUMBER: ClassVar[int]
    instance_id: int
    @property
    def bbox(self) -> NormalizedBBox: ...
    def __init__(
        self,
        *,
        instance_id: int | None = ...,
        bbox: NormalizedBBox | Mapping[str, Any] | None = ...,
    ) -> None: ...

class AnnotationGroup(Message):
    GROUP_LABEL_FIELD_NUMBER: ClassVar[int]
    ANNOTATION_FIELD_NUMBER: ClassVar[int]
    group_label: int
    @property
    def annotation(self) -> _Messages[Annotation]: ...
    def __init__(
        self,
        *,
        group_label: int | None = ...,
        annotation: Iterable[Annotation | Mapping[str, Any]] | None = ...,
    ) -> None: ...

class AnnotatedDatum(Message):
    class _AnnotationType(_Enum):
        BBOX: int
        BBOXandSeg: int
        LANE: int

    AnnotationType: ClassVar[_AnnotationType]
    BBOX: ClassVar[int]
    BBOXandSeg: ClassVar[int]
    LANE: ClassVar[int]
    DATUM_FIELD_NUMBER: ClassVar[int]
    TYPE_FIELD_NUMBER: ClassVar[int]
    ANNOTATION_GROUP_FIELD_NUMBER: ClassVar[int]
    @property
    def datum(self) -> Datum: ...
    type: int
    @property
    def annotation_group(self) -> _Messages[AnnotationGroup]: ...
    def __init__(
        self,
        *,
        datum: Datum | Mapping[str, Any] | None = ...,
        type: int | str | None = ...,
        annotation_group: Iterable[AnnotationGroup | Mapping[str, Any]] | None = ...,
    ) -> None: ...

class FillerParameter(Message):
    class _VarianceNorm(_Enum):
        FAN_IN: int
        FAN_OUT: int
        AVERAGE: int

    VarianceNorm: ClassVar[_VarianceNorm]
    FAN_IN: ClassVar[int]
    FAN_OUT: ClassVar[int]
    AVERAGE: ClassVar[int]
    TYPE_FIELD_NUMBER: ClassVar[int]
    VALUE_FIELD_NUMBER: ClassVar[int]
    MIN_FIELD_NUMBER: ClassVar[int]
    MAX_FIELD_NUMBER: ClassVar[int]
    MEAN_FIELD_NUMBER: ClassVar[int]
    STD_FIELD_NUMBER: ClassVar[int]
    SPARSE_FIELD_NUMBER: ClassVar[int]
    VARIANCE_NORM_FIELD_NUMBER: ClassVar[int]
    VARIANCE_SCALE_FIELD_NUMBER: ClassVar[int]
    type: str
    value: float
    min: float
    max: float
    mean: float
    std: float
    sparse: int
    variance_norm: int
    variance_scale: float
    def __init__(
        self,
        *,
        type: str | None = ...,
        value: float | None = ...,
        min: float | None = ...,
        max: float | None = ...,
        mean: float | None = ...,
        std: float | None = ...,
        sparse: int | None = ...,
        variance_norm: int | str | None = ...,
        variance_scale: float | None = ...,
    ) -> None: ...

class NetState(Message):
    PHASE_FIELD_NUMBER: ClassVar[int]
    LEVEL_FIELD_NUMBER: ClassVar[int]
    STAGE_FIELD_NUMBER: ClassVar[int]
    phase: int
    level: int
    @property
    def stage(self) -> _Scalars[str]: ...
    def __init__(
        self,
        *,
        phase: int | str | None = ...,
        level: int | None = ...,
        stage: Iterable[str] | None = ...,
    ) -> None: ...

class NetStateRule(Message):
    PHASE_FIELD_NUMBER: ClassVar[int]
    MIN_LEVEL_FIELD_NUMBER: ClassVar[int]
    MAX_LEVEL_FIELD_NUMBER: ClassVar[int]
    STAGE_FIELD_NUMBER: ClassVar[int]
    NOT_STAGE_FIELD_NUMBER: ClassVar[int]
    phase: int
    min_level: int
    max_level: int
    @property
    def stage(self) -> _Scalars[str]: ...
    @property
    def not_stage(self) -> _Scalars[str]: ...
    def __init__(
        self,
        *,
        phase: int | str | None = ...,
        min_level: int | None = ...,
        max_level: int | None = ...,
        stage: Iterable[str] | None = ...,
        not_stage: Iterable[str] | None = ...,
    ) -> None: ...

class NetParameter(Message):
    NAME_FIELD_NUMBER: ClassVar[int]
    INPUT_FIELD_NUMBER: ClassVar[int]
    INPUT_SHAPE_FIELD_NUMBER: ClassVar[int]
    INPUT_DIM_FIELD_NUMBER: ClassVar[int]
    FORCE_BACKWARD_FIELD_NUMBER: ClassVar[int]
    STATE_FIELD_NUMBER: ClassVar[int]
    DEBUG_INFO_FIELD_NUMBER: ClassVar[int]
    ENGINE_FIELD_NUMBER: ClassVar[int]
    LAYER_FIELD_NUMBER: ClassVar[int]
    LAYERS_FIELD_NUMBER: ClassVar[int]
    name: str
    @property
    def input(self) -> _Scalars[str]: ...
    @property
    def input_shape(self) -> _Messages[BlobShape]: ...
    @property
    def input_dim(self) -> _Scalars[int]: ...
    force_backward: bool
    @property
    def state(self) -> NetState: ...
    debug_info: bool
    engine: str
    @property
    def layer(self) -> _Messages[LayerParameter]: ...
    @property
    def layers(self) -> _Messages[V1LayerParameter]: ...
    def __init__(
        self,
        *,
        name: str | None = ...,
        input: Iterable[str] | None = ...,
        input_shape: Iterable[BlobShape | Mapping[str, Any]] | None = ...,
        input_dim: Iterable[int] | None = ...,
        force_backward: bool | None = ...,
        state: NetState | Mapping[str, Any] | None = ...,
        debug_info: bool | None = ...,
        engine: str | None = ...,
        layer: Iterable[LayerParameter | Mapping[str, Any]] | None = ...,
        layers: Iterable[V1LayerParameter | Mapping[str, Any]] | None = ...,
    ) -> None: ...

class ParamSpec(Message):
    class _DimCheckMode(_Enum):
        STRICT: int
        PERMISSIVE: int

    DimCheckMode: ClassVar[_DimCheckMode]
    STRICT: ClassVar[int]
    PERMISSIVE: ClassVar[int]
    NAME_FIELD_NUMBER: ClassVar[int]
    SHARE_MODE_FIELD_NUMBER: ClassVar[int]
    LR_MULT_FIELD_NUMBER: ClassVar[int]
    DECAY_MULT_FIELD_NUMBER: ClassVar[int]
    name: str
    share_mode: int
    lr_mult: float
    decay_mult: float
    def __init__(
        self,
        *,
        name: str | None = ...,
        share_mode: int | str | None = ...,
        lr_mult: float | None = ...,
        decay_mult: float | None = ...,
    ) -> None: ...

class SolverParameter(Message):
    class _SnapshotFormat(_Enum):
        HDF5: int
        BINARYPROTO: int

    SnapshotFormat: ClassVar[_SnapshotFormat]
    HDF5: ClassVar[int]
    BINARYPROTO: ClassVar[int]
    class _SolverMode(_Enum):
        CPU: int
        GPU: int

    SolverMode: ClassVar[_SolverMode]
    CPU: ClassVar[int]
    GPU: ClassVar[int]
    class _SolverType(_Enum):
        SGD: int
        NESTEROV: int
        ADAGRAD: int
        RMSPROP: int
        ADADELTA: int
        ADAM: int

    SolverType: ClassVar[_SolverType]
    SGD: ClassVar[int]
    NESTEROV: ClassVar[int]
    ADAGRAD: ClassVar[int]
    RMSPROP: ClassVar[int]
    ADADELTA: ClassVar[int]
    ADAM: ClassVar[int]
    NET_FIELD_NUMBER: ClassVar[int]
    NET_PARAM_FIELD_NUMBER: ClassVar[int]
    TRAIN_NET_FIELD_NUMBER: ClassVar[int]
    TEST_NET_FIELD_NUMBER: ClassVar[int]
    TRAIN_NET_PARAM_FIELD_NUMBER: ClassVar[int]
    TEST_NET_PARAM_FIELD_NUMBER: ClassVar[int]
    TRAIN_STATE_FIELD_NUMBER: ClassVar[int]
    TEST_STATE_FIELD_NUMBER: ClassVar[int]
    TEST_ITER_FIELD_NUMBER: ClassVar[int]
    TEST_INTERVAL_FIELD_NUMBER: ClassVar[int]
    TEST_COMPUTE_LOSS_FIELD_NUMBER: ClassVar[int]
    TEST_INITIALIZATION_FIELD_NUMBER: ClassVar[int]
    BASE_LR_FIELD_NUMBER: ClassVar[int]
    DISPLAY_FIELD_NUMBER: ClassVar[int]
    AVERAGE_LOSS_FIELD_NUMBER: ClassVar[int]
    MAX_ITER_FIELD_NUMBER: ClassVar[int]
    ITER_SIZE_FIELD_NUMBER: ClassVar[int]
    LR_POLICY_FIELD_NUMBER: ClassVar[int]
    GAMMA_FIELD_NUMBER: ClassVar[int]
    POWER_FIELD_NUMBER: ClassVar[int]
    MOMENTUM_FIELD_NUMBER: ClassVar[int]
    WEIGHT_DECAY_FIELD_NUMBER: ClassVar[int]
    REGULARIZATION_TYPE_FIELD_NUMBER: ClassVar[int]
    STEPSIZE_FIELD_NUMBER: ClassVar[int]
    STEPVALUE_FIELD_NUMBER: ClassVar[int]
    CLIP_GRADIENTS_FIELD_NUMBER: ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: ClassVar[int]
    SNAPSHOT_PREFIX_FIELD_NUMBER: ClassVar[int]
    SNAPSHOT_DIFF_FIELD_NUMBER: ClassVar[int]
    SNAPSHOT_FORMAT_FIELD_NUMBER: ClassVar[int]
    SOLVER_MODE_FIELD_NUMBER: ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: ClassVar[int]
    RANDOM_SEED_FIELD_NUMBER: ClassVar[int]
    TYPE_FIELD_NUMBER: ClassVar[int]
    DELTA_FIELD_NUMBER: ClassVar[int]
    MOMENTUM2_FIELD_NUMBER: ClassVar[int]
    RMS_DECAY_FIELD_NUMBER: ClassVar[int]
    DEBUG_INFO_FIELD_NUMBER: ClassVar[int]
    SNAPSHOT_AFTER_TRAIN_FIELD_NUMBER: ClassVar[int]
    SOLVER_TYPE_FIELD_NUMBER: ClassVar[int]
    ESTIMATE_FIELD_NUMBER: ClassVar[int]
    WEIGHTS_FIELD_NUMBER: ClassVar[int]
    LAYER_WISE_REDUCE_FIELD_NUMBER: ClassVar[int]
    EVAL_TYPE_FIELD_NUMBER: ClassVar[int]
    AP_VERSION_FIELD_NUMBER: ClassVar[int]
    PLATEAU_WINSIZE_FIELD_NUMBER: ClassVar[int]
    SHOW_PER_CLASS_RESULT_FIELD_NUMBER: ClassVar[int]
    PRECISION_POLICY_FIELD_NUMBER: ClassVar[int]
    net: str
    @property
    def net_param(self) -> NetParameter: ...
    train_net: str
    @property
    def test_net(self) -> _Scalars[str]: ...
    @property
    def train_net_param(self) -> NetParameter: ...
    @property
    def test_net_param(self) -> _Messages[NetParameter]: ...
    @property
    def train_state(self) -> NetState: ...
    @property
    def test_state(self) -> _Messages[NetState]: ...
    @property
    def test_iter(self) -> _Scalars[int]: ...
    test_interval: int
    test_compute_loss: bool
    test_initialization: bool
    base_lr: float
    display: int
    average_loss: int
    max_iter: int
    iter_size: int
    lr_policy: str
    gamma: float
    power: float
    momentum: float
    weight_decay: float
    regularization_type: str
    stepsize: int
    @property
    def stepvalue(self) -> _Scalars[int]: ...
    clip_gradients: float
    snapshot: int
    snapshot_prefix: str
    snapshot_diff: bool
    snapshot_format: int
    solver_mode: int
    device_id: int
    random_seed: int
    type: str
    delta: float
    momentum2: float
    rms_decay: float
    debug_info: bool
    snapshot_after_train: bool
    solver_type: int
    estimate: int
    @property
    def weights(self) -> _Scalars[str]: ...
    layer_wise_reduce: bool
    eval_type: str
    ap_version: str
    @property
    def plateau_winsize(self) -> _Scalars[int]: ...
    show_per_class_result: bool
    @property
    def precision_policy(self) -> PrecisionPolicy: ...
    def __init__(
        self,
        *,
        net: str | None = ...,
        net_param: NetParameter | Mapping[str, Any] | None = ...,
        train_net: str | None = ...,
        test_net: Iterable[str] | None = ...,
        train_net_param: NetParameter | Mapping[str, Any] | None = ...,
        test_net_param: Iterable[NetParameter | Mapping[str, Any]] | None = ...,
        train_state: NetState | Mapping[str, Any] | None = ...,
        test_state: Iterable[NetState | Mapping[str, Any]] | None = ...,
        test_iter: Iterable[int] | None = ...,
        test_interval: int | None = ...,
        test_compute_loss: bool | None = ...,
        test_initialization: bool | None = ...,
        base_lr: float | None = ...,
        display: int | None = ...,
        average_loss: int | None = ...,
        max_iter: int | None = ...,
        iter_size: int | None = ...,
        lr_policy: str | None = ...,
        gamma: float | None = ...,
        power: float | None = ...,
        momentum: float | None = ...,
        weight_decay: float | None = ...,
        regularization_type: str | None = ...,
        stepsize: int | None = ...,
        stepvalue: Iterable[int] | None = ...,
        clip_gradients: float | None = ...,
        snapshot: int | None = ...,
        snapshot_prefix: str | None = ...,
        snapshot_diff: bool | None = ...,
        snapshot_format: int | str | None = ...,
        solver_mode: int | str | None = ...,
        device_id: int | None = ...,
        random_seed: int | None = ...,
        type: str | None = ...,
        delta: float | None = ...,
        momentum2: float | None = ...,
        rms_decay: float | None = ...,
        debug_info: bool | None = ...,
        snapshot_after_train: bool | None = ...,
        solver_type: int | str | None = ...,
        estimate: int | None = ...,
        weights: Iterable[str] | None = ...,
        layer_wise_reduce: bool | None = ...,
        eval_type: str | None = ...,
        ap_version: str | None = ...,
        plateau_winsize: Iterable[int] | None = ...,
        show_per_class_result: bool | None = ...,
        precision_policy: PrecisionPolicy | Mapping[str, Any] | None = ...,
    ) -> None: ...

class SolverState(Message):
    ITER_FIELD_NUMBER: ClassVar[int]
    LEARNED_NET_FIELD_NUMBER: ClassVar[int]
    HISTORY_FIELD_NUMBER: ClassVar[int]
    CURRENT_STEP_FIELD_NUMBER: ClassVar[int]
    MINIMUM_LOSS_FIELD_NUMBER: ClassVar[int]
    ITER_LAST_EVENT_FIELD_NUMBER: ClassVar[int]
    iter: int
    learned_net: str
    @property
    def history(self) -> _Messages[BlobProto]: ...
    current_step: int
    minimum_loss: float
    iter_last_event: int
    def __init__(
        self,
        *,
        iter: int | None = ...,
        learned_net: str | None = ...,
        history: Iterable[BlobProto | Mapping[str, Any]] | None = ...,
        current_step: int | None = ...,
        minimum_loss: float | None = ...,
        iter_last_event: int | None = ...,
    ) -> None: ...

class NumberFormat(Message):
    class _Kind(_Enum):
        FLOAT: int
        FIXED: int
        DYNAMIC_FIXED: int
        SHIFTED_DYNAMIC_FIXED: int
        WRPN: int

    Kind: ClassVar[_Kind]
    FLOAT: ClassVar[int]
    FIXED: ClassVar[int]
    DYNAMIC_FIXED: ClassVar[int]
    SHIFTED_DYNAMIC_FIXED: ClassVar[int]
    WRPN: ClassVar[int]
    class _Rounding(_Enum):
        HALF_AWAY: int
        HALF_EVEN: int
        STOCHASTIC: int
        FLOOR: int

    Rounding: ClassVar[_Rounding]
    HALF_AWAY: ClassVar[int]
    HALF_EVEN: ClassVar[int]
    STOCHASTIC: ClassVar[int]
    FLOOR: ClassVar[int]
    class _Range(_Enum):
        SYMMETRIC: int
        FULL: int

    Range: ClassVar[_Range]
    SYMMETRIC: ClassVar[int]
    FULL: ClassVar[int]
    class _Overflow(_Enum):
        SATURATE: int
        WRAP: int

    Overflow: ClassVar[_Overflow]
    SATURATE: ClassVar[int]
    WRAP: ClassVar[int]
    KIND_FIELD_NUMBER: ClassVar[int]
    WORD_LENGTH_FIELD_NUMBER: ClassVar[int]
    FRAC_LENGTH_FIELD_NUMBER: ClassVar[int]
    IS_SIGNED_FIELD_NUMBER: ClassVar[int]
    ROUNDING_FIELD_NUMBER: ClassVar[int]
    EXPONENT_BIAS_FIELD_NUMBER: ClassVar[int]
    RANGE_FIELD_NUMBER: ClassVar[int]
    OVERFLOW_FIELD_NUMBER: ClassVar[int]
    PER_PRODUCT_FIELD_NUMBER: ClassVar[int]
    MASK_SATURATED_FIELD_NUMBER: ClassVar[int]
    MIN_EXPONENT_FIELD_NUMBER: ClassVar[int]
    MAX_EXPONENT_FIELD_NUMBER: ClassVar[int]
    DELAYED_FIELD_NUMBER: ClassVar[int]
    PER_FILTER_FIELD_NUMBER: ClassVar[int]
    kind: int
    word_length: int
    frac_length: int
    is_signed: bool
    rounding: int
    exponent_bias: int
    range: int
    overflow: int
    per_product: bool
    mask_saturated: bool
    min_exponent: int
    max_exponent: int
    delayed: bool
    per_filter: bool
    def __init__(
        self,
        *,
        kind: int | str | None = ...,
        word_length: int | None = ...,
        frac_length: int | None = ...,
        is_signed: bool | None = ...,
        rounding: int | str | None = ...,
        exponent_bias: int | None = ...,
        range: int | str | None = ...,
        overflow: int | str | None = ...,
        per_product: bool | None = ...,
        mask_saturated: bool | None = ...,
        min_exponent: int | None = ...,
        max_exponent: int | None = ...,
        delayed: bool | None = ...,
        per_filter: bool | None = ...,
    ) -> None: ...

class PrecisionParameter(Message):
    class _Weights(_Enum):
        MASTER: int
        QUANTIZED: int

    Weights: ClassVar[_Weights]
    MASTER: ClassVar[int]
    QUANTIZED: ClassVar[int]
    WEIGHT_FIELD_NUMBER: ClassVar[int]
    BIAS_FIELD_NUMBER: ClassVar[int]
    ACTIVATION_FIELD_NUMBER: ClassVar[int]
    WEIGHT_GRAD_FIELD_NUMBER: ClassVar[int]
    ACTIVATION_GRAD_FIELD_NUMBER: ClassVar[int]
    ACCUMULATOR_FIELD_NUMBER: ClassVar[int]
    BIAS_GRAD_FIELD_NUMBER: ClassVar[int]
    BOTTOM_FIELD_NUMBER: ClassVar[int]
    WEIGHT_ACCUMULATOR_FIELD_NUMBER: ClassVar[int]
    BACKWARD_WEIGHTS_FIELD_NUMBER: ClassVar[int]
    @property
    def weight(self) -> NumberFormat: ...
    @property
    def bias(self) -> NumberFormat: ...
    @property
    def activation(self) -> NumberFormat: ...
    @property
    def weight_grad(self) -> NumberFormat: ...
    @property
    def activation_grad(self) -> NumberFormat: ...
    @property
    def accumulator(self) -> NumberFormat: ...
    @property
    def bias_grad(self) -> NumberFormat: ...
    @property
    def bottom(self) -> NumberFormat: ...
    @property
    def weight_accumulator(self) -> NumberFormat: ...
    backward_weights: int
    def __init__(
        self,
        *,
        weight: NumberFormat | Mapping[str, Any] | None = ...,
        bias: NumberFormat | Mapping[str, Any] | None = ...,
        activation: NumberFormat | Mapping[str, Any] | None = ...,
        weight_grad: NumberFormat | Mapping[str, Any] | None = ...,
        activation_grad: NumberFormat | Mapping[str, Any] | None = ...,
        accumulator: NumberFormat | Mapping[str, Any] | None = ...,
        bias_grad: NumberFormat | Mapping[str, Any] | None = ...,
        bottom: NumberFormat | Mapping[str, Any] | None = ...,
        weight_accumulator: NumberFormat | Mapping[str, Any] | None = ...,
        backward_weights: int | str | None = ...,
    ) -> None: ...

class SourcePart(Message):
    SKIP_FIELD_NUMBER: ClassVar[int]
    LIMIT_FIELD_NUMBER: ClassVar[int]
    skip: int
    limit: int
    def __init__(
        self,
        *,
        skip: int | None = ...,
        limit: int | None = ...,
    ) -> None: ...

class PrecisionPolicy(Message):
    TYPE_FIELD_NUMBER: ClassVar[int]
    SDFP_PARAM_FIELD_NUMBER: ClassVar[int]
    PER_TENSOR_PARAM_FIELD_NUMBER: ClassVar[int]
    WRPN_PARAM_FIELD_NUMBER: ClassVar[int]
    ADAPT_PARAM_FIELD_NUMBER: ClassVar[int]
    type: str
    @property
    def sdfp_param(self) -> SdfpParameter: ...
    @property
    def per_tensor_param(self) -> PerTensorParameter: ...
    @property
    def wrpn_param(self) -> WrpnParameter: ...
    @property
    def adapt_param(self) -> AdaptParameter: ...
    def __init__(
        self,
        *,
        type: str | None = ...,
        sdfp_param: SdfpParameter | Mapping[str, Any] | None = ...,
        per_tensor_param: PerTensorParameter | Mapping[str, Any] | None = ...,
        wrpn_param: WrpnParameter | Mapping[str, Any] | None = ...,
        adapt_param: AdaptParameter | Mapping[str, Any] | None = ...,
    ) -> None: ...

class SdfpParameter(Message):
    class _FirstLast(_Enum):
        FLOAT: int
        QUANTIZED: int

    FirstLast: ClassVar[_FirstLast]
    FLOAT: ClassVar[int]
    QUANTIZED: ClassVar[int]
    WORD_LENGTH_FIELD_NUMBER: ClassVar[int]
    BIAS_WEIGHT_FIELD_NUMBER: ClassVar[int]
    BIAS_ACTIVATION_FIELD_NUMBER: ClassVar[int]
    BIAS_GRADIENT_FIELD_NUMBER: ClassVar[int]
    FIRST_LAST_FIELD_NUMBER: ClassVar[int]
    FULL_RANGE_FIELD_NUMBER: ClassVar[int]
    DELAYED_FIELD_NUMBER: ClassVar[int]
    ROUNDING_GRADIENT_FIELD_NUMBER: ClassVar[int]
    MASK_SATURATED_FIELD_NUMBER: ClassVar[int]
    word_length: int
    bias_weight: int
    bias_activation: int
    bias_gradient: int
    first_last: int
    full_range: bool
    delayed: bool
    rounding_gradient: int
    mask_saturated: bool
    def __init__(
        self,
        *,
        word_length: int | None = ...,
        bias_weight: int | None = ...,
        bias_activation: int | None = ...,
        bias_gradient: int | None = ...,
        first_last: int | str | None = ...,
        full_range: bool | None = ...,
        delayed: bool | None = ...,
        rounding_gradient: int | str | None = ...,
        mask_saturated: bool | None = ...,
    ) -> None: ...

class PerTensorParameter(Message):
    CLIP_PARAMETERS_FIELD_NUMBER: ClassVar[int]
    RECORD_FIELD_NUMBER: ClassVar[int]
    clip_parameters: bool
    record: bool
    def __init__(
        self,
        *,
        clip_parameters: bool | None = ...,
        record: bool | None = ...,
    ) -> None: ...

class WrpnParameter(Message):
    CLIP_MASTERS_FIELD_NUMBER: ClassVar[int]
    clip_masters: bool
    def __init__(
        self,
        *,
        clip_masters: bool | None = ...,
    ) -> None: ...

class AdaptParameter(Message):
    class _Strategy(_Enum):
        MIN: int
        MEAN: int
        MAX: int

    Strategy: ClassVar[_Strategy]
    MIN: ClassVar[int]
    MEAN: ClassVar[int]
    MAX: ClassVar[int]
    INITIAL_WORD_LENGTH_FIELD_NUMBER: ClassVar[int]
    INITIAL_FRAC_LENGTH_FIELD_NUMBER: ClassVar[int]
    FRAC_LENGTH_FLOOR_FIELD_NUMBER: ClassVar[int]
    LOOKBACK_MIN_FIELD_NUMBER: ClassVar[int]
    LOOKBACK_MAX_FIELD_NUMBER: ClassVar[int]
    LOOKBACK_MOMENTUM_FIELD_NUMBER: ClassVar[int]
    RESOLUTION_MIN_FIELD_NUMBER: ClassVar[int]
    RESOLUTION_MAX_FIELD_NUMBER: ClassVar[int]
    BUFFER_FIELD_NUMBER: ClassVar[int]
    STRATEGY_FIELD_NUMBER: ClassVar[int]
    ALPHA_FIELD_NUMBER: ClassVar[int]
    ADAPT_FIELD_NUMBER: ClassVar[int]
    QUANTIZE_FIELD_NUMBER: ClassVar[int]
    STRICT_CODE_FIELD_NUMBER: ClassVar[int]
    QUANTIZE_POOL_FIELD_NUMBER: ClassVar[int]
    BATCH_NORM_FORMAT_FIELD_NUMBER: ClassVar[int]
    initial_word_length: int
    initial_frac_length: int
    frac_length_floor: int
    lookback_min: int
    lookback_max: int
    lookback_momentum: float
    resolution_min: int
    resolution_max: int
    buffer: int
    strategy: int
    alpha: float
    adapt: bool
    quantize: bool
    strict_code: bool
    quantize_pool: bool
    batch_norm_format: bool
    def __init__(
        self,
        *,
        initial_word_length: int | None = ...,
        initial_frac_length: int | None = ...,
        frac_length_floor: int | None = ...,
        lookback_min: int | None = ...,
        lookback_max: int | None = ...,
        lookback_momentum: float | None = ...,
        resolution_min: int | None = ...,
        resolution_max: int | None = ...,
        buffer: int | None = ...,
        strategy: int | str | None = ...,
        alpha: float | None = ...,
        adapt: bool | None = ...,
        quantize: bool | None = ...,
        strict_code: bool | None = ...,
        quantize_pool: bool | None = ...,
        batch_norm_format: bool | None = ...,
    ) -> None: ...

class LayerParameter(Message):
    NAME_FIELD_NUMBER: ClassVar[int]
    TYPE_FIELD_NUMBER: ClassVar[int]
    BOTTOM_FIELD_NUMBER: ClassVar[int]
    TOP_FIELD_NUMBER: ClassVar[int]
    PHASE_FIELD_NUMBER: ClassVar[int]
    LOSS_WEIGHT_FIELD_NUMBER: ClassVar[int]
    PARAM_FIELD_NUMBER: ClassVar[int]
    BLOBS_FIELD_NUMBER: ClassVar[int]
    PROPAGATE_DOWN_FIELD_NUMBER: ClassVar[int]
    INCLUDE_FIELD_NUMBER: ClassVar[int]
    EXCLUDE_FIELD_NUMBER: ClassVar[int]
    TRANSFORM_PARAM_FIELD_NUMBER: ClassVar[int]
    LOSS_PARAM_FIELD_NUMBER: ClassVar[int]
    ACCURACY_PARAM_FIELD_NUMBER: ClassVar[int]
    ARGMAX_PARAM_FIELD_NUMBER: ClassVar[int]
    BATCH_NORM_PARAM_FIELD_NUMBER: ClassVar[int]
    BIAS_PARAM_FIELD_NUMBER: ClassVar[int]
    CLIP_PARAM_FIELD_NUMBER: ClassVar[int]
    CONCAT_PARAM_FIELD_NUMBER: ClassVar[int]
    CONTRASTIVE_LOSS_PARAM_FIELD_NUMBER: ClassVar[int]
    CONVOLUTION_PARAM_FIELD_NUMBER: ClassVar[int]
    CROP_PARAM_FIELD_NUMBER: ClassVar[int]
    DATA_PARAM_FIELD_NUMBER: ClassVar[int]
    DROPOUT_PARAM_FIELD_NUMBER: ClassVar[int]
    DUMMY_DATA_PARAM_FIELD_NUMBER: ClassVar[int]
    ELTWISE_PARAM_FIELD_NUMBER: ClassVar[int]
    ELU_PARAM_FIELD_NUMBER: ClassVar[int]
    EMBED_PARAM_FIELD_NUMBER: ClassVar[int]
    EXP_PARAM_FIELD_NUMBER: ClassVar[int]
    FLATTEN_PARAM_FIELD_NUMBER: ClassVar[int]
    HDF5_DATA_PARAM_FIELD_NUMBER: ClassVar[int]
    HDF5_OUTPUT_PARAM_FIELD_NUMBER: ClassVar[int]
    HINGE_LOSS_PARAM_FIELD_NUMBER: ClassVar[int]
    IMAGE_DATA_PARAM_FIELD_NUMBER: ClassVar[int]
    INFOGAIN_LOSS_PARAM_FIELD_NUMBER: ClassVar[int]
    INNER_PRODUCT_PARAM_FIELD_NUMBER: ClassVar[int]
    INPUT_PARAM_FIELD_NUMBER: ClassVar[int]
    LOG_PARAM_FIELD_NUMBER: ClassVar[int]
    LRN_PARAM_FIELD_NUMBER: ClassVar[int]
    MEMORY_DATA_PARAM_FIELD_NUMBER: ClassVar[int]
    MVN_PARAM_FIELD_NUMBER: ClassVar[int]
    PARAMETER_PARAM_FIELD_NUMBER: ClassVar[int]
    POOLING_PARAM_FIELD_NUMBER: ClassVar[int]
    POWER_PARAM_FIELD_NUMBER: ClassVar[int]
    PRELU_PARAM_FIELD_NUMBER: ClassVar[int]
    PYTHON_PARAM_FIELD_NUMBER: ClassVar[int]
    RECURRENT_PARAM_FIELD_NUMBER: ClassVar[int]
    REDUCTION_PARAM_FIELD_NUMBER: ClassVar[int]
    RELU_PARAM_FIELD_NUMBER: ClassVar[int]
    RESHAPE_PARAM_FIELD_NUMBER: ClassVar[int]
    SCALE_PARAM_FIELD_NUMBER: ClassVar[int]
    SIGMOID_PARAM_FIELD_NUMBER: ClassVar[int]
    SOFTMAX_PARAM_FIELD_NUMBER: ClassVar[int]
    SPP_PARAM_FIELD_NUMBER: ClassVar[int]
    SLICE_PARAM_FIELD_NUMBER: ClassVar[int]
    SWISH_PARAM_FIELD_NUMBER: ClassVar[int]
    TANH_PARAM_FIELD_NUMBER: ClassVar[int]
    THRESHOLD_PARAM_FIELD_NUMBER: ClassVar[int]
    TILE_PARAM_FIELD_NUMBER: ClassVar[int]
    WINDOW_DATA_PARAM_FIELD_NUMBER: ClassVar[int]
    LPFP_PARAM_FIELD_NUMBER: ClassVar[int]
    ROI_POOLING_PARAM_FIELD_NUMBER: ClassVar[int]
    SMOOTH_L1_LOSS_PARAM_FIELD_NUMBER: ClassVar[int]
    LP_CONVOLUTION_PARAM_FIELD_NUMBER: ClassVar[int]
    LP_ACT_PARAM_FIELD_NUMBER: ClassVar[int]
    LP_INNER_PRODUCT_PARAM_FIELD_NUMBER: ClassVar[int]
    ANNOTATED_DATA_PARAM_FIELD_NUMBER: ClassVar[int]
    MULTIBOX_LOSS_PARAM_FIELD_NUMBER: ClassVar[int]
    PERMUTE_PARAM_FIELD_NUMBER: ClassVar[int]
    PRIOR_BOX_PARAM_FIELD_NUMBER: ClassVar[int]
    DETECTION_OUTPUT_PARAM_FIELD_NUMBER: ClassVar[int]
    DETECTION_EVALUATE_PARAM_FIELD_NUMBER: ClassVar[int]
    NORM_PARAM_FIELD_NUMBER: ClassVar[int]
    VIDEO_DATA_PARAM_FIELD_NUMBER: ClassVar[int]
    BN_PARAM_FIELD_NUMBER: ClassVar[int]
    DENSE_IMAGE_DATA_PARAM_FIELD_NUMBER: ClassVar[int]
    INTERP_PARAM_FIELD_NUMBER: ClassVar[int]
    SEG_ACCURACY_PARAM_FIELD_NUMBER: ClassVar[int]
    MAT_WRITE_PARAM_FIELD_NUMBER: ClassVar[int]
    DENSE_CRF_PARAM_FIELD_NUMBER: ClassVar[int]
    UPSAMPLE_PARAM_FIELD_NUMBER: ClassVar[int]
    SOFTMAXLOSS_PARAM_FIELD_NUMBER: ClassVar[int]
    MULTI_STAGE_MEANFIELD_PARAM_FIELD_NUMBER: ClassVar[int]
    BOX_ANNOTATOR_OHEM_PARAM_FIELD_NUMBER: ClassVar[int]
    PSROI_POOLING_PARAM_FIELD_NUMBER: ClassVar[int]
    PROPOSAL_PARAM_FIELD_NUMBER: ClassVar[int]
    SPATIAL_DROPOUT_PARAM_FIELD_NUMBER: ClassVar[int]
    QUANTIZATION_PARAM_FIELD_NUMBER: ClassVar[int]
    REORG_PARAM_FIELD_NUMBER: ClassVar[int]
    EVAL_DETECTION_PARAM_FIELD_NUMBER: ClassVar[int]
    ENGINE_FIELD_NUMBER: ClassVar[int]
    RELU6_PARAM_FIELD_NUMBER: ClassVar[int]
    REGION_LOSS_PARAM_FIELD_NUMBER: ClassVar[int]
    YOLO_DETECTION_OUTPUT_PARAM_FIELD_NUMBER: ClassVar[int]
    YOLOV3_DETECTION_OUTPUT_PARAM_FIELD_NUMBER: ClassVar[int]
    YOLOV3_PARAM_FIELD_NUMBER: ClassVar[int]
    SEG_DATA_PARAM_FIELD_NUMBER: ClassVar[int]
    BATCH_REDUCTION_PARAM_FIELD_NUMBER: ClassVar[int]
    LSTM_PARAM_FIELD_NUMBER: ClassVar[int]
    TRANSPOSE_PARAM_FIELD_NUMBER: ClassVar[int]
    REVERSE_PARAM_FIELD_NUMBER: ClassVar[int]
    CTC_LOSS_PARAM_FIELD_NUMBER: ClassVar[int]
    CONTINUATION_INDICATOR_PARAM_FIELD_NUMBER: ClassVar[int]
    LABELSEQUENCE_ACCURACY_PARAM_FIELD_NUMBER: ClassVar[int]
    REGION_PARAM_FIELD_NUMBER: ClassVar[int]
    CENTER_LOSS_PARAM_FIELD_NUMBER: ClassVar[int]
    MARGIN_INNER_PRODUCT_PARAM_FIELD_NUMBER: ClassVar[int]
    SHUFFLE_CHANNEL_PARAM_FIELD_NUMBER: ClassVar[int]
    RESIZE_BILINEAR_PARAM_FIELD_NUMBER: ClassVar[int]
    SQUEEZE_PARAM_FIELD_NUMBER: ClassVar[int]
    CROP_CENTER_PARAM_FIELD_NUMBER: ClassVar[int]
    PRECISION_PARAM_FIELD_NUMBER: ClassVar[int]
    SOURCE_PART_FIELD_NUMBER: ClassVar[int]
    name: str
    type: str
    @property
    def bottom(self) -> _Scalars[str]: ...
    @property
    def top(self) -> _Scalars[str]: ...
    phase: int
    @property
    def loss_weight(self) -> _Scalars[float]: ...
    @property
    def param(self) -> _Messages[ParamSpec]: ...
    @property
    def blobs(self) -> _Messages[BlobProto]: ...
    @property
    def propagate_down(self) -> _Scalars[bool]: ...
    @property
    def include(self) -> _Messages[NetStateRule]: ...
    @property
    def exclude(self) -> _Messages[NetStateRule]: ...
    @property
    def transform_param(self) -> TransformationParameter: ...
    @property
    def loss_param(self) -> LossParameter: ...
    @property
    def accuracy_param(self) -> AccuracyParameter: ...
    @property
    def argmax_param(self) -> ArgMaxParameter: ...
    @property
    def batch_norm_param(self) -> BatchNormParameter: ...
    @property
    def bias_param(self) -> BiasParameter: ...
    @property
    def clip_param(self) -> ClipParameter: ...
    @property
    def concat_param(self) -> ConcatParameter: ...
    @property
    def contrastive_loss_param(self) -> ContrastiveLossParameter: ...
    @property
    def convolution_param(self) -> ConvolutionParameter: ...
    @property
    def crop_param(self) -> CropParameter: ...
    @property
    def data_param(self) -> DataParameter: ...
    @property
    def dropout_param(self) -> DropoutParameter: ...
    @property
    def dummy_data_param(self) -> DummyDataParameter: ...
    @property
    def eltwise_param(self) -> EltwiseParameter: ...
    @property
    def elu_param(self) -> ELUParameter: ...
    @property
    def embed_param(self) -> EmbedParameter: ...
    @property
    def exp_param(self) -> ExpParameter: ...
    @property
    def flatten_param(self) -> FlattenParameter: ...
    @property
    def hdf5_data_param(self) -> HDF5DataParameter: ...
    @property
    def hdf5_output_param(self) -> HDF5OutputParameter: ...
    @property
    def hinge_loss_param(self) -> HingeLossParameter: ...
    @property
    def image_data_param(self) -> ImageDataParameter: ...
    @property
    def infogain_loss_param(self) -> InfogainLossParameter: ...
    @property
    def inner_product_param(self) -> InnerProductParameter: ...
    @property
    def input_param(self) -> InputParameter: ...
    @property
    def log_param(self) -> LogParameter: ...
    @property
    def lrn_param(self) -> LRNParameter: ...
    @property
    def memory_data_param(self) -> MemoryDataParameter: ...
    @property
    def mvn_param(self) -> MVNParameter: ...
    @property
    def parameter_param(self) -> ParameterParameter: ...
    @property
    def pooling_param(self) -> PoolingParameter: ...
    @property
    def power_param(self) -> PowerParameter: ...
    @property
    def prelu_param(self) -> PReLUParameter: ...
    @property
    def python_param(self) -> PythonParameter: ...
    @property
    def recurrent_param(self) -> RecurrentParameter: ...
    @property
    def reduction_param(self) -> ReductionParameter: ...
    @property
    def relu_param(self) -> ReLUParameter: ...
    @property
    def reshape_param(self) -> ReshapeParameter: ...
    @property
    def scale_param(self) -> ScaleParameter: ...
    @property
    def sigmoid_param(self) -> SigmoidParameter: ...
    @property
    def softmax_param(self) -> SoftmaxParameter: ...
    @property
    def spp_param(self) -> SPPParameter: ...
    @property
    def slice_param(self) -> SliceParameter: ...
    @property
    def swish_param(self) -> SwishParameter: ...
    @property
    def tanh_param(self) -> TanHParameter: ...
    @property
    def threshold_param(self) -> ThresholdParameter: ...
    @property
    def tile_param(self) -> TileParameter: ...
    @property
    def window_data_param(self) -> WindowDataParameter: ...
    @property
    def lpfp_param(self) -> LowPrecisionFPParameter: ...
    @property
    def roi_pooling_param(self) -> ROIPoolingParameter: ...
    @property
    def smooth_l1_loss_param(self) -> SmoothL1LossParameter: ...
    @property
    def lp_convolution_param(self) -> LPConvolutionParameter: ...
    @property
    def lp_act_param(self) -> LPActivationParam: ...
    @property
    def lp_inner_product_param(self) -> LPInnerProductParameter: ...
    @property
    def annotated_data_param(self) -> AnnotatedDataParameter: ...
    @property
    def multibox_loss_param(self) -> MultiBoxLossParameter: ...
    @property
    def permute_param(self) -> PermuteParameter: ...
    @property
    def prior_box_param(self) -> PriorBoxParameter: ...
    @property
    def detection_output_param(self) -> DetectionOutputParameter: ...
    @property
    def detection_evaluate_param(self) -> DetectionEvaluateParameter: ...
    @property
    def norm_param(self) -> NormalizeParameter: ...
    @property
    def video_data_param(self) -> VideoDataParameter: ...
    @property
    def bn_param(self) -> BNParameter: ...
    @property
    def dense_image_data_param(self) -> DenseImageDataParameter: ...
    @property
    def interp_param(self) -> InterpParameter: ...
    @property
    def seg_accuracy_param(self) -> SegAccuracyParameter: ...
    @property
    def mat_write_param(self) -> MatWriteParameter: ...
    @property
    def dense_crf_param(self) -> DenseCRFParameter: ...
    @property
    def upsample_param(self) -> UpsampleParameter: ...
    @property
    def softmaxloss_param(self) -> SoftmaxLossParameter: ...
    @property
    def multi_stage_meanfield_param(self) -> MultiStageMeanfieldParameter: ...
    @property
    def box_annotator_ohem_param(self) -> BoxAnnotatorOHEMParameter: ...
    @property
    def psroi_pooling_param(self) -> PSROIPoolingParameter: ...
    @property
    def proposal_param(self) -> ProposalParameter: ...
    @property
    def spatial_dropout_param(self) -> SpatialDropoutParameter: ...
    @property
    def quantization_param(self) -> QuantizationParameter: ...
    @property
    def reorg_param(self) -> ReorgParameter: ...
    @property
    def eval_detection_param(self) -> EvalDetectionParameter: ...
    engine: str
    @property
    def relu6_param(self) -> ReLU6Parameter: ...
    @property
    def region_loss_param(self) -> RegionLossParameter: ...
    @property
    def yolo_detection_output_param(self) -> YoloDetectionOutputParameter: ...
    @property
    def yolov3_detection_output_param(self) -> Yolov3DetectionOutputParameter: ...
    @property
    def yolov3_param(self) -> Yolov3Parameter: ...
    @property
    def seg_data_param(self) -> SegDataParameter: ...
    @property
    def batch_reduction_param(self) -> BatchReductionParameter: ...
    @property
    def lstm_param(self) -> LSTMParameter: ...
    @property
    def transpose_param(self) -> TransposeParameter: ...
    @property
    def reverse_param(self) -> ReverseParameter: ...
    @property
    def ctc_loss_param(self) -> CtcLossParameter: ...
    @property
    def continuation_indicator_param(self) -> ContinuationIndicatorParameter: ...
    @property
    def labelsequence_accuracy_param(self) -> LabelsequenceAccuracyParameter: ...
    @property
    def region_param(self) -> RegionParameter: ...
    @property
    def center_loss_param(self) -> CenterLossParameter: ...
    @property
    def margin_inner_product_param(self) -> MarginInnerProductParameter: ...
    @property
    def shuffle_channel_param(self) -> ShuffleChannelParameter: ...
    @property
    def resize_bilinear_param(self) -> ResizeBilinearParameter: ...
    @property
    def squeeze_param(self) -> SqueezeParameter: ...
    @property
    def crop_center_param(self) -> CropCenterParameter: ...
    @property
    def precision_param(self) -> PrecisionParameter: ...
    @property
    def source_part(self) -> SourcePart: ...
    def __init__(
        self,
        *,
        name: str | None = ...,
        type: str | None = ...,
        bottom: Iterable[str] | None = ...,
        top: Iterable[str] | None = ...,
        phase: int | str | None = ...,
        loss_weight: Iterable[float] | None = ...,
        param: Iterable[ParamSpec | Mapping[str, Any]] | None = ...,
        blobs: Iterable[BlobProto | Mapping[str, Any]] | None = ...,
        propagate_down: Iterable[bool] | None = ...,
        include: Iterable[NetStateRule | Mapping[str, Any]] | None = ...,
        exclude: Iterable[NetStateRule | Mapping[str, Any]] | None = ...,
        transform_param: TransformationParameter | Mapping[str, Any] | None = ...,
        loss_param: LossParameter | Mapping[str, Any] | None = ...,
        accuracy_param: AccuracyParameter | Mapping[str, Any] | None = ...,
        argmax_param: ArgMaxParameter | Mapping[str, Any] | None = ...,
        batch_norm_param: BatchNormParameter | Mapping[str, Any] | None = ...,
        bias_param: BiasParameter | Mapping[str, Any] | None = ...,
        clip_param: ClipParameter | Mapping[str, Any] | None = ...,
        concat_param: ConcatParameter | Mapping[str, Any] | None = ...,
        contrastive_loss_param: ContrastiveLossParameter | Mapping[str, Any] | None = ...,
        convolution_param: ConvolutionParameter | Mapping[str, Any] | None = ...,
        crop_param: CropParameter | Mapping[str, Any] | None = ...,
        data_param: DataParameter | Mapping[str, Any] | None = ...,
        dropout_param: DropoutParameter | Mapping[str, Any] | None = ...,
        dummy_data_param: DummyDataParameter | Mapping[str, Any] | None = ...,
        eltwise_param: EltwiseParameter | Mapping[str, Any] | None = ...,
        elu_param: ELUParameter | Mapping[str, Any] | None = ...,
        embed_param: EmbedParameter | Mapping[str, Any] | None = ...,
        exp_param: ExpParameter | Mapping[str, Any] | None = ...,
        flatten_param: FlattenParameter | Mapping[str, Any] | None = ...,
        hdf5_data_param: HDF5DataParameter | Mapping[str, Any] | None = ...,
        hdf5_output_param: HDF5OutputParameter | Mapping[str, Any] | None = ...,
        hinge_loss_param: HingeLossParameter | Mapping[str, Any] | None = ...,
        image_data_param: ImageDataParameter | Mapping[str, Any] | None = ...,
        infogain_loss_param: InfogainLossParameter | Mapping[str, Any] | None = ...,
        inner_product_param: InnerProductParameter | Mapping[str, Any] | None = ...,
        input_param: InputParameter | Mapping[str, Any] | None = ...,
        log_param: LogParameter | Mapping[str, Any] | None = ...,
        lrn_param: LRNParameter | Mapping[str, Any] | None = ...,
        memory_data_param: MemoryDataParameter | Mapping[str, Any] | None = ...,
        mvn_param: MVNParameter | Mapping[str, Any] | None = ...,
        parameter_param: ParameterParameter | Mapping[str, Any] | None = ...,
        pooling_param: PoolingParameter | Mapping[str, Any] | None = ...,
        power_param: PowerParameter | Mapping[str, Any] | None = ...,
        prelu_param: PReLUParameter | Mapping[str, Any] | None = ...,
        python_param: PythonParameter | Mapping[str, Any] | None = ...,
        recurrent_param: RecurrentParameter | Mapping[str, Any] | None = ...,
        reduction_param: ReductionParameter | Mapping[str, Any] | None = ...,
        relu_param: ReLUParameter | Mapping[str, Any] | None = ...,
        reshape_param: ReshapeParameter | Mapping[str, Any] | None = ...,
        scale_param: ScaleParameter | Mapping[str, Any] | None = ...,
        sigmoid_param: SigmoidParameter | Mapping[str, Any] | None = ...,
        softmax_param: SoftmaxParameter | Mapping[str, Any] | None = ...,
        spp_param: SPPParameter | Mapping[str, Any] | None = ...,
        slice_param: SliceParameter | Mapping[str, Any] | None = ...,
        swish_param: SwishParameter | Mapping[str, Any] | None = ...,
        tanh_param: TanHParameter | Mapping[str, Any] | None = ...,
        threshold_param: ThresholdParameter | Mapping[str, Any] | None = ...,
        tile_param: TileParameter | Mapping[str, Any] | None = ...,
        window_data_param: WindowDataParameter | Mapping[str, Any] | None = ...,
        lpfp_param: LowPrecisionFPParameter | Mapping[str, Any] | None = ...,
        roi_pooling_param: ROIPoolingParameter | Mapping[str, Any] | None = ...,
        smooth_l1_loss_param: SmoothL1LossParameter | Mapping[str, Any] | None = ...,
        lp_convolution_param: LPConvolutionParameter | Mapping[str, Any] | None = ...,
        lp_act_param: LPActivationParam | Mapping[str, Any] | None = ...,
        lp_inner_product_param: LPInnerProductParameter | Mapping[str, Any] | None = ...,
        annotated_data_param: AnnotatedDataParameter | Mapping[str, Any] | None = ...,
        multibox_loss_param: MultiBoxLossParameter | Mapping[str, Any] | None = ...,
        permute_param: PermuteParameter | Mapping[str, Any] | None = ...,
        prior_box_param: PriorBoxParameter | Mapping[str, Any] | None = ...,
        detection_output_param: DetectionOutputParameter | Mapping[str, Any] | None = ...,
        detection_evaluate_param: DetectionEvaluateParameter | Mapping[str, Any] | None = ...,
        norm_param: NormalizeParameter | Mapping[str, Any] | None = ...,
        video_data_param: VideoDataParameter | Mapping[str, Any] | None = ...,
        bn_param: BNParameter | Mapping[str, Any] | None = ...,
        dense_image_data_param: DenseImageDataParameter | Mapping[str, Any] | None = ...,
        interp_param: InterpParameter | Mapping[str, Any] | None = ...,
        seg_accuracy_param: SegAccuracyParameter | Mapping[str, Any] | None = ...,
        mat_write_param: MatWriteParameter | Mapping[str, Any] | None = ...,
        dense_crf_param: DenseCRFParameter | Mapping[str, Any] | None = ...,
        upsample_param: UpsampleParameter | Mapping[str, Any] | None = ...,
        softmaxloss_param: SoftmaxLossParameter | Mapping[str, Any] | None = ...,
        multi_stage_meanfield_param: MultiStageMeanfieldParameter | Mapping[str, Any] | None = ...,
        box_annotator_ohem_param: BoxAnnotatorOHEMParameter | Mapping[str, Any] | None = ...,
        psroi_pooling_param: PSROIPoolingParameter | Mapping[str, Any] | None = ...,
        proposal_param: ProposalParameter | Mapping[str, Any] | None = ...,
        spatial_dropout_param: SpatialDropoutParameter | Mapping[str, Any] | None = ...,
        quantization_param: QuantizationParameter | Mapping[str, Any] | None = ...,
        reorg_param: ReorgParameter | Mapping[str, Any] | None = ...,
        eval_detection_param: EvalDetectionParameter | Mapping[str, Any] | None = ...,
        engine: str | None = ...,
        relu6_param: ReLU6Parameter | Mapping[str, Any] | None = ...,
        region_loss_param: RegionLossParameter | Mapping[str, Any] | None = ...,
        yolo_detection_output_param: YoloDetectionOutputParameter | Mapping[str, Any] | None = ...,
        yolov3_detection_output_param: Yolov3DetectionOutputParameter | Mapping[str, Any] | None = ...,
        yolov3_param: Yolov3Parameter | Mapping[str, Any] | None = ...,
        seg_data_param: SegDataParameter | Mapping[str, Any] | None = ...,
        batch_reduction_param: BatchReductionParameter | Mapping[str, Any] | None = ...,
        lstm_param: LSTMParameter | Mapping[str, Any] | None = ...,
        transpose_param: TransposeParameter | Mapping[str, Any] | None = ...,
        reverse_param: ReverseParameter | Mapping[str, Any] | None = ...,
        ctc_loss_param: CtcLossParameter | Mapping[str, Any] | None = ...,
        continuation_indicator_param: ContinuationIndicatorParameter | Mapping[str, Any] | None = ...,
        labelsequence_accuracy_param: LabelsequenceAccuracyParameter | Mapping[str, Any] | None = ...,
        region_param: RegionParameter | Mapping[str, Any] | None = ...,
        center_loss_param: CenterLossParameter | Mapping[str, Any] | None = ...,
        margin_inner_product_param: MarginInnerProductParameter | Mapping[str, Any] | None = ...,
        shuffle_channel_param: ShuffleChannelParameter | Mapping[str, Any] | None = ...,
        resize_bilinear_param: ResizeBilinearParameter | Mapping[str, Any] | None = ...,
        squeeze_param: SqueezeParameter | Mapping[str, Any] | None = ...,
        crop_center_param: CropCenterParameter | Mapping[str, Any] | None = ...,
        precision_param: PrecisionParameter | Mapping[str, Any] | None = ...,
        source_part: SourcePart | Mapping[str, Any] | None = ...,
    ) -> None: ...

class LowPrecisionFPParameter(Message):
    class _RoundingScheme(_Enum):
        DETERMINISTIC: int
        STOCHASTIC: int

    RoundingScheme: ClassVar[_RoundingScheme]
    DETERMINISTIC: ClassVar[int]
    STOCHASTIC: ClassVar[int]
    BD_FIELD_NUMBER: ClassVar[int]
    AD_FIELD_NUMBER: ClassVar[int]
    ROUND_BIAS_FIELD_NUMBER: ClassVar[int]
    ROUNDING_SCHEME_FIELD_NUMBER: ClassVar[int]
    bd: int
    ad: int
    round_bias: bool
    rounding_scheme: int
    def __init__(
        self,
        *,
        bd: int | None = ...,
        ad: int | None = ...,
        round_bias: bool | None = ...,
        rounding_scheme: int | str | None = ...,
    ) -> None: ...

class LPConvolutionParameter(Message):
    class _Engine(_Enum):
        DEFAULT: int
        CAFFE: int
        CUDNN: int

    Engine: ClassVar[_Engine]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    CUDNN: ClassVar[int]
    class _RoundingScheme(_Enum):
        DETERMINISTIC: int
        STOCHASTIC: int

    RoundingScheme: ClassVar[_RoundingScheme]
    DETERMINISTIC: ClassVar[int]
    STOCHASTIC: ClassVar[int]
    NUM_OUTPUT_FIELD_NUMBER: ClassVar[int]
    BIAS_TERM_FIELD_NUMBER: ClassVar[int]
    PAD_FIELD_NUMBER: ClassVar[int]
    KERNEL_SIZE_FIELD_NUMBER: ClassVar[int]
    GROUP_FIELD_NUMBER: ClassVar[int]
    STRIDE_FIELD_NUMBER: ClassVar[int]
    WEIGHT_FILLER_FIELD_NUMBER: ClassVar[int]
    BIAS_FILLER_FIELD_NUMBER: ClassVar[int]
    PAD_H_FIELD_NUMBER: ClassVar[int]
    PAD_W_FIELD_NUMBER: ClassVar[int]
    KERNEL_H_FIELD_NUMBER: ClassVar[int]
    KERNEL_W_FIELD_NUMBER: ClassVar[int]
    STRIDE_H_FIELD_NUMBER: ClassVar[int]
    STRIDE_W_FIELD_NUMBER: ClassVar[int]
    ENGINE_FIELD_NUMBER: ClassVar[int]
    AXIS_FIELD_NUMBER: ClassVar[int]
    FORCE_ND_IM2COL_FIELD_NUMBER: ClassVar[int]
    DILATION_FIELD_NUMBER: ClassVar[int]
    BD_FIELD_NUMBER: ClassVar[int]
    AD_FIELD_NUMBER: ClassVar[int]
    ROUND_BIAS_FIELD_NUMBER: ClassVar[int]
    ROUNDING_SCHEME_FIELD_NUMBER: ClassVar[int]
    num_output: int
    bias_term: bool
    @property
    def pad(self) -> _Scalars[int]: ...
    @property
    def kernel_size(self) -> _Scalars[int]: ...
    group: int
    @property
    def stride(self) -> _Scalars[int]: ...
    @property
    def weight_filler(self) -> FillerParameter: ...
    @property
    def bias_filler(self) -> FillerParameter: ...
    pad_h: int
    pad_w: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    engine: int
    axis: int
    force_nd_im2col: bool
    @property
    def dilation(self) -> _Scalars[int]: ...
    bd: int
    ad: int
    round_bias: bool
    rounding_scheme: int
    def __init__(
        self,
        *,
        num_output: int | None = ...,
        bias_term: bool | None = ...,
        pad: Iterable[int] | None = ...,
        kernel_size: Iterable[int] | None = ...,
        group: int | None = ...,
        stride: Iterable[int] | None = ...,
        weight_filler: FillerParameter | Mapping[str, Any] | None = ...,
        bias_filler: FillerParameter | Mapping[str, Any] | None = ...,
        pad_h: int | None = ...,
        pad_w: int | None = ...,
        kernel_h: int | None = ...,
        kernel_w: int | None = ...,
        stride_h: int | None = ...,
        stride_w: int | None = ...,
        engine: int | str | None = ...,
        axis: int | None = ...,
        force_nd_im2col: bool | None = ...,
        dilation: Iterable[int] | None = ...,
        bd: int | None = ...,
        ad: int | None = ...,
        round_bias: bool | None = ...,
        rounding_scheme: int | str | None = ...,
    ) -> None: ...

class LPActivationParam(Message):
    class _RoundingScheme(_Enum):
        DETERMINISTIC: int
        STOCHASTIC: int

    RoundingScheme: ClassVar[_RoundingScheme]
    DETERMINISTIC: ClassVar[int]
    STOCHASTIC: ClassVar[int]
    BD_FIELD_NUMBER: ClassVar[int]
    AD_FIELD_NUMBER: ClassVar[int]
    ROUNDING_SCHEME_FIELD_NUMBER: ClassVar[int]
    bd: int
    ad: int
    rounding_scheme: int
    def __init__(
        self,
        *,
        bd: int | None = ...,
        ad: int | None = ...,
        rounding_scheme: int | str | None = ...,
    ) -> None: ...

class LPInnerProductParameter(Message):
    class _RoundingScheme(_Enum):
        DETERMINISTIC: int
        STOCHASTIC: int

    RoundingScheme: ClassVar[_RoundingScheme]
    DETERMINISTIC: ClassVar[int]
    STOCHASTIC: ClassVar[int]
    NUM_OUTPUT_FIELD_NUMBER: ClassVar[int]
    BIAS_TERM_FIELD_NUMBER: ClassVar[int]
    WEIGHT_FILLER_FIELD_NUMBER: ClassVar[int]
    BIAS_FILLER_FIELD_NUMBER: ClassVar[int]
    AXIS_FIELD_NUMBER: ClassVar[int]
    TRANSPOSE_FIELD_NUMBER: ClassVar[int]
    BD_FIELD_NUMBER: ClassVar[int]
    AD_FIELD_NUMBER: ClassVar[int]
    ROUND_BIAS_FIELD_NUMBER: ClassVar[int]
    ROUNDING_SCHEME_FIELD_NUMBER: ClassVar[int]
    num_output: int
    bias_term: bool
    @property
    def weight_filler(self) -> FillerParameter: ...
    @property
    def bias_filler(self) -> FillerParameter: ...
    axis: int
    transpose: bool
    bd: int
    ad: int
    round_bias: bool
    rounding_scheme: int
    def __init__(
        self,
        *,
        num_output: int | None = ...,
        bias_term: bool | None = ...,
        weight_filler: FillerParameter | Mapping[str, Any] | None = ...,
        bias_filler: FillerParameter | Mapping[str, Any] | None = ...,
        axis: int | None = ...,
        transpose: bool | None = ...,
        bd: int | None = ...,
        ad: int | None = ...,
        round_bias: bool | None = ...,
        rounding_scheme: int | str | None = ...,
    ) -> None: ...

class ROIPoolingParameter(Message):
    POOLED_H_FIELD_NUMBER: ClassVar[int]
    POOLED_W_FIELD_NUMBER: ClassVar[int]
    SPATIAL_SCALE_FIELD_NUMBER: ClassVar[int]
    POOLED_SIZE_FIELD_NUMBER: ClassVar[int]
    pooled_h: int
    pooled_w: int
    spatial_scale: float
    @property
    def pooled_size(self) -> _Scalars[int]: ...
    def __init__(
        self,
        *,
        pooled_h: int | None = ...,
        pooled_w: int | None = ...,
        spatial_scale: float | None = ...,
        pooled_size: Iterable[int] | None = ...,
    ) -> None: ...

class SmoothL1LossParameter(Message):
    SIGMA_FIELD_NUMBER: ClassVar[int]
    sigma: float
    def __init__(
        self,
        *,
        sigma: float | None = ...,
    ) -> None: ...

class TransformationParameter(Message):
    SCALE_FIELD_NUMBER: ClassVar[int]
    MIRROR_FIELD_NUMBER: ClassVar[int]
    CROP_SIZE_FIELD_NUMBER: ClassVar[int]
    MEAN_FILE_FIELD_NUMBER: ClassVar[int]
    MEAN_VALUE_FIELD_NUMBER: ClassVar[int]
    FORCE_COLOR_FIELD_NUMBER: ClassVar[int]
    FORCE_GRAY_FIELD_NUMBER: ClassVar[int]
    RESIZE_PARAM_FIELD_NUMBER: ClassVar[int]
    NOISE_PARAM_FIELD_NUMBER: ClassVar[int]
    EMIT_CONSTRAINT_FIELD_NUMBER: ClassVar[int]
    CROP_H_FIELD_NUMBER: ClassVar[int]
    CROP_W_FIELD_NUMBER: ClassVar[int]
    DISTORT_PARAM_FIELD_NUMBER: ClassVar[int]
    EXPAND_PARAM_FIELD_NUMBER: ClassVar[int]
    ENABLE_CLASSF_AUG_FIELD_NUMBER: ClassVar[int]
    MIN_SCALING_FACTOR_FIELD_NUMBER: ClassVar[int]
    MAX_SCALING_FACTOR_FIELD_NUMBER: ClassVar[int]
    MAX_ROTATION_ANGLE_FIELD_NUMBER: ClassVar[int]
    CONTRAST_BRIGHTNESS_ADJUSTMENT_FIELD_NUMBER: ClassVar[int]
    SMOOTH_FILTERING_FIELD_NUMBER: ClassVar[int]
    MIN_CONTRAST_FIELD_NUMBER: ClassVar[int]
    MAX_CONTRAST_FIELD_NUMBER: ClassVar[int]
    MAX_BRIGHTNESS_SHIFT_FIELD_NUMBER: ClassVar[int]
    MAX_SMOOTH_FIELD_NUMBER: ClassVar[int]
    MAX_COLOR_SHIFT_FIELD_NUMBER: ClassVar[int]
    MIN_SIDE_MIN_FIELD_NUMBER: ClassVar[int]
    MIN_SIDE_MAX_FIELD_NUMBER: ClassVar[int]
    MIN_SIDE_FIELD_NUMBER: ClassVar[int]
    APPLY_PROBABILITY_FIELD_NUMBER: ClassVar[int]
    DEBUG_PARAMS_FIELD_NUMBER: ClassVar[int]
    CVT_BGR2RGB_FIELD_NUMBER: ClassVar[int]
    SCALE_FACTORS_FIELD_NUMBER: ClassVar[int]
    CROP_WIDTH_FIELD_NUMBER: ClassVar[int]
    CROP_HEIGHT_FIELD_NUMBER: ClassVar[int]
    FIX_CROP_FIELD_NUMBER: ClassVar[int]
    MULTI_SCALE_FIELD_NUMBER: ClassVar[int]
    SCALE_RATIOS_FIELD_NUMBER: ClassVar[int]
    MAX_DISTORT_FIELD_NUMBER: ClassVar[int]
    IS_FLOW_FIELD_NUMBER: ClassVar[int]
    MORE_FIX_CROP_FIELD_NUMBER: ClassVar[int]
    STRIDE_FIELD_NUMBER: ClassVar[int]
    UPPER_SIZE_FIELD_NUMBER: ClassVar[int]
    UPPER_HEIGHT_FIELD_NUMBER: ClassVar[int]
    UPPER_WIDTH_FIELD_NUMBER: ClassVar[int]
    ORIGINAL_IMAGE_FIELD_NUMBER: ClassVar[int]
    RANDOM_RESIZE_PARAM_FIELD_NUMBER: ClassVar[int]
    RANDOM_ASPECT_RATIO_PARAM_FIELD_NUMBER: ClassVar[int]
    FLOW_FIELD_NUMBER: ClassVar[int]
    BGR2RGB_FIELD_NUMBER: ClassVar[int]
    PAD_FIELD_NUMBER: ClassVar[int]
    scale: float
    mirror: bool
    crop_size: int
    mean_file: str
    @property
    def mean_value(self) -> _Scalars[float]: ...
    force_color: bool
    force_gray: bool
    @property
    def resize_param(self) -> _Messages[ResizeParameter]: ...
    @property
    def noise_param(self) -> NoiseParameter: ...
    @property
    def emit_constraint(self) -> EmitConstraint: ...
    crop_h: int
    crop_w: int
    @property
    def distort_param(self) -> DistortionParameter: ...
    @property
    def expand_param(self) -> ExpansionParameter: ...
    enable_classf_aug: bool
    min_scaling_factor: float
    max_scaling_factor: float
    max_rotation_angle: int
    contrast_brightness_adjustment: bool
    smooth_filtering: bool
    min_contrast: float
    max_contrast: float
    max_brightness_shift: int
    max_smooth: float
    max_color_shift: int
    min_side_min: int
    min_side_max: int
    min_side: int
    apply_probability: float
    debug_params: bool
    cvt_bgr2rgb: bool
    @property
    def scale_factors(self) -> _Scalars[float]: ...
    crop_width: int
    crop_height: int
    fix_crop: bool
    multi_scale: bool
    @property
    def scale_ratios(self) -> _Scalars[float]: ...
    max_distort: int
    is_flow: bool
    more_fix_crop: bool
    stride: int
    upper_size: int
    upper_height: int
    upper_width: int
    original_image: bool
    @property
    def random_resize_param(self) -> RandomResizeParameter: ...
    @property
    def random_aspect_ratio_param(self) -> RandomAspectRatioParameter: ...
    flow: bool
    bgr2rgb: bool
    pad: int
    def __init__(
        self,
        *,
        scale: float | None = ...,
        mirror: bool | None = ...,
        crop_size: int | None = ...,
        mean_file: str | None = ...,
        mean_value: Iterable[float] | None = ...,
        force_color: bool | None = ...,
        force_gray: bool | None = ...,
        resize_param: Iterable[ResizeParameter | Mapping[str, Any]] | None = ...,
        noise_param: NoiseParameter | Mapping[str, Any] | None = ...,
        emit_constraint: EmitConstraint | Mapping[str, Any] | None = ...,
        crop_h: int | None = ...,
        crop_w: int | None = ...,
        distort_param: DistortionParameter | Mapping[str, Any] | None = ...,
        expand_param: ExpansionParameter | Mapping[str, Any] | None = ...,
        enable_classf_aug: bool | None = ...,
        min_scaling_factor: float | None = ...,
        max_scaling_factor: float | None = ...,
        max_rotation_angle: int | None = ...,
        contrast_brightness_adjustment: bool | None = ...,
        smooth_filtering: bool | None = ...,
        min_contrast: float | None = ...,
        max_contrast: float | None = ...,
        max_brightness_shift: int | None = ...,
        max_smooth: float | None = ...,
        max_color_shift: int | None = ...,
        min_side_min: int | None = ...,
        min_side_max: int | None = ...,
        min_side: int | None = ...,
        apply_probability: float | None = ...,
        debug_params: bool | None = ...,
        cvt_bgr2rgb: bool | None = ...,
        scale_factors: Iterable[float] | None = ...,
        crop_width: int | None = ...,
        crop_height: int | None = ...,
        fix_crop: bool | None = ...,
        multi_scale: bool | None = ...,
        scale_ratios: Iterable[float] | None = ...,
        max_distort: int | None = ...,
        is_flow: bool | None = ...,
        more_fix_crop: bool | None = ...,
        stride: int | None = ...,
        upper_size: int | None = ...,
        upper_height: int | None = ...,
        upper_width: int | None = ...,
        original_image: bool | None = ...,
        random_resize_param: RandomResizeParameter | Mapping[str, Any] | None = ...,
        random_aspect_ratio_param: RandomAspectRatioParameter | Mapping[str, Any] | None = ...,
        flow: bool | None = ...,
        bgr2rgb: bool | None = ...,
        pad: int | None = ...,
    ) -> None: ...

class LossParameter(Message):
    class _NormalizationMode(_Enum):
        FULL: int
        VALID: int
        BATCH_SIZE: int
        NONE: int
        PRE_FIXED: int

    NormalizationMode: ClassVar[_NormalizationMode]
    FULL: ClassVar[int]
    VALID: ClassVar[int]
    BATCH_SIZE: ClassVar[int]
    NONE: ClassVar[int]
    PRE_FIXED: ClassVar[int]
    IGNORE_LABEL_FIELD_NUMBER: ClassVar[int]
    NORMALIZATION_FIELD_NUMBER: ClassVar[int]
    NORMALIZE_FIELD_NUMBER: ClassVar[int]
    PRE_FIXED_NORMALIZER_FIELD_NUMBER: ClassVar[int]
    WEIGHT_BY_LABEL_FREQS_FIELD_NUMBER: ClassVar[int]
    CLASS_WEIGHTING_FIELD_NUMBER: ClassVar[int]
    LABEL_SMOOTHING_FIELD_NUMBER: ClassVar[int]
    ignore_label: int
    normalization: int
    normalize: bool
    pre_fixed_normalizer: float
    weight_by_label_freqs: bool
    @property
    def class_weighting(self) -> _Scalars[float]: ...
    label_smoothing: float
    def __init__(
        self,
        *,
        ignore_label: int | None = ...,
        normalization: int | str | None = ...,
        normalize: bool | None = ...,
        pre_fixed_normalizer: float | None = ...,
        weight_by_label_freqs: bool | None = ...,
        class_weighting: Iterable[float] | None = ...,
        label_smoothing: float | None = ...,
    ) -> None: ...

class AccuracyParameter(Message):
    TOP_K_FIELD_NUMBER: ClassVar[int]
    AXIS_FIELD_NUMBER: ClassVar[int]
    IGNORE_LABEL_FIELD_NUMBER: ClassVar[int]
    top_k: int
    axis: int
    ignore_label: int
    def __init__(
        self,
        *,
        top_k: int | None = ...,
        axis: int | None = ...,
        ignore_label: int | None = ...,
    ) -> None: ...

class ArgMaxParameter(Message):
    OUT_MAX_VAL_FIELD_NUMBER: ClassVar[int]
    TOP_K_FIELD_NUMBER: ClassVar[int]
    AXIS_FIELD_NUMBER: ClassVar[int]
    out_max_val: bool
    top_k: int
    axis: int
    def __init__(
        self,
        *,
        out_max_val: bool | None = ...,
        top_k: int | None = ...,
        axis: int | None = ...,
    ) -> None: ...

class ClipParameter(Message):
    MIN_FIELD_NUMBER: ClassVar[int]
    MAX_FIELD_NUMBER: ClassVar[int]
    min: float
    max: float
    def __init__(
        self,
        *,
        min: float | None = ...,
        max: float | None = ...,
    ) -> None: ...

class ConcatParameter(Message):
    AXIS_FIELD_NUMBER: ClassVar[int]
    CONCAT_DIM_FIELD_NUMBER: ClassVar[int]
    axis: int
    concat_dim: int
    def __init__(
        self,
        *,
        axis: int | None = ...,
        concat_dim: int | None = ...,
    ) -> None: ...

class BatchNormParameter(Message):
    USE_GLOBAL_STATS_FIELD_NUMBER: ClassVar[int]
    MOVING_AVERAGE_FRACTION_FIELD_NUMBER: ClassVar[int]
    EPS_FIELD_NUMBER: ClassVar[int]
    SCALE_BIAS_FIELD_NUMBER: ClassVar[int]
    SCALE_FILLER_FIELD_NUMBER: ClassVar[int]
    BIAS_FILLER_FIELD_NUMBER: ClassVar[int]
    use_global_stats: bool
    moving_average_fraction: float
    eps: float
    scale_bias: bool
    @property
    def scale_filler(self) -> FillerParameter: ...
    @property
    def bias_filler(self) -> FillerParameter: ...
    def __init__(
        self,
        *,
        use_global_stats: bool | None = ...,
        moving_average_fraction: float | None = ...,
        eps: float | None = ...,
        scale_bias: bool | None = ...,
        scale_filler: FillerParameter | Mapping[str, Any] | None = ...,
        bias_filler: FillerParameter | Mapping[str, Any] | None = ...,
    ) -> None: ...

class BiasParameter(Message):
    AXIS_FIELD_NUMBER: ClassVar[int]
    NUM_AXES_FIELD_NUMBER: ClassVar[int]
    FILLER_FIELD_NUMBER: ClassVar[int]
    axis: int
    num_axes: int
    @property
    def filler(self) -> FillerParameter: ...
    def __init__(
        self,
        *,
        axis: int | None = ...,
        num_axes: int | None = ...,
        filler: FillerParameter | Mapping[str, Any] | None = ...,
    ) -> None: ...

class ContrastiveLossParameter(Message):
    MARGIN_FIELD_NUMBER: ClassVar[int]
    LEGACY_VERSION_FIELD_NUMBER: ClassVar[int]
    margin: float
    legacy_version: bool
    def __init__(
        self,
        *,
        margin: float | None = ...,
        legacy_version: bool | None = ...,
    ) -> None: ...

class ConvolutionParameter(Message):
    class _Engine(_Enum):
        DEFAULT: int
        CAFFE: int
        CUDNN: int
        MKL2017: int
        MKLDNN: int

    Engine: ClassVar[_Engine]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    CUDNN: ClassVar[int]
    MKL2017: ClassVar[int]
    MKLDNN: ClassVar[int]
    NUM_OUTPUT_FIELD_NUMBER: ClassVar[int]
    BIAS_TERM_FIELD_NUMBER: ClassVar[int]
    PAD_FIELD_NUMBER: ClassVar[int]
    KERNEL_SIZE_FIELD_NUMBER: ClassVar[int]
    STRIDE_FIELD_NUMBER: ClassVar[int]
    DILATION_FIELD_NUMBER: ClassVar[int]
    PAD_H_FIELD_NUMBER: ClassVar[int]
    PAD_W_FIELD_NUMBER: ClassVar[int]
    KERNEL_H_FIELD_NUMBER: ClassVar[int]
    KERNEL_W_FIELD_NUMBER: ClassVar[int]
    STRIDE_H_FIELD_NUMBER: ClassVar[int]
    STRIDE_W_FIELD_NUMBER: ClassVar[int]
    GROUP_FIELD_NUMBER: ClassVar[int]
    WEIGHT_FILLER_FIELD_NUMBER: ClassVar[int]
    BIAS_FILLER_FIELD_NUMBER: ClassVar[int]
    ENGINE_FIELD_NUMBER: ClassVar[int]
    AXIS_FIELD_NUMBER: ClassVar[int]
    FORCE_ND_IM2COL_FIELD_NUMBER: ClassVar[int]
    HOLE_FIELD_NUMBER: ClassVar[int]
    HOLE_H_FIELD_NUMBER: ClassVar[int]
    HOLE_W_FIELD_NUMBER: ClassVar[int]
    PAD_L_FIELD_NUMBER: ClassVar[int]
    PAD_R_FIELD_NUMBER: ClassVar[int]
    PAD_T_FIELD_NUMBER: ClassVar[int]
    PAD_B_FIELD_NUMBER: ClassVar[int]
    KERNEL_DEPTH_FIELD_NUMBER: ClassVar[int]
    TEMPORAL_STRIDE_FIELD_NUMBER: ClassVar[int]
    TEMPORAL_PAD_FIELD_NUMBER: ClassVar[int]
    FILTER_GROUP_FIELD_NUMBER: ClassVar[int]
    num_output: int
    bias_term: bool
    @property
    def pad(self) -> _Scalars[int]: ...
    @property
    def kernel_size(self) -> _Scalars[int]: ...
    @property
    def stride(self) -> _Scalars[int]: ...
    @property
    def dilation(self) -> _Scalars[int]: ...
    pad_h: int
    pad_w: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    group: int
    @property
    def weight_filler(self) -> FillerParameter: ...
    @property
    def bias_filler(self) -> FillerParameter: ...
    engine: int
    axis: int
    force_nd_im2col: bool
    hole: int
    hole_h: int
    hole_w: int
    pad_l: int
    pad_r: int
    pad_t: int
    pad_b: int
    kernel_depth: int
    temporal_stride: int
    temporal_pad: int
    filter_group: int
    def __init__(
        self,
        *,
        num_output: int | None = ...,
        bias_term: bool | None = ...,
        pad: Iterable[int] | None = ...,
        kernel_size: Iterable[int] | None = ...,
        stride: Iterable[int] | None = ...,
        dilation: Iterable[int] | None = ...,
        pad_h: int | None = ...,
        pad_w: int | None = ...,
        kernel_h: int | None = ...,
        kernel_w: int | None = ...,
        stride_h: int | None = ...,
        stride_w: int | None = ...,
        group: int | None = ...,
        weight_filler: FillerParameter | Mapping[str, Any] | None = ...,
        bias_filler: FillerParameter | Mapping[str, Any] | None = ...,
        engine: int | str | None = ...,
        axis: int | None = ...,
        force_nd_im2col: bool | None = ...,
        hole: int | None = ...,
        hole_h: int | None = ...,
        hole_w: int | None = ...,
        pad_l: int | None = ...,
        pad_r: int | None = ...,
        pad_t: int | None = ...,
        pad_b: int | None = ...,
        kernel_depth: int | None = ...,
        temporal_stride: int | None = ...,
        temporal_pad: int | None = ...,
        filter_group: int | None = ...,
    ) -> None: ...

class CropParameter(Message):
    AXIS_FIELD_NUMBER: ClassVar[int]
    OFFSET_FIELD_NUMBER: ClassVar[int]
    axis: int
    @property
    def offset(self) -> _Scalars[int]: ...
    def __init__(
        self,
        *,
        axis: int | None = ...,
        offset: Iterable[int] | None = ...,
    ) -> None: ...

class DataParameter(Message):
    class _DB(_Enum):
        LEVELDB: int
        LMDB: int

    DB: ClassVar[_DB]
    LEVELDB: ClassVar[int]
    LMDB: ClassVar[int]
    SOURCE_FIELD_NUMBER: ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: ClassVar[int]
    RAND_SKIP_FIELD_NUMBER: ClassVar[int]
    BACKEND_FIELD_NUMBER: ClassVar[int]
    SCALE_FIELD_NUMBER: ClassVar[int]
    MEAN_FILE_FIELD_NUMBER: ClassVar[int]
    CROP_SIZE_FIELD_NUMBER: ClassVar[int]
    MIRROR_FIELD_NUMBER: ClassVar[int]
    FORCE_ENCODED_COLOR_FIELD_NUMBER: ClassVar[int]
    PREFETCH_FIELD_NUMBER: ClassVar[int]
    source: str
    batch_size: int
    rand_skip: int
    backend: int
    scale: float
    mean_file: str
    crop_size: int
    mirror: bool
    force_encoded_color: bool
    prefetch: int
    def __init__(
        self,
        *,
        source: str | None = ...,
        batch_size: int | None = ...,
        rand_skip: int | None = ...,
        backend: int | str | None = ...,
        scale: float | None = ...,
        mean_file: str | None = ...,
        crop_size: int | None = ...,
        mirror: bool | None = ...,
        force_encoded_color: bool | None = ...,
        prefetch: int | None = ...,
    ) -> None: ...

class DropoutParameter(Message):
    DROPOUT_RATIO_FIELD_NUMBER: ClassVar[int]
    SCALE_TRAIN_FIELD_NUMBER: ClassVar[int]
    SAMPLE_WEIGHTS_TEST_FIELD_NUMBER: ClassVar[int]
    dropout_ratio: float
    scale_train: bool
    sample_weights_test: bool
    def __init__(
        self,
        *,
        dropout_ratio: float | None = ...,
        scale_train: bool | None = ...,
        sample_weights_test: bool | None = ...,
    ) -> None: ...

class DummyDataParameter(Message):
    DATA_FILLER_FIELD_NUMBER: ClassVar[int]
    SHAPE_FIELD_NUMBER: ClassVar[int]
    NUM_FIELD_NUMBER: ClassVar[int]
    CHANNELS_FIELD_NUMBER: ClassVar[int]
    HEIGHT_FIELD_NUMBER: ClassVar[int]
    WIDTH_FIELD_NUMBER: ClassVar[int]
    @property
    def data_filler(self) -> _Messages[FillerParameter]: ...
    @property
    def shape(self) -> _Messages[BlobShape]: ...
    @property
    def num(self) -> _Scalars[int]: ...
    @property
    def channels(self) -> _Scalars[int]: ...
    @property
    def height(self) -> _Scalars[int]: ...
    @property
    def width(self) -> _Scalars[int]: ...
    def __init__(
        self,
        *,
        data_filler: Iterable[FillerParameter | Mapping[str, Any]] | None = ...,
        shape: Iterable[BlobShape | Mapping[str, Any]] | None = ...,
        num: Iterable[int] | None = ...,
        channels: Iterable[int] | None = ...,
        height: Iterable[int] | None = ...,
        width: Iterable[int] | None = ...,
    ) -> None: ...

class EltwiseParameter(Message):
    class _EltwiseOp(_Enum):
        PROD: int
        SUM: int
        MAX: int

    EltwiseOp: ClassVar[_EltwiseOp]
    PROD: ClassVar[int]
    SUM: ClassVar[int]
    MAX: ClassVar[int]
    OPERATION_FIELD_NUMBER: ClassVar[int]
    COEFF_FIELD_NUMBER: ClassVar[int]
    STABLE_PROD_GRAD_FIELD_NUMBER: ClassVar[int]
    operation: int
    @property
    def coeff(self) -> _Scalars[float]: ...
    stable_prod_grad: bool
    def __init__(
        self,
        *,
        operation: int | str | None = ...,
        coeff: Iterable[float] | None = ...,
        stable_prod_grad: bool | None = ...,
    ) -> None: ...

class ELUParameter(Message):
    ALPHA_FIELD_NUMBER: ClassVar[int]
    alpha: float
    def __init__(
        self,
        *,
        alpha: float | None = ...,
    ) -> None: ...

class EmbedParameter(Message):
    NUM_OUTPUT_FIELD_NUMBER: ClassVar[int]
    INPUT_DIM_FIELD_NUMBER: ClassVar[int]
    BIAS_TERM_FIELD_NUMBER: ClassVar[int]
    WEIGHT_FILLER_FIELD_NUMBER: ClassVar[int]
    BIAS_FILLER_FIELD_NUMBER: ClassVar[int]
    num_output: int
    input_dim: int
    bias_term: bool
    @property
    def weight_filler(self) -> FillerParameter: ...
    @property
    def bias_filler(self) -> FillerParameter: ...
    def __init__(
        self,
        *,
        num_output: int | None = ...,
        input_dim: int | None = ...,
        bias_term: bool | None = ...,
        weight_filler: FillerParameter | Mapping[str, Any] | None = ...,
        bias_filler: FillerParameter | Mapping[str, Any] | None = ...,
    ) -> None: ...

class ExpParameter(Message):
    BASE_FIELD_NUMBER: ClassVar[int]
    SCALE_FIELD_NUMBER: ClassVar[int]
    SHIFT_FIELD_NUMBER: ClassVar[int]
    base: float
    scale: float
    shift: float
    def __init__(
        self,
        *,
        base: float | None = ...,
        scale: float | None = ...,
        shift: float | None = ...,
    ) -> None: ...

class FlattenParameter(Message):
    AXIS_FIELD_NUMBER: ClassVar[int]
    END_AXIS_FIELD_NUMBER: ClassVar[int]
    axis: int
    end_axis: int
    def __init__(
        self,
        *,
        axis: int | None = ...,
        end_axis: int | None = ...,
    ) -> None: ...

class HDF5DataParameter(Message):
    SOURCE_FIELD_NUMBER: ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: ClassVar[int]
    SHUFFLE_FIELD_NUMBER: ClassVar[int]
    source: str
    batch_size: int
    shuffle: bool
    def __init__(
        self,
        *,
        source: str | None = ...,
        batch_size: int | None = ...,
        shuffle: bool | None = ...,
    ) -> None: ...

class HDF5OutputParameter(Message):
    FILE_NAME_FIELD_NUMBER: ClassVar[int]
    file_name: str
    def __init__(
        self,
        *,
        file_name: str | None = ...,
    ) -> None: ...

class HingeLossParameter(Message):
    class _Norm(_Enum):
        L1: int
        L2: int

    Norm: ClassVar[_Norm]
    L1: ClassVar[int]
    L2: ClassVar[int]
    NORM_FIELD_NUMBER: ClassVar[int]
    norm: int
    def __init__(
        self,
        *,
        norm: int | str | None = ...,
    ) -> None: ...

class ImageDataParameter(Message):
    class _LabelType(_Enum):
        NONE: int
        IMAGE: int
        PIXEL: int

    LabelType: ClassVar[_LabelType]
    NONE: ClassVar[int]
    IMAGE: ClassVar[int]
    PIXEL: ClassVar[int]
    SOURCE_FIELD_NUMBER: ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: ClassVar[int]
    RAND_SKIP_FIELD_NUMBER: ClassVar[int]
    SHUFFLE_FIELD_NUMBER: ClassVar[int]
    NEW_HEIGHT_FIELD_NUMBER: ClassVar[int]
    NEW_WIDTH_FIELD_NUMBER: ClassVar[int]
    IS_COLOR_FIELD_NUMBER: ClassVar[int]
    SCALE_FIELD_NUMBER: ClassVar[int]
    MEAN_FILE_FIELD_NUMBER: ClassVar[int]
    CROP_SIZE_FIELD_NUMBER: ClassVar[int]
    MIRROR_FIELD_NUMBER: ClassVar[int]
    ROOT_FOLDER_FIELD_NUMBER: ClassVar[int]
    MIN_HEIGHT_FIELD_NUMBER: ClassVar[int]
    MIN_WIDTH_FIELD_NUMBER: ClassVar[int]
    IGNORE_LABEL_FIELD_NUMBER: ClassVar[int]
    LABEL_TYPE_FIELD_NUMBER: ClassVar[int]
    LABEL_DIVIDE_FACTOR_FIELD_NUMBER: ClassVar[int]
    source: str
    batch_size: int
    rand_skip: int
    shuffle: bool
    new_height: int
    new_width: int
    is_color: bool
    scale: float
    mean_file: str
    crop_size: int
    mirror: bool
    root_folder: str
    min_height: int
    min_width: int
    ignore_label: int
    label_type: int
    label_divide_factor: int
    def __init__(
        self,
        *,
        source: str | None = ...,
        batch_size: int | None = ...,
        rand_skip: int | None = ...,
        shuffle: bool | None = ...,
        new_height: int | None = ...,
        new_width: int | None = ...,
        is_color: bool | None = ...,
        scale: float | None = ...,
        mean_file: str | None = ...,
        crop_size: int | None = ...,
        mirror: bool | None = ...,
        root_folder: str | None = ...,
        min_height: int | None = ...,
        min_width: int | None = ...,
        ignore_label: int | None = ...,
        label_type: int | str | None = ...,
        label_divide_factor: int | None = ...,
    ) -> None: ...

class InfogainLossParameter(Message):
    SOURCE_FIELD_NUMBER: ClassVar[int]
    AXIS_FIELD_NUMBER: ClassVar[int]
    source: str
    axis: int
    def __init__(
        self,
        *,
        source: str | None = ...,
        axis: int | None = ...,
    ) -> None: ...

class InnerProductParameter(Message):
    NUM_OUTPUT_FIELD_NUMBER: ClassVar[int]
    BIAS_TERM_FIELD_NUMBER: ClassVar[int]
    WEIGHT_FILLER_FIELD_NUMBER: ClassVar[int]
    BIAS_FILLER_FIELD_NUMBER: ClassVar[int]
    AXIS_FIELD_NUMBER: ClassVar[int]
    TRANSPOSE_FIELD_NUMBER: ClassVar[int]
    num_output: int
    bias_term: bool
    @property
    def weight_filler(self) -> FillerParameter: ...
    @property
    def bias_filler(self) -> FillerParameter: ...
    axis: int
    transpose: bool
    def __init__(
        self,
        *,
        num_output: int | None = ...,
        bias_term: bool | None = ...,
        weight_filler: FillerParameter | Mapping[str, Any] | None = ...,
        bias_filler: FillerParameter | Mapping[str, Any] | None = ...,
        axis: int | None = ...,
        transpose: bool | None = ...,
    ) -> None: ...

class InputParameter(Message):
    SHAPE_FIELD_NUMBER: ClassVar[int]
    @property
    def shape(self) -> _Messages[BlobShape]: ...
    def __init__(
        self,
        *,
        shape: Iterable[BlobShape | Mapping[str, Any]] | None = ...,
    ) -> None: ...

class LogParameter(Message):
    BASE_FIELD_NUMBER: ClassVar[int]
    SCALE_FIELD_NUMBER: ClassVar[int]
    SHIFT_FIELD_NUMBER: ClassVar[int]
    base: float
    scale: float
    shift: float
    def __init__(
        self,
        *,
        base: float | None = ...,
        scale: float | None = ...,
        shift: float | None = ...,
    ) -> None: ...

class LRNParameter(Message):
    class _NormRegion(_Enum):
        ACROSS_CHANNELS: int
        WITHIN_CHANNEL: int

    NormRegion: ClassVar[_NormRegion]
    ACROSS_CHANNELS: ClassVar[int]
    WITHIN_CHANNEL: ClassVar[int]
    class _Engine(_Enum):
        DEFAULT: int
        CAFFE: int
        CUDNN: int
        MKL2017: int
        MKLDNN: int

    Engine: ClassVar[_Engine]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    CUDNN: ClassVar[int]
    MKL2017: ClassVar[int]
    MKLDNN: ClassVar[int]
    LOCAL_SIZE_FIELD_NUMBER: ClassVar[int]
    ALPHA_FIELD_NUMBER: ClassVar[int]
    BETA_FIELD_NUMBER: ClassVar[int]
    NORM_REGION_FIELD_NUMBER: ClassVar[int]
    K_FIELD_NUMBER: ClassVar[int]
    ENGINE_FIELD_NUMBER: ClassVar[int]
    local_size: int
    alpha: float
    beta: float
    norm_region: int
    k: float
    engine: int
    def __init__(
        self,
        *,
        local_size: int | None = ...,
        alpha: float | None = ...,
        beta: float | None = ...,
        norm_region: int | str | None = ...,
        k: float | None = ...,
        engine: int | str | None = ...,
    ) -> None: ...

class MemoryDataParameter(Message):
    BATCH_SIZE_FIELD_NUMBER: ClassVar[int]
    CHANNELS_FIELD_NUMBER: ClassVar[int]
    HEIGHT_FIELD_NUMBER: ClassVar[int]
    WIDTH_FIELD_NUMBER: ClassVar[int]
    batch_size: int
    channels: int
    height: int
    width: int
    def __init__(
        self,
        *,
        batch_size: int | None = ...,
        channels: int | None = ...,
        height: int | None = ...,
        width: int | None = ...,
    ) -> None: ...

class MVNParameter(Message):
    NORMALIZE_VARIANCE_FIELD_NUMBER: ClassVar[int]
    ACROSS_CHANNELS_FIELD_NUMBER: ClassVar[int]
    EPS_FIELD_NUMBER: ClassVar[int]
    normalize_variance: bool
    across_channels: bool
    eps: float
    def __init__(
        self,
        *,
        normalize_variance: bool | None = ...,
        across_channels: bool | None = ...,
        eps: float | None = ...,
    ) -> None: ...

class ParameterParameter(Message):
    SHAPE_FIELD_NUMBER: ClassVar[int]
    @property
    def shape(self) -> BlobShape: ...
    def __init__(
        self,
        *,
        shape: BlobShape | Mapping[str, Any] | None = ...,
    ) -> None: ...

class PoolingParameter(Message):
    class _PoolMethod(_Enum):
        MAX: int
        AVE: int
        STOCHASTIC: int
        AVE_EXC_PAD: int

    PoolMethod: ClassVar[_PoolMethod]
    MAX: ClassVar[int]
    AVE: ClassVar[int]
    STOCHASTIC: ClassVar[int]
    AVE_EXC_PAD: ClassVar[int]
    class _Engine(_Enum):
        DEFAULT: int
        CAFFE: int
        CUDNN: int
        MKL2017: int
        MKLDNN: int

    Engine: ClassVar[_Engine]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    CUDNN: ClassVar[int]
    MKL2017: ClassVar[int]
    MKLDNN: ClassVar[int]
    class _RoundMode(_Enum):
        CEIL: int
        FLOOR: int

    RoundMode: ClassVar[_RoundMode]
    CEIL: ClassVar[int]
    FLOOR: ClassVar[int]
    POOL_FIELD_NUMBER: ClassVar[int]
    PAD_FIELD_NUMBER: ClassVar[int]
    PAD_H_FIELD_NUMBER: ClassVar[int]
    PAD_W_FIELD_NUMBER: ClassVar[int]
    KERNEL_SIZE_FIELD_NUMBER: ClassVar[int]
    KERNEL_H_FIELD_NUMBER: ClassVar[int]
    KERNEL_W_FIELD_NUMBER: ClassVar[int]
    STRIDE_FIELD_NUMBER: ClassVar[int]
    STRIDE_H_FIELD_NUMBER: ClassVar[int]
    STRIDE_W_FIELD_NUMBER: ClassVar[int]
    ENGINE_FIELD_NUMBER: ClassVar[int]
    GLOBAL_POOLING_FIELD_NUMBER: ClassVar[int]
    ROUND_MODE_FIELD_NUMBER: ClassVar[int]
    CEIL_MODE_FIELD_NUMBER: ClassVar[int]
    PAD_L_FIELD_NUMBER: ClassVar[int]
    PAD_R_FIELD_NUMBER: ClassVar[int]
    PAD_T_FIELD_NUMBER: ClassVar[int]
    PAD_B_FIELD_NUMBER: ClassVar[int]
    AVG_INCLUDE_PAD_FIELD_NUMBER: ClassVar[int]
    KERNEL_DEPTH_FIELD_NUMBER: ClassVar[int]
    TEMPORAL_STRIDE_FIELD_NUMBER: ClassVar[int]
    pool: int
    pad: int
    pad_h: int
    pad_w: int
    kernel_size: int
    kernel_h: int
    kernel_w: int
    stride: int
    stride_h: int
    stride_w: int
    engine: int
    global_pooling: bool
    round_mode: int
    ceil_mode: bool
    pad_l: int
    pad_r: int
    pad_t: int
    pad_b: int
    avg_include_pad: bool
    kernel_depth: int
    temporal_stride: int
    def __init__(
        self,
        *,
        pool: int | str | None = ...,
        pad: int | None = ...,
        pad_h: int | None = ...,
        pad_w: int | None = ...,
        kernel_size: int | None = ...,
        kernel_h: int | None = ...,
        kernel_w: int | None = ...,
        stride: int | None = ...,
        stride_h: int | None = ...,
        stride_w: int | None = ...,
        engine: int | str | None = ...,
        global_pooling: bool | None = ...,
        round_mode: int | str | None = ...,
        ceil_mode: bool | None = ...,
        pad_l: int | None = ...,
        pad_r: int | None = ...,
        pad_t: int | None = ...,
        pad_b: int | None = ...,
        avg_include_pad: bool | None = ...,
        kernel_depth: int | None = ...,
        temporal_stride: int | None = ...,
    ) -> None: ...

class PowerParameter(Message):
    POWER_FIELD_NUMBER: ClassVar[int]
    SCALE_FIELD_NUMBER: ClassVar[int]
    SHIFT_FIELD_NUMBER: ClassVar[int]
    power: float
    scale: float
    shift: float
    def __init__(
        self,
        *,
        power: float | None = ...,
        scale: float | None = ...,
        shift: float | None = ...,
    ) -> None: ...

class PReLUParameter(Message):
    FILLER_FIELD_NUMBER: ClassVar[int]
    CHANNEL_SHARED_FIELD_NUMBER: ClassVar[int]
    @property
    def filler(self) -> FillerParameter: ...
    channel_shared: bool
    def __init__(
        self,
        *,
        filler: FillerParameter | Mapping[str, Any] | None = ...,
        channel_shared: bool | None = ...,
    ) -> None: ...

class PythonParameter(Message):
    MODULE_FIELD_NUMBER: ClassVar[int]
    LAYER_FIELD_NUMBER: ClassVar[int]
    PARAM_STR_FIELD_NUMBER: ClassVar[int]
    SHARE_IN_PARALLEL_FIELD_NUMBER: ClassVar[int]
    module: str
    layer: str
    param_str: str
    share_in_parallel: bool
    def __init__(
        self,
        *,
        module: str | None = ...,
        layer: str | None = ...,
        param_str: str | None = ...,
        share_in_parallel: bool | None = ...,
    ) -> None: ...

class RecurrentParameter(Message):
    NUM_OUTPUT_FIELD_NUMBER: ClassVar[int]
    WEIGHT_FILLER_FIELD_NUMBER: ClassVar[int]
    BIAS_FILLER_FIELD_NUMBER: ClassVar[int]
    DEBUG_INFO_FIELD_NUMBER: ClassVar[int]
    EXPOSE_HIDDEN_FIELD_NUMBER: ClassVar[int]
    num_output: int
    @property
    def weight_filler(self) -> FillerParameter: ...
    @property
    def bias_filler(self) -> FillerParameter: ...
    debug_info: bool
    expose_hidden: bool
    def __init__(
        self,
        *,
        num_output: int | None = ...,
        weight_filler: FillerParameter | Mapping[str, Any] | None = ...,
        bias_filler: FillerParameter | Mapping[str, Any] | None = ...,
        debug_info: bool | None = ...,
        expose_hidden: bool | None = ...,
    ) -> None: ...

class ReductionParameter(Message):
    class _ReductionOp(_Enum):
        SUM: int
        ASUM: int
        SUMSQ: int
        MEAN: int

    ReductionOp: ClassVar[_ReductionOp]
    SUM: ClassVar[int]
    ASUM: ClassVar[int]
    SUMSQ: ClassVar[int]
    MEAN: ClassVar[int]
    OPERATION_FIELD_NUMBER: ClassVar[int]
    AXIS_FIELD_NUMBER: ClassVar[int]
    COEFF_FIELD_NUMBER: ClassVar[int]
    operation: int
    axis: int
    coeff: float
    def __init__(
        self,
        *,
        operation: int | str | None = ...,
        axis: int | None = ...,
        coeff: float | None = ...,
    ) -> None: ...

class ReLUParameter(Message):
    class _Engine(_Enum):
        DEFAULT: int
        CAFFE: int
        CUDNN: int
        MKL2017: int
        MKLDNN: int

    Engine: ClassVar[_Engine]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    CUDNN: ClassVar[int]
    MKL2017: ClassVar[int]
    MKLDNN: ClassVar[int]
    NEGATIVE_SLOPE_FIELD_NUMBER: ClassVar[int]
    ENGINE_FIELD_NUMBER: ClassVar[int]
    RELU6_FIELD_NUMBER: ClassVar[int]
    negative_slope: float
    engine: int
    relu6: bool
    def __init__(
        self,
        *,
        negative_slope: float | None = ...,
        engine: int | str | None = ...,
        relu6: bool | None = ...,
    ) -> None: ...

class ReshapeParameter(Message):
    SHAPE_FIELD_NUMBER: ClassVar[int]
    AXIS_FIELD_NUMBER: ClassVar[int]
    NUM_AXES_FIELD_NUMBER: ClassVar[int]
    PIXELSHUFFLER_FIELD_NUMBER: ClassVar[int]
    @property
    def shape(self) -> BlobShape: ...
    axis: int
    num_axes: int
    pixelshuffler: int
    def __init__(
        self,
        *,
        shape: BlobShape | Mapping[str, Any] | None = ...,
        axis: int | None = ...,
        num_axes: int | None = ...,
        pixelshuffler: int | None = ...,
    ) -> None: ...

class ScaleParameter(Message):
    AXIS_FIELD_NUMBER: ClassVar[int]
    NUM_AXES_FIELD_NUMBER: ClassVar[int]
    FILLER_FIELD_NUMBER: ClassVar[int]
    BIAS_TERM_FIELD_NUMBER: ClassVar[int]
    BIAS_FILLER_FIELD_NUMBER: ClassVar[int]
    axis: int
    num_axes: int
    @property
    def filler(self) -> FillerParameter: ...
    bias_term: bool
    @property
    def bias_filler(self) -> FillerParameter: ...
    def __init__(
        self,
        *,
        axis: int | None = ...,
        num_axes: int | None = ...,
        filler: FillerParameter | Mapping[str, Any] | None = ...,
        bias_term: bool | None = ...,
        bias_filler: FillerParameter | Mapping[str, Any] | None = ...,
    ) -> None: ...

class SigmoidParameter(Message):
    class _Engine(_Enum):
        DEFAULT: int
        CAFFE: int
        CUDNN: int

    Engine: ClassVar[_Engine]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    CUDNN: ClassVar[int]
    ENGINE_FIELD_NUMBER: ClassVar[int]
    engine: int
    def __init__(
        self,
        *,
        engine: int | str | None = ...,
    ) -> None: ...

class SliceParameter(Message):
    AXIS_FIELD_NUMBER: ClassVar[int]
    SLICE_POINT_FIELD_NUMBER: ClassVar[int]
    SLICE_DIM_FIELD_NUMBER: ClassVar[int]
    axis: int
    @property
    def slice_point(self) -> _Scalars[int]: ...
    slice_dim: int
    def __init__(
        self,
        *,
        axis: int | None = ...,
        slice_point: Iterable[int] | None = ...,
        slice_dim: int | None = ...,
    ) -> None: ...

class SoftmaxParameter(Message):
    class _Engine(_Enum):
        DEFAULT: int
        CAFFE: int
        CUDNN: int

    Engine: ClassVar[_Engine]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    CUDNN: ClassVar[int]
    ENGINE_FIELD_NUMBER: ClassVar[int]
    AXIS_FIELD_NUMBER: ClassVar[int]
    engine: int
    axis: int
    def __init__(
        self,
        *,
        engine: int | str | None = ...,
        axis: int | None = ...,
    ) -> None: ...

class SPPParameter(Message):
    class _PoolMethod(_Enum):
        MAX: int
        AVE: int
        STOCHASTIC: int

    PoolMethod: ClassVar[_PoolMethod]
    MAX: ClassVar[int]
    AVE: ClassVar[int]
    STOCHASTIC: ClassVar[int]
    class _Engine(_Enum):
        DEFAULT: int
        CAFFE: int
        CUDNN: int

    Engine: ClassVar[_Engine]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    CUDNN: ClassVar[int]
    PYRAMID_HEIGHT_FIELD_NUMBER: ClassVar[int]
    POOL_FIELD_NUMBER: ClassVar[int]
    ENGINE_FIELD_NUMBER: ClassVar[int]
    pyramid_height: int
    pool: int
    engine: int
    def __init__(
        self,
        *,
        pyramid_height: int | None = ...,
        pool: int | str | None = ...,
        engine: int | str | None = ...,
    ) -> None: ...

class SwishParameter(Message):
    BETA_FIELD_NUMBER: ClassVar[int]
    beta: float
    def __init__(
        self,
        *,
        beta: float | None = ...,
    ) -> None: ...

class TanHParameter(Message):
    class _Engine(_Enum):
        DEFAULT: int
        CAFFE: int
        CUDNN: int

    Engine: ClassVar[_Engine]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    CUDNN: ClassVar[int]
    ENGINE_FIELD_NUMBER: ClassVar[int]
    engine: int
    def __init__(
        self,
        *,
        engine: int | str | None = ...,
    ) -> None: ...

class ThresholdParameter(Message):
    THRESHOLD_FIELD_NUMBER: ClassVar[int]
    threshold: float
    def __init__(
        self,
        *,
        threshold: float | None = ...,
    ) -> None: ...

class TileParameter(Message):
    AXIS_FIELD_NUMBER: ClassVar[int]
    TILES_FIELD_NUMBER: ClassVar[int]
    axis: int
    tiles: int
    def __init__(
        self,
        *,
        axis: int | None = ...,
        tiles: int | None = ...,
    ) -> None: ...

class WindowDataParameter(Message):
    SOURCE_FIELD_NUMBER: ClassVar[int]
    SCALE_FIELD_NUMBER: ClassVar[int]
    MEAN_FILE_FIELD_NUMBER: ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: ClassVar[int]
    CROP_SIZE_FIELD_NUMBER: ClassVar[int]
    MIRROR_FIELD_NUMBER: ClassVar[int]
    FG_THRESHOLD_FIELD_NUMBER: ClassVar[int]
    BG_THRESHOLD_FIELD_NUMBER: ClassVar[int]
    FG_FRACTION_FIELD_NUMBER: ClassVar[int]
    CONTEXT_PAD_FIELD_NUMBER: ClassVar[int]
    CROP_MODE_FIELD_NUMBER: ClassVar[int]
    CACHE_IMAGES_FIELD_NUMBER: ClassVar[int]
    ROOT_FOLDER_FIELD_NUMBER: ClassVar[int]
    source: str
    scale: float
    mean_file: str
    batch_size: int
    crop_size: int
    mirror: bool
    fg_threshold: float
    bg_threshold: float
    fg_fraction: float
    context_pad: int
    crop_mode: str
    cache_images: bool
    root_folder: str
    def __init__(
        self,
        *,
        source: str | None = ...,
        scale: float | None = ...,
        mean_file: str | None = ...,
        batch_size: int | None = ...,
        crop_size: int | None = ...,
        mirror: bool | None = ...,
        fg_threshold: float | None = ...,
        bg_threshold: float | None = ...,
        fg_fraction: float | None = ...,
        context_pad: int | None = ...,
        crop_mode: str | None = ...,
        cache_images: bool | None = ...,
        root_folder: str | None = ...,
    ) -> None: ...

class ResizeParameter(Message):
    class _Resize_mode(_Enum):
        WARP: int
        FIT_SMALL_SIZE: int
        FIT_LARGE_SIZE_AND_PAD: int

    Resize_mode: ClassVar[_Resize_mode]
    WARP: ClassVar[int]
    FIT_SMALL_SIZE: ClassVar[int]
    FIT_LARGE_SIZE_AND_PAD: ClassVar[int]
    class _Pad_mode(_Enum):
        CONSTANT: int
        MIRRORED: int
        REPEAT_NEAREST: int

    Pad_mode: ClassVar[_Pad_mode]
    CONSTANT: ClassVar[int]
    MIRRORED: ClassVar[int]
    REPEAT_NEAREST: ClassVar[int]
    class _Interp_mode(_Enum):
        LINEAR: int
        AREA: int
        NEAREST: int
        CUBIC: int
        LANCZOS4: int

    Interp_mode: ClassVar[_Interp_mode]
    LINEAR: ClassVar[int]
    AREA: ClassVar[int]
    NEAREST: ClassVar[int]
    CUBIC: ClassVar[int]
    LANCZOS4: ClassVar[int]
    PROB_FIELD_NUMBER: ClassVar[int]
    RESIZE_MODE_FIELD_NUMBER: ClassVar[int]
    HEIGHT_FIELD_NUMBER: ClassVar[int]
    WIDTH_FIELD_NUMBER: ClassVar[int]
    PAD_MODE_FIELD_NUMBER: ClassVar[int]
    PAD_VALUE_FIELD_NUMBER: ClassVar[int]
    INTERP_MODE_FIELD_NUMBER: ClassVar[int]
    HEIGHT_SCALE_FIELD_NUMBER: ClassVar[int]
    WIDTH_SCALE_FIELD_NUMBER: ClassVar[int]
    prob: float
    resize_mode: int
    height: int
    width: int
    pad_mode: int
    @property
    def pad_value(self) -> _Scalars[float]: ...
    @property
    def interp_mode(self) -> _Scalars[int]: ...
    height_scale: int
    width_scale: int
    def __init__(
        self,
        *,
        prob: float | None = ...,
        resize_mode: int | str | None = ...,
        height: int | None = ...,
        width: int | None = ...,
        pad_mode: int | str | None = ...,
        pad_value: Iterable[float] | None = ...,
        interp_mode: Iterable[int | str] | None = ...,
        height_scale: int | None = ...,
        width_scale: int | None = ...,
    ) -> None: ...

class SaltPepperParameter(Message):
    FRACTION_FIELD_NUMBER: ClassVar[int]
    VALUE_FIELD_NUMBER: ClassVar[int]
    fraction: float
    @property
    def value(self) -> _Scalars[float]: ...
    def __init__(
        self,
        *,
        fraction: float | None = ...,
        value: Iterable[float] | None = ...,
    ) -> None: ...

class NoiseParameter(Message):
    PROB_FIELD_NUMBER: ClassVar[int]
    HIST_EQ_FIELD_NUMBER: ClassVar[int]
    INVERSE_FIELD_NUMBER: ClassVar[int]
    DECOLORIZE_FIELD_NUMBER: ClassVar[int]
    GAUSS_BLUR_FIELD_NUMBER: ClassVar[int]
    JPEG_FIELD_NUMBER: ClassVar[int]
    POSTERIZE_FIELD_NUMBER: ClassVar[int]
    ERODE_FIELD_NUMBER: ClassVar[int]
    SALTPEPPER_FIELD_NUMBER: ClassVar[int]
    SALTPEPPER_PARAM_FIELD_NUMBER: ClassVar[int]
    CLAHE_FIELD_NUMBER: ClassVar[int]
    CONVERT_TO_HSV_FIELD_NUMBER: ClassVar[int]
    CONVERT_TO_LAB_FIELD_NUMBER: ClassVar[int]
    prob: float
    hist_eq: bool
    inverse: bool
    decolorize: bool
    gauss_blur: bool
    jpeg: float
    posterize: bool
    erode: bool
    saltpepper: bool
    @property
    def saltpepper_param(self) -> SaltPepperParameter: ...
    clahe: bool
    convert_to_hsv: bool
    convert_to_lab: bool
    def __init__(
        self,
        *,
        prob: float | None = ...,
        hist_eq: bool | None = ...,
        inverse: bool | None = ...,
        decolorize: bool | None = ...,
        gauss_blur: bool | None = ...,
        jpeg: float | None = ...,
        posterize: bool | None = ...,
        erode: bool | None = ...,
        saltpepper: bool | None = ...,
        saltpepper_param: SaltPepperParameter | Mapping[str, Any] | None = ...,
        clahe: bool | None = ...,
        convert_to_hsv: bool | None = ...,
        convert_to_lab: bool | None = ...,
    ) -> None: ...

class DistortionParameter(Message):
    BRIGHTNESS_PROB_FIELD_NUMBER: ClassVar[int]
    BRIGHTNESS_DELTA_FIELD_NUMBER: ClassVar[int]
    CONTRAST_PROB_FIELD_NUMBER: ClassVar[int]
    CONTRAST_LOWER_FIELD_NUMBER: ClassVar[int]
    CONTRAST_UPPER_FIELD_NUMBER: ClassVar[int]
    HUE_PROB_FIELD_NUMBER: ClassVar[int]
    HUE_DELTA_FIELD_NUMBER: ClassVar[int]
    SATURATION_PROB_FIELD_NUMBER: ClassVar[int]
    SATURATION_LOWER_FIELD_NUMBER: ClassVar[int]
    SATURATION_UPPER_FIELD_NUMBER: ClassVar[int]
    RANDOM_ORDER_PROB_FIELD_NUMBER: ClassVar[int]
    brightness_prob: float
    brightness_delta: float
    contrast_prob: float
    contrast_lower: float
    contrast_upper: float
    hue_prob: float
    hue_delta: float
    saturation_prob: float
    saturation_lower: float
    saturation_upper: float
    random_order_prob: float
    def __init__(
        self,
        *,
        brightness_prob: float | None = ...,
        brightness_delta: float | None = ...,
        contrast_prob: float | None = ...,
        contrast_lower: float | None = ...,
        contrast_upper: float | None = ...,
        hue_prob: float | None = ...,
        hue_delta: float | None = ...,
        saturation_prob: float | None = ...,
        saturation_lower: float | None = ...,
        saturation_upper: float | None = ...,
        random_order_prob: float | None = ...,
    ) -> None: ...

class ExpansionParameter(Message):
    PROB_FIELD_NUMBER: ClassVar[int]
    MAX_EXPAND_RATIO_FIELD_NUMBER: ClassVar[int]
    prob: float
    max_expand_ratio: float
    def __init__(
        self,
        *,
        prob: float | None = ...,
        max_expand_ratio: float | None = ...,
    ) -> None: ...

class RandomResizeParameter(Message):
    MIN_SIZE_FIELD_NUMBER: ClassVar[int]
    MAX_SIZE_FIELD_NUMBER: ClassVar[int]
    RESIZE_PARAM_FIELD_NUMBER: ClassVar[int]
    min_size: int
    max_size: int
    @property
    def resize_param(self) -> ResizeParameter: ...
    def __init__(
        self,
        *,
        min_size: int | None = ...,
        max_size: int | None = ...,
        resize_param: ResizeParameter | Mapping[str, Any] | None = ...,
    ) -> None: ...

class RandomAspectRatioParameter(Message):
    MIN_AREA_RATIO_FIELD_NUMBER: ClassVar[int]
    MAX_AREA_RATIO_FIELD_NUMBER: ClassVar[int]
    ASPECT_RATIO_CHANGE_FIELD_NUMBER: ClassVar[int]
    MAX_ATTEMPT_FIELD_NUMBER: ClassVar[int]
    RESIZE_PARAM_FIELD_NUMBER: ClassVar[int]
    min_area_ratio: float
    max_area_ratio: float
    aspect_ratio_change: float
    max_attempt: int
    @property
    def resize_param(self) -> ResizeParameter: ...
    def __init__(
        self,
        *,
        min_area_ratio: float | None = ...,
        max_area_ratio: float | None = ...,
        aspect_ratio_change: float | None = ...,
        max_attempt: int | None = ...,
        resize_param: ResizeParameter | Mapping[str, Any] | None = ...,
    ) -> None: ...

class AnnotatedDataParameter(Message):
    BATCH_SAMPLER_FIELD_NUMBER: ClassVar[int]
    LABEL_MAP_FILE_FIELD_NUMBER: ClassVar[int]
    ANNO_TYPE_FIELD_NUMBER: ClassVar[int]
    YOLO_DATA_TYPE_FIELD_NUMBER: ClassVar[int]
    YOLO_DATA_JITTER_FIELD_NUMBER: ClassVar[int]
    TRAIN_DIFFCULT_FIELD_NUMBER: ClassVar[int]
    SINGLE_CLASS_FIELD_NUMBER: ClassVar[int]
    SEG_SCALES_FIELD_NUMBER: ClassVar[int]
    SEG_RESIZE_WIDTH_FIELD_NUMBER: ClassVar[int]
    SEG_RESIZE_HEIGHT_FIELD_NUMBER: ClassVar[int]
    DIFFICULT_LABEL_WARMUP_FIELD_NUMBER: ClassVar[int]
    @property
    def batch_sampler(self) -> _Messages[BatchSampler]: ...
    label_map_file: str
    anno_type: int
    yolo_data_type: int
    yolo_data_jitter: float
    train_diffcult: bool
    single_class: bool
    seg_scales: int
    seg_resize_width: int
    seg_resize_height: int
    difficult_label_warmup: bool
    def __init__(
        self,
        *,
        batch_sampler: Iterable[BatchSampler | Mapping[str, Any]] | None = ...,
        label_map_file: str | None = ...,
        anno_type: int | str | None = ...,
        yolo_data_type: int | None = ...,
        yolo_data_jitter: float | None = ...,
        train_diffcult: bool | None = ...,
        single_class: bool | None = ...,
        seg_scales: int | None = ...,
        seg_resize_width: int | None = ...,
        seg_resize_height: int | None = ...,
        difficult_label_warmup: bool | None = ...,
    ) -> None: ...

class PermuteParameter(Message):
    ORDER_FIELD_NUMBER: ClassVar[int]
    @property
    def order(self) -> _Scalars[int]: ...
    def __init__(
        self,
        *,
        order: Iterable[int] | None = ...,
    ) -> None: ...

class NormalizeParameter(Message):
    ACROSS_SPATIAL_FIELD_NUMBER: ClassVar[int]
    SCALE_FILLER_FIELD_NUMBER: ClassVar[int]
    CHANNEL_SHARED_FIELD_NUMBER: ClassVar[int]
    EPS_FIELD_NUMBER: ClassVar[int]
    across_spatial: bool
    @property
    def scale_filler(self) -> FillerParameter: ...
    channel_shared: bool
    eps: float
    def __init__(
        self,
        *,
        across_spatial: bool | None = ...,
        scale_filler: FillerParameter | Mapping[str, Any] | None = ...,
        channel_shared: bool | None = ...,
        eps: float | None = ...,
    ) -> None: ...

class PriorBoxParameter(Message):
    class _CodeType(_Enum):
        CORNER: int
        CENTER_SIZE: int
        CORNER_SIZE: int

    CodeType: ClassVar[_CodeType]
    CORNER: ClassVar[int]
    CENTER_SIZE: ClassVar[int]
    CORNER_SIZE: ClassVar[int]
    MIN_SIZE_FIELD_NUMBER: ClassVar[int]
    MAX_SIZE_FIELD_NUMBER: ClassVar[int]
    ASPECT_RATIO_FIELD_NUMBER: ClassVar[int]
    FLIP_FIELD_NUMBER: ClassVar[int]
    CLIP_FIELD_NUMBER: ClassVar[int]
    VARIANCE_FIELD_NUMBER: ClassVar[int]
    IMG_SIZE_FIELD_NUMBER: ClassVar[int]
    IMG_H_FIELD_NUMBER: ClassVar[int]
    IMG_W_FIELD_NUMBER: ClassVar[int]
    STEP_FIELD_NUMBER: ClassVar[int]
    STEP_H_FIELD_NUMBER: ClassVar[int]
    STEP_W_FIELD_NUMBER: ClassVar[int]
    OFFSET_FIELD_NUMBER: ClassVar[int]
    REDUCE_BOXES_FIELD_NUMBER: ClassVar[int]
    @property
    def min_size(self) -> _Scalars[float]: ...
    @property
    def max_size(self) -> _Scalars[float]: ...
    @property
    def aspect_ratio(self) -> _Scalars[float]: ...
    flip: bool
    clip: bool
    @property
    def variance(self) -> _Scalars[float]: ...
    img_size: int
    img_h: int
    img_w: int
    step: float
    step_h: float
    step_w: float
    offset: float
    reduce_boxes: bool
    def __init__(
        self,
        *,
        min_size: Iterable[float] | None = ...,
        max_size: Iterable[float] | None = ...,
        aspect_ratio: Iterable[float] | None = ...,
        flip: bool | None = ...,
        clip: bool | None = ...,
        variance: Iterable[float] | None = ...,
        img_size: int | None = ...,
        img_h: int | None = ...,
        img_w: int | None = ...,
        step: float | None = ...,
        step_h: float | None = ...,
        step_w: float | None = ...,
        offset: float | None = ...,
        reduce_boxes: bool | None = ...,
    ) -> None: ...

class NonMaximumSuppressionParameter(Message):
    NMS_THRESHOLD_FIELD_NUMBER: ClassVar[int]
    TOP_K_FIELD_NUMBER: ClassVar[int]
    ETA_FIELD_NUMBER: ClassVar[int]
    nms_threshold: float
    top_k: int
    eta: float
    def __init__(
        self,
        *,
        nms_threshold: float | None = ...,
        top_k: int | None = ...,
        eta: float | None = ...,
    ) -> None: ...

class SaveOutputParameter(Message):
    OUTPUT_DIRECTORY_FIELD_NUMBER: ClassVar[int]
    OUTPUT_NAME_PREFIX_FIELD_NUMBER: ClassVar[int]
    OUTPUT_FORMAT_FIELD_NUMBER: ClassVar[int]
    LABEL_MAP_FILE_FIELD_NUMBER: ClassVar[int]
    NAME_SIZE_FILE_FIELD_NUMBER: ClassVar[int]
    NUM_TEST_IMAGE_FIELD_NUMBER: ClassVar[int]
    RESIZE_PARAM_FIELD_NUMBER: ClassVar[int]
    output_directory: str
    output_name_prefix: str
    output_format: str
    label_map_file: str
    name_size_file: str
    num_test_image: int
    @property
    def resize_param(self) -> ResizeParameter: ...
    def __init__(
        self,
        *,
        output_directory: str | None = ...,
        output_name_prefix: str | None = ...,
        output_format: str | None = ...,
        label_map_file: str | None = ...,
        name_size_file: str | None = ...,
        num_test_image: int | None = ...,
        resize_param: ResizeParameter | Mapping[str, Any] | None = ...,
    ) -> None: ...

class DetectionOutputParameter(Message):
    NUM_CLASSES_FIELD_NUMBER: ClassVar[int]
    SHARE_LOCATION_FIELD_NUMBER: ClassVar[int]
    BACKGROUND_LABEL_ID_FIELD_NUMBER: ClassVar[int]
    NMS_PARAM_FIELD_NUMBER: ClassVar[int]
    SAVE_OUTPUT_PARAM_FIELD_NUMBER: ClassVar[int]
    CODE_TYPE_FIELD_NUMBER: ClassVar[int]
    KEEP_TOP_K_FIELD_NUMBER: ClassVar[int]
    VARIANCE_ENCODED_IN_TARGET_FIELD_NUMBER: ClassVar[int]
    CONFIDENCE_THRESHOLD_FIELD_NUMBER: ClassVar[int]
    VISUALIZE_FIELD_NUMBER: ClassVar[int]
    VISUALIZE_THRESHOLD_FIELD_NUMBER: ClassVar[int]
    SAVE_FILE_FIELD_NUMBER: ClassVar[int]
    num_classes: int
    share_location: bool
    background_label_id: int
    @property
    def nms_param(self) -> NonMaximumSuppressionParameter: ...
    @property
    def save_output_param(self) -> SaveOutputParameter: ...
    code_type: int
    keep_top_k: int
    variance_encoded_in_target: bool
    confidence_threshold: float
    visualize: bool
    visualize_threshold: float
    save_file: str
    def __init__(
        self,
        *,
        num_classes: int | None = ...,
        share_location: bool | None = ...,
        background_label_id: int | None = ...,
        nms_param: NonMaximumSuppressionParameter | Mapping[str, Any] | None = ...,
        save_output_param: SaveOutputParameter | Mapping[str, Any] | None = ...,
        code_type: int | str | None = ...,
        keep_top_k: int | None = ...,
        variance_encoded_in_target: bool | None = ...,
        confidence_threshold: float | None = ...,
        visualize: bool | None = ...,
        visualize_threshold: float | None = ...,
        save_file: str | None = ...,
    ) -> None: ...

class DetectionEvaluateParameter(Message):
    NUM_CLASSES_FIELD_NUMBER: ClassVar[int]
    BACKGROUND_LABEL_ID_FIELD_NUMBER: ClassVar[int]
    OVERLAP_THRESHOLD_FIELD_NUMBER: ClassVar[int]
    EVALUATE_DIFFICULT_GT_FIELD_NUMBER: ClassVar[int]
    NAME_SIZE_FILE_FIELD_NUMBER: ClassVar[int]
    RESIZE_PARAM_FIELD_NUMBER: ClassVar[int]
    num_classes: int
    background_label_id: int
    overlap_threshold: float
    evaluate_difficult_gt: bool
    name_size_file: str
    @property
    def resize_param(self) -> ResizeParameter: ...
    def __init__(
        self,
        *,
        num_classes: int | None = ...,
        background_label_id: int | None = ...,
        overlap_threshold: float | None = ...,
        evaluate_difficult_gt: bool | None = ...,
        name_size_file: str | None = ...,
        resize_param: ResizeParameter | Mapping[str, Any] | None = ...,
    ) -> None: ...

class MultiBoxLossParameter(Message):
    class _LocLossType(_Enum):
        L2: int
        SMOOTH_L1: int

    LocLossType: ClassVar[_LocLossType]
    L2: ClassVar[int]
    SMOOTH_L1: ClassVar[int]
    class _ConfLossType(_Enum):
        SOFTMAX: int
        LOGISTIC: int

    ConfLossType: ClassVar[_ConfLossType]
    SOFTMAX: ClassVar[int]
    LOGISTIC: ClassVar[int]
    class _MatchType(_Enum):
        BIPARTITE: int
        PER_PREDICTION: int

    MatchType: ClassVar[_MatchType]
    BIPARTITE: ClassVar[int]
    PER_PREDICTION: ClassVar[int]
    class _MiningType(_Enum):
        NONE: int
        MAX_NEGATIVE: int
        HARD_EXAMPLE: int

    MiningType: ClassVar[_MiningType]
    NONE: ClassVar[int]
    MAX_NEGATIVE: ClassVar[int]
    HARD_EXAMPLE: ClassVar[int]
    LOC_LOSS_TYPE_FIELD_NUMBER: ClassVar[int]
    CONF_LOSS_TYPE_FIELD_NUMBER: ClassVar[int]
    LOC_WEIGHT_FIELD_NUMBER: ClassVar[int]
    NUM_CLASSES_FIELD_NUMBER: ClassVar[int]
    SHARE_LOCATION_FIELD_NUMBER: ClassVar[int]
    MATCH_TYPE_FIELD_NUMBER: ClassVar[int]
    OVERLAP_THRESHOLD_FIELD_NUMBER: ClassVar[int]
    USE_PRIOR_FOR_MATCHING_FIELD_NUMBER: ClassVar[int]
    BACKGROUND_LABEL_ID_FIELD_NUMBER: ClassVar[int]
    USE_DIFFICULT_GT_FIELD_NUMBER: ClassVar[int]
    DO_NEG_MINING_FIELD_NUMBER: ClassVar[int]
    NEG_POS_RATIO_FIELD_NUMBER: ClassVar[int]
    NEG_OVERLAP_FIELD_NUMBER: ClassVar[int]
    CODE_TYPE_FIELD_NUMBER: ClassVar[int]
    ENCODE_VARIANCE_IN_TARGET_FIELD_NUMBER: ClassVar[int]
    MAP_OBJECT_TO_AGNOSTIC_FIELD_NUMBER: ClassVar[int]
    IGNORE_CROSS_BOUNDARY_BBOX_FIELD_NUMBER: ClassVar[int]
    BP_INSIDE_FIELD_NUMBER: ClassVar[int]
    MINING_TYPE_FIELD_NUMBER: ClassVar[int]
    NMS_PARAM_FIELD_NUMBER: ClassVar[int]
    SAMPLE_SIZE_FIELD_NUMBER: ClassVar[int]
    USE_PRIOR_FOR_NMS_FIELD_NUMBER: ClassVar[int]
    loc_loss_type: int
    conf_loss_type: int
    loc_weight: float
    num_classes: int
    share_location: bool
    match_type: int
    overlap_threshold: float
    use_prior_for_matching: bool
    background_label_id: int
    use_difficult_gt: bool
    do_neg_mining: bool
    neg_pos_ratio: float
    neg_overlap: float
    code_type: int
    encode_variance_in_target: bool
    map_object_to_agnostic: bool
    ignore_cross_boundary_bbox: bool
    bp_inside: bool
    mining_type: int
    @property
    def nms_param(self) -> NonMaximumSuppressionParameter: ...
    sample_size: int
    use_prior_for_nms: bool
    def __init__(
        self,
        *,
        loc_loss_type: int | str | None = ...,
        conf_loss_type: int | str | None = ...,
        loc_weight: float | None = ...,
        num_classes: int | None = ...,
        share_location: bool | None = ...,
        match_type: int | str | None = ...,
        overlap_threshold: float | None = ...,
        use_prior_for_matching: bool | None = ...,
        background_label_id: int | None = ...,
        use_difficult_gt: bool | None = ...,
        do_neg_mining: bool | None = ...,
        neg_pos_ratio: float | None = ...,
        neg_overlap: float | None = ...,
        code_type: int | str | None = ...,
        encode_variance_in_target: bool | None = ...,
        map_object_to_agnostic: bool | None = ...,
        ignore_cross_boundary_bbox: bool | None = ...,
        bp_inside: bool | None = ...,
        mining_type: int | str | None = ...,
        nms_param: NonMaximumSuppressionParameter | Mapping[str, Any] | None = ...,
        sample_size: int | None = ...,
        use_prior_for_nms: bool | None = ...,
    ) -> None: ...

class VideoDataParameter(Message):
    class _VideoType(_Enum):
        WEBCAM: int
        VIDEO: int

    VideoType: ClassVar[_VideoType]
    WEBCAM: ClassVar[int]
    VIDEO: ClassVar[int]
    class _Modality(_Enum):
        RGB: int
        FLOW: int

    Modality: ClassVar[_Modality]
    RGB: ClassVar[int]
    FLOW: ClassVar[int]
    VIDEO_TYPE_FIELD_NUMBER: ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: ClassVar[int]
    VIDEO_FILE_FIELD_NUMBER: ClassVar[int]
    SKIP_FRAMES_FIELD_NUMBER: ClassVar[int]
    SOURCE_FIELD_NUMBER: ClassVar[int]
    SCALE_FIELD_NUMBER: ClassVar[int]
    MEAN_FILE_FIELD_NUMBER: ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: ClassVar[int]
    CROP_SIZE_FIELD_NUMBER: ClassVar[int]
    MIRROR_FIELD_NUMBER: ClassVar[int]
    RAND_SKIP_FIELD_NUMBER: ClassVar[int]
    SHUFFLE_FIELD_NUMBER: ClassVar[int]
    NEW_HEIGHT_FIELD_NUMBER: ClassVar[int]
    NEW_WIDTH_FIELD_NUMBER: ClassVar[int]
    NEW_LENGTH_FIELD_NUMBER: ClassVar[int]
    NUM_SEGMENTS_FIELD_NUMBER: ClassVar[int]
    MODALITY_FIELD_NUMBER: ClassVar[int]
    NAME_PATTERN_FIELD_NUMBER: ClassVar[int]
    ENCODED_FIELD_NUMBER: ClassVar[int]
    GRAYSCALE_FIELD_NUMBER: ClassVar[int]
    video_type: int
    device_id: int
    video_file: str
    skip_frames: int
    source: str
    scale: float
    mean_file: str
    batch_size: int
    crop_size: int
    mirror: bool
    rand_skip: int
    shuffle: bool
    new_height: int
    new_width: int
    new_length: int
    num_segments: int
    modality: int
    name_pattern: str
    encoded: bool
    grayscale: bool
    def __init__(
        self,
        *,
        video_type: int | str | None = ...,
        device_id: int | None = ...,
        video_file: str | None = ...,
        skip_frames: int | None = ...,
        source: str | None = ...,
        scale: float | None = ...,
        mean_file: str | None = ...,
        batch_size: int | None = ...,
        crop_size: int | None = ...,
        mirror: bool | None = ...,
        rand_skip: int | None = ...,
        shuffle: bool | None = ...,
        new_height: int | None = ...,
        new_width: int | None = ...,
        new_length: int | None = ...,
        num_segments: int | None = ...,
        modality: int | str | None = ...,
        name_pattern: str | None = ...,
        encoded: bool | None = ...,
        grayscale: bool | None = ...,
    ) -> None: ...

class BNParameter(Message):
    class _BNMode(_Enum):
        LEARN: int
        INFERENCE: int

    BNMode: ClassVar[_BNMode]
    LEARN: ClassVar[int]
    INFERENCE: ClassVar[int]
    class _Engine(_Enum):
        DEFAULT: int
        CAFFE: int
        CUDNN: int

    Engine: ClassVar[_Engine]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    CUDNN: ClassVar[int]
    SCALE_FILLER_FIELD_NUMBER: ClassVar[int]
    SHIFT_FILLER_FIELD_NUMBER: ClassVar[int]
    BN_MODE_FIELD_NUMBER: ClassVar[int]
    EPS_FIELD_NUMBER: ClassVar[int]
    FROZEN_FIELD_NUMBER: ClassVar[int]
    ENGINE_FIELD_NUMBER: ClassVar[int]
    SLOPE_FILLER_FIELD_NUMBER: ClassVar[int]
    BIAS_FILLER_FIELD_NUMBER: ClassVar[int]
    MOMENTUM_FIELD_NUMBER: ClassVar[int]
    ICNET_FIELD_NUMBER: ClassVar[int]
    VAR_EPS_FIELD_NUMBER: ClassVar[int]
    MOVING_AVERAGE_FIELD_NUMBER: ClassVar[int]
    DECAY_FIELD_NUMBER: ClassVar[int]
    AXIS_FIELD_NUMBER: ClassVar[int]
    @property
    def scale_filler(self) -> FillerParameter: ...
    @property
    def shift_filler(self) -> FillerParameter: ...
    bn_mode: int
    eps: float
    frozen: bool
    engine: int
    @property
    def slope_filler(self) -> FillerParameter: ...
    @property
    def bias_filler(self) -> FillerParameter: ...
    momentum: float
    icnet: bool
    var_eps: float
    moving_average: bool
    decay: float
    axis: float
    def __init__(
        self,
        *,
        scale_filler: FillerParameter | Mapping[str, Any] | None = ...,
        shift_filler: FillerParameter | Mapping[str, Any] | None = ...,
        bn_mode: int | str | None = ...,
        eps: float | None = ...,
        frozen: bool | None = ...,
        engine: int | str | None = ...,
        slope_filler: FillerParameter | Mapping[str, Any] | None = ...,
        bias_filler: FillerParameter | Mapping[str, Any] | None = ...,
        momentum: float | None = ...,
        icnet: bool | None = ...,
        var_eps: float | None = ...,
        moving_average: bool | None = ...,
        decay: float | None = ...,
        axis: float | None = ...,
    ) -> None: ...

class UpsampleParameter(Message):
    SCALE_FIELD_NUMBER: ClassVar[int]
    SCALE_H_FIELD_NUMBER: ClassVar[int]
    SCALE_W_FIELD_NUMBER: ClassVar[int]
    PAD_OUT_H_FIELD_NUMBER: ClassVar[int]
    PAD_OUT_W_FIELD_NUMBER: ClassVar[int]
    UPSAMPLE_H_FIELD_NUMBER: ClassVar[int]
    UPSAMPLE_W_FIELD_NUMBER: ClassVar[int]
    scale: int
    scale_h: int
    scale_w: int
    pad_out_h: bool
    pad_out_w: bool
    upsample_h: int
    upsample_w: int
    def __init__(
        self,
        *,
        scale: int | None = ...,
        scale_h: int | None = ...,
        scale_w: int | None = ...,
        pad_out_h: bool | None = ...,
        pad_out_w: bool | None = ...,
        upsample_h: int | None = ...,
        upsample_w: int | None = ...,
    ) -> None: ...

class InterpParameter(Message):
    HEIGHT_FIELD_NUMBER: ClassVar[int]
    WIDTH_FIELD_NUMBER: ClassVar[int]
    ZOOM_FACTOR_FIELD_NUMBER: ClassVar[int]
    SHRINK_FACTOR_FIELD_NUMBER: ClassVar[int]
    PAD_BEG_FIELD_NUMBER: ClassVar[int]
    PAD_END_FIELD_NUMBER: ClassVar[int]
    height: int
    width: int
    zoom_factor: int
    shrink_factor: int
    pad_beg: int
    pad_end: int
    def __init__(
        self,
        *,
        height: int | None = ...,
        width: int | None = ...,
        zoom_factor: int | None = ...,
        shrink_factor: int | None = ...,
        pad_beg: int | None = ...,
        pad_end: int | None = ...,
    ) -> None: ...

class SegAccuracyParameter(Message):
    class _AccuracyMetric(_Enum):
        PixelAccuracy: int
        ClassAccuracy: int
        PixelIOU: int

    AccuracyMetric: ClassVar[_AccuracyMetric]
    PixelAccuracy: ClassVar[int]
    ClassAccuracy: ClassVar[int]
    PixelIOU: ClassVar[int]
    METRIC_FIELD_NUMBER: ClassVar[int]
    IGNORE_LABEL_FIELD_NUMBER: ClassVar[int]
    RESET_FIELD_NUMBER: ClassVar[int]
    metric: int
    @property
    def ignore_label(self) -> _Scalars[int]: ...
    reset: bool
    def __init__(
        self,
        *,
        metric: int | str | None = ...,
        ignore_label: Iterable[int] | None = ...,
        reset: bool | None = ...,
    ) -> None: ...

class DenseImageDataParameter(Message):
    SOURCE_FIELD_NUMBER: ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: ClassVar[int]
    RAND_SKIP_FIELD_NUMBER: ClassVar[int]
    SHUFFLE_FIELD_NUMBER: ClassVar[int]
    NEW_HEIGHT_FIELD_NUMBER: ClassVar[int]
    NEW_WIDTH_FIELD_NUMBER: ClassVar[int]
    IS_COLOR_FIELD_NUMBER: ClassVar[int]
    MEAN_FILE_FIELD_NUMBER: ClassVar[int]
    ROOT_FOLDER_FIELD_NUMBER: ClassVar[int]
    MIRROR_FIELD_NUMBER: ClassVar[int]
    CROP_WIDTH_FIELD_NUMBER: ClassVar[int]
    CROP_HEIGHT_FIELD_NUMBER: ClassVar[int]
    LABEL_DIVIDE_FACTOR_FIELD_NUMBER: ClassVar[int]
    source: str
    batch_size: int
    rand_skip: int
    shuffle: bool
    new_height: int
    new_width: int
    is_color: bool
    mean_file: str
    root_folder: str
    mirror: bool
    crop_width: int
    crop_height: int
    label_divide_factor: int
    def __init__(
        self,
        *,
        source: str | None = ...,
        batch_size: int | None = ...,
        rand_skip: int | None = ...,
        shuffle: bool | None = ...,
        new_height: int | None = ...,
        new_width: int | None = ...,
        is_color: bool | None = ...,
        mean_file: str | None = ...,
        root_folder: str | None = ...,
        mirror: bool | None = ...,
        crop_width: int | None = ...,
        crop_height: int | None = ...,
        label_divide_factor: int | None = ...,
    ) -> None: ...

class MatWriteParameter(Message):
    PREFIX_FIELD_NUMBER: ClassVar[int]
    SOURCE_FIELD_NUMBER: ClassVar[int]
    STRIP_FIELD_NUMBER: ClassVar[int]
    PERIOD_FIELD_NUMBER: ClassVar[int]
    prefix: str
    source: str
    strip: int
    period: int
    def __init__(
        self,
        *,
        prefix: str | None = ...,
        source: str | None = ...,
        strip: int | None = ...,
        period: int | None = ...,
    ) -> None: ...

class DenseCRFParameter(Message):
    MAX_ITER_FIELD_NUMBER: ClassVar[int]
    POS_XY_STD_FIELD_NUMBER: ClassVar[int]
    POS_W_FIELD_NUMBER: ClassVar[int]
    BI_XY_STD_FIELD_NUMBER: ClassVar[int]
    BI_RGB_STD_FIELD_NUMBER: ClassVar[int]
    BI_W_FIELD_NUMBER: ClassVar[int]
    OUTPUT_PROBABILITY_FIELD_NUMBER: ClassVar[int]
    max_iter: int
    @property
    def pos_xy_std(self) -> _Scalars[float]: ...
    @property
    def pos_w(self) -> _Scalars[float]: ...
    @property
    def bi_xy_std(self) -> _Scalars[float]: ...
    @property
    def bi_rgb_std(self) -> _Scalars[float]: ...
    @property
    def bi_w(self) -> _Scalars[float]: ...
    output_probability: bool
    def __init__(
        self,
        *,
        max_iter: int | None = ...,
        pos_xy_std: Iterable[float] | None = ...,
        pos_w: Iterable[float] | None = ...,
        bi_xy_std: Iterable[float] | None = ...,
        bi_rgb_std: Iterable[float] | None = ...,
        bi_w: Iterable[float] | None = ...,
        output_probability: bool | None = ...,
    ) -> None: ...

class SoftmaxLossParameter(Message):
    WEIGHT_SOURCE_FIELD_NUMBER: ClassVar[int]
    IGNORE_LABEL_FIELD_NUMBER: ClassVar[int]
    weight_source: str
    @property
    def ignore_label(self) -> _Scalars[int]: ...
    def __init__(
        self,
        *,
        weight_source: str | None = ...,
        ignore_label: Iterable[int] | None = ...,
    ) -> None: ...

class MultiStageMeanfieldParameter(Message):
    class _Mode(_Enum):
        POTTS: int

    Mode: ClassVar[_Mode]
    POTTS: ClassVar[int]
    COMPATIBILITY_MODE_FIELD_NUMBER: ClassVar[int]
    THRESHOLD_FIELD_NUMBER: ClassVar[int]
    THETA_ALPHA_FIELD_NUMBER: ClassVar[int]
    THETA_BETA_FIELD_NUMBER: ClassVar[int]
    THETA_GAMMA_FIELD_NUMBER: ClassVar[int]
    NUM_ITERATIONS_FIELD_NUMBER: ClassVar[int]
    SPATIAL_FILTER_WEIGHT_FIELD_NUMBER: ClassVar[int]
    BILATERAL_FILTER_WEIGHT_FIELD_NUMBER: ClassVar[int]
    FORCED_SPATIAL_FILTER_WEIGHT_FIELD_NUMBER: ClassVar[int]
    FORCED_BILATERAL_FILTER_WEIGHT_FIELD_NUMBER: ClassVar[int]
    SPATIAL_FILTER_WEIGHTS_STR_FIELD_NUMBER: ClassVar[int]
    BILATERAL_FILTER_WEIGHTS_STR_FIELD_NUMBER: ClassVar[int]
    FORCE_CPU_FIELD_NUMBER: ClassVar[int]
    compatibility_mode: int
    threshold: float
    theta_alpha: float
    theta_beta: float
    theta_gamma: float
    num_iterations: int
    spatial_filter_weight: float
    bilateral_filter_weight: float
    forced_spatial_filter_weight: float
    forced_bilateral_filter_weight: float
    spatial_filter_weights_str: str
    bilateral_filter_weights_str: str
    force_cpu: bool
    def __init__(
        self,
        *,
        compatibility_mode: int | str | None = ...,
        threshold: float | None = ...,
        theta_alpha: float | None = ...,
        theta_beta: float | None = ...,
        theta_gamma: float | None = ...,
        num_iterations: int | None = ...,
        spatial_filter_weight: float | None = ...,
        bilateral_filter_weight: float | None = ...,
        forced_spatial_filter_weight: float | None = ...,
        forced_bilateral_filter_weight: float | None = ...,
        spatial_filter_weights_str: str | None = ...,
        bilateral_filter_weights_str: str | None = ...,
        force_cpu: bool | None = ...,
    ) -> None: ...

class PSROIPoolingParameter(Message):
    SPATIAL_SCALE_FIELD_NUMBER: ClassVar[int]
    OUTPUT_DIM_FIELD_NUMBER: ClassVar[int]
    GROUP_SIZE_FIELD_NUMBER: ClassVar[int]
    spatial_scale: float
    output_dim: int
    group_size: int
    def __init__(
        self,
        *,
        spatial_scale: float | None = ...,
        output_dim: int | None = ...,
        group_size: int | None = ...,
    ) -> None: ...

class BoxAnnotatorOHEMParameter(Message):
    ROI_PER_IMG_FIELD_NUMBER: ClassVar[int]
    IGNORE_LABEL_FIELD_NUMBER: ClassVar[int]
    roi_per_img: int
    ignore_label: int
    def __init__(
        self,
        *,
        roi_per_img: int | None = ...,
        ignore_label: int | None = ...,
    ) -> None: ...

class ProposalParameter(Message):
    FEAT_STRIDE_FIELD_NUMBER: ClassVar[int]
    BASE_SIZE_FIELD_NUMBER: ClassVar[int]
    MIN_SIZE_FIELD_NUMBER: ClassVar[int]
    RATIO_FIELD_NUMBER: ClassVar[int]
    SCALE_FIELD_NUMBER: ClassVar[int]
    PRE_NMS_TOPN_FIELD_NUMBER: ClassVar[int]
    POST_NMS_TOPN_FIELD_NUMBER: ClassVar[int]
    NMS_THRESH_FIELD_NUMBER: ClassVar[int]
    feat_stride: int
    base_size: int
    min_size: int
    @property
    def ratio(self) -> _Scalars[float]: ...
    @property
    def scale(self) -> _Scalars[float]: ...
    pre_nms_topn: int
    post_nms_topn: int
    nms_thresh: float
    def __init__(
        self,
        *,
        feat_stride: int | None = ...,
        base_size: int | None = ...,
        min_size: int | None = ...,
        ratio: Iterable[float] | None = ...,
        scale: Iterable[float] | None = ...,
        pre_nms_topn: int | None = ...,
        post_nms_topn: int | None = ...,
        nms_thresh: float | None = ...,
    ) -> None: ...

class ReorgParameter(Message):
    STRIDE_FIELD_NUMBER: ClassVar[int]
    REVERSE_FIELD_NUMBER: ClassVar[int]
    stride: int
    reverse: bool
    def __init__(
        self,
        *,
        stride: int | None = ...,
        reverse: bool | None = ...,
    ) -> None: ...

class ReLU6Parameter(Message):
    class _Engine(_Enum):
        DEFAULT: int
        CAFFE: int
        CUDNN: int

    Engine: ClassVar[_Engine]
    DEFAULT: ClassVar[int]
    CAFFE: ClassVar[int]
    CUDNN: ClassVar[int]
    NEGATIVE_SLOPE_FIELD_NUMBER: ClassVar[int]
    ENGINE_FIELD_NUMBER: ClassVar[int]
    negative_slope: float
    engine: int
    def __init__(
        self,
        *,
        negative_slope: float | None = ...,
        engine: int | str | None = ...,
    ) -> None: ...

class RegionLossParameter(Message):
    SIDE_FIELD_NUMBER: ClassVar[int]
    NUM_CLASS_FIELD_NUMBER: ClassVar[int]
    BIAS_MATCH_FIELD_NUMBER: ClassVar[int]
    COORDS_FIELD_NUMBER: ClassVar[int]
    NUM_FIELD_NUMBER: ClassVar[int]
    SOFTMAX_FIELD_NUMBER: ClassVar[int]
    JITTER_FIELD_NUMBER: ClassVar[int]
    RESCORE_FIELD_NUMBER: ClassVar[int]
    OBJECT_SCALE_FIELD_NUMBER: ClassVar[int]
    CLASS_SCALE_FIELD_NUMBER: ClassVar[int]
    NOOBJECT_SCALE_FIELD_NUMBER: ClassVar[int]
    COORD_SCALE_FIELD_NUMBER: ClassVar[int]
    ABSOLUTE_FIELD_NUMBER: ClassVar[int]
    THRESH_FIELD_NUMBER: ClassVar[int]
    RANDOM_FIELD_NUMBER: ClassVar[int]
    BIASES_FIELD_NUMBER: ClassVar[int]
    SOFTMAX_TREE_FIELD_NUMBER: ClassVar[int]
    CLASS_MAP_FIELD_NUMBER: ClassVar[int]
    side: int
    num_class: int
    bias_match: int
    coords: int
    num: int
    softmax: int
    jitter: float
    rescore: int
    object_scale: float
    class_scale: float
    noobject_scale: float
    coord_scale: float
    absolute: int
    thresh: float
    random: int
    @property
    def biases(self) -> _Scalars[float]: ...
    softmax_tree: str
    class_map: str
    def __init__(
        self,
        *,
        side: int | None = ...,
        num_class: int | None = ...,
        bias_match: int | None = ...,
        coords: int | None = ...,
        num: int | None = ...,
        softmax: int | None = ...,
        jitter: float | None = ...,
        rescore: int | None = ...,
        object_scale: float | None = ...,
        class_scale: float | None = ...,
        noobject_scale: float | None = ...,
        coord_scale: float | None = ...,
        absolute: int | None = ...,
        thresh: float | None = ...,
        random: int | None = ...,
        biases: Iterable[float] | None = ...,
        softmax_tree: str | None = ...,
        class_map: str | None = ...,
    ) -> None: ...

class RegionParameter(Message):
    CLASSES_FIELD_NUMBER: ClassVar[int]
    COORDS_FIELD_NUMBER: ClassVar[int]
    BOXES_OF_EACH_GRID_FIELD_NUMBER: ClassVar[int]
    SOFTMAX_FIELD_NUMBER: ClassVar[int]
    NMS_THRESHOLD_FIELD_NUMBER: ClassVar[int]
    IOU_THRESHOLD_FIELD_NUMBER: ClassVar[int]
    EXPAND_BIAS_FIELD_NUMBER: ClassVar[int]
    OBJECT_SCALE_FIELD_NUMBER: ClassVar[int]
    classes: int
    coords: int
    boxes_of_each_grid: int
    softmax: bool
    nms_threshold: float
    iou_threshold: float
    expand_bias: bool
    object_scale: float
    def __init__(
        self,
        *,
        classes: int | None = ...,
        coords: int | None = ...,
        boxes_of_each_grid: int | None = ...,
        softmax: bool | None = ...,
        nms_threshold: float | None = ...,
        iou_threshold: float | None = ...,
        expand_bias: bool | None = ...,
        object_scale: float | None = ...,
    ) -> None: ...

class Yolov3Parameter(Message):
    class _IOU_LOSS(_Enum):
        IOU: int
        GIOU: int
        MSE: int
        DIOU: int
        CIOU: int

    IOU_LOSS: ClassVar[_IOU_LOSS]
    IOU: ClassVar[int]
    GIOU: ClassVar[int]
    MSE: ClassVar[int]
    DIOU: ClassVar[int]
    CIOU: ClassVar[int]
    SIDE_FIELD_NUMBER: ClassVar[int]
    NUM_CLASS_FIELD_NUMBER: ClassVar[int]
    NUM_FIELD_NUMBER: ClassVar[int]
    OBJECT_SCALE_FIELD_NUMBER: ClassVar[int]
    CLASS_SCALE_FIELD_NUMBER: ClassVar[int]
    NOOBJECT_SCALE_FIELD_NUMBER: ClassVar[int]
    COORD_SCALE_FIELD_NUMBER: ClassVar[int]
    THRESH_FIELD_NUMBER: ClassVar[int]
    ANCHORS_SCALE_FIELD_NUMBER: ClassVar[int]
    BIASES_FIELD_NUMBER: ClassVar[int]
    MASK_FIELD_NUMBER: ClassVar[int]
    USE_LOGIC_GRADIENT_FIELD_NUMBER: ClassVar[int]
    USE_FOCAL_LOSS_FIELD_NUMBER: ClassVar[int]
    IOU_LOSS_FIELD_NUMBER: ClassVar[int]
    IOU_NORMALIZER_FIELD_NUMBER: ClassVar[int]
    IOU_THRESH_FIELD_NUMBER: ClassVar[int]
    MAX_DELTA_FIELD_NUMBER: ClassVar[int]
    ACCUMULATE_FIELD_NUMBER: ClassVar[int]
    LABEL_SMOOTH_EPS_FIELD_NUMBER: ClassVar[int]
    side: int
    num_class: int
    num: int
    object_scale: float
    class_scale: float
    noobject_scale: float
    coord_scale: float
    thresh: float
    anchors_scale: int
    @property
    def biases(self) -> _Scalars[float]: ...
    @property
    def mask(self) -> _Scalars[int]: ...
    use_logic_gradient: bool
    use_focal_loss: bool
    iou_loss: int
    iou_normalizer: float
    iou_thresh: float
    max_delta: float
    accumulate: bool
    label_smooth_eps: float
    def __init__(
        self,
        *,
        side: int | None = ...,
        num_class: int | None = ...,
        num: int | None = ...,
        object_scale: float | None = ...,
        class_scale: float | None = ...,
        noobject_scale: float | None = ...,
        coord_scale: float | None = ...,
        thresh: float | None = ...,
        anchors_scale: int | None = ...,
        biases: Iterable[float] | None = ...,
        mask: Iterable[int] | None = ...,
        use_logic_gradient: bool | None = ...,
        use_focal_loss: bool | None = ...,
        iou_loss: int | str | None = ...,
        iou_normalizer: float | None = ...,
        iou_thresh: float | None = ...,
        max_delta: float | None = ...,
        accumulate: bool | None = ...,
        label_smooth_eps: float | None = ...,
    ) -> None: ...

class YoloDetectionOutputParameter(Message):
    SIDE_FIELD_NUMBER: ClassVar[int]
    NUM_CLASSES_FIELD_NUMBER: ClassVar[int]
    NUM_BOX_FIELD_NUMBER: ClassVar[int]
    COORDS_FIELD_NUMBER: ClassVar[int]
    CONFIDENCE_THRESHOLD_FIELD_NUMBER: ClassVar[int]
    NMS_THRESHOLD_FIELD_NUMBER: ClassVar[int]
    BIASES_FIELD_NUMBER: ClassVar[int]
    LABEL_MAP_FILE_FIELD_NUMBER: ClassVar[int]
    side: int
    num_classes: int
    num_box: int
    coords: int
    confidence_threshold: float
    nms_threshold: float
    @property
    def biases(self) -> _Scalars[float]: ...
    label_map_file: str
    def __init__(
        self,
        *,
        side: int | None = ...,
        num_classes: int | None = ...,
        num_box: int | None = ...,
        coords: int | None = ...,
        confidence_threshold: float | None = ...,
        nms_threshold: float | None = ...,
        biases: Iterable[float] | None = ...,
        label_map_file: str | None = ...,
    ) -> None: ...

class Yolov3DetectionOutputParameter(Message):
    NUM_CLASSES_FIELD_NUMBER: ClassVar[int]
    NUM_BOX_FIELD_NUMBER: ClassVar[int]
    CONFIDENCE_THRESHOLD_FIELD_NUMBER: ClassVar[int]
    NMS_THRESHOLD_FIELD_NUMBER: ClassVar[int]
    BIASES_FIELD_NUMBER: ClassVar[int]
    ANCHORS_SCALE_FIELD_NUMBER: ClassVar[int]
    MASK_GROUP_NUM_FIELD_NUMBER: ClassVar[int]
    MASK_FIELD_NUMBER: ClassVar[int]
    GAUSSIAN_BOX_FIELD_NUMBER: ClassVar[int]
    num_classes: int
    num_box: int
    confidence_threshold: float
    nms_threshold: float
    @property
    def biases(self) -> _Scalars[float]: ...
    @property
    def anchors_scale(self) -> _Scalars[int]: ...
    mask_group_num: int
    @property
    def mask(self) -> _Scalars[int]: ...
    gaussian_box: bool
    def __init__(
        self,
        *,
        num_classes: int | None = ...,
        num_box: int | None = ...,
        confidence_threshold: float | None = ...,
        nms_threshold: float | None = ...,
        biases: Iterable[float] | None = ...,
        anchors_scale: Iterable[int] | None = ...,
        mask_group_num: int | None = ...,
        mask: Iterable[int] | None = ...,
        gaussian_box: bool | None = ...,
    ) -> None: ...

class EvalDetectionParameter(Message):
    class _ScoreType(_Enum):
        OBJ: int
        PROB: int
        MULTIPLY: int

    ScoreType: ClassVar[_ScoreType]
    OBJ: ClassVar[int]
    PROB: ClassVar[int]
    MULTIPLY: ClassVar[int]
    SIDE_FIELD_NUMBER: ClassVar[int]
    NUM_CLASS_FIELD_NUMBER: ClassVar[int]
    NUM_OBJECT_FIELD_NUMBER: ClassVar[int]
    THRESHOLD_FIELD_NUMBER: ClassVar[int]
    SQRT_FIELD_NUMBER: ClassVar[int]
    CONSTRIANT_FIELD_NUMBER: ClassVar[int]
    SCORE_TYPE_FIELD_NUMBER: ClassVar[int]
    NMS_FIELD_NUMBER: ClassVar[int]
    BIASES_FIELD_NUMBER: ClassVar[int]
    side: int
    num_class: int
    num_object: int
    threshold: float
    sqrt: bool
    constriant: bool
    score_type: int
    nms: float
    @property
    def biases(self) -> _Scalars[float]: ...
    def __init__(
        self,
        *,
        side: int | None = ...,
        num_class: int | None = ...,
        num_object: int | None = ...,
        threshold: float | None = ...,
        sqrt: bool | None = ...,
        constriant: bool | None = ...,
        score_type: int | str | None = ...,
        nms: float | None = ...,
        biases: Iterable[float] | None = ...,
    ) -> None: ...

class SpatialDropoutParameter(Message):
    DROPOUT_RATIO_FIELD_NUMBER: ClassVar[int]
    dropout_ratio: float
    def __init__(
        self,
        *,
        dropout_ratio: float | None = ...,
    ) -> None: ...

class QuantizationParameter(Message):
    class _Precision(_Enum):
        DYNAMIC_FIXED_POINT: int
        MINIFLOAT: int
        INTEGER_POWER_OF_2_WEIGHTS: int

    Precision: ClassVar[_Precision]
    DYNAMIC_FIXED_POINT: ClassVar[int]
    MINIFLOAT: ClassVar[int]
    INTEGER_POWER_OF_2_WEIGHTS: ClassVar[int]
    class _Rounding(_Enum):
        NEAREST: int
        STOCHASTIC: int

    Rounding: ClassVar[_Rounding]
    NEAREST: ClassVar[int]
    STOCHASTIC: ClassVar[int]
    PRECISION_FIELD_NUMBER: ClassVar[int]
    ROUNDING_SCHEME_FIELD_NUMBER: ClassVar[int]
    BW_LAYER_IN_FIELD_NUMBER: ClassVar[int]
    BW_LAYER_OUT_FIELD_NUMBER: ClassVar[int]
    BW_PARAMS_FIELD_NUMBER: ClassVar[int]
    FL_LAYER_IN_FIELD_NUMBER: ClassVar[int]
    FL_LAYER_OUT_FIELD_NUMBER: ClassVar[int]
    FL_PARAMS_FIELD_NUMBER: ClassVar[int]
    MANT_BITS_FIELD_NUMBER: ClassVar[int]
    EXP_BITS_FIELD_NUMBER: ClassVar[int]
    EXP_MIN_FIELD_NUMBER: ClassVar[int]
    EXP_MAX_FIELD_NUMBER: ClassVar[int]
    SCALE_IN_FIELD_NUMBER: ClassVar[int]
    SCALE_OUT_FIELD_NUMBER: ClassVar[int]
    SCALE_PARAMS_FIELD_NUMBER: ClassVar[int]
    precision: int
    rounding_scheme: int
    bw_layer_in: int
    bw_layer_out: int
    bw_params: int
    @property
    def fl_layer_in(self) -> _Scalars[int]: ...
    @property
    def fl_layer_out(self) -> _Scalars[int]: ...
    @property
    def fl_params(self) -> _Scalars[int]: ...
    mant_bits: int
    exp_bits: int
    exp_min: int
    exp_max: int
    @property
    def scale_in(self) -> _Scalars[float]: ...
    @property
    def scale_out(self) -> _Scalars[float]: ...
    @property
    def scale_params(self) -> _Scalars[float]: ...
    def __init__(
        self,
        *,
        precision: int | str | None = ...,
        rounding_scheme: int | str | None = ...,
        bw_layer_in: int | None = ...,
        bw_layer_out: int | None = ...,
        bw_params: int | None = ...,
        fl_layer_in: Iterable[int] | None = ...,
        fl_layer_out: Iterable[int] | None = ...,
        fl_params: Iterable[int] | None = ...,
        mant_bits: int | None = ...,
        exp_bits: int | None = ...,
        exp_min: int | None = ...,
        exp_max: int | None = ...,
        scale_in: Iterable[float] | None = ...,
        scale_out: Iterable[float] | None = ...,
        scale_params: Iterable[float] | None = ...,
    ) -> None: ...

class SegDataParameter(Message):
    SOURCE_FIELD_NUMBER: ClassVar[int]
    ROOT_DIR_FIELD_NUMBER: ClassVar[int]
    SHUFFLE_FIELD_NUMBER: ClassVar[int]
    BALANCE_FIELD_NUMBER: ClassVar[int]
    source: str
    root_dir: str
    shuffle: bool
    balance: bool
    def __init__(
        self,
        *,
        source: str | None = ...,
        root_dir: str | None = ...,
        shuffle: bool | None = ...,
        balance: bool | None = ...,
    ) -> None: ...

class BatchReductionParameter(Message):
    LEVEL_FIELD_NUMBER: ClassVar[int]
    REDUCTION_PARAM_FIELD_NUMBER: ClassVar[int]
    POS_FIELD_NUMBER: ClassVar[int]
    @property
    def level(self) -> _Scalars[int]: ...
    @property
    def reduction_param(self) -> ReductionParameter: ...
    pos: bool
    def __init__(
        self,
        *,
        level: Iterable[int] | None = ...,
        reduction_param: ReductionParameter | Mapping[str, Any] | None = ...,
        pos: bool | None = ...,
    ) -> None: ...

class LSTMParameter(Message):
    NUM_OUTPUT_FIELD_NUMBER: ClassVar[int]
    CLIPPING_THRESHOLD_FIELD_NUMBER: ClassVar[int]
    WEIGHT_FILLER_FIELD_NUMBER: ClassVar[int]
    BIAS_FILLER_FIELD_NUMBER: ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: ClassVar[int]
    num_output: int
    clipping_threshold: float
    @property
    def weight_filler(self) -> FillerParameter: ...
    @property
    def bias_filler(self) -> FillerParameter: ...
    batch_size: int
    def __init__(
        self,
        *,
        num_output: int | None = ...,
        clipping_threshold: float | None = ...,
        weight_filler: FillerParameter | Mapping[str, Any] | None = ...,
        bias_filler: FillerParameter | Mapping[str, Any] | None = ...,
        batch_size: int | None = ...,
    ) -> None: ...

class TransposeParameter(Message):
    DIM_FIELD_NUMBER: ClassVar[int]
    @property
    def dim(self) -> _Scalars[int]: ...
    def __init__(
        self,
        *,
        dim: Iterable[int] | None = ...,
    ) -> None: ...

class ReverseParameter(Message):
    AXIS_FIELD_NUMBER: ClassVar[int]
    axis: int
    def __init__(
        self,
        *,
        axis: int | None = ...,
    ) -> None: ...

class CtcLossParameter(Message):
    ALPHABET_SIZE_FIELD_NUMBER: ClassVar[int]
    TIME_STEP_FIELD_NUMBER: ClassVar[int]
    BLANK_LABEL_FIELD_NUMBER: ClassVar[int]
    alphabet_size: int
    time_step: int
    blank_label: int
    def __init__(
        self,
        *,
        alphabet_size: int | None = ...,
        time_step: int | None = ...,
        blank_label: int | None = ...,
    ) -> None: ...

class ContinuationIndicatorParameter(Message):
    TIME_STEP_FIELD_NUMBER: ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: ClassVar[int]
    time_step: int
    batch_size: int
    def __init__(
        self,
        *,
        time_step: int | None = ...,
        batch_size: int | None = ...,
    ) -> None: ...

class LabelsequenceAccuracyParameter(Message):
    BLANK_LABEL_FIELD_NUMBER: ClassVar[int]
    blank_label: int
    def __init__(
        self,
        *,
        blank_label: int | None = ...,
    ) -> None: ...

class CenterLossParameter(Message):
    NUM_OUTPUT_FIELD_NUMBER: ClassVar[int]
    CENTER_FILLER_FIELD_NUMBER: ClassVar[int]
    AXIS_FIELD_NUMBER: ClassVar[int]
    num_output: int
    @property
    def center_filler(self) -> FillerParameter: ...
    axis: int
    def __init__(
        self,
        *,
        num_output: int | None = ...,
        center_filler: FillerParameter | Mapping[str, Any] | None = ...,
        axis: int | None = ...,
    ) -> None: ...

class MarginInnerProductParameter(Message):
    class _MarginType(_Enum):
        SINGLE: int
        DOUBLE: int
        TRIPLE: int
        QUADRUPLE: int

    MarginType: ClassVar[_MarginType]
    SINGLE: ClassVar[int]
    DOUBLE: ClassVar[int]
    TRIPLE: ClassVar[int]
    QUADRUPLE: ClassVar[int]
    NUM_OUTPUT_FIELD_NUMBER: ClassVar[int]
    TYPE_FIELD_NUMBER: ClassVar[int]
    WEIGHT_FILLER_FIELD_NUMBER: ClassVar[int]
    AXIS_FIELD_NUMBER: ClassVar[int]
    BASE_FIELD_NUMBER: ClassVar[int]
    GAMMA_FIELD_NUMBER: ClassVar[int]
    POWER_FIELD_NUMBER: ClassVar[int]
    ITERATION_FIELD_NUMBER: ClassVar[int]
    LAMBDA_MIN_FIELD_NUMBER: ClassVar[int]
    num_output: int
    type: int
    @property
    def weight_filler(self) -> FillerParameter: ...
    axis: int
    base: float
    gamma: float
    power: float
    iteration: int
    lambda_min: float
    def __init__(
        self,
        *,
        num_output: int | None = ...,
        type: int | str | None = ...,
        weight_filler: FillerParameter | Mapping[str, Any] | None = ...,
        axis: int | None = ...,
        base: float | None = ...,
        gamma: float | None = ...,
        power: float | None = ...,
        iteration: int | None = ...,
        lambda_min: float | None = ...,
    ) -> None: ...

class ShuffleChannelParameter(Message):
    GROUP_FIELD_NUMBER: ClassVar[int]
    group: int
    def __init__(
        self,
        *,
        group: int | None = ...,
    ) -> None: ...

class SqueezeParameter(Message):
    AXIS_FIELD_NUMBER: ClassVar[int]
    @property
    def axis(self) -> _Scalars[int]: ...
    def __init__(
        self,
        *,
        axis: Iterable[int] | None = ...,
    ) -> None: ...

class ResizeBilinearParameter(Message):
    ALIGN_CORNERS_FIELD_NUMBER: ClassVar[int]
    OUTPUT_HEIGHT_FIELD_NUMBER: ClassVar[int]
    OUTPUT_WIDTH_FIELD_NUMBER: ClassVar[int]
    DATA_FORMAT_FIELD_NUMBER: ClassVar[int]
    SCALE_HEIGHT_FIELD_NUMBER: ClassVar[int]
    SCALE_WIDTH_FIELD_NUMBER: ClassVar[int]
    HALF_PIXEL_CENTERS_FIELD_NUMBER: ClassVar[int]
    PYTORCH_HALF_PIXEL_FIELD_NUMBER: ClassVar[int]
    align_corners: bool
    output_height: int
    output_width: int
    data_format: str
    scale_height: float
    scale_width: float
    half_pixel_centers: bool
    pytorch_half_pixel: bool
    def __init__(
        self,
        *,
        align_corners: bool | None = ...,
        output_height: int | None = ...,
        output_width: int | None = ...,
        data_format: str | None = ...,
        scale_height: float | None = ...,
        scale_width: float | None = ...,
        half_pixel_centers: bool | None = ...,
        pytorch_half_pixel: bool | None = ...,
    ) -> None: ...

class CropCenterParameter(Message):
    CROP_SIZE_FIELD_NUMBER: ClassVar[int]
    @property
    def crop_size(self) -> _Scalars[int]: ...
    def __init__(
        self,
        *,
        crop_size: Iterable[int] | None = ...,
    ) -> None: ...

class V1LayerParameter(Message):
    class _LayerType(_Enum):
        NONE: int
        ABSVAL: int
        ACCURACY: int
        ARGMAX: int
        BNLL: int
        CONCAT: int
        CONTRASTIVE_LOSS: int
        CONVOLUTION: int
        DATA: int
        DECONVOLUTION: int
        DROPOUT: int
        DUMMY_DATA: int
        EUCLIDEAN_LOSS: int
        ELTWISE: int
        EXP: int
        FLATTEN: int
        HDF5_DATA: int
        HDF5_OUTPUT: int
        HINGE_LOSS: int
        IM2COL: int
        IMAGE_DATA: int
        INFOGAIN_LOSS: int
        INNER_PRODUCT: int
        LRN: int
        MEMORY_DATA: int
        MULTINOMIAL_LOGISTIC_LOSS: int
        MVN: int
        POOLING: int
        POWER: int
        RELU: int
        SIGMOID: int
        SIGMOID_CROSS_ENTROPY_LOSS: int
        SILENCE: int
        SOFTMAX: int
        SOFTMAX_LOSS: int
        SPLIT: int
        SLICE: int
        TANH: int
        WINDOW_DATA: int
        THRESHOLD: int
        IMAGE_SEG_DATA: int
        INTERP: int
        SEG_ACCURACY: int
        CROP: int
        MULTI_STAGE_MEANFIELD: int
        BN: int
        UPSAMPLE: int
        DENSE_IMAGE_DATA: int
        PRELU: int
        RESHAPE: int

    LayerType: ClassVar[_LayerType]
    NONE: ClassVar[int]
    ABSVAL: ClassVar[int]
    ACCURACY: ClassVar[int]
    ARGMAX: ClassVar[int]
    BNLL: ClassVar[int]
    CONCAT: ClassVar[int]
    CONTRASTIVE_LOSS: ClassVar[int]
    CONVOLUTION: ClassVar[int]
    DATA: ClassVar[int]
    DECONVOLUTION: ClassVar[int]
    DROPOUT: ClassVar[int]
    DUMMY_DATA: ClassVar[int]
    EUCLIDEAN_LOSS: ClassVar[int]
    ELTWISE: ClassVar[int]
    EXP: ClassVar[int]
    FLATTEN: ClassVar[int]
    HDF5_DATA: ClassVar[int]
    HDF5_OUTPUT: ClassVar[int]
    HINGE_LOSS: ClassVar[int]
    IM2COL: ClassVar[int]
    IMAGE_DATA: ClassVar[int]
    INFOGAIN_LOSS: ClassVar[int]
    INNER_PRODUCT: ClassVar[int]
    LRN: ClassVar[int]
    MEMORY_DATA: ClassVar[int]
    MULTINOMIAL_LOGISTIC_LOSS: ClassVar[int]
    MVN: ClassVar[int]
    POOLING: ClassVar[int]
    POWER: ClassVar[int]
    RELU: ClassVar[int]
    SIGMOID: ClassVar[int]
    SIGMOID_CROSS_ENTROPY_LOSS: ClassVar[int]
    SILENCE: ClassVar[int]
    SOFTMAX: ClassVar[int]
    SOFTMAX_LOSS: ClassVar[int]
    SPLIT: ClassVar[int]
    SLICE: ClassVar[int]
    TANH: ClassVar[int]
    WINDOW_DATA: ClassVar[int]
    THRESHOLD: ClassVar[int]
    IMAGE_SEG_DATA: ClassVar[int]
    INTERP: ClassVar[int]
    SEG_ACCURACY: ClassVar[int]
    CROP: ClassVar[int]
    MULTI_STAGE_MEANFIELD: ClassVar[int]
    BN: ClassVar[int]
    UPSAMPLE: ClassVar[int]
    DENSE_IMAGE_DATA: ClassVar[int]
    PRELU: ClassVar[int]
    RESHAPE: ClassVar[int]
    class _DimCheckMode(_Enum):
        STRICT: int
        PERMISSIVE: int

    DimCheckMode: ClassVar[_DimCheckMode]
    STRICT: ClassVar[int]
    PERMISSIVE: ClassVar[int]
    BOTTOM_FIELD_NUMBER: ClassVar[int]
    TOP_FIELD_NUMBER: ClassVar[int]
    NAME_FIELD_NUMBER: ClassVar[int]
    INCLUDE_FIELD_NUMBER: ClassVar[int]
    EXCLUDE_FIELD_NUMBER: ClassVar[int]
    TYPE_FIELD_NUMBER: ClassVar[int]
    BLOBS_FIELD_NUMBER: ClassVar[int]
    PARAM_FIELD_NUMBER: ClassVar[int]
    BLOB_SHARE_MODE_FIELD_NUMBER: ClassVar[int]
    BLOBS_LR_FIELD_NUMBER: ClassVar[int]
    WEIGHT_DECAY_FIELD_NUMBER: ClassVar[int]
    LOSS_WEIGHT_FIELD_NUMBER: ClassVar[int]
    ACCURACY_PARAM_FIELD_NUMBER: ClassVar[int]
    ARGMAX_PARAM_FIELD_NUMBER: ClassVar[int]
    CONCAT_PARAM_FIELD_NUMBER: ClassVar[int]
    CONTRASTIVE_LOSS_PARAM_FIELD_NUMBER: ClassVar[int]
    CONVOLUTION_PARAM_FIELD_NUMBER: ClassVar[int]
    DATA_PARAM_FIELD_NUMBER: ClassVar[int]
    DROPOUT_PARAM_FIELD_NUMBER: ClassVar[int]
    DUMMY_DATA_PARAM_FIELD_NUMBER: ClassVar[int]
    ELTWISE_PARAM_FIELD_NUMBER: ClassVar[int]
    EXP_PARAM_FIELD_NUMBER: ClassVar[int]
    HDF5_DATA_PARAM_FIELD_NUMBER: ClassVar[int]
    HDF5_OUTPUT_PARAM_FIELD_NUMBER: ClassVar[int]
    HINGE_LOSS_PARAM_FIELD_NUMBER: ClassVar[int]
    IMAGE_DATA_PARAM_FIELD_NUMBER: ClassVar[int]
    INFOGAIN_LOSS_PARAM_FIELD_NUMBER: ClassVar[int]
    INNER_PRODUCT_PARAM_FIELD_NUMBER: ClassVar[int]
    LRN_PARAM_FIELD_NUMBER: ClassVar[int]
    MEMORY_DATA_PARAM_FIELD_NUMBER: ClassVar[int]
    MVN_PARAM_FIELD_NUMBER: ClassVar[int]
    POOLING_PARAM_FIELD_NUMBER: ClassVar[int]
    POWER_PARAM_FIELD_NUMBER: ClassVar[int]
    RELU_PARAM_FIELD_NUMBER: ClassVar[int]
    SIGMOID_PARAM_FIELD_NUMBER: ClassVar[int]
    SOFTMAX_PARAM_FIELD_NUMBER: ClassVar[int]
    SLICE_PARAM_FIELD_NUMBER: ClassVar[int]
    TANH_PARAM_FIELD_NUMBER: ClassVar[int]
    THRESHOLD_PARAM_FIELD_NUMBER: ClassVar[int]
    WINDOW_DATA_PARAM_FIELD_NUMBER: ClassVar[int]
    TRANSFORM_PARAM_FIELD_NUMBER: ClassVar[int]
    LOSS_PARAM_FIELD_NUMBER: ClassVar[int]
    LAYER_FIELD_NUMBER: ClassVar[int]
    BN_PARAM_FIELD_NUMBER: ClassVar[int]
    DENSE_IMAGE_DATA_PARAM_FIELD_NUMBER: ClassVar[int]
    PRELU_PARAM_FIELD_NUMBER: ClassVar[int]
    RESHAPE_PARAM_FIELD_NUMBER: ClassVar[int]
    CROP_PARAM_FIELD_NUMBER: ClassVar[int]
    INTERP_PARAM_FIELD_NUMBER: ClassVar[int]
    SEG_ACCURACY_PARAM_FIELD_NUMBER: ClassVar[int]
    UPSAMPLE_PARAM_FIELD_NUMBER: ClassVar[int]
    MULTI_STAGE_MEANFIELD_PARAM_FIELD_NUMBER: ClassVar[int]
    SOFTMAXLOSS_PARAM_FIELD_NUMBER: ClassVar[int]
    @property
    def bottom(self) -> _Scalars[str]: ...
    @property
    def top(self) -> _Scalars[str]: ...
    name: str
    @property
    def include(self) -> _Messages[NetStateRule]: ...
    @property
    def exclude(self) -> _Messages[NetStateRule]: ...
    type: int
    @property
    def blobs(self) -> _Messages[BlobProto]: ...
    @property
    def param(self) -> _Scalars[str]: ...
    @property
    def blob_share_mode(self) -> _Scalars[int]: ...
    @property
    def blobs_lr(self) -> _Scalars[float]: ...
    @property
    def weight_decay(self) -> _Scalars[float]: ...
    @property
    def loss_weight(self) -> _Scalars[float]: ...
    @property
    def accuracy_param(self) -> AccuracyParameter: ...
    @property
    def argmax_param(self) -> ArgMaxParameter: ...
    @property
    def concat_param(self) -> ConcatParameter: ...
    @property
    def contrastive_loss_param(self) -> ContrastiveLossParameter: ...
    @property
    def convolution_param(self) -> ConvolutionParameter: ...
    @property
    def data_param(self) -> DataParameter: ...
    @property
    def dropout_param(self) -> DropoutParameter: ...
    @property
    def dummy_data_param(self) -> DummyDataParameter: ...
    @property
    def eltwise_param(self) -> EltwiseParameter: ...
    @property
    def exp_param(self) -> ExpParameter: ...
    @property
    def hdf5_data_param(self) -> HDF5DataParameter: ...
    @property
    def hdf5_output_param(self) -> HDF5OutputParameter: ...
    @property
    def hinge_loss_param(self) -> HingeLossParameter: ...
    @property
    def image_data_param(self) -> ImageDataParameter: ...
    @property
    def infogain_loss_param(self) -> InfogainLossParameter: ...
    @property
    def inner_product_param(self) -> InnerProductParameter: ...
    @property
    def lrn_param(self) -> LRNParameter: ...
    @property
    def memory_data_param(self) -> MemoryDataParameter: ...
    @property
    def mvn_param(self) -> MVNParameter: ...
    @property
    def pooling_param(self) -> PoolingParameter: ...
    @property
    def power_param(self) -> PowerParameter: ...
    @property
    def relu_param(self) -> ReLUParameter: ...
    @property
    def sigmoid_param(self) -> SigmoidParameter: ...
    @property
    def softmax_param(self) -> SoftmaxParameter: ...
    @property
    def slice_param(self) -> SliceParameter: ...
    @property
    def tanh_param(self) -> TanHParameter: ...
    @property
    def threshold_param(self) -> ThresholdParameter: ...
    @property
    def window_data_param(self) -> WindowDataParameter: ...
    @property
    def transform_param(self) -> TransformationParameter: ...
    @property
    def loss_param(self) -> LossParameter: ...
    @property
    def layer(self) -> V0LayerParameter: ...
    @property
    def bn_param(self) -> BNParameter: ...
    @property
    def dense_image_data_param(self) -> DenseImageDataParameter: ...
    @property
    def prelu_param(self) -> PReLUParameter: ...
    @property
    def reshape_param(self) -> ReshapeParameter: ...
    @property
    def crop_param(self) -> CropParameter: ...
    @property
    def interp_param(self) -> InterpParameter: ...
    @property
    def seg_accuracy_param(self) -> SegAccuracyParameter: ...
    @property
    def upsample_param(self) -> UpsampleParameter: ...
    @property
    def multi_stage_meanfield_param(self) -> MultiStageMeanfieldParameter: ...
    @property
    def softmaxloss_param(self) -> SoftmaxLossParameter: ...
    def __init__(
        self,
        *,
        bottom: Iterable[str] | None = ...,
        top: Iterable[str] | None = ...,
        name: str | None = ...,
        include: Iterable[NetStateRule | Mapping[str, Any]] | None = ...,
        exclude: Iterable[NetStateRule | Mapping[str, Any]] | None = ...,
        type: int | str | None = ...,
        blobs: Iterable[BlobProto | Mapping[str, Any]] | None = ...,
        param: Iterable[str] | None = ...,
        blob_share_mode: Iterable[int | str] | None = ...,
        blobs_lr: Iterable[float] | None = ...,
        weight_decay: Iterable[float] | None = ...,
        loss_weight: Iterable[float] | None = ...,
        accuracy_param: AccuracyParameter | Mapping[str, Any] | None = ...,
        argmax_param: ArgMaxParameter | Mapping[str, Any] | None = ...,
        concat_param: ConcatParameter | Mapping[str, Any] | None = ...,
        contrastive_loss_param: ContrastiveLossParameter | Mapping[str, Any] | None = ...,
        convolution_param: ConvolutionParameter | Mapping[str, Any] | None = ...,
        data_param: DataParameter | Mapping[str, Any] | None = ...,
        dropout_param: DropoutParameter | Mapping[str, Any] | None = ...,
        dummy_data_param: DummyDataParameter | Mapping[str, Any] | None = ...,
        eltwise_param: EltwiseParameter | Mapping[str, Any] | None = ...,
        exp_param: ExpParameter | Mapping[str, Any] | None = ...,
        hdf5_data_param: HDF5DataParameter | Mapping[str, Any] | None = ...,
        hdf5_output_param: HDF5OutputParameter | Mapping[str, Any] | None = ...,
        hinge_loss_param: HingeLossParameter | Mapping[str, Any] | None = ...,
        image_data_param: ImageDataParameter | Mapping[str, Any] | None = ...,
        infogain_loss_param: InfogainLossParameter | Mapping[str, Any] | None = ...,
        inner_product_param: InnerProductParameter | Mapping[str, Any] | None = ...,
        lrn_param: LRNParameter | Mapping[str, Any] | None = ...,
        memory_data_param: MemoryDataParameter | Mapping[str, Any] | None = ...,
        mvn_param: MVNParameter | Mapping[str, Any] | None = ...,
        pooling_param: PoolingParameter | Mapping[str, Any] | None = ...,
        power_param: PowerParameter | Mapping[str, Any] | None = ...,
        relu_param: ReLUParameter | Mapping[str, Any] | None = ...,
        sigmoid_param: SigmoidParameter | Mapping[str, Any] | None = ...,
        softmax_param: SoftmaxParameter | Mapping[str, Any] | None = ...,
        slice_param: SliceParameter | Mapping[str, Any] | None = ...,
        tanh_param: TanHParameter | Mapping[str, Any] | None = ...,
        threshold_param: ThresholdParameter | Mapping[str, Any] | None = ...,
        window_data_param: WindowDataParameter | Mapping[str, Any] | None = ...,
        transform_param: TransformationParameter | Mapping[str, Any] | None = ...,
        loss_param: LossParameter | Mapping[str, Any] | None = ...,
        layer: V0LayerParameter | Mapping[str, Any] | None = ...,
        bn_param: BNParameter | Mapping[str, Any] | None = ...,
        dense_image_data_param: DenseImageDataParameter | Mapping[str, Any] | None = ...,
        prelu_param: PReLUParameter | Mapping[str, Any] | None = ...,
        reshape_param: ReshapeParameter | Mapping[str, Any] | None = ...,
        crop_param: CropParameter | Mapping[str, Any] | None = ...,
        interp_param: InterpParameter | Mapping[str, Any] | None = ...,
        seg_accuracy_param: SegAccuracyParameter | Mapping[str, Any] | None = ...,
        upsample_param: UpsampleParameter | Mapping[str, Any] | None = ...,
        multi_stage_meanfield_param: MultiStageMeanfieldParameter | Mapping[str, Any] | None = ...,
        softmaxloss_param: SoftmaxLossParameter | Mapping[str, Any] | None = ...,
    ) -> None: ...

class V0LayerParameter(Message):
    class _PoolMethod(_Enum):
        MAX: int
        AVE: int
        STOCHASTIC: int

    PoolMethod: ClassVar[_PoolMethod]
    MAX: ClassVar[int]
    AVE: ClassVar[int]
    STOCHASTIC: ClassVar[int]
    NAME_FIELD_NUMBER: ClassVar[int]
    TYPE_FIELD_NUMBER: ClassVar[int]
    NUM_OUTPUT_FIELD_NUMBER: ClassVar[int]
    BIASTERM_FIELD_NUMBER: ClassVar[int]
    WEIGHT_FILLER_FIELD_NUMBER: ClassVar[int]
    BIAS_FILLER_FIELD_NUMBER: ClassVar[int]
    PAD_FIELD_NUMBER: ClassVar[int]
    KERNELSIZE_FIELD_NUMBER: ClassVar[int]
    GROUP_FIELD_NUMBER: ClassVar[int]
    STRIDE_FIELD_NUMBER: ClassVar[int]
    POOL_FIELD_NUMBER: ClassVar[int]
    DROPOUT_RATIO_FIELD_NUMBER: ClassVar[int]
    LOCAL_SIZE_FIELD_NUMBER: ClassVar[int]
    ALPHA_FIELD_NUMBER: ClassVar[int]
    BETA_FIELD_NUMBER: ClassVar[int]
    K_FIELD_NUMBER: ClassVar[int]
    SOURCE_FIELD_NUMBER: ClassVar[int]
    SCALE_FIELD_NUMBER: ClassVar[int]
    MEANFILE_FIELD_NUMBER: ClassVar[int]
    BATCHSIZE_FIELD_NUMBER: ClassVar[int]
    CROPSIZE_FIELD_NUMBER: ClassVar[int]
    MIRROR_FIELD_NUMBER: ClassVar[int]
    BLOBS_FIELD_NUMBER: ClassVar[int]
    BLOBS_LR_FIELD_NUMBER: ClassVar[int]
    WEIGHT_DECAY_FIELD_NUMBER: ClassVar[int]
    RAND_SKIP_FIELD_NUMBER: ClassVar[int]
    DET_FG_THRESHOLD_FIELD_NUMBER: ClassVar[int]
    DET_BG_THRESHOLD_FIELD_NUMBER: ClassVar[int]
    DET_FG_FRACTION_FIELD_NUMBER: ClassVar[int]
    DET_CONTEXT_PAD_FIELD_NUMBER: ClassVar[int]
    DET_CROP_MODE_FIELD_NUMBER: ClassVar[int]
    NEW_NUM_FIELD_NUMBER: ClassVar[int]
    NEW_CHANNELS_FIELD_NUMBER: ClassVar[int]
    NEW_HEIGHT_FIELD_NUMBER: ClassVar[int]
    NEW_WIDTH_FIELD_NUMBER: ClassVar[int]
    SHUFFLE_IMAGES_FIELD_NUMBER: ClassVar[int]
    CONCAT_DIM_FIELD_NUMBER: ClassVar[int]
    HDF5_OUTPUT_PARAM_FIELD_NUMBER: ClassVar[int]
    name: str
    type: str
    num_output: int
    biasterm: bool
    @property
    def weight_filler(self) -> FillerParameter: ...
    @property
    def bias_filler(self) -> FillerParameter: ...
    pad: int
    kernelsize: int
    group: int
    stride: int
    pool: int
    dropout_ratio: float
    local_size: int
    alpha: float
    beta: float
    k: float
    source: str
    scale: float
    meanfile: str
    batchsize: int
    cropsize: int
    mirror: bool
    @property
    def blobs(self) -> _Messages[BlobProto]: ...
    @property
    def blobs_lr(self) -> _Scalars[float]: ...
    @property
    def weight_decay(self) -> _Scalars[float]: ...
    rand_skip: int
    det_fg_threshold: float
    det_bg_threshold: float
    det_fg_fraction: float
    det_context_pad: int
    det_crop_mode: str
    new_num: int
    new_channels: int
    new_height: int
    new_width: int
    shuffle_images: bool
    concat_dim: int
    @property
    def hdf5_output_param(self) -> HDF5OutputParameter: ...
    def __init__(
        self,
        *,
        name: str | None = ...,
        type: str | None = ...,
        num_output: int | None = ...,
        biasterm: bool | None = ...,
        weight_filler: FillerParameter | Mapping[str, Any] | None = ...,
        bias_filler: FillerParameter | Mapping[str, Any] | None = ...,
        pad: int | None = ...,
        kernelsize: int | None = ...,
        group: int | None = ...,
        stride: int | None = ...,
        pool: int | str | None = ...,
        dropout_ratio: float | None = ...,
        local_size: int | None = ...,
        alpha: float | None = ...,
        beta: float | None = ...,
        k: float | None = ...,
        source: str | None = ...,
        scale: float | None = ...,
        meanfile: str | None = ...,
        batchsize: int | None = ...,
        cropsize: int | None = ...,
        mirror: bool | None = ...,
        blobs: Iterable[BlobProto | Mapping[str, Any]] | None = ...,
        blobs_lr: Iterable[float] | None = ...,
        weight_decay: Iterable[float] | None = ...,
        rand_skip: int | None = ...,
        det_fg_threshold: float | None = ...,
        det_bg_threshold: float | None = ...,
        det_fg_fraction: float | None = ...,
        det_context_pad: int | None = ...,
        det_crop_mode: str | None = ...,
        new_num: int | None = ...,
        new_channels: int | None = ...,
        new_height: int | None = ...,
        new_width: int | None = ...,
        shuffle_images: bool | None = ...,
        concat_dim: int | None = ...,
        hdf5_output_param: HDF5OutputParameter | Mapping[str, Any] | None = ...,
    ) -> None: ...
