//! Whether questions and answers are still those that the model was made for: values that are missing
//! or outside of what was seen in training, by feature, and what is predicted.

use ml_app_model::{Datatype, Elements, Feature, Signature, Strings, Task, Tensor, Tensors};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Features that are watched, and classes that are counted: each is a series.
const MOST: usize = 100;

#[derive(Debug)]
pub struct Drift {
    pub features: Vec<Watched>,
    predictions: Predictions,
}

/// A feature of floats or with a range.
#[derive(Debug)]
pub struct Watched {
    pub name: String,
    input: usize,
    column: usize,
    minimum: f64,
    maximum: f64,
    pub missing: AtomicU64,
    pub below: AtomicU64,
    pub above: AtomicU64,
}

#[derive(Debug)]
enum Predictions {
    /// Rows of each class.
    Classes {
        label: usize,
        classes: Vec<Class>,
    },
    /// Numbers in one output: how many, their sum and their squares' sum, as bits of doubles.
    Numbers {
        output: usize,
        count: AtomicU64,
        sum: AtomicU64,
        squares: AtomicU64,
    },
    None,
}

#[derive(Debug)]
struct Class {
    name: String,
    /// The same, where labels are integers.
    number: Option<i64>,
    rows: AtomicU64,
}

/// What has been predicted.
pub enum Predicted {
    Classes(Vec<(String, u64)>),
    Numbers { count: u64, sum: f64, squares: f64 },
    None,
}

impl Drift {
    pub fn new(signature: &Signature) -> Drift {
        let watched = signature.features.iter().filter(|feature| {
            let ranged = feature.minimum.is_some() || feature.maximum.is_some();
            feature.is_scalar() && (feature.datatype.is_float() || ranged)
        });
        let features = watched.take(MOST).map(Watched::new);
        let number = |output: &ml_app_model::TensorSpec| {
            let width: Option<usize> = output.shape.iter().skip(1).copied().product();
            output.datatype.is_float() && width == Some(1)
        };
        let predictions = match &signature.task {
            Task::Classification { label, classes, .. } => Predictions::Classes {
                label: *label,
                classes: classes.iter().take(MOST).map(|class| Class::new(class)).collect(),
            },
            Task::Other => match signature.outputs.iter().position(number) {
                Some(output) => Predictions::Numbers {
                    output,
                    count: 0.into(),
                    sum: 0.into(),
                    squares: 0.into(),
                },
                None => Predictions::None,
            },
        };
        Drift { features: features.collect(), predictions }
    }

    pub fn asked(&self, inputs: &Tensors) {
        for feature in &self.features {
            feature.look(&inputs.tensors()[feature.input], inputs.rows());
        }
    }

    pub fn answered(&self, outputs: &Tensors) {
        match &self.predictions {
            Predictions::Classes { label, classes } => count(&outputs.tensors()[*label], classes),
            Predictions::Numbers { output, count, sum, squares } => {
                let (mut numbers, mut total, mut total_squares) = (0, 0.0, 0.0);
                let mut add = |number: f64| {
                    if number.is_finite() {
                        (numbers, total, total_squares) =
                            (numbers + 1, total + number, total_squares + number * number);
                    }
                };
                match outputs.tensors()[*output].elements() {
                    Elements::Float32(numbers) => numbers.iter().for_each(|n| add((*n).into())),
                    Elements::Float64(numbers) => numbers.iter().for_each(|n| add(*n)),
                    Elements::Float16(numbers) => numbers.iter().for_each(|n| add(n.to_f64())),
                    _ => {}
                }
                count.fetch_add(numbers, Relaxed);
                add_to(sum, total);
                add_to(squares, total_squares);
            }
            Predictions::None => {}
        }
    }

    pub fn predicted(&self) -> Predicted {
        let number = |bits: &AtomicU64| f64::from_bits(bits.load(Relaxed));
        match &self.predictions {
            Predictions::Classes { classes, .. } => Predicted::Classes(
                classes
                    .iter()
                    .map(|class| (class.name.clone(), class.rows.load(Relaxed)))
                    .collect(),
            ),
            Predictions::Numbers { count, sum, squares, .. } => Predicted::Numbers {
                count: count.load(Relaxed),
                sum: number(sum),
                squares: number(squares),
            },
            Predictions::None => Predicted::None,
        }
    }
}

impl Watched {
    fn new(feature: &Feature) -> Watched {
        // A bound is what the model's own type makes of it, as the values are.
        let bound = |bound: f64| match feature.datatype {
            Datatype::Float32 => f64::from(bound as f32),
            _ => bound,
        };
        Watched {
            name: feature.name.clone(),
            input: feature.input,
            column: feature.column,
            minimum: feature.minimum.map_or(f64::NEG_INFINITY, bound),
            maximum: feature.maximum.map_or(f64::INFINITY, bound),
            missing: AtomicU64::default(),
            below: AtomicU64::default(),
            above: AtomicU64::default(),
        }
    }

    fn look(&self, tensor: &Tensor, rows: usize) {
        let width = (tensor.len() / rows.max(1)).max(1);
        macro_rules! look {
            ($elements:expr, $to_f64:expr, $($types:ident),*) => {
                match $elements {
                    $(Elements::$types(elements) => {
                        let column = elements.iter().skip(self.column).step_by(width);
                        self.count(column.map($to_f64))
                    })*
                    Elements::Float16(elements) => {
                        let column = elements.iter().skip(self.column).step_by(width);
                        self.count(column.map(|value| value.to_f64()))
                    }
                    Elements::Float64(elements) => {
                        self.count(elements.iter().skip(self.column).step_by(width).copied())
                    }
                    Elements::Bool(_) | Elements::String(_) => {}
                }
            };
        }
        look!(
            tensor.elements(),
            |value| *value as f64,
            Float32,
            Int8,
            Int16,
            Int32,
            Int64,
            Uint8,
            Uint16,
            Uint32,
            Uint64
        );
    }

    fn count(&self, values: impl Iterator<Item = f64>) {
        let (mut missing, mut below, mut above) = (0, 0, 0);
        for value in values {
            missing += u64::from(value.is_nan());
            below += u64::from(value < self.minimum);
            above += u64::from(value > self.maximum);
        }
        for (counter, found) in
            [(&self.missing, missing), (&self.below, below), (&self.above, above)]
        {
            if found > 0 {
                counter.fetch_add(found, Relaxed);
            }
        }
    }
}

impl Class {
    fn new(name: &str) -> Class {
        Class { name: name.to_owned(), number: name.parse().ok(), rows: AtomicU64::default() }
    }
}

fn count(labels: &Tensor, classes: &[Class]) {
    let mut found = vec![0; classes.len()];
    let mut add = |is_it: &dyn Fn(&Class) -> bool, rows: u64| {
        if let Some(index) = classes.iter().position(is_it) {
            found[index] += rows;
        }
    };
    match labels.elements() {
        Elements::String(Strings::Labels { labels, indices }) => {
            let mut rows = vec![0; labels.len()];
            indices.iter().for_each(|index| rows[*index as usize] += 1);
            for (label, rows) in labels.iter().zip(rows) {
                add(&|class| class.name == *label, rows);
            }
        }
        Elements::String(labels) => {
            labels.iter().for_each(|label| add(&|class| class.name == label, 1));
        }
        Elements::Int64(labels) => {
            labels.iter().for_each(|label| add(&|class| class.number == Some(*label), 1));
        }
        _ => {}
    }
    for (class, rows) in classes.iter().zip(found) {
        if rows > 0 {
            class.rows.fetch_add(rows, Relaxed);
        }
    }
}

fn add_to(bits: &AtomicU64, number: f64) {
    let add = |bits| Some((f64::from_bits(bits) + number).to_bits());
    // It is always some.
    let _ = bits.fetch_update(Relaxed, Relaxed, add);
}
