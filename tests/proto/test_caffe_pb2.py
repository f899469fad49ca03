"""protos/caffe.proto and the module generated from it."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import math
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, text_format

from adaption.proto import caffe_pb2

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "protos" / "caffe.proto"
GENERATOR = ROOT / "scripts" / "generate_proto.py"
# In the order of their numbers, 0 to 39.
V1_TYPES = """
    NONE ACCURACY BNLL CONCAT CONVOLUTION DATA DROPOUT EUCLIDEAN_LOSS FLATTEN HDF5_DATA HDF5_OUTPUT
    IM2COL IMAGE_DATA INFOGAIN_LOSS INNER_PRODUCT LRN MULTINOMIAL_LOGISTIC_LOSS POOLING RELU SIGMOID
    SOFTMAX SOFTMAX_LOSS SPLIT TANH WINDOW_DATA ELTWISE POWER SIGMOID_CROSS_ENTROPY_LOSS HINGE_LOSS
    MEMORY_DATA ARGMAX THRESHOLD DUMMY_DATA SLICE MVN ABSVAL SILENCE CONTRASTIVE_LOSS EXP
    DECONVOLUTION
""".split()


def descriptor(message: str) -> Any:
    return getattr(caffe_pb2, message).DESCRIPTOR


@pytest.mark.parametrize("name", ["caffe_pb2.py", "caffe_pb2.pyi"])
def test_generated_from_this_proto(name: str) -> None:
    sha = hashlib.sha256(PROTO.read_text(encoding="utf-8").encode()).hexdigest()
    assert f"sha256: {sha}" in (ROOT / "adaption" / "proto" / name).read_text(encoding="utf-8")


def test_regenerating_changes_nothing() -> None:
    if importlib.util.find_spec("grpc_tools") is None:
        pytest.skip("grpcio-tools is not installed")
    command = [sys.executable, str(GENERATOR), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


# Source: specs/adaption.md section 2.2 (ADaPTION, src/caffe/proto/caffe.proto).
@pytest.mark.parametrize(
    ("message", "field", "number", "default"),
    [
        ("LayerParameter", "lpfp_param", 147, None),
        ("LayerParameter", "roi_pooling_param", 148, None),
        ("LayerParameter", "smooth_l1_loss_param", 149, None),
        ("LayerParameter", "lp_convolution_param", 150, None),
        ("LayerParameter", "lp_act_param", 151, None),
        ("LayerParameter", "lp_inner_product_param", 152, None),
        ("LowPrecisionFPParameter", "bd", 1, 0),
        ("LowPrecisionFPParameter", "ad", 2, 0),
        ("LowPrecisionFPParameter", "round_bias", 3, False),
        ("LowPrecisionFPParameter", "rounding_scheme", 4, 0),
        ("LPConvolutionParameter", "bd", 19, 8),
        ("LPConvolutionParameter", "ad", 20, 8),
        ("LPConvolutionParameter", "round_bias", 21, False),
        ("LPConvolutionParameter", "rounding_scheme", 22, 0),
        ("LPActivationParam", "bd", 1, 8),
        ("LPActivationParam", "ad", 2, 8),
        ("LPActivationParam", "rounding_scheme", 3, 0),
        ("LPInnerProductParameter", "bd", 7, 8),
        ("LPInnerProductParameter", "ad", 8, 8),
        ("LPInnerProductParameter", "round_bias", 9, False),
        ("LPInnerProductParameter", "rounding_scheme", 10, 0),
        ("SolverParameter", "estimate", 41, 0),
        ("ROIPoolingParameter", "pooled_h", 1, 0),
        ("ROIPoolingParameter", "pooled_w", 2, 0),
        ("ROIPoolingParameter", "spatial_scale", 3, 1),
        ("SmoothL1LossParameter", "sigma", 1, 1),
    ],
)
def test_adaption_numbers(message: str, field: str, number: int, default: object) -> None:
    found = descriptor(message).fields_by_name[field]
    assert (found.number, found.default_value) == (number, default)


@pytest.mark.parametrize(
    ("lp", "plain", "last"),
    [
        ("LPConvolutionParameter", "ConvolutionParameter", 18),
        ("LPInnerProductParameter", "InnerProductParameter", 6),
    ],
)
def test_lp_messages_begin_as_the_plain_ones(lp: str, plain: str, last: int) -> None:
    def begin(message: str) -> set[tuple[str, int, object]]:
        fields = descriptor(message).fields
        return {(f.name, f.number, f.type) for f in fields if f.number <= last}

    assert begin(lp) == begin(plain)
    assert len(begin(lp)) == last


@pytest.mark.parametrize(
    ("message", "scheme"),
    [
        ("LowPrecisionFPParameter", {"DETERMINISTIC": 0, "STOCHASTIC": 1}),
        ("LPConvolutionParameter", {"DETERMINISTIC": 0, "STOCHASTIC": 1}),
        ("LPActivationParam", {"DETERMINISTIC": 0, "STOCHASTIC": 1}),
        ("LPInnerProductParameter", {"DETERMINISTIC": 0, "STOCHASTIC": 1}),
    ],
)
def test_rounding_schemes(message: str, scheme: dict[str, int]) -> None:
    assert dict(getattr(caffe_pb2, message).RoundingScheme.items()) == scheme


@pytest.mark.parametrize(
    ("message", "field", "default"),
    [
        ("FillerParameter", "type", "constant"),
        ("FillerParameter", "value", 0),
        ("FillerParameter", "max", 1),
        ("FillerParameter", "std", 1),
        ("FillerParameter", "sparse", -1),
        ("FillerParameter", "variance_norm", caffe_pb2.FillerParameter.FAN_IN),
        ("NetState", "phase", caffe_pb2.TEST),
        ("NetParameter", "force_backward", False),
        ("ParamSpec", "lr_mult", 1),
        ("ParamSpec", "decay_mult", 1),
        ("SolverParameter", "type", "SGD"),
        ("SolverParameter", "average_loss", 1),
        ("SolverParameter", "iter_size", 1),
        ("SolverParameter", "clip_gradients", -1),
        ("SolverParameter", "regularization_type", "L2"),
        ("SolverParameter", "snapshot_format", caffe_pb2.SolverParameter.BINARYPROTO),
        ("SolverParameter", "snapshot_after_train", True),
        ("SolverParameter", "test_initialization", True),
        ("SolverParameter", "solver_mode", caffe_pb2.SolverParameter.GPU),
        ("SolverParameter", "random_seed", -1),
        ("SolverParameter", "delta", 1e-8),
        ("SolverParameter", "momentum2", 0.999),
        ("SolverParameter", "rms_decay", 0.99),
        ("TransformationParameter", "scale", 1),
        ("LossParameter", "normalization", caffe_pb2.LossParameter.VALID),
        ("AccuracyParameter", "top_k", 1),
        ("AccuracyParameter", "axis", 1),
        ("BatchNormParameter", "moving_average_fraction", 0.999),
        ("BatchNormParameter", "eps", 1e-5),
        ("ConcatParameter", "axis", 1),
        ("ConvolutionParameter", "bias_term", True),
        ("ConvolutionParameter", "group", 1),
        ("ConvolutionParameter", "axis", 1),
        ("CropParameter", "axis", 2),
        ("DataParameter", "backend", caffe_pb2.DataParameter.LEVELDB),
        ("DropoutParameter", "dropout_ratio", 0.5),
        ("EltwiseParameter", "operation", caffe_pb2.EltwiseParameter.SUM),
        ("EltwiseParameter", "stable_prod_grad", True),
        ("ELUParameter", "alpha", 1),
        ("ExpParameter", "base", -1),
        ("FlattenParameter", "end_axis", -1),
        ("HingeLossParameter", "norm", caffe_pb2.HingeLossParameter.L1),
        ("ImageDataParameter", "batch_size", 1),
        ("ImageDataParameter", "is_color", True),
        ("InnerProductParameter", "bias_term", True),
        ("InnerProductParameter", "transpose", False),
        ("LRNParameter", "local_size", 5),
        ("LRNParameter", "alpha", 1),
        ("LRNParameter", "beta", 0.75),
        ("LRNParameter", "k", 1),
        ("MVNParameter", "eps", 1e-9),
        ("PoolingParameter", "pool", caffe_pb2.PoolingParameter.MAX),
        ("PoolingParameter", "stride", 1),
        ("PoolingParameter", "round_mode", caffe_pb2.PoolingParameter.CEIL),
        ("PowerParameter", "power", 1),
        ("PReLUParameter", "channel_shared", False),
        ("ReductionParameter", "operation", caffe_pb2.ReductionParameter.SUM),
        ("ReLUParameter", "negative_slope", 0),
        ("ReshapeParameter", "num_axes", -1),
        ("ScaleParameter", "bias_term", False),
        ("SliceParameter", "axis", 1),
        ("SoftmaxParameter", "axis", 1),
        ("SwishParameter", "beta", 1),
        ("WindowDataParameter", "crop_mode", "warp"),
        ("V0LayerParameter", "biasterm", True),
        # forks
        ("BNParameter", "momentum", 0.9),
        ("DetectionOutputParameter", "code_type", caffe_pb2.PriorBoxParameter.CORNER),
        ("NonMaximumSuppressionParameter", "nms_threshold", 0.3),
        ("NormalizeParameter", "eps", 1e-10),
        ("PriorBoxParameter", "offset", 0.5),
        ("ResizeBilinearParameter", "data_format", "NHWC"),
        # ours
        ("NumberFormat", "kind", caffe_pb2.NumberFormat.FLOAT),
        ("NumberFormat", "is_signed", True),
        ("NumberFormat", "rounding", caffe_pb2.NumberFormat.HALF_AWAY),
        ("NumberFormat", "range", caffe_pb2.NumberFormat.SYMMETRIC),
    ],
)
def test_defaults(message: str, field: str, default: object) -> None:
    found = getattr(getattr(caffe_pb2, message)(), field)
    if isinstance(default, float):  # the message holds the nearest float32
        assert math.isclose(found, default, rel_tol=2**-24)
    else:
        assert found == default


@pytest.mark.parametrize(
    ("message", "field", "number"),
    [
        ("LayerParameter", "swish_param", 1147),
        ("LayerParameter", "clip_param", 1148),
        ("SolverParameter", "layer_wise_reduce", 1041),
        ("SolverParameter", "weights", 42),
        ("LayerParameter", "recurrent_param", 146),
        ("LayerParameter", "precision_param", 20000),
        ("SolverParameter", "precision_policy", 20000),
    ],
)
def test_renumbered_and_own_fields(message: str, field: str, number: int) -> None:
    assert descriptor(message).fields_by_name[field].number == number


def test_moved_fields_follow_the_rule_of_the_header() -> None:
    """`name = BASE + N; // was N`, with a BASE of the table at the top of the file."""
    text = PROTO.read_text(encoding="utf-8")
    bases = {
        int(base) for base in re.findall(r"\b(\d+000) [A-Za-z]", text.partition("\nsyntax")[0])
    }
    moved = re.findall(r" = (\d+)(?: \[[^\]]*\])?;\s+//[^\n]*\bwas (\d+)", text)
    assert len(moved) > 30
    assert [pair for pair in moved if int(pair[0]) - int(pair[1]) not in bases] == []


@pytest.mark.parametrize("name", V1_TYPES)
def test_v1_layer_types(name: str) -> None:
    layer = text_format.Parse(f"layers {{ type: {name} }}", caffe_pb2.NetParameter()).layers[0]
    assert layer.type == V1_TYPES.index(name)


def test_no_field_is_required() -> None:
    for message in caffe_pb2.DESCRIPTOR.message_types_by_name.values():
        assert getattr(caffe_pb2, message.name)().IsInitialized(), message.name


def test_precision_as_text() -> None:
    text = """
        layer {
          name: "conv1"
          precision_param {
            weight { kind: FIXED word_length: 8 frac_length: -2 rounding: HALF_EVEN range: FULL }
            accumulator { kind: FLOAT }
          }
        }
    """
    weight = text_format.Parse(text, caffe_pb2.NetParameter()).layer[0].precision_param.weight
    assert (weight.word_length, weight.frac_length) == (8, -2)
    assert weight.range == caffe_pb2.NumberFormat.FULL


def test_policy_as_text() -> None:
    text = 'precision_policy { type: "adapt" adapt_param { lookback_min: 10 strategy: MAX } }'
    policy = text_format.Parse(text, caffe_pb2.SolverParameter()).precision_policy
    param = policy.adapt_param
    assert (policy.type, param.lookback_min, param.lookback_max) == ("adapt", 10, 100)
    assert param.Strategy.Name(param.strategy) == "MAX"


def test_pool_is_private() -> None:
    """An installed pycaffe registers its caffe.proto, package caffe, in the default pool."""
    other = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    other.message_type.add(name="NetParameter").field.add(name="other", number=1, type=9, label=1)
    code = (
        "from google.protobuf import descriptor_pool\n"
        "from adaption.proto import caffe_pb2\n"
        f"descriptor_pool.Default().AddSerializedFile({other.SerializeToString()!r})\n"
        "theirs = descriptor_pool.Default().FindMessageTypeByName('caffe.NetParameter')\n"
        "assert list(theirs.fields_by_name) == ['other']\n"
        "assert 'layer' in caffe_pb2.NetParameter.DESCRIPTOR.fields_by_name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("caffe.LayerParameter")


def test_import_brings_no_torch() -> None:
    code = "import sys, adaption.proto; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_messages_copy_and_pickle(again: Any) -> None:
    net = caffe_pb2.NetParameter(name="n", layer=[caffe_pb2.LayerParameter(name="a")])
    assert again(net) == net


def test_top_level_enums() -> None:
    assert (caffe_pb2.TRAIN, caffe_pb2.TEST) == (0, 1)
    assert caffe_pb2.Phase.Name(1) == "TEST"


def test_real_prototxts_are_known(shared: Path) -> None:
    files = sorted((shared / "zoo").glob("*.prototxt"))
    for folder in ("forks", "layers", "lp_layers", "solvers", "upgrade"):
        files += sorted((shared / "golden" / folder).glob("*.prototxt"))
    unknown = []
    for path in files:
        text = re.sub(r"\$\{\w+\}", "1", path.read_text(encoding="utf-8"))  # DeepLab's placeholders
        is_solver = re.search(r"^\s*(base_lr|lr_policy|max_iter):", text, re.MULTILINE)
        message = caffe_pb2.SolverParameter() if is_solver else caffe_pb2.NetParameter()
        try:
            text_format.Parse(text, message)
        except text_format.ParseError as error:
            unknown.append(f"{path.name}: {error}")
    assert unknown == []
