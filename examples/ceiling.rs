//! An upper bound for the speed of a logistic regression on actix-web. `serde_json` parses the rows into vectors,
//! loops compute the scores, and `serde_json` writes the response. There is no validation, no model file and no
//! metric. `benches/load` compares ml-app with this program.
//!
//! `ceiling COEFFICIENTS PORT` serves predictions at `/predict`, for bodies `{"instances": [[…], …]}`, with one
//! thread per processor. COEFFICIENTS is a JSON file with scikit-learn's `coef` and `intercept` for two classes.

use actix_web::{App, HttpResponse, HttpServer, web};
use musl_mem as _;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::{env, fs, io, thread};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Maximum size of a request body, in bytes.
const MAX_BODY: usize = 64 << 20;

#[derive(Deserialize)]
struct Regression {
    coef: Vec<f64>,
    intercept: f64,
}

#[derive(Deserialize)]
struct Instances {
    instances: Vec<Vec<f64>>,
}

#[derive(Serialize)]
struct Predictions {
    predictions: Vec<u8>,
    probabilities: Vec<[f64; 2]>,
}

impl Regression {
    fn predict(&self, rows: &[Vec<f64>]) -> Predictions {
        let probabilities: Vec<[f64; 2]> = rows
            .iter()
            .map(|row| {
                let products = row.iter().zip(&self.coef).map(|(value, weight)| value * weight);
                let score = products.sum::<f64>() + self.intercept;
                let positive = 1.0 / (1.0 + (-score).exp());
                [1.0 - positive, positive]
            })
            .collect();
        Predictions {
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
            .app_data(web::PayloadConfig::new(MAX_BODY))
            .route("/health", web::get().to(HttpResponse::Ok))
            .route("/predict", web::post().to(predict))
    });
    let workers = thread::available_parallelism()?.get();
    actix_web::rt::System::new()
        .block_on(server.workers(workers).bind((Ipv4Addr::LOCALHOST, port))?.run())
}

async fn predict(regression: web::Data<Regression>, body: web::Bytes) -> HttpResponse {
    match serde_json::from_slice::<Instances>(&body) {
        Ok(body) => HttpResponse::Ok().json(regression.predict(&body.instances)),
        Err(error) => HttpResponse::BadRequest().body(error.to_string()),
    }
}
