//! A prediction without a server: `infer/<model>/<rows>`, over small cases of each family.

#[path = "../tests/case/mod.rs"]
mod case;

use case::{Outcome, compare, data_sets, inputs, tensors};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ml_app_model::Model;
use std::fs;
use std::hint::black_box;
use std::path::Path;

const MODELS: [&str; 9] = [
    "logistic_regression",
    "linear_regression",
    "svc_rbf",
    "k_neighbors",
    "random_forest_multi",
    "gradient_boosting_binary",
    "mlp",
    "columns_logistic_regression",
    "standard_scaler",
];

fn infer(criterion: &mut Criterion) {
    for model in MODELS {
        bench(criterion, model).unwrap_or_else(|error| panic!("{model}: {error}"));
    }
}

fn bench(criterion: &mut Criterion, name: &str) -> Outcome<()> {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../onnx-ml/tests/cases").join(name);
    let model = Model::load(&fs::read(case.join("model.onnx"))?)?;
    let data_sets = data_sets(&case);
    let data_set = data_sets.last().ok_or("there is no data set")?;
    let (given, expected) = (tensors(data_set, "input")?, tensors(data_set, "output")?);
    let found = model.run(inputs(model.signature(), &given, given[0].shape()[0])?)?;
    for (found, expected) in found.tensors().iter().zip(&expected) {
        compare(found, expected, 1e-5)?;
    }
    let mut group = criterion.benchmark_group(format!("infer/{name}"));
    for rows in [1, 1000] {
        let inputs = inputs(model.signature(), &given, rows)?;
        group.bench_function(rows.to_string(), |bencher| {
            let run = |inputs| {
                let outputs = model.run(inputs).expect("it ran before");
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
