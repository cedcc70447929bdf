"""Cases of whole scikit-learn models: neighbors, a network, naive Bayes, clusters, a pipeline."""

import numpy as np
from common import write
from skl2onnx import to_onnx
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X, y = load_iris(return_X_y=True)
X = X.astype(np.float32)
# Training rows, slightly shifted, so that no two distances are equal.
ROWS = X[::13] + np.float32(0.037) * X[3::13][: len(X[::13])]


def main():
    for name, model in [
        ("k_neighbors", KNeighborsClassifier()),
        ("mlp", MLPClassifier((16,), max_iter=1000, random_state=0)),
        ("gaussian_nb", GaussianNB()),
        ("kmeans", KMeans(3, n_init=3, random_state=0)),
        ("scaled_pca_logistic", make_pipeline(StandardScaler(), PCA(2), LogisticRegression())),
    ]:
        write("ml/models", name, to_onnx(model.fit(X, y), X[:1]), [[ROWS[:1]], [ROWS]])


if __name__ == "__main__":
    main()
