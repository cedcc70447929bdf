"""Cases of operators of ONNX's main domain that tract lacks or computes wrongly."""

import numpy as np
from nodes import node

RANDOM = np.random.default_rng(3)


def floats(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def main(topic, name, operator, x, *rest, rows=True, opset=18, **options):
    """Writes a case of `operator` with the inputs `x`: the first row, and all rows."""
    inputs = x if isinstance(x, list) else [x]
    data_sets = [[part[:1] for part in inputs], inputs] if rows else [inputs]
    options = {"output": inputs[0].dtype, "constants": rest, "domain": "", "opset": opset, **options}
    node(topic, name, operator, data_sets, **options)


def longs(*elements):
    return np.array(elements, np.int64)


def activations():
    large = np.array([[-1000, -100, -10, 0.5], [100, 90, 3, -2], [0, 0, 0, 1000]], np.float32)
    cube = floats(3, 2, 4) * 100
    main("nn", "log_softmax_large", "LogSoftmax", large)
    main("nn", "log_softmax_cube", "LogSoftmax", cube, axis=1)
    main("nn", "log_softmax_11", "LogSoftmax", cube, opset=11, axis=1)
    main("nn", "softplus_large", "Softplus", large)
    main("nn", "celu_alpha", "Celu", floats(3, 4), alpha=0.3)
    main("nn", "leaky_relu_double", "LeakyRelu", floats(3, 4).astype(np.float64), alpha=0.3)
    main("nn", "sigmoid_double", "Sigmoid", floats(3, 4).astype(np.float64))
    main("tensor", "reduce_log_sum_exp_large", "ReduceLogSumExp", large, longs(1), keepdims=0)
    main("tensor", "reduce_log_sum_exp_13", "ReduceLogSumExp", cube, opset=13, axes=[-1])
    main("tensor", "reduce_max_bool", "ReduceMax", cube > 0, longs(1), opset=20)


def shapes():
    image = floats(3, 2, 4, 6)
    main("tensor", "squeeze_axes", "Squeeze", floats(3, 1, 5, 1), longs(-1, 1))
    main("tensor", "pad_cut", "Pad", image, longs(0, 0, -1, 2, 0, 1, 0, -3))
    main("tensor", "pad_wrap", "Pad", image, longs(0, 0, 1, 2, 0, 0, 6, 1), opset=19, mode="wrap")
    main("tensor", "pad_bool", "Pad", image > 0, longs(0, 0, 1, 0, 0, 0, 0, 2), np.array([True]))
    main("tensor", "pad_10", "Pad", image, opset=10, pads=[0, 0, 1, -2, 0, 0, 2, 1], value=2.0)
    main("tensor", "compress_axis", "Compress", image, np.array([False, True]), axis=1)
    main("tensor", "center_crop_pad", "CenterCropPad", image, longs(3, 9), axes=[-2, -1])
    main("tensor", "space_to_depth", "SpaceToDepth", image, blocksize=2)
    main("tensor", "reverse_sequence", "ReverseSequence", [image, longs(2, 1, 0)], batch_axis=0, time_axis=1)
    main("tensor", "resize_10_nearest", "Resize", image, np.array([1, 1, 3, 1.5], np.float32), opset=10)
    main("tensor", "upsample_nearest", "Upsample", image, np.array([1, 1, 3, 2], np.float32), opset=9)
    main("tensor", "unique_rows", "Unique", np.array([3, 1, 2, 1, 3], np.float32), rows=False)
    bits, far = np.array([[1, 255, 7]], np.uint8), np.array([8, 4, 200], np.uint8)
    main("tensor", "bit_shift_far", "BitShift", bits, far, direction="RIGHT")


def products():
    rows = floats(3, 4, 5)
    main("tensor", "einsum_ellipsis", "Einsum", rows, floats(5, 2), equation="...i,ij->...j")
    main("tensor", "einsum_implied", "Einsum", rows, floats(5, 2), equation="bai, ij")
    image, weights = floats(2, 4, 5, 4), floats(4, 3, 3, 2)
    half = {"group": 2, "strides": [2, 2]}
    main("nn", "conv_transpose_shape", "ConvTranspose", image, weights, output_shape=[10, 9], **half)
    for side in ("UPPER", "LOWER"):
        same = {"auto_pad": f"SAME_{side}", **half}
        main("nn", f"conv_transpose_{side.lower()}", "ConvTranspose", image, weights, floats(6), **same)
    main("tensor", "det", "Det", floats(3, 3, 3))


def pools():
    image = floats(2, 3, 7, 5)
    window = {"kernel_shape": [3, 2], "strides": [2, 2]}
    main("nn", "max_pool_valid", "MaxPool", image, auto_pad="VALID", ceil_mode=1, **window)
    cut = {"auto_pad": "VALID", "ceil_mode": 1, "opset": 19}
    main("nn", "average_pool_valid", "AveragePool", image, **cut, **window)
    main("nn", "lp_pool", "LpPool", image, pads=[1, 0, 1, 1], ceil_mode=1, p=3, **window)
    main("nn", "lp_pool_dilated", "LpPool", image, dilations=[2, 2], kernel_shape=[2, 2])
    main("nn", "global_lp_pool", "GlobalLpPool", image, p=3)
    main("nn", "col2im", "Col2Im", floats(3, 8, 9), longs(4, 4), longs(2, 2))
    places = np.array([[[[0, 5], [10, 15]]], [[[16, 21], [26, 31]]]], np.int64)
    window = {"kernel_shape": [2, 2], "strides": [2, 2]}
    main("nn", "max_unpool", "MaxUnpool", [floats(2, 1, 2, 2), places], **window)


def attention():
    heads = [floats(2, 4, 3, 8), floats(2, 2, 5, 8), floats(2, 2, 5, 6)]
    mask = RANDOM.random((3, 5)) > 0.4
    mask[1] = False
    main("nn", "attention_mask", "Attention", heads, mask, opset=23)
    main("nn", "attention_causal", "Attention", heads, opset=23, is_causal=1, softcap=0.5)
    main("nn", "attention_float_mask", "Attention", heads, floats(4, 3, 5), opset=23, scale=0.3)
    packed = [floats(2, 3, 32), floats(2, 5, 16), floats(2, 5, 12)]
    sizes = {"q_num_heads": 4, "kv_num_heads": 2}
    main("nn", "attention_packed", "Attention", packed, mask, opset=23, **sizes)


def losses():
    scores, labels = floats(3, 4, 2), np.array([[0, 3], [1, -1], [2, 2]], np.int64)
    weights = np.array([1, 0.5, 2, 3], np.float32)
    for reduction in ("none", "sum", "mean"):
        options = {"reduction": reduction, "ignore_index": -1}
        name = f"cross_entropy_{reduction}"
        main("nn", name, "SoftmaxCrossEntropyLoss", [scores, labels], weights, **options)
        main("nn", f"likelihood_{reduction}", "NegativeLogLikelihoodLoss", [scores, labels], **options)


def quantization():
    x = floats(3, 4)
    blocks = {"axis": 1, "block_size": 2, "opset": 21}
    scales = [x, np.array([[0.1, 0.2], [0.3, 0.4], [0.01, 0.02]], np.float32)]
    main("quantized", "quantize_blocks", "QuantizeLinear", scales, output=np.uint8, **blocks)
    scale, wide = np.array(0.1, np.float32), np.array(300, np.uint16)
    main("quantized", "quantize_uint16", "QuantizeLinear", x, scale, wide, output=np.uint16, opset=21)
    integers = np.array([[1, -300, 7], [0, 20, -5]], np.int16)
    main("quantized", "dequantize_int16", "DequantizeLinear", integers, scale, opset=21, output=np.float32)


def signals():
    signal, window = floats(3, 32), np.hanning(8).astype(np.float32)
    step, length = np.array(4), np.array(8)
    main("nn", "stft_of_rows", "STFT", signal, step, window)
    main("nn", "stft_of_rows_two_sided", "STFT", signal, np.array(3), window, onesided=0)
    main("nn", "stft_of_rows_frame_length", "STFT", signal, step, None, length)
    main("nn", "stft_of_rows_window_and_length", "STFT", signal, step, window, length)
    main("nn", "stft_of_parts", "STFT", signal[:, :, None], step, window)
    # The range of the random numbers is tiny, so that both runtimes return nearly equal numbers.
    for output, dtype in [("float", 1), ("double", 11)]:
        options = {"output": {1: np.float32, 11: np.float64}[dtype], "dtype": dtype}
        main("tensor", f"random_normal_like_{output}", "RandomNormalLike", signal, mean=1.5, scale=1e-30, **options)
        main("tensor", f"random_uniform_like_{output}", "RandomUniformLike", signal, low=-0.5, high=-0.499999, **options)
    main("tensor", "random_normal_like", "RandomNormalLike", signal, mean=1.5, scale=1e-30)


activations()
shapes()
products()
pools()
attention()
losses()
quantization()
signals()
