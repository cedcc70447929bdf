//! A row in a query string: `GET /predict?…`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ml_app::protocol::features::Query;
use ml_app_fuzz::{decoder, model};

fuzz_target!(|input: &[u8]| {
    let mut query = input;
    decoder::check(Query, model(&mut query), query);
});
