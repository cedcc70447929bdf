//! The operators that models may have, as the runtime's registry has them.

/// Those of `ai.onnx.ml`, for the registry knows no domains.
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

/// Those of ONNX Runtime's own.
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

/// Taken out of a model before the registry is asked.
const LOWERED: &str = "ZipMap";

/// `domain.Operator`, without a domain for ONNX's own and tract's; sorted.
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
