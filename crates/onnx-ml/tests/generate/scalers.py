"""Cases of Scaler."""

import numpy as np
from common import write
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.preprocessing import MinMaxScaler, StandardScaler

X = load_iris().data.astype(np.float32)
ROWS = [[X[:1]], [X[::20]]]

write("ml/features", "standard_scaler", to_onnx(StandardScaler().fit(X), X[:1]), ROWS)
write("ml/features", "min_max_scaler", to_onnx(MinMaxScaler(clip=True).fit(X), X[:1]), ROWS)
