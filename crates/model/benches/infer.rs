//! Benchmarks predictions without a server, with a small model of each family. The name of a benchmark is
//! `infer/<model>/<rows>`.

#[path = "../tests/case/mod.rs"]
mod case;
#[path = "../../onnx-ml/tests/case/data_sets.rs"]
mod data_sets;

use case::{Outcome, compare, from_tract, inputs};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use data_sets::data_sets;
use ml_app_model::Model;
use std::fs;
use std::hint::black_box;
use std::path::Path;

const MODELS: [&str; 9] = [
    "ml/linear/exported/logistic_regression",
    "ml/linear/exported/linear_regression",
    "ml/svm/exported/svc_rbf",
    "ml/models/k_neighbors",
    "ml/trees/exported/random_forest_multi",
    "ml/trees/exported/gradient_boosting_binary",
    "ml/models/mlp",
    "ml/models/columns_logistic_regression",
    "ml/features/standard_scaler",
];

fn infer(criterion: &mut Criterion) {
    for model in MODELS {
        bench(criterion, model).unwrap_or_else(|error| panic!("{model}: {error}"));
    }
}

fn bench(criterion: &mut Criterion, name: &str) -> Outcome<()> {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../onnx-ml/tests/cases").join(name);
    let model = Model::load(&fs::read(case.join("model.onnx"))?)?;
    let data_sets = data_sets(&case)?;
    let data_set = data_sets.last().expect("a case has a data set");
    let (case_inputs, expected) = (from_tract(&data_set.inputs)?, from_tract(&data_set.outputs)?);
    let found = model.run(inputs(model.signature(), &case_inputs, case_inputs[0].shape()[0])?)?;
    for (found, expected) in found.tensors().iter().zip(&expected) {
        compare(found, expected, 1e-5)?;
    }
    let (_, model_name) = name.rsplit_once('/').expect("a case is in a topic");
    let mut group = criterion.benchmark_group(format!("infer/{model_name}"));
    for rows in [1, 1000] {
        let inputs = inputs(model.signature(), &case_inputs, rows)?;
        group.bench_function(rows.to_string(), |bencher| {
            let run = |inputs| {
                let outputs = model.run(inputs).expect("the model has run before");
                assert_eq!(outputs.rows(), rows);
                black_box(outputs)
            };
            bencher.iter_batched(|| inputs.clone(), run, BatchSize::SmallInput);
        });
    }
    group.finish();
    Ok(())
}

criterion_group!(benches, infer);
criterion_main!(benches);
