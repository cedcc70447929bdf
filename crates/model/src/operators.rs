//! Lists the supported operators.

use onnx_ml::dynamic::SEQUENCE_OPERATORS;
use onnx_ml::microsoft;

/// Operators of the domain `ai.onnx.ml`. The registry contains the names of operators without domains, so this list and
/// the next list state the domains.
const ML: [&str; 19] = [
    "ArrayFeatureExtractor",
    "Binarizer",
    "CastMap",
    "CategoryMapper",
    "DictVectorizer",
    "FeatureVectorizer",
    "Imputer",
    "LabelEncoder",
    "LinearClassifier",
    "LinearRegressor",
    "Normalizer",
    "OneHotEncoder",
    "SVMClassifier",
    "SVMRegressor",
    "Scaler",
    "TreeEnsemble",
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
    "ZipMap",
];

/// Operators of ONNX Runtime's domain, `com.microsoft`.
const MICROSOFT: &[&str] = &[
    "BiasGelu",
    "DynamicQuantizeLSTM",
    "FastGelu",
    "FusedConv",
    "FusedGemm",
    "FusedMatMul",
    "GatherBlockQuantized",
    "GroupQueryAttention",
    "MatMulIntegerToFloat",
    "MatMulNBits",
    "MultiHeadAttention",
    "QGemm",
    "QLinearAdd",
    "QLinearMul",
    "QLinearSoftmax",
    "QuickGelu",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
    "Solve",
    "Tokenizer",
];

/// A supported operator that is not in the registry, because `zip_map::lower` replaces it before tract reads the graph.
const UNREGISTERED: &str = "ZipMap";

/// Returns the names of the supported operators, sorted. A name is `domain.Operator`, or `Operator` if the operator
/// belongs to ONNX's own domain or to tract.
pub fn supported() -> Vec<String> {
    let registry = onnx_ml::onnx().op_register.0;
    let with_domain = |name: &str| match name {
        name if ML.contains(&name) => format!("ai.onnx.ml.{name}"),
        name if MICROSOFT.contains(&name) => format!("com.microsoft.{name}"),
        name => name.to_owned(),
    };
    let mut operators: Vec<String> = registry.keys().map(|name| with_domain(name)).collect();
    operators.push(with_domain(UNREGISTERED));
    operators.extend(SEQUENCE_OPERATORS.map(str::to_owned));
    // These operators are not in the registry, because they are replaced when a model is loaded. If the registry has
    // such a name, the name belongs to an operator of ONNX's own domain.
    operators.extend(microsoft::EXPANDED.map(|name| format!("com.microsoft.{name}")));
    operators.sort_unstable();
    operators.dedup();
    operators
}
