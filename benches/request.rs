//! The whole service without a socket: `request/<protocol>/<rows>`.

use actix_web::test::{TestRequest, call_service, init_service, read_body};
use criterion::{Criterion, criterion_group, criterion_main};
use ml_app::config::{Config, Limits};
use ml_app::http::{State, app};
use ml_app::source::Source;
use paperclip::actix::web::Data;
use std::hint::black_box;

fn request(criterion: &mut Criterion) {
    let model = Source::Embedded.load().expect("the embedded model loads");
    let example = example(&model);
    let limits = Limits { max_body: usize::MAX, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let state = Data::new(State::new(model, Source::Embedded.sha256(), &config));
    let runtime = actix_web::rt::System::new();
    let service = runtime.block_on(init_service(app(state)));
    let mut group = criterion.benchmark_group("request");
    for rows in [1, 100, 10_000] {
        let json = format!("[{}]", vec![example.as_str(); rows].join(","));
        group.bench_function(format!("json/{rows}"), |bencher| {
            bencher.iter(|| {
                let answer = runtime.block_on(async {
                    let request = TestRequest::post()
                        .uri("/predict")
                        .insert_header(("content-type", "application/json"))
                        .set_payload(json.clone())
                        .to_request();
                    read_body(call_service(&service, request).await).await
                });
                assert_eq!(answer.iter().filter(|byte| **byte == b'{').count(), 2 * rows);
                black_box(answer)
            });
        });
    }
    group.finish();
}

/// The features' examples as one row.
fn example(model: &ml_app_model::Model) -> String {
    let features = model.signature().features.iter();
    let row: serde_json::Map<_, _> =
        features.map(|feature| (feature.name.clone(), feature.example())).collect();
    serde_json::Value::from(row).to_string()
}

criterion_group!(benches, request);
criterion_main!(benches);
