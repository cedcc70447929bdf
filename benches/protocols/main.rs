//! From bytes to tensors, and back: `decode/<protocol>/<rows>`, `encode/<protocol>/<rows>`. The whole service
//! without a socket: `request/<protocol>/<rows>`. Over the embedded model.

mod questions;

use actix_web::test::{TestRequest, call_service, init_service, read_body};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ml_app::config::{Config, Limits};
use ml_app::http::{State, app};
use ml_app::protocol::features::Named;
use ml_app::protocol::instances::Predict;
use ml_app::protocol::oip::{HEADER_LENGTH, Infer};
use ml_app::protocol::{Body, Encoded, Format, Protocol};
use ml_app::source::Source;
use ml_app_model::{Model, Signature, Tensors};
use paperclip::actix::web::Data;
use questions::{Questions, ROWS, Request};
use std::hint::black_box;

fn protocols(criterion: &mut Criterion) {
    let model = Source::Embedded.load().expect("the embedded model loads");
    for rows in ROWS {
        let questions = Questions::new(model.signature(), rows);
        let same = |format| Named { question: format, answer: format };
        let mut bench = Bench { criterion, model: &model, questions: &questions };
        bench.protocol("json", &same(Format::Json), &questions.json);
        bench.protocol("ndjson", &same(Format::Ndjson), &questions.ndjson);
        bench.protocol("csv", &same(Format::Csv), &questions.csv);
        bench.protocol("instances", &Predict, &questions.instances);
        bench.protocol("oip", &Infer::Json, &questions.oip);
        let length = questions.oip_header.to_string();
        let binary = Infer::new("", Some(&length)).expect("a number");
        bench.protocol("oip_binary", &binary, &questions.oip_binary);
    }
}

struct Bench<'a> {
    criterion: &'a mut Criterion,
    model: &'a Model,
    questions: &'a Questions,
}

impl Bench<'_> {
    fn protocol<P: Protocol>(&mut self, name: &str, protocol: &P, body: &[u8]) {
        let Questions { rows, tensors, .. } = self.questions;
        let signature = self.model.signature();
        let decode = || protocol.decode(body, signature, usize::MAX).expect("its own rows");
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
        assert!(decode().0 == *tensors, "{name} has the rows of the others");

        let outputs = self.model.run(tensors.clone()).expect("the model answers");
        let encode = |(wish, outputs): (P::Wish, Tensors)| {
            let encoded = protocol.encode(wish, body, signature, outputs);
            bytes(signature, encoded.expect("its own answer"))
        };
        let expected = encode((decode().1, outputs.clone()));
        let mut group = self.criterion.benchmark_group("encode");
        group.throughput(Throughput::Elements(*rows as u64));
        group.bench_function(format!("{name}/{rows}"), |bencher| {
            let setup = || (decode().1, outputs.clone());
            bencher.iter_batched(
                setup,
                |answer| assert!(encode(answer) == expected),
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

/// Lines are written while they are sent: here, all of them.
fn bytes(signature: &Signature, encoded: Encoded) -> Vec<u8> {
    match encoded.body {
        Body::Whole(body) => body,
        Body::Lines(outputs) => {
            let answer = ml_app::protocol::answer::Answer::new(signature, &outputs);
            let mut body = vec![];
            for row in 0..outputs.rows() {
                answer.object(&mut body, row);
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
        let questions = Questions::new(signature, rows);
        for Request { protocol, path, content_type, header_length, body } in
            questions.requests(&signature.name)
        {
            let ask = || {
                runtime.block_on(async {
                    let mut request = TestRequest::post().uri(&path).set_payload(body.to_vec());
                    request = request.insert_header(("content-type", content_type));
                    if let Some(length) = header_length {
                        request = request.insert_header((HEADER_LENGTH, length));
                    }
                    let answer = call_service(&service, request.to_request()).await;
                    assert_eq!(answer.status(), 200, "{protocol}");
                    read_body(answer).await
                })
            };
            let expected = ask();
            group.bench_function(format!("{protocol}/{rows}"), |bencher| {
                bencher.iter(|| {
                    let answer = ask();
                    assert!(answer == expected);
                    black_box(answer)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, protocols, request);
criterion_main!(benches);
