//! Benchmarks of the protocols with the embedded model.
//!
//! - `decode/<protocol>/<rows>` decodes the body of a request to tensors.
//! - `encode/<protocol>/<rows>` encodes output tensors as the body of a response.
//! - `request/<protocol>/<rows>` sends a request through the whole service, without a socket.

mod requests;

use actix_web::test::{TestRequest, call_service, init_service, read_body};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ml_app::config::{Config, Limits};
use ml_app::http::{State, app};
use ml_app::protocol::features::NamedFeatures;
use ml_app::protocol::instances::Predict;
use ml_app::protocol::oip::{Infer, JSON_SIZE_HEADER};
use ml_app::protocol::predictions::Predictions;
use ml_app::protocol::{Body, Encoded, Protocol, WireFormat};
use ml_app::source::Source;
use ml_app_model::{Model, Signature, Tensors};
use paperclip::actix::web::Data;
use requests::{ROWS, Request, Requests};
use std::hint::black_box;

fn protocols(criterion: &mut Criterion) {
    let model = Source::Embedded.load().expect("the embedded model loads");
    for rows in ROWS {
        let requests = Requests::new(model.signature(), rows);
        let same_format = |format| NamedFeatures { request: format, response: format };
        let mut bench = Bench { criterion, model: &model, requests: &requests };
        bench.protocol("json", &same_format(WireFormat::Json), &requests.json);
        bench.protocol("ndjson", &same_format(WireFormat::Ndjson), &requests.ndjson);
        bench.protocol("csv", &same_format(WireFormat::Csv), &requests.csv);
        bench.protocol("instances", &Predict, &requests.instances);
        bench.protocol("oip", &Infer::Json, &requests.oip);
        let length = requests.oip_json_size.to_string();
        let binary = Infer::new("", Some(&length)).expect("a number");
        bench.protocol("oip_binary", &binary, &requests.oip_binary);
    }
}

struct Bench<'a> {
    criterion: &'a mut Criterion,
    model: &'a Model,
    requests: &'a Requests,
}

impl Bench<'_> {
    fn protocol<P: Protocol>(&mut self, name: &str, protocol: &P, body: &[u8]) {
        let Requests { rows, tensors, .. } = self.requests;
        let signature = self.model.signature();
        let decode = || protocol.decode(body, signature, usize::MAX).expect("a valid request");
        let mut group = self.criterion.benchmark_group("decode");
        group.throughput(Throughput::Elements(*rows as u64));
        group.bench_function(format!("{name}/{rows}"), |bencher| {
            bencher.iter(|| {
                let (decoded, _) = decode();
                assert_eq!(decoded.rows(), *rows);
                black_box(decoded)
            });
        });
        group.finish();
        assert!(decode().0 == *tensors, "{name} decodes to the same tensors as JSON");

        let outputs = self.model.run(tensors.clone()).expect("the model runs");
        let encode = |(options, outputs): (P::ResponseOptions, Tensors)| {
            let encoded = protocol.encode(options, body, signature, outputs);
            body_bytes(signature, encoded.expect("a decoded request has a response"))
        };
        let expected = encode((decode().1, outputs.clone()));
        let mut group = self.criterion.benchmark_group("encode");
        group.throughput(Throughput::Elements(*rows as u64));
        group.bench_function(format!("{name}/{rows}"), |bencher| {
            let setup = || (decode().1, outputs.clone());
            bencher.iter_batched(
                setup,
                |response| assert!(encode(response) == expected),
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

/// Returns the bytes of the whole body. This function encodes all lines of NDJSON at once, while the server encodes
/// NDJSON as it sends the response.
fn body_bytes(signature: &Signature, encoded: Encoded) -> Vec<u8> {
    match encoded.body {
        Body::Whole(body) => body,
        Body::Lines(outputs) => {
            let predictions = Predictions::new(signature, &outputs);
            let mut body = vec![];
            for row in 0..outputs.rows() {
                predictions.object(&mut body, row);
                body.push(b'\n');
            }
            body
        }
    }
}

fn request(criterion: &mut Criterion) {
    let model = Source::Embedded.load().expect("the embedded model loads");
    let limits = Limits { max_body: usize::MAX, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let state = Data::new(State::new(model, Source::Embedded.sha256(), &config));
    let signature = state.model.signature();
    let runtime = actix_web::rt::System::new();
    let service = runtime.block_on(init_service(app(state.clone())));
    let mut group = criterion.benchmark_group("request");
    for rows in ROWS {
        group.throughput(Throughput::Elements(rows as u64));
        let requests = Requests::new(signature, rows);
        for Request { protocol, path, content_type, header_length, body } in
            requests.requests(&signature.name)
        {
            let send = || {
                runtime.block_on(async {
                    let mut request = TestRequest::post().uri(&path).set_payload(body.to_vec());
                    request = request.insert_header(("content-type", content_type));
                    if let Some(length) = header_length {
                        request = request.insert_header((JSON_SIZE_HEADER, length));
                    }
                    let response = call_service(&service, request.to_request()).await;
                    assert_eq!(response.status(), 200, "{protocol}");
                    read_body(response).await
                })
            };
            let expected = send();
            group.bench_function(format!("{protocol}/{rows}"), |bencher| {
                bencher.iter(|| {
                    let response = send();
                    assert!(response == expected);
                    black_box(response)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, protocols, request);
criterion_main!(benches);
