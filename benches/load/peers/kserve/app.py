"""KServe's server with a pickled scikit-learn model, as in KServe's image for scikit-learn."""

import argparse
import os
import pickle
from pathlib import Path

from kserve import Model, ModelServer, model_server
from kserve.utils.utils import get_predict_input, get_predict_response


class Classifier(Model):
    def __init__(self, name):
        super().__init__(name)
        self.classifier = pickle.loads(Path(os.environ["PICKLE"]).read_bytes())
        self.ready = True

    def predict(self, payload, headers=None):
        scores = self.classifier.predict_proba(get_predict_input(payload))
        return get_predict_response(payload, scores, self.name)


if __name__ == "__main__":
    argparse.ArgumentParser(parents=[model_server.parser]).parse_known_args()
    ModelServer().start([Classifier("model")])
