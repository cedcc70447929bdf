//! The list of supported operators, from the runtime's registry.

/// Operators of the domain `ai.onnx.ml`: the registry has names without domains.
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
const MICROSOFT: [&str; 10] = [
    "BiasGelu",
    "FastGelu",
    "GatherBlockQuantized",
    "GroupQueryAttention",
    "MatMulNBits",
    "MultiHeadAttention",
    "QuickGelu",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
    "Tokenizer",
];

/// An operator that is removed from a model before the registry is needed.
const LOWERED: &str = "ZipMap";

/// Returns the supported operators as `domain.Operator`, sorted. ONNX's own and tract's have no domain.
pub fn supported() -> Vec<String> {
    let registry = onnx_ml::onnx().op_register.0;
    let named = |name: &str| match name {
        name if ML.contains(&name) => format!("ai.onnx.ml.{name}"),
        name if MICROSOFT.contains(&name) => format!("com.microsoft.{name}"),
        name => name.to_owned(),
    };
    let mut operators: Vec<String> = registry.keys().map(|name| named(name)).collect();
    operators.push(named(LOWERED));
    operators.sort_unstable();
    operators.dedup();
    operators
}
