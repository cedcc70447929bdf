"""Models of LightGBM and XGBoost, exported by onnxmltools, and of CatBoost, exported by CatBoost itself."""

import catboost
import lightgbm
import xgboost
from data import rows, table
from model import Model
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

DATA_SETS = {"binary": "cancer", "multi": "iris", "regressor": "diabetes"}


def models() -> list[Model]:
    made = []
    for kind, data_set in DATA_SETS.items():
        for family, export in [("LightGBM", export_lightgbm), ("XGBoost", export_xgboost), ("CatBoost", export_catboost)]:
            made.append(model(f"{family.lower()}_{kind}", family, export, kind, data_set))
        if kind != "regressor":
            made.append(
                model(f"lightgbm_{kind}-no_zipmap", "LightGBM", export_lightgbm, kind, data_set, zipmap=False)
            )
    return made


def model(name, family, export, kind, data_set, **options) -> Model:
    def write(path):
        export(kind, *table(data_set), path, **options)

    return Model(name, family, write, lambda count: {None: rows(data_set, count)})


def export_lightgbm(kind, features, target, path, **options):
    made = lightgbm.LGBMRegressor if kind == "regressor" else lightgbm.LGBMClassifier
    fitted = made(n_jobs=1, verbose=-1).fit(features, target)
    write(convert_lightgbm(fitted, initial_types=types(features), **options), path)


def export_xgboost(kind, features, target, path):
    made = xgboost.XGBRegressor if kind == "regressor" else xgboost.XGBClassifier
    fitted = made(n_estimators=100, n_jobs=1).fit(features, target)
    write(convert_xgboost(fitted, initial_types=types(features)), path)


def export_catboost(kind, features, target, path):
    made = catboost.CatBoostRegressor if kind == "regressor" else catboost.CatBoostClassifier
    fitted = made(iterations=100, verbose=0, thread_count=1, random_seed=0, allow_writing_files=False)
    fitted.fit(features, target).save_model(str(path), format="onnx")


def types(features):
    return [("input", FloatTensorType([None, features.shape[1]]))]


def write(exported, path):
    path.write_bytes(exported.SerializeToString())
