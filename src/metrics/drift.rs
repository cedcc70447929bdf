//! Counters that show whether the inputs and outputs drift away from the training data. The counters of a feature count
//! missing values and values outside the range seen in training. The counters of the outputs record the distribution of
//! the predictions.

use ml_app_model::{Datatype, Elements, Feature, Signature, Strings, Task, Tensor, Tensors};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Maximum number of observed features, and maximum number of observed classes. Each feature and each class adds time
/// series in Prometheus.
const MAX_SERIES: usize = 100;

/// Counters of observed inputs and outputs.
#[derive(Debug)]
pub struct Drift {
    pub features: Vec<ObservedFeature>,
    predictions: Predictions,
}

/// Counters of a scalar feature whose values can be missing (floats) or out of range.
#[derive(Debug)]
pub struct ObservedFeature {
    pub name: String,
    /// Index of the input tensor that contains the feature.
    input: usize,
    /// Column of the feature in the input tensor.
    column: usize,
    /// Minimum seen in training, or -∞ if the model's metadata has none.
    minimum: f64,
    /// Maximum seen in training, or ∞ if the model's metadata has none.
    maximum: f64,
    /// Number of missing values.
    pub missing: AtomicU64,
    /// Number of values below the minimum.
    pub below: AtomicU64,
    /// Number of values above the maximum.
    pub above: AtomicU64,
}

/// Counters of the outputs.
#[derive(Debug)]
enum Predictions {
    /// Number of rows per class. `label` is the index of the output with the labels.
    Classes { label: usize, classes: Vec<Class> },
    /// Count, sum and sum of squares of the values that a regression predicts. `output` is the index of the output with
    /// the values. Each sum is stored as the bits of an `f64`, because there is no atomic float.
    Numbers { output: usize, count: AtomicU64, sum: AtomicU64, squares: AtomicU64 },
    /// The model is neither a classification nor a regression, so nothing is counted.
    None,
}

/// A class and the number of rows for which it was predicted.
#[derive(Debug)]
struct Class {
    name: String,
    /// The name as an integer, for the comparison with integer labels. `None` if the name is not an integer.
    number: Option<i64>,
    rows: AtomicU64,
}

/// A snapshot of the counters of the outputs.
pub enum Predicted {
    Classes(Vec<(String, u64)>),
    Numbers { count: u64, sum: f64, squares: f64 },
    None,
}

impl Drift {
    pub fn new(signature: &Signature) -> Drift {
        let observed = signature.features.iter().filter(|feature| {
            let ranged = feature.minimum.is_some() || feature.maximum.is_some();
            // The values of a column have a constant distance only if the rows are the first axis. A parameter has
            // one value.
            let axis = signature.inputs[feature.input].batch_axis;
            let is_column = axis.is_none_or(|axis| axis == 0);
            feature.is_scalar() && is_column && (feature.datatype.is_float() || ranged)
        });
        let features = observed.take(MAX_SERIES).map(ObservedFeature::new);
        // A regression has a float output with one column.
        let is_number = |output: &ml_app_model::TensorSpec| {
            let width: Option<usize> = output.row_shape().into_iter().product();
            output.datatype.is_float() && width == Some(1) && !signature.is_given_once(output)
        };
        let predictions = match &signature.task {
            Task::Classification { label, classes, .. } => Predictions::Classes {
                label: *label,
                classes: classes.iter().take(MAX_SERIES).map(|class| Class::new(class)).collect(),
            },
            Task::Other => match signature.outputs.iter().position(is_number) {
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

    /// Counts the values of a request.
    pub fn observe_inputs(&self, inputs: &Tensors) {
        for feature in &self.features {
            feature.observe(&inputs.tensors()[feature.input], inputs.rows());
        }
    }

    /// Counts the predictions for a request.
    pub fn observe_outputs(&self, outputs: &Tensors) {
        match &self.predictions {
            Predictions::Classes { label, classes } => {
                count_classes(&outputs.tensors()[*label], classes)
            }
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

impl ObservedFeature {
    fn new(feature: &Feature) -> ObservedFeature {
        // The values of a request are rounded to the datatype of the input, so the bounds are rounded too. Otherwise, a
        // value that equals a bound could count as out of range.
        let bound = |bound: f64| match feature.datatype {
            Datatype::Float32 => f64::from(bound as f32),
            _ => bound,
        };
        ObservedFeature {
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

    /// Counts the missing and out-of-range values in the feature's column of `tensor`.
    fn observe(&self, tensor: &Tensor, rows: usize) {
        let width = (tensor.len() / rows.max(1)).max(1);
        macro_rules! observe {
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
        observe!(
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

/// Counts the rows of each class.
fn count_classes(labels: &Tensor, classes: &[Class]) {
    let mut found = vec![0; classes.len()];
    let mut add = |matches: &dyn Fn(&Class) -> bool, rows: u64| {
        if let Some(index) = classes.iter().position(matches) {
            found[index] += rows;
        }
    };
    match labels.elements() {
        // Each row is an index into a short list of labels. Counting the rows per index first means that each label
        // is compared only once, not once per row.
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

/// Adds `number` to an `f64` that is stored as bits.
fn add_to(bits: &AtomicU64, number: f64) {
    let add = |bits| Some((f64::from_bits(bits) + number).to_bits());
    // Cannot fail: `add` never returns `None`.
    let _ = bits.fetch_update(Relaxed, Relaxed, add);
}
