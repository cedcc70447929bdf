"""Cases of LSTM, GRU and RNN: directions, lengths, initial states, biases, peepholes, activations."""

import numpy as np
from common import write
from onnx import TensorProto, helper, numpy_helper

RANDOM = np.random.default_rng(1)
COLUMNS, TIME, HIDDEN = 5, 6, 4


def case(name, operator, gates, direction="forward", bias=True, lengths=False, state=False, **rest):
    """Writes a case for 1 row and for 11 rows of different lengths; the batch is the first axis of X."""
    directions = 2 if direction == "bidirectional" else 1
    peepholes = rest.pop("peepholes", False)
    constants = {"W": (gates * HIDDEN, COLUMNS), "R": (gates * HIDDEN, HIDDEN)}
    constants |= {"B": (2 * gates * HIDDEN,)} if bias else {}
    constants |= {"P": (3 * HIDDEN,)} if peepholes else {}
    initializers = [
        numpy_helper.from_array(random(directions, *shape), key) for key, shape in constants.items()
    ]
    cell = operator == "LSTM"
    inputs = {"X": (TensorProto.FLOAT, [None, TIME, COLUMNS])}
    inputs |= {"lengths": (TensorProto.INT32, [None])} if lengths else {}
    states = ["h", "c"][: 1 + cell] if state else []
    inputs |= {key: (TensorProto.FLOAT, [None, directions, HIDDEN]) for key in states}
    swapped = [
        helper.make_node("Transpose", [key], [f"{key}_swapped"], perm=[1, 0, 2])
        for key in ["X", *states]
    ]
    names = ["X_swapped", "W", "R", "B" if bias else "", "lengths" if lengths else ""]
    names += [f"{key}_swapped" for key in states]
    names += [""] * (7 - len(names)) + ["P"] if peepholes else []
    outputs = ["Y", "Y_h", "Y_c"][: 2 + cell]
    node = helper.make_node(
        operator, names, outputs, direction=direction, hidden_size=HIDDEN, **rest
    )
    graph = helper.make_graph(
        [*swapped, node],
        name,
        [helper.make_tensor_value_info(key, *spec) for key, spec in inputs.items()],
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, None) for key in outputs],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    data_sets = []
    for rows in (1, 11):
        data = [random(rows, TIME, COLUMNS)]
        data += [np.arange(rows, dtype=np.int32) % TIME + 1] if lengths else []
        data_sets.append(data + [random(rows, directions, HIDDEN) for _ in states])
    write("recurrent", name, model, data_sets)


def random(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


case("lstm", "LSTM", 4)
case("lstm_reverse_lengths", "LSTM", 4, "reverse", lengths=True, state=True, bias=False)
case("lstm_peepholes", "LSTM", 4, "bidirectional", lengths=True, peepholes=True, clip=0.7)
case("lstm_input_forget", "LSTM", 4, state=True, input_forget=1)
case("gru", "GRU", 3, "bidirectional", lengths=True, state=True)
case("gru_linear", "GRU", 3, "bidirectional", lengths=True, state=True, linear_before_reset=1)
case("gru_reverse", "GRU", 3, "reverse", bias=False, linear_before_reset=1, clip=0.5)
case("rnn", "RNN", 1, "reverse", lengths=True, state=True)
for first, second, scales in (
    ("Relu", "LeakyRelu", {"activation_alpha": [0.2]}),
    ("Affine", "Elu", {"activation_alpha": [0.5, 0.7], "activation_beta": [0.1]}),
    ("HardSigmoid", "ScaledTanh", {"activation_alpha": [0.3, 0.8], "activation_beta": [0.4, 0.6]}),
    ("Softsign", "Softplus", {}),
    ("ThresholdedRelu", "Sigmoid", {"activation_alpha": [0.4]}),
):
    name = f"rnn_{first}_{second}".lower()
    case(name, "RNN", 1, "bidirectional", activations=[first, second], **scales)
