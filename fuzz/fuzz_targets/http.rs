//! A whole request: routes, headers, codings, forms, and every decoder behind them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ml_app_fuzz::service;

fuzz_target!(|input: &[u8]| service::check(input));
