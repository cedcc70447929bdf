"""Writes cases in the topic `dynamic`: graphs whose shapes are known only at run time.

For these graphs, tract cannot make a plan with symbols for the dynamic axes, or the plan is valid for some shapes only.
"""

import numpy as np
import onnx
from common import write
from onnx import numpy_helper, parser

RANDOM = np.random.default_rng(25)


def case(name: str, text: str, data_sets: list[list[np.ndarray]], opset: int = 18, **weights: np.ndarray) -> None:
    """Writes a case. `text` is its graph in ONNX's textual syntax, and `weights` are the initializers."""
    model = parser.parse_model(f'<ir_version: 9, opset_import: ["" : {opset}]>\n{text}')
    model.graph.initializer.extend(numpy_helper.from_array(array, key) for key, array in weights.items())
    onnx.checker.check_model(model)
    write("dynamic", name, model, data_sets)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.integers(-40, 40, shape).astype(np.float32) / 8


def ids(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 5, shape)


def i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def i32(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def shapes_of_shapes() -> None:
    """Shapes that symbols cannot express."""
    case(
        "flatten_two_dynamic_axes",
        "g (int64[b, s] x, int64[b] i) => (int64[m, n] y) { f = Flatten<axis = 2>(x) y = Gather<axis = 0>(f, i) }",
        [[ids(2, 3), i64(5, 0)], [ids(1, 4), i64(3)], [ids(2, 3), i64(1, 1)]],
    )
    case(
        "reshape_product_of_dynamic_axes",
        """g (float[b, s, 4] x) => (float[m, 4] y) {
            dims = Shape(x)
            b = Gather(dims, zero) s = Gather(dims, one)
            m = Mul(b, s) m1 = Unsqueeze(m, zero1)
            shape = Concat<axis = 0>(m1, four)
            y = Reshape(x, shape)
        }""",
        [[floats(2, 3, 4)], [floats(1, 5, 4)]],
        zero=np.array(0),
        one=np.array(1),
        zero1=i64(0),
        four=i64(4),
    )
    for name, operator, target in [
        ("expand_shape_as_int32", "Expand", "b = Expand(z, shape) y = Add(x, b)"),
        ("reshape_shape_as_int32", "Reshape", "y = Reshape(x, shape)"),
        ("constant_of_shape_as_int32", "ConstantOfShape", "b = ConstantOfShape(shape) y = Add(x, b)"),
        ("tile_as_int32", "Tile", "r = Div(shape, shape) b = Tile(x, r) y = Add(x, b)"),
    ]:
        case(
            name,
            f"""g (float[n, 4] x) => (float[n, 4] y) {{
                dims = Shape(x)
                small = Cast<to = 6>(dims)
                rows = Slice(small, zero, one, zero)
                both = Concat<axis = 0>(rows, four)
                shape = Cast<to = 7>(both)
                {target}
            }}""",
            [[floats(1, 4)], [floats(3, 4)]],
            zero=i64(0),
            one=i64(1),
            four=i32(4),
            **({"z": np.float32([[1]])} if operator == "Expand" else {}),
        )
    case(
        "range_of_rows",
        """g (float[n, 4] x) => (float[n, 4] y) {
            dims = Shape(x) n = Gather(dims, zero) i = Range(zero, n, one) y = Gather(x, i)
        }""",
        [[floats(1, 4)], [floats(3, 4)]],
        zero=np.array(0),
        one=np.array(1),
    )
    case(
        "resize_to_the_size_of_the_input",
        """g (float[b, 1, h, w] x) => (float[b, 1, h, w] y) {
            d = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(x, k)
            dims = Shape(x) hw = Slice(dims, two, four)
            small = Shape(d) bc = Slice(small, zero, two)
            to = Concat<axis = 0>(bc, hw)
            y = Resize<mode = "linear", coordinate_transformation_mode = "half_pixel">(d, , , to)
        }""",
        [[floats(1, 1, 6, 8)], [floats(2, 1, 8, 8)]],
        k=np.ones((1, 1, 3, 3), np.float32),
        zero=i64(0),
        two=i64(2),
        four=i64(4),
    )
    case(
        "concat_of_an_upsampled_image",
        """g (float[b, 1, h, w] x) => (float[b, 2, h2, w2] y) {
            c = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(x, k)
            d = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(c, k)
            u = Resize<mode = "nearest">(d, , scales)
            y = Concat<axis = 1>(u, c)
        }""",
        [[floats(1, 1, 8, 8)], [floats(2, 1, 16, 8)]],
        k=np.ones((1, 1, 3, 3), np.float32),
        scales=np.float32([1, 1, 2, 2]),
    )
    case(
        "channels_dynamic",
        "g (float[b, c, h, w] x) => (float[b, 2, h2, w2] y) { y = Conv(x, k) }",
        [[floats(1, 3, 4, 4)], [floats(2, 3, 3, 5)]],
        k=floats(2, 3, 3, 3),
    )
    case(
        "split_by_half_of_a_dynamic_axis",
        """g (float[n, k] x) => (float[n, h] y) {
            dims = Shape(x) k = Slice(dims, one, two) h = Div(k, two) r = Sub(k, h)
            parts = Concat<axis = 0>(h, r)
            a, b = Split<axis = 1>(x, parts)
            y = Sub(a, b)
        }""",
        [[floats(2, 6)], [floats(1, 8)]],
        one=i64(1),
        two=i64(2),
    )
    case(
        "causal_mask_of_a_dynamic_length",
        """g (float[b, s, s] x) => (float[b, s, s] y) {
            dims = Shape(x) s = Slice(dims, one, two) square = Concat<axis = 0>(s, s)
            ones = ConstantOfShape<value = float[1] {1.0}>(square)
            mask = Trilu<upper = 0>(ones)
            y = Mul(x, mask)
        }""",
        [[floats(1, 3, 3)], [floats(2, 4, 4)]],
        one=i64(1),
        two=i64(2),
    )


def values_decide_shapes() -> None:
    """Graphs in which a value decides a shape."""
    case(
        "non_zero_then_gather",
        """g (float[n] x) => (float[m] y) {
            zero = Constant<value = float {0.0}>()
            positive = Greater(x, zero) found = NonZero(positive)
            i = Squeeze(found, axis) y = Gather(x, i)
        }""",
        [[np.float32([1, -1, 2])], [np.float32([-1, -2, -3])], [np.float32([5, 6])]],
        axis=i64(0),
    )
    case(
        "compress_then_reduce",
        """g (float[n, 3] x, bool[n] keep) => (float[3] y, int64[2] dims) {
            kept = Compress<axis = 0>(x, keep) dims = Shape(kept) y = ReduceSum<keepdims = 0>(kept, axis)
        }""",
        [[floats(3, 3), np.array([True, False, True])], [floats(2, 3), np.array([True, True])]],
        axis=i64(0),
    )
    case(
        "top_k_with_a_computed_k",
        """g (float[n] x, int64[n] limits) => (float[k] y) {
            k = ReduceMax<keepdims = 1>(limits) y, i = TopK(x, k)
        }""",
        [[floats(4), i64(1, 3, 2, 0)], [floats(4), i64(1, 1, 1, 1)]],
    )
    case(
        "range_up_to_a_value",
        """g (int64[n] x) => (int64[m] y) { last = ReduceMax<keepdims = 0>(x) y = Range(zero, last, two) }""",
        [[i64(1, 5)], [i64(4)], [i64(0)]],
        zero=np.array(0),
        two=np.array(2),
    )
    case(
        "slice_up_to_the_longest_length",
        """g (float[b, s] x, int64[b] lengths) => (float[b, t] y) {
            last = ReduceMax<keepdims = 1>(lengths) y = Slice(x, zero, last, one)
        }""",
        [[floats(2, 5), i64(2, 3)], [floats(2, 5), i64(5, 1)]],
        zero=i64(0),
        one=i64(1),
    )
    case(
        "unique_then_one_hot",
        """g (int64[n] x) => (float[m, 6] y) {
            distinct = Unique(x) y = OneHot(distinct, depth, values)
        }""",
        [[i64(3, 1, 3)], [i64(0, 0)], [i64(5, 4, 3, 2)]],
        depth=i64(6),
        values=np.float32([0, 1]),
    )
    case(
        "boxes_that_remain",
        """g (float[1, n, 4] boxes, float[1, 1, n] scores) => (float[m, 4] y) {
            kept = NonMaxSuppression(boxes, scores, most, overlap, least)
            i = Gather<axis = 1>(kept, two)
            flat = Squeeze(boxes, axis)
            y = Gather(flat, i)
        }""",
        [
            [np.float32([[[0, 0, 1, 1], [0, 0, 1, 1.1], [2, 2, 3, 3]]]), np.float32([[[0.9, 0.8, 0.7]]])],
            [np.float32([[[0, 0, 1, 1], [2, 2, 3, 3]]]), np.float32([[[0.1, 0.2]]])],
        ],
        most=i64(10),
        overlap=np.float32([0.5]),
        least=np.float32([0.15]),
        two=np.array(2),
        axis=i64(0),
    )


def control_flow() -> None:
    """Branches and loops whose shapes differ from run to run."""
    case(
        "if_with_branches_of_different_rank",
        """g (float[n, 1] x, bool flag) => (float y) {
            y = If (flag) <
                then_branch = t () => (float[m] a) { a = Squeeze(x, one) },
                else_branch = e () => (float[m, 1] c) { c = Neg(x) }
            >
        }""",
        [[floats(3, 1), np.array(True)], [floats(2, 1), np.array(False)]],
        one=i64(1),
    )
    case(
        "if_on_a_dynamic_length",
        """g (float[n] x) => (float[m] y) {
            dims = Shape(x) n = Squeeze(dims) long = Greater(n, two)
            y = If (long) <
                then_branch = t () => (float[m] a) { a = Slice(x, first, last) },
                else_branch = e () => (float[m] c) { c = Identity(x) }
            >
        }""",
        [[floats(1)], [floats(5)], [floats(2)]],
        two=np.array(2),
        first=i64(0),
        last=i64(2),
    )
    case(
        "loop_with_a_computed_trip_count",
        """g (float[n] x, int64 trips) => (float[n] y, float[m, n] all) {
            y, all = Loop (trips, yes, x) <
                body = b (int64 i, bool go, float[n] v) => (bool more, float[n] next, float[n] copy) {
                    more = Identity(go) next = Add(v, x) copy = Identity(v)
                }
            >
        }""",
        [[floats(2), np.array(3)], [floats(3), np.array(1)]],
        yes=np.array(True),
    )
    case(
        "loop_that_grows_a_tensor",
        """g (float[n] x, int64 trips) => (float[m] y) {
            y = Loop (trips, , x) <
                body = b (int64 i, bool go, float[k] v) => (bool more, float[k] next) {
                    more = Identity(go) next = Concat<axis = 0>(v, x)
                }
            >
        }""",
        [[floats(2), np.array(3)], [floats(1), np.array(0)]],
    )
    case(
        "loop_inside_a_branch",
        """g (float[n] x, int64 trips, bool flag) => (float[n] y) {
            y = If (flag) <
                then_branch = t () => (float[n] a) {
                    a = Loop (trips, , x) <
                        body = b (int64 i, bool go, float[n] v) => (bool more, float[n] next) {
                            more = Identity(go) next = Mul(v, x)
                        }
                    >
                },
                else_branch = e () => (float[n] c) { c = Abs(x) }
            >
        }""",
        [[floats(2), np.array(2), np.array(True)], [floats(2), np.array(2), np.array(False)]],
    )


def sequences() -> None:
    """Sequences and optional values inside a graph."""
    case(
        "split_to_sequence_at",
        """g (float[n, 4] x) => (float[n] y) {
            s = SplitToSequence<axis = 1, keepdims = 0>(x) y = SequenceAt(s, one)
        }""",
        [[floats(1, 4)], [floats(3, 4)]],
        one=np.array(1),
    )
    case(
        "split_to_sequence_by_lengths",
        """g (float[n, 5] x) => (float[n, 2] y, int64 count) {
            s = SplitToSequence<axis = 1>(x, parts) y = SequenceAt(s, last) count = SequenceLength(s)
        }""",
        [[floats(1, 5)], [floats(3, 5)]],
        parts=i64(3, 2),
        last=np.array(-1),
    )
    case(
        "sequence_edited_and_concatenated",
        """g (float[n, 2] a, float[m, 2] b) => (float[k, 2] y) {
            s = SequenceConstruct(a, b, a)
            t = SequenceInsert(s, b, zero)
            u = SequenceErase(t, last)
            y = ConcatFromSequence<axis = 0>(u)
        }""",
        [[floats(1, 2), floats(2, 2)], [floats(3, 2), floats(1, 2)]],
        zero=np.array(0),
        last=np.array(-1),
    )
    case(
        "sequence_grown_in_a_loop",
        """g (float[n] x, int64 trips) => (float[m, n] y) {
            start = SequenceEmpty()
            s = Loop (trips, , start) <
                body = b (int64 i, bool go, seq(float[n]) v) => (bool more, seq(float[n]) next) {
                    more = Identity(go) f = Cast<to = 1>(i) z = Mul(x, f) next = SequenceInsert(v, z)
                }
            >
            y = ConcatFromSequence<axis = 0, new_axis = 1>(s)
        }""",
        [[floats(2), np.array(3)], [floats(3), np.array(1)]],
    )


shapes_of_shapes()
values_decide_shapes()
control_flow()
sequences()
