"""Models of scikit-learn, exported by `skl2onnx.to_onnx`. Most classifiers are exported twice: with default options, and
without ZipMap."""

import numpy as np
import onnx.helper
from data import SENTENCES, flowers, rows, sentences, table
from model import Model
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn import (
    calibration,
    cluster,
    cross_decomposition,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_selection,
    gaussian_process,
    linear_model,
    mixture,
    model_selection,
    multiclass,
    naive_bayes,
    neighbors,
    neural_network,
    preprocessing,
    svm,
    tree,
)
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.pipeline import make_pipeline, make_union

SEEDED = {"random_state": 0}
LOGISTIC = linear_model.LogisticRegression(max_iter=5000)
NAMES = np.array(["setosa", "versicolor", "virginica"])
SCALED = preprocessing.StandardScaler()
UNKNOWN = {"handle_unknown": "ignore"}
# The tolerance for models whose result is the small difference of large numbers.
CANCELS = {"tolerance": 1e-4, "reason": "large terms of float32 cancel to a small result"}

NUMERIC = [
    # name, estimator, data set, options that differ from the defaults
    ("logistic_regression", LOGISTIC, "iris", {}),
    ("logistic_regression_binary", LOGISTIC, "cancer", {}),
    ("logistic_regression_strings", LOGISTIC, "iris", {"target": NAMES}),
    ("logistic_regression_double", LOGISTIC, "iris", {"dtype": np.float64, "zipmap": False}),
    ("linear_regression", linear_model.LinearRegression(), "diabetes", {}),
    ("linear_regression_double", linear_model.LinearRegression(), "diabetes", {"dtype": np.float64}),
    ("ridge", linear_model.Ridge(), "diabetes", {}),
    ("lasso", linear_model.Lasso(0.01), "diabetes", {}),
    ("elastic_net", linear_model.ElasticNet(0.01), "diabetes", {}),
    ("bayesian_ridge", linear_model.BayesianRidge(), "diabetes", {}),
    ("huber", linear_model.HuberRegressor(max_iter=2000), "diabetes", {}),
    ("poisson", make_pipeline(SCALED, linear_model.PoissonRegressor()), "diabetes", {}),
    ("ridge_classifier", linear_model.RidgeClassifier(), "iris", {}),
    ("sgd_hinge", linear_model.SGDClassifier(**SEEDED), "iris", {}),
    ("sgd_log_loss", linear_model.SGDClassifier("log_loss", **SEEDED), "iris", {}),
    ("perceptron", linear_model.Perceptron(**SEEDED), "iris", {}),
    ("linear_discriminant", discriminant_analysis.LinearDiscriminantAnalysis(), "iris", {}),
    ("quadratic_discriminant", discriminant_analysis.QuadraticDiscriminantAnalysis(), "iris", {}),
    ("linear_svc", svm.LinearSVC(**SEEDED), "iris", {}),
    ("linear_svr", svm.LinearSVR(**SEEDED), "diabetes", {}),
    ("svc_rbf", svm.SVC(), "iris", {}),
    ("svc_rbf_binary", svm.SVC(), "cancer", {}),
    ("svc_linear", svm.SVC(kernel="linear"), "iris", {}),
    ("svc_poly", svm.SVC(kernel="poly"), "iris", {"near": CANCELS}),
    ("svc_digits", svm.SVC(), "digits", {}),
    ("svc_probability", svm.SVC(probability=True, **SEEDED), "iris", {}),
    ("nu_svc", svm.NuSVC(nu=0.3), "iris", {}),
    ("svc_sigmoid", svm.SVC(kernel="sigmoid"), "iris", {}),
    ("svr", svm.SVR(), "diabetes", {}),
    ("svr_linear", make_pipeline(SCALED, svm.SVR(kernel="linear")), "diabetes", {}),
    ("svr_poly", svm.SVR(kernel="poly"), "diabetes", {}),
    ("nu_svr", svm.NuSVR(), "diabetes", {}),
    ("one_class_svm", svm.OneClassSVM(), "iris", {"near": CANCELS}),
    ("k_neighbors", neighbors.KNeighborsClassifier(), "iris", {}),
    ("k_neighbors_digits", neighbors.KNeighborsClassifier(), "digits", {}),
    ("k_neighbors_distance", neighbors.KNeighborsClassifier(weights="distance"), "iris", {}),
    ("k_neighbors_regressor", neighbors.KNeighborsRegressor(), "diabetes", {}),
    ("k_neighbors_manhattan", neighbors.KNeighborsClassifier(metric="manhattan"), "iris", {}),
    ("local_outlier_factor", neighbors.LocalOutlierFactor(novelty=True), "diabetes", {"near": CANCELS}),
    ("gaussian_nb", naive_bayes.GaussianNB(), "iris", {}),
    ("multinomial_nb", naive_bayes.MultinomialNB(), "iris", {}),
    ("complement_nb", naive_bayes.ComplementNB(), "iris", {}),
    ("bernoulli_nb", naive_bayes.BernoulliNB(binarize=2.0), "iris", {}),
    ("decision_tree", tree.DecisionTreeClassifier(**SEEDED), "iris", {}),
    ("decision_tree_binary", tree.DecisionTreeClassifier(**SEEDED), "cancer", {}),
    ("decision_tree_strings", tree.DecisionTreeClassifier(**SEEDED), "iris", {"target": NAMES}),
    ("decision_tree_regressor", tree.DecisionTreeRegressor(max_depth=6, **SEEDED), "diabetes", {}),
    ("random_forest", ensemble.RandomForestClassifier(**SEEDED), "iris", {}),
    ("random_forest_binary", ensemble.RandomForestClassifier(**SEEDED), "cancer", {}),
    ("random_forest_digits", ensemble.RandomForestClassifier(**SEEDED), "digits", {}),
    ("random_forest_regressor", ensemble.RandomForestRegressor(**SEEDED), "diabetes", {}),
    ("extra_trees", ensemble.ExtraTreesClassifier(50, **SEEDED), "digits", {}),
    ("extra_trees_regressor", ensemble.ExtraTreesRegressor(50, **SEEDED), "diabetes", {}),
    ("gradient_boosting", ensemble.GradientBoostingClassifier(**SEEDED), "iris", {}),
    ("gradient_boosting_binary", ensemble.GradientBoostingClassifier(**SEEDED), "cancer", {}),
    ("gradient_boosting_regressor", ensemble.GradientBoostingRegressor(**SEEDED), "diabetes", {}),
    ("hist_gradient_boosting", ensemble.HistGradientBoostingClassifier(**SEEDED), "iris", {}),
    ("hist_gradient_boosting_binary", ensemble.HistGradientBoostingClassifier(**SEEDED), "cancer", {}),
    ("hist_gradient_boosting_regressor", ensemble.HistGradientBoostingRegressor(**SEEDED), "diabetes", {}),
    ("ada_boost", ensemble.AdaBoostClassifier(**SEEDED), "iris", {}),
    ("ada_boost_regressor", ensemble.AdaBoostRegressor(**SEEDED), "diabetes", {}),
    ("bagging", ensemble.BaggingClassifier(**SEEDED), "iris", {}),
    ("bagging_regressor", ensemble.BaggingRegressor(**SEEDED), "diabetes", {}),
    # The converter of IsolationForest does not support version 4 of ai.onnx.ml or later.
    ("isolation_forest", ensemble.IsolationForest(n_estimators=50, **SEEDED), "iris", {"opset": {"": 17, "ai.onnx.ml": 3}}),
    ("voting", ensemble.VotingClassifier([("a", LOGISTIC), ("b", naive_bayes.GaussianNB())], voting="soft", flatten_transform=False), "iris", {}),
    ("voting_hard", ensemble.VotingClassifier([("a", LOGISTIC), ("b", naive_bayes.GaussianNB())], flatten_transform=False), "iris", {}),
    ("voting_regressor", ensemble.VotingRegressor([("a", linear_model.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=4, **SEEDED))]), "diabetes", {}),
    ("stacking", ensemble.StackingClassifier([("a", LOGISTIC), ("b", tree.DecisionTreeClassifier(**SEEDED))]), "iris", {}),
    ("stacking_regressor", ensemble.StackingRegressor([("a", linear_model.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=4, **SEEDED))]), "diabetes", {}),
    ("calibrated", calibration.CalibratedClassifierCV(LOGISTIC), "iris", {}),
    ("calibrated_isotonic", calibration.CalibratedClassifierCV(naive_bayes.GaussianNB(), method="isotonic"), "iris", {}),
    ("gaussian_process", gaussian_process.GaussianProcessRegressor(alpha=1.0), "iris", {}),
    ("gaussian_mixture", mixture.GaussianMixture(3, **SEEDED), "iris", {"near": CANCELS}),
    ("one_vs_one", multiclass.OneVsOneClassifier(svm.LinearSVC(**SEEDED)), "iris", {}),
    ("one_vs_rest", multiclass.OneVsRestClassifier(LOGISTIC), "iris", {}),
    ("grid_search", model_selection.GridSearchCV(LOGISTIC, {"C": [1, 10]}), "iris", {}),
    ("tuned_threshold", model_selection.TunedThresholdClassifierCV(LOGISTIC), "cancer", {}),
    ("pls_regression", cross_decomposition.PLSRegression(2), "diabetes", {}),
    ("ransac", make_pipeline(SCALED, linear_model.RANSACRegressor(**SEEDED)), "diabetes", {"near": CANCELS}),
    ("tweedie", make_pipeline(SCALED, linear_model.TweedieRegressor(power=1.5)), "diabetes", {}),
    ("mlp", neural_network.MLPClassifier((32,), max_iter=400, **SEEDED), "iris", {}),
    ("mlp_binary", neural_network.MLPClassifier((32,), max_iter=400, **SEEDED), "cancer", {}),
    ("mlp_digits", neural_network.MLPClassifier((64, 32), **SEEDED), "digits", {}),
    ("mlp_regressor", neural_network.MLPRegressor(hidden_layer_sizes=(32,), max_iter=400, **SEEDED), "diabetes", {}),
    ("standard_scaler", SCALED, "iris", {}),
    ("min_max_scaler", preprocessing.MinMaxScaler(), "iris", {}),
    ("max_abs_scaler", preprocessing.MaxAbsScaler(), "iris", {}),
    ("robust_scaler", preprocessing.RobustScaler(), "iris", {}),
    ("normalizer_l1", preprocessing.Normalizer("l1"), "iris", {}),
    ("normalizer_l2", preprocessing.Normalizer(), "iris", {}),
    ("normalizer_max", preprocessing.Normalizer("max"), "iris", {}),
    ("binarizer", preprocessing.Binarizer(threshold=2.0), "iris", {}),
    ("polynomial_features", preprocessing.PolynomialFeatures(2), "iris", {}),
    ("power_transformer", preprocessing.PowerTransformer(), "iris", {"near": CANCELS}),
    ("k_bins_one_hot", preprocessing.KBinsDiscretizer(4, encode="onehot-dense"), "iris", {}),
    ("k_bins_ordinal", preprocessing.KBinsDiscretizer(4, encode="ordinal"), "iris", {}),
    ("imputer_mean", SimpleImputer(), "iris", {"missing": True}),
    ("imputer_most_frequent", SimpleImputer(strategy="most_frequent"), "iris", {"missing": True}),
    # Without scaling, float32 is too coarse to decide which of two neighbors is nearer.
    ("imputer_k_neighbors", make_pipeline(SCALED, KNNImputer()), "diabetes", {"missing": True}),
    ("quantile_transformer", preprocessing.QuantileTransformer(n_quantiles=100, **SEEDED), "diabetes", {"near": CANCELS}),
    ("variance_threshold", feature_selection.VarianceThreshold(0.3), "iris", {}),
    ("selected_logistic_regression", make_pipeline(feature_selection.SelectKBest(k=2), LOGISTIC), "iris", {}),
    ("eliminated_logistic_regression", make_pipeline(feature_selection.RFE(LOGISTIC, n_features_to_select=2), LOGISTIC), "iris", {}),
    ("pca", decomposition.PCA(2), "iris", {}),
    ("kernel_pca", decomposition.KernelPCA(2, kernel="rbf", **SEEDED), "iris", {"near": CANCELS}),
    ("truncated_svd", decomposition.TruncatedSVD(2, **SEEDED), "iris", {}),
    ("kmeans", cluster.KMeans(3, n_init=3, **SEEDED), "iris", {}),
    ("mini_batch_kmeans", cluster.MiniBatchKMeans(3, n_init=3, **SEEDED), "iris", {}),
    ("scaled_logistic_regression", make_pipeline(SCALED, LOGISTIC), "cancer", {}),
    ("scaled_svc", make_pipeline(SCALED, svm.SVC()), "iris", {}),
    ("scaled_k_neighbors", make_pipeline(preprocessing.MinMaxScaler(), neighbors.KNeighborsClassifier()), "iris", {}),
    ("normalized_logistic_regression", make_pipeline(preprocessing.Normalizer(), LOGISTIC), "iris", {}),
    ("scaled_pca_logistic_regression", make_pipeline(SCALED, decomposition.PCA(2), LOGISTIC), "iris", {}),
    ("scaled_mlp", make_pipeline(SCALED, neural_network.MLPClassifier((32,), **SEEDED)), "digits", {}),
    ("scaled_ridge", make_pipeline(SCALED, linear_model.Ridge()), "diabetes", {}),
    ("scaled_gradient_boosting", make_pipeline(SCALED, ensemble.GradientBoostingRegressor(**SEEDED)), "diabetes", {}),
    ("polynomial_ridge", make_pipeline(SCALED, preprocessing.PolynomialFeatures(2), linear_model.Ridge()), "diabetes", {}),
    ("union_logistic_regression", make_pipeline(make_union(SCALED, decomposition.PCA(2)), LOGISTIC), "iris", {}),
    ("imputed_random_forest", make_pipeline(SimpleImputer(), ensemble.RandomForestClassifier(20, **SEEDED)), "iris", {"missing": True}),
]

NUMBERS, WORDS = ["length", "width"], ["color", "size"]


def columns(words, numbers=make_pipeline(SimpleImputer(), SCALED)):
    return ColumnTransformer([("numbers", numbers, NUMBERS), ("words", words, WORDS)])


ONE_HOT = preprocessing.OneHotEncoder(**UNKNOWN)
MIXED = [
    # The encoder fails on categories that are not in the training data.
    ("columns_one_hot", make_pipeline(columns(preprocessing.OneHotEncoder(drop="first")), LOGISTIC)),
    ("columns_logistic_regression", make_pipeline(columns(ONE_HOT), LOGISTIC)),
    # The number of trees is odd, so that two classes never get equal votes. With equal votes, the order of summation would
    # determine the label.
    ("columns_random_forest", make_pipeline(columns(preprocessing.OrdinalEncoder()), ensemble.RandomForestClassifier(21, **SEEDED))),
    ("columns_gradient_boosting", make_pipeline(columns(make_pipeline(SimpleImputer(missing_values="", strategy="most_frequent"), ONE_HOT)), ensemble.GradientBoostingClassifier(**SEEDED))),
]
CATEGORIES = [
    ("one_hot_encoder", preprocessing.OneHotEncoder(sparse_output=False, **UNKNOWN)),
    ("ordinal_encoder", preprocessing.OrdinalEncoder()),
    ("one_hot_logistic_regression", make_pipeline(ONE_HOT, LOGISTIC)),
]
TEXT = [
    ("count_vectorizer", CountVectorizer()),
    ("tfidf_vectorizer", TfidfVectorizer()),
    ("tfidf_bigrams", TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)),
    ("count_multinomial_nb", make_pipeline(CountVectorizer(), naive_bayes.MultinomialNB())),
    ("tfidf_logistic_regression", make_pipeline(TfidfVectorizer(), LOGISTIC)),
    ("tfidf_sgd", make_pipeline(TfidfVectorizer(), linear_model.SGDClassifier(**SEEDED))),
]


def models() -> list[Model]:
    convert_numpy_scalars()
    made = []
    for name, estimator, data_set, unusual in NUMERIC:
        made += numeric(name, estimator, data_set, **unusual)
    types = [(name, FloatTensorType([None, 1])) for name in NUMBERS]
    types += [(name, StringTensorType([None, 1])) for name in WORDS]
    for name, estimator in MIXED:
        made += exports(name, estimator, flowers(400), red_or_long(flowers(400)), types, by_column)
    types = [("X", StringTensorType([None, 2]))]
    words = flowers(400)[WORDS].to_numpy()
    for name, estimator in CATEGORIES:
        made += exports(
            name, estimator, words, red_or_long(flowers(400)), types,
            lambda count: {"X": flowers(count)[WORDS].to_numpy()},
        )
    texts, labels = zip(*SENTENCES, strict=True)
    types = [("text", StringTensorType([None]))]
    for name, estimator in TEXT:
        made += exports(name, estimator, texts, labels, types, lambda count: {"text": sentences(count)})
    return made


def numeric(name, estimator, data_set, target=None, dtype=np.float32, opset=None, missing=False, zipmap=True, near=None):
    features, targets = table(data_set)
    train = features.astype(dtype)

    def inputs(count):
        drawn = rows(data_set, count).astype(dtype)
        return {None: with_missing(drawn) if missing else drawn}

    targets = targets if target is None else target[targets]
    return exports(name, estimator, with_missing(train) if missing else train, targets, None, inputs, opset, zipmap, near)


def exports(name, estimator, features, target, types, inputs, opset=None, zipmap=True, near=None):
    """Returns the model with the default export. If this export has a ZipMap, also returns the export without ZipMap."""

    def export(path, **options):
        estimator.fit(features, target)
        sample = None if types else features[:1]
        options = {id(estimator): options} if options else None
        model = to_onnx(estimator, sample, initial_types=types, options=options, target_opset=opset)
        model.opset_import.sort(key=lambda imported: imported.domain)  # the exporter writes a random order
        path.write_bytes(model.SerializeToString(deterministic=True))

    if not is_classifier(estimator) or isinstance(estimator, svm.LinearSVC):
        return [model(name, export, inputs, near)]
    made = [model(name, export, inputs, near)] if zipmap else []
    return made + [model(f"{name}-no_zipmap", lambda path: export(path, zipmap=False), inputs, near)]


def model(name, export, inputs, near) -> Model:
    return Model(name, "scikit-learn", export, inputs, **(near or {}))


def by_column(count):
    return {name: column.to_numpy()[:, None] for name, column in flowers(count).items()}


def red_or_long(flowers):
    return ((flowers["color"] == "red") ^ (flowers["length"] > 5.8)).astype(int).to_numpy()


def with_missing(features):
    random = np.random.default_rng(len(features))
    return np.where(random.random(features.shape) < 0.1, np.nan, features).astype(features.dtype)


def convert_numpy_scalars() -> None:
    """Patches `onnx.helper` so that it converts NumPy scalars in attributes. skl2onnx passes such scalars, and protobuf
    rejects them since version 7."""
    make_attribute = onnx.helper.make_attribute

    def scalar(value):
        value = value.item() if isinstance(value, np.generic) else value
        return int(value) if isinstance(value, bool) else value

    def converted(key, value, *args, **kwargs):
        value = [scalar(item) for item in value] if isinstance(value, list | np.ndarray) else scalar(value)
        return make_attribute(key, value, *args, **kwargs)

    onnx.helper.make_attribute = converted
