"""Cases with strings: StringNormalizer, Tokenizer, TfIdfVectorizer, operators such as StringConcat, casts, and
scikit-learn's exports. ONNX Runtime needs the locale en_US.UTF-8 for these cases."""

import numpy as np
from common import write
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import StringTensorType
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

string, float32, int64, boolean = TensorProto.STRING, TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def texts(*rows):
    return np.array(rows, object)


def graph(name, nodes, data_sets, outputs, opset=20, constants=None):
    """Writes the case `name` with the nodes `nodes`. The inputs are X0, X1, …; `outputs` maps the names of the outputs to
    their types."""
    inputs = [
        helper.make_tensor_value_info(f"X{index}", helper.np_dtype_to_tensor_dtype(x.dtype), [None, *x.shape[1:]])
        for index, x in enumerate(data_sets[0])
    ]
    initializers = [numpy_helper.from_array(value, key) for key, value in (constants or {}).items()]
    outputs = [helper.make_tensor_value_info(output, kind, None) for output, kind in outputs.items()]
    made = helper.make_graph(nodes, name, inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    write("text", name, helper.make_model(made, opset_imports=opsets, ir_version=9), data_sets)


def node(name, operator, data_sets, output=string, domain="", constants=None, **attributes):
    names = [f"X{index}" for index in range(len(data_sets[0]))] + list(constants or {})
    made = helper.make_node(operator, names, ["Y"], domain=domain, **attributes)
    graph(name, [made], data_sets, {"Y": output}, constants=constants)


def each_flag(name, operator, flag, data_sets, domain="", **attributes):
    """Writes a case with two nodes. The attribute `flag` is 0 in the first node and 1 in the second."""
    nodes = [
        helper.make_node(operator, ["X0"], [f"Y{value}"], domain=domain, **attributes, **{flag: value}) for value in (0, 1)
    ]
    graph(name, nodes, data_sets, {"Y0": string, "Y1": string})


def normalizers():
    words = texts("The", "the", "ΣΑΣ", "straße", "İstanbul", "ᾳ")
    for action in ("NONE", "LOWER", "UPPER"):
        name = f"string_normalizer_{action.lower()}"
        node(name, "StringNormalizer", [[words[:1]], [words]], case_change_action=action)
        attributes = {"case_change_action": action, "stopwords": ["the", "σασ"]}
        data = [[words[:1]], [words[1:2]], [words]]
        each_flag(f"{name}_stopwords", "StringNormalizer", "is_case_sensitive", data, **attributes)


def tokenizers():
    sentences = texts("one two,,three", "", "aé-b", " x  yz ", "a|ab abc")
    for name, attributes in {
        "expression": {"tokenexp": "[a-zA-Z]+"},
        "words": {"tokenexp": r"\b\w\w+\b"},
        "alternatives": {"tokenexp": "a|ab|abc|."},
        "lazy": {"tokenexp": "a.*?b"},
        "characters": {"separators": [""]},
        "separators": {"separators": [" ", ",+", "-|--"]},
        "empty_separator": {"separators": ["x*"]},
    }.items():
        attributes = {"mincharnum": 1, "pad_value": "#", **attributes}
        data = [[sentences[:1]], [sentences], [sentences[1:2]]]
        each_flag(f"tokenizer_{name}", "Tokenizer", "mark", data, domain="com.microsoft", **attributes)
    long = {"mark": 0, "mincharnum": 2, "pad_value": "", "tokenexp": "[a-zé]+"}
    node("tokenizer_long", "Tokenizer", [[sentences]], domain="com.microsoft", **long)
    matrix = [[texts(["a b", "c"], ["", "d e f"])]]
    node("tokenizer_matrix", "Tokenizer", matrix, domain="com.microsoft", **{**long, "mincharnum": 1})


def vectorizers():
    words = texts("a", "b", "a", "c", "a", "b")
    pool = {
        "min_gram_length": 1,
        "max_gram_length": 2,
        "max_skip_count": 0,
        "ngram_counts": [0, 2],
        "ngram_indexes": [3, 0, 1],
        "pool_strings": ["a", "b", "a", "b"],
        "mode": "TF",
    }
    numbers = {**{key: value for key, value in pool.items() if key != "pool_strings"}, "pool_int64s": [1, 2, 1, 2]}
    codes = np.array([[1, 2, 1], [3, 1, 2]])
    weights = {"weights": [2.0, 0.5, 3.0]}
    for name, data, attributes in [
        ("tf", words, pool),
        ("idf", words, {**pool, **weights, "mode": "IDF"}),
        ("tfidf", words, {**pool, **weights, "mode": "TFIDF"}),
        ("unweighted", words, {**pool, "mode": "TFIDF"}),
        ("skips", words, {**pool, "max_skip_count": 3}),
        ("bigrams", words, {**pool, "min_gram_length": 2}),
        ("matrix", words.reshape(2, 3), pool),
        ("int64", codes, numbers),
        ("int32", codes.astype(np.int32), numbers),
        ("trigrams", texts(*"aaaaa"), {**pool, "max_gram_length": 3, "max_skip_count": 2, "ngram_counts": [0, 1, 3], "ngram_indexes": [0, 1, 2], "pool_strings": ["a"] * 6}),
    ]:
        node(f"tfidf_{name}", "TfIdfVectorizer", [[data]], float32, **attributes)


def strings():
    left, right = texts(["a", "é"], ["", "b"]), texts(["x", ""], ["y", "b"])
    node("string_concat", "StringConcat", [[left[:1], right[:1]], [left, right]])
    node("string_concat_broadcast", "StringConcat", [[left]], constants={"suffix": texts("!", "?")})
    node("regex_full_match", "RegexFullMatch", [[texts("ab", "a", "é", "")]], boolean, pattern=r"a|ab|[^\w]")
    for name, attributes in {
        "spaces": {},
        "spaces_once": {"maxsplit": 1},
        "delimiter": {"delimiter": ","},
        "delimiter_twice": {"delimiter": "ab", "maxsplit": 2},
    }.items():
        made = helper.make_node("StringSplit", ["X0"], ["Y", "Z"], **attributes)
        data = [[texts("  a  b c ", ",a,,b,", "", "abxabab", "a\tb c")]]
        graph(f"string_split_{name}", [made], data, {"Y": string, "Z": int64})
    for name, x in {
        "float": np.array([0, -0.0, 1.5, 1e10, 1e-5, 123456.789, np.nan, np.inf, -np.inf, 1e8, 16777216], np.float32),
        "double": np.array([0.1, 1 / 3, 1e300, 123456789.123]),
        "int64": np.array([1, -5, 2**62]),
        "bool": np.array([True, False]),
    }.items():
        node(f"cast_{name}_to_string", "Cast", [[x]], to=string)
    numbers = texts("1", "-2.5", " 3e2 ", "nan", "-INF")
    node("cast_string_to_float", "Cast", [[numbers]], float32, to=float32)
    node("cast_string_to_int64", "Cast", [[numbers[:2]]], int64, to=int64)
    data = [[left.reshape(2, 1, 2)]]
    nodes = [
        helper.make_node("Flatten", ["X0"], ["flat"]),
        helper.make_node("Equal", ["flat", "empty"], ["is_empty"]),
        helper.make_node("Where", ["is_empty", "none", "flat"], ["filled"]),
        helper.make_node("Gather", ["filled", "order"], ["turned"], axis=1),
        helper.make_node("Concat", ["turned", "flat"], ["Y"], axis=1),
    ]
    constants = {"empty": texts(""), "none": texts("?"), "order": np.array([1, 0])}
    graph("strings_through_operators", nodes, data, {"Y": string}, constants=constants)
    condition = np.array([True, False])
    node("compress_computed", "Compress", [[left, condition]], axis=0)
    names = ["Y", "", "inverse", "counts"]
    made = helper.make_node("Unique", ["X0"], names, sorted=0)
    graph("unique_strings", [made], [[texts("b", "a", "b")]], {"Y": string, "inverse": int64, "counts": int64})


def exported():
    sentences = texts("The cat sat", "the dog, and a cat", "", "Über a café", "dog dog dog sat")
    labels = ["cat", "dog", "dog", "cat", "dog"]
    types = [("text", StringTensorType([None]))]
    for name, model in {
        "count": CountVectorizer(),
        "bigrams": TfidfVectorizer(ngram_range=(1, 2)),
        "characters": TfidfVectorizer(analyzer="char", ngram_range=(1, 2), norm="l1"),
        "sublinear": TfidfVectorizer(sublinear_tf=True, lowercase=False),
        "logistic": make_pipeline(TfidfVectorizer(), LogisticRegression()),
        "sgd": make_pipeline(TfidfVectorizer(stop_words=["the"]), SGDClassifier(loss="log_loss", random_state=0)),
        "naive_bayes": make_pipeline(CountVectorizer(), MultinomialNB()),
        "svd": make_pipeline(TfidfVectorizer(), TruncatedSVD(4, random_state=0)),
    }.items():
        model.fit(sentences, labels)
        write("text", f"text_{name}", to_onnx(model, initial_types=types), [[sentences[:1]], [sentences]])
    hasher = FeatureHasher(8, input_type="string")
    words = texts(["a", "cat"], ["straße", ""])
    made = to_onnx(hasher, initial_types=[("words", StringTensorType([None, 2]))])
    write("text", "feature_hasher", made, [[words[:1]], [words]])


normalizers()
tokenizers()
vectorizers()
strings()
exported()
