//! actix-web alone, with the same set-up as ml-app's server. `cargo bench --bench cold_start` compares ml-app
//! with this program, which responds to every request with the same JSON. It listens on the port `PORT` of the
//! loopback interface, and has `ML_APP_WORKERS` threads.

use actix_web::{App, HttpResponse, HttpServer, web};
use musl_mem as _;
use std::net::Ipv4Addr;
use std::{env, io, thread};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> io::Result<()> {
    let number = |name| env::var(name).ok().and_then(|value| value.parse().ok());
    let port = number("PORT").unwrap_or(5000);
    let workers = number("ML_APP_WORKERS")
        .map(usize::from)
        .or_else(|| thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1);
    actix_web::rt::System::new().block_on(
        HttpServer::new(|| App::new().default_service(web::to(respond)))
            .workers(workers)
            .bind((Ipv4Addr::LOCALHOST, port))?
            .run(),
    )
}

async fn respond() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body("{\"prediction\":1}")
}
