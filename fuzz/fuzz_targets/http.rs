//! Whole requests: routes, headers, content codings, forms, and all decoders.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ml_app_fuzz::service;

fuzz_target!(|input: &[u8]| service::check(input));
