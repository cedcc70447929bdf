//! JSON of any protocol, as on the routes of SageMaker and Vertex AI.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ml_app::protocol::auto_detect::AutoDetect;
use ml_app::protocol::binary_json::{BinaryJson, SAGEMAKER_MEDIA_TYPE};
use ml_app_fuzz::{decoder, model};

fuzz_target!(|input: &[u8]| {
    let mut body = input;
    let protocol = BinaryJson { protocol: AutoDetect, media_type: SAGEMAKER_MEDIA_TYPE };
    decoder::check(protocol, model(&mut body), body);
});
