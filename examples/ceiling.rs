//! What actix-web can do at most with a logistic regression: `serde_json` into vectors, plain loops, and
//! `serde_json` again. No validation, no model file, no metrics. `benches/load` compares ml-app with it.
//!
//! `ceiling COEFFICIENTS PORT` answers `{"instances": [[…], …]}` at `/predict`, with a thread for each
//! processor. COEFFICIENTS is JSON, `coef` and `intercept` as scikit-learn has them for two classes.

use actix_web::{App, HttpResponse, HttpServer, web};
use musl_mem as _;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::{env, fs, io, thread};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LARGEST_BODY: usize = 64 << 20;

#[derive(Deserialize)]
struct Regression {
    coef: Vec<f64>,
    intercept: f64,
}

#[derive(Deserialize)]
struct Question {
    instances: Vec<Vec<f64>>,
}

#[derive(Serialize)]
struct Answer {
    predictions: Vec<u8>,
    probabilities: Vec<[f64; 2]>,
}

impl Regression {
    fn answer(&self, rows: &[Vec<f64>]) -> Answer {
        let probabilities: Vec<[f64; 2]> = rows
            .iter()
            .map(|row| {
                let products = row.iter().zip(&self.coef).map(|(value, weight)| value * weight);
                let score = products.sum::<f64>() + self.intercept;
                let positive = 1.0 / (1.0 + (-score).exp());
                [1.0 - positive, positive]
            })
            .collect();
        Answer {
            predictions: probabilities.iter().map(|row| u8::from(row[1] > 0.5)).collect(),
            probabilities,
        }
    }
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().collect();
    let [_, coefficients, port] = arguments.as_slice() else {
        return Err(io::Error::other("expected COEFFICIENTS and PORT"));
    };
    let regression: Regression = serde_json::from_slice(&fs::read(coefficients)?)?;
    let port: u16 = port.parse().map_err(io::Error::other)?;
    let regression = web::Data::new(regression);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(regression.clone())
            .app_data(web::PayloadConfig::new(LARGEST_BODY))
            .route("/health", web::get().to(HttpResponse::Ok))
            .route("/predict", web::post().to(predict))
    });
    let workers = thread::available_parallelism()?.get();
    actix_web::rt::System::new()
        .block_on(server.workers(workers).bind((Ipv4Addr::LOCALHOST, port))?.run())
}

async fn predict(regression: web::Data<Regression>, body: web::Bytes) -> HttpResponse {
    match serde_json::from_slice::<Question>(&body) {
        Ok(question) => HttpResponse::Ok().json(regression.answer(&question.instances)),
        Err(error) => HttpResponse::BadRequest().body(error.to_string()),
    }
}
