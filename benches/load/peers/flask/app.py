"""Flask, a pickled scikit-learn model, and flasgger's page at /apidocs."""

import os
import pickle
from pathlib import Path

from flasgger import Swagger
from flask import Flask, jsonify, request

app = Flask(__name__)
Swagger(app)
classifier = pickle.loads(Path(os.environ["PICKLE"]).read_bytes())


@app.get("/health")
def health():
    return "ok"


@app.post("/predict")
def predict():
    """Predict for rows of features.
    ---
    parameters:
      - name: body
        in: body
        required: true
        schema:
          properties:
            instances:
              type: array
              items: {type: array, items: {type: number}}
    responses:
      200:
        description: a class and the probabilities of all classes for each row
    """
    probabilities = classifier.predict_proba(request.get_json()["instances"])
    labels = classifier.classes_[probabilities.argmax(axis=1)]
    return jsonify(predictions=labels.tolist(), probabilities=probabilities.tolist())
