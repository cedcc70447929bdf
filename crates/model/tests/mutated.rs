//! Checks that damaged models are either rejected, or load and predict. No damaged model may end the
//! process, block it or fill the memory.
//!
//! A damaged copy of a model has changed bytes in its file, or changed numbers in its graph, such as sizes that no
//! exporter writes. The random numbers have a fixed seed. The environment variable `MUTATIONS` sets the number of
//! damaged copies of each model. `MODELS` is a folder whose models replace the models of this repository.

#![allow(clippy::unwrap_used)]

#[path = "../../onnx-ml/tests/case/folders.rs"]
mod folders;
#[path = "../../onnx-ml/src/random.rs"]
mod random;

use ml_app_model::Model;
use prost::Message;
use random::Random;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, TensorProto, tensor_shape_proto};

/// Default number of damaged copies of each model.
const DEFAULT_COUNT: usize = 12;
/// Maximum time to load a damaged model. The limit is generous, because the machine may be busy.
const MAX_LOAD_TIME: Duration = Duration::from_secs(300);
/// Maximum memory of the process, in KiB.
const MAX_MEMORY: usize = 1 << 20;

#[test]
fn damaged_models_are_rejected_or_load() {
    let count = env::var("MUTATIONS").map_or(DEFAULT_COUNT, |count| count.parse().unwrap());
    let watched = watch();
    let mut random = Random(0x5eed_0000_1234_5678);
    let mut loaded = 0;
    for path in models() {
        let original = fs::read(&path).unwrap();
        for number in 0..count {
            let damaged = damage(&mut random, &original, number);
            *watched.lock().unwrap() =
                Some((format!("{} {number}", path.display()), Instant::now()));
            loaded += usize::from(Model::load(&damaged).is_ok());
            *watched.lock().unwrap() = None;
        }
    }
    assert!(loaded > 0, "expected some damaged models to load");
}

/// Returns the paths of the small models in this repository.
fn models() -> Vec<PathBuf> {
    /// Maximum size of a model file, in bytes.
    const MAX_SIZE: u64 = 200_000;
    let entries = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found = vec![];
    if let Some(folder) = env::var_os("MODELS") {
        found.extend(
            entries(Path::new(&folder))
                .filter(|path| path.extension().is_some_and(|end| end == "onnx")),
        );
    } else {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        found.push(root.join("model.onnx"));
        found.extend(entries(&root.join("tests/cases")).map(|case| case.join("model.onnx")));
        let cases = folders::cases(&root.join("crates/onnx-ml/tests/cases"));
        found.extend(cases.iter().map(|case| case.join("model.onnx")));
    }
    found.retain(|path| fs::metadata(path).is_ok_and(|file| file.len() < MAX_SIZE));
    found.sort();
    found
}

/// The model that is being loaded, and the time at which its load started.
type Watched = Mutex<Option<(String, Instant)>>;

/// Starts a thread that watches the load of models. If a load takes too long or fills the memory, the thread prints the
/// name of the model and ends the process.
fn watch() -> &'static Watched {
    static WATCHED: Watched = Mutex::new(None);
    thread::spawn(|| {
        loop {
            thread::sleep(Duration::from_millis(20));
            let Some((name, since)) = &*WATCHED.lock().unwrap() else { continue };
            let memory = peak_memory();
            if since.elapsed() > MAX_LOAD_TIME || memory > MAX_MEMORY {
                // The test harness captures the output of `eprintln!`, and would lose it at `exit`.
                let _ = writeln!(
                    stderr(),
                    "{name} takes {:?} and {memory} KiB, expected at most {MAX_LOAD_TIME:?} and {MAX_MEMORY} KiB",
                    since.elapsed()
                );
                process::exit(1);
            }
        }
    });
    &WATCHED
}

/// Returns the peak memory of the process in KiB; 0 on systems other than Linux.
fn peak_memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or(0, |peak| peak.trim().trim_end_matches(" kB").parse().unwrap())
}

/// Returns a damaged copy of a model. Either some bytes of the file are changed, or a number in the graph is changed.
fn damage(random: &mut Random, original: &[u8], number: usize) -> Vec<u8> {
    match number % 3 {
        0 => {
            let mut bytes = original.to_vec();
            for _ in 0..=random.below(4) {
                let index = random.below(bytes.len());
                bytes[index] = match random.below(3) {
                    0 => bytes[index] ^ 1 << random.below(8),
                    1 => 0xff,
                    _ => random.below(256) as u8,
                };
            }
            bytes.truncate(
                bytes.len() - if random.below(4) == 0 { random.below(bytes.len()) } else { 0 },
            );
            bytes
        }
        _ => {
            let mut model = ModelProto::decode(original).unwrap();
            for _ in 0..=random.below(2) {
                distort(random, model.graph.as_mut().unwrap());
            }
            model.encode_to_vec()
        }
    }
}

/// Changes a number in the graph, or the length of a list.
fn distort(random: &mut Random, graph: &mut GraphProto) {
    match random.below(10) {
        0 if !graph.initializer.is_empty() => {
            let index = random.below(graph.initializer.len());
            distort_tensor(random, &mut graph.initializer[index]);
        }
        1 => {
            let info = graph.input.iter_mut().next();
            let tensor = info.and_then(|info| info.r#type.as_mut()?.value.as_mut());
            if let Some(tract_onnx::pb::type_proto::Value::TensorType(tensor)) = tensor {
                for dim in tensor.shape.iter_mut().flat_map(|shape| &mut shape.dim) {
                    if random.below(2) == 0 {
                        dim.value =
                            Some(tensor_shape_proto::dimension::Value::DimValue(random.int()));
                    }
                }
            }
        }
        2 => {
            let index = random.below(graph.node.len());
            let node = &mut graph.node[index];
            match random.below(3) {
                0 => drop(node.input.pop()),
                1 => drop(node.output.pop()),
                _ => node.input.push(node.output.first().cloned().unwrap_or_default()),
            }
        }
        _ => {
            let mut attributes: Vec<&mut AttributeProto> =
                graph.node.iter_mut().flat_map(|node| &mut node.attribute).collect();
            if !attributes.is_empty() {
                let index = random.below(attributes.len());
                distort_attribute(random, attributes[index]);
            }
        }
    }
}

/// Changes the numbers of an attribute, or the length of its lists.
fn distort_attribute(random: &mut Random, attribute: &mut AttributeProto) {
    attribute.i = random.int();
    attribute.f = random.float();
    attribute.t.iter_mut().for_each(|tensor| distort_tensor(random, tensor));
    match random.below(4) {
        0 => {
            attribute.ints.pop();
            attribute.floats.pop();
            attribute.strings.pop();
        }
        1 => {
            attribute.ints.extend(attribute.ints.clone());
            attribute.floats.extend(attribute.floats.clone());
            attribute.strings.extend(attribute.strings.clone());
        }
        _ => {
            if !attribute.ints.is_empty() {
                let index = random.below(attribute.ints.len());
                attribute.ints[index] = random.int();
            }
            if !attribute.floats.is_empty() {
                let index = random.below(attribute.floats.len());
                attribute.floats[index] = random.float();
            }
            if !attribute.strings.is_empty() {
                let (from, to) =
                    (random.below(attribute.strings.len()), random.below(attribute.strings.len()));
                attribute.strings[to] = attribute.strings[from].clone();
            }
        }
    }
}

/// Changes the shape of a tensor, or some of its elements.
fn distort_tensor(random: &mut Random, tensor: &mut TensorProto) {
    match random.below(3) {
        0 => tensor.dims.push(random.int()),
        1 => tensor.dims.iter_mut().for_each(|dim| *dim = random.int()),
        _ => {
            tensor.int64_data.iter_mut().for_each(|element| *element = random.int());
            tensor.float_data.iter_mut().for_each(|element| *element = random.float());
            for byte in &mut tensor.raw_data {
                if random.below(4) == 0 {
                    *byte = random.below(256) as u8;
                }
            }
        }
    }
}

impl Random {
    /// Returns an integer that differs by at most 2 from zero, from a power of two or from a limit of `i64`.
    fn int(&mut self) -> i64 {
        let near = self.below(5) as i64 - 2;
        let bounds = [0, 0, 8, 1 << 16, 1 << 31, 1 << 40, 1 << 62, i64::MAX, i64::MIN];
        let bound: i64 = bounds[self.below(bounds.len())];
        bound.saturating_add(near)
    }

    /// Returns a float from a list with very large, very small and non-finite values.
    fn float(&mut self) -> f32 {
        [0.0, -1.0, 1e30, 1e-40, f32::NAN, f32::INFINITY, f32::NEG_INFINITY][self.below(7)]
    }
}
