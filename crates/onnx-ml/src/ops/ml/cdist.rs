//! Distances between each row of an input and each vector of a set, the first step of a
//! nearest-neighbor model.
//!
//! The operator `com.microsoft.CDist` ([ONNX
//! Runtime](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#commicrosoftcdist))
//! returns the distances as `[rows, vectors]`. skl2onnx can export a model without that operator. The model then contains a `Scan` over the vectors. The body of the `Scan` computes the distances of all rows to one vector. [`scan`] recognizes such a body and computes the distances like `CDist`.

use crate::kernels::simd::{Vectorized, vectorized};
use crate::operator::adapter::{Built, kernel_op, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use crate::operator::tensors::{elements, tensor};
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{GraphProto, NodeProto};
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_num_traits::Float;

/// Number of rows in a block. The rows of a block are transposed to `[columns][LANES]`, one row per
/// lane, so that one vector is compared with all rows of the block at once.
const LANES: usize = 64;

/// Minimum number of rows in a block for which transposing pays off. The rows of a smaller block
/// are compared one by one, vectorized over the columns.
const MIN_TRANSPOSED_ROWS: usize = 8;

/// Definition of the distance between a row and a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
enum Metric {
    Euclidean,
    SquaredEuclidean,
    Manhattan,
}

/// The operator `CDist`. The inputs are rows `[N, C]` and vectors `[M, C]`. The output is `[N, M]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct CDist(Metric);

/// Builds the operator `CDist`.
pub fn cdist(_: &ParsingContext, node: &NodeProto) -> Built {
    let metric = match node.get_attr_opt("metric")?.unwrap_or("sqeuclidean") {
        "euclidean" => Metric::Euclidean,
        "sqeuclidean" => Metric::SquaredEuclidean,
        found => {
            let message = format!("expected euclidean or sqeuclidean, found {found}");
            return node.bail_attr("metric", &message);
        }
    };
    operator(node, 2, CDist(metric))
}

impl Kernel for CDist {
    const NAME: &'static str = "CDist";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let [rows, vectors] = inputs else {
            bail!("expected 2 inputs, rows and vectors, found {}", inputs.len());
        };
        let ([n, columns], [m, vector_columns]) = (rows.shape.as_slice(), vectors.shape.as_slice())
        else {
            bail!("expected two matrices, found shapes {:?} and {:?}", rows.shape, vectors.shape);
        };
        ensure!(
            columns == vector_columns,
            "expected vectors of {columns} columns, found {vector_columns}"
        );
        let datum_type = rows.datum_type;
        let floats = datum_type.is_float() && datum_type == vectors.datum_type;
        ensure!(
            floats,
            "expected two inputs of the same float type, found {datum_type:?} and {:?}",
            vectors.datum_type
        );
        Ok(tvec!(Fact::new(datum_type, [n.clone(), m.clone()])))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        Ok(vec![match inputs[0].datum_type() {
            DatumType::F64 => distances::<f64>(self.0, &inputs[0], &inputs[1])?,
            DatumType::F32 => distances::<f32>(self.0, &inputs[0], &inputs[1])?,
            other => {
                distances::<f32>(self.0, &inputs[0], &inputs[1])?.cast_to_dt(other)?.into_owned()
            }
        }])
    }
}

/// Returns the distances as `[rows, vectors]`, computed in `T`.
fn distances<T: Datum + Float>(
    metric: Metric,
    rows: &TValue,
    vectors: &TValue,
) -> TractResult<Tensor> {
    let columns = rows.shape()[1];
    let shape = [rows.shape()[0], vectors.shape()[0]];
    let (rows, vectors) = (elements::<T>(rows)?, elements::<T>(vectors)?);
    let (rows, vectors) = (rows.try_as_plain_ram()?, vectors.try_as_plain_ram()?);
    let (rows, vectors) = (rows.as_slice::<T>()?, vectors.as_slice::<T>()?);
    let mut distances = vec![T::zero(); shape[0] * shape[1]];
    if columns > 0 && !distances.is_empty() {
        let out = &mut distances;
        match metric {
            Metric::Manhattan => {
                let term = |x: T, y: T| (x - y).abs();
                vectorized(Distances { rows, vectors, columns, out, term });
            }
            Metric::Euclidean | Metric::SquaredEuclidean => {
                let term = |x: T, y: T| (x - y) * (x - y);
                vectorized(Distances { rows, vectors, columns, out, term });
            }
        }
    }
    if metric == Metric::Euclidean {
        distances.iter_mut().for_each(|distance| *distance = distance.sqrt());
    }
    tensor(&shape, distances)
}

/// Sums a term over the columns, for each pair of a row and a vector.
struct Distances<'a, T, F> {
    /// `[rows, columns]`.
    rows: &'a [T],
    /// `[vectors, columns]`.
    vectors: &'a [T],
    columns: usize,
    /// `[rows, vectors]`.
    out: &'a mut [T],
    /// Returns the contribution of one column from the elements of the row and the vector.
    term: F,
}

impl<T: Float, F: Fn(T, T) -> T> Vectorized for Distances<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Distances { rows, vectors, columns, out, term } = self;
        let vector_count = vectors.len() / columns;
        let mut transposed = vec![[T::zero(); LANES]; columns];
        for (rows, out) in rows.chunks(LANES * columns).zip(out.chunks_mut(LANES * vector_count)) {
            if rows.len() < MIN_TRANSPOSED_ROWS * columns {
                for (row, out) in rows.chunks_exact(columns).zip(out.chunks_exact_mut(vector_count))
                {
                    for (vector, out) in vectors.chunks_exact(columns).zip(out) {
                        *out = distance(row, vector, &term);
                    }
                }
                continue;
            }
            // The last block may be smaller. The unused lanes of the block keep old values. The sums of these lanes are
            // dropped below.
            for (lane, row) in rows.chunks_exact(columns).enumerate() {
                transposed.iter_mut().zip(row).for_each(|(column, x)| column[lane] = *x);
            }
            for (index, vector) in vectors.chunks_exact(columns).enumerate() {
                let mut sums = [T::zero(); LANES];
                for (column, y) in transposed.iter().zip(vector) {
                    for (sum, x) in sums.iter_mut().zip(column) {
                        *sum = *sum + term(*x, *y);
                    }
                }
                for (row, sum) in out.chunks_exact_mut(vector_count).zip(sums) {
                    row[index] = sum;
                }
            }
        }
    }
}

/// Sums a term over the columns of one row `x` and one vector `y`. Eight partial sums let the
/// compiler vectorize over the columns.
#[inline(always)]
fn distance<T: Float>(x: &[T], y: &[T], term: impl Fn(T, T) -> T) -> T {
    let (x, x_rest) = x.as_chunks::<8>();
    let (y, y_rest) = y.as_chunks::<8>();
    let mut sums = [T::zero(); 8];
    for (x, y) in x.iter().zip(y) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum = *sum + term(*x, *y);
        }
    }
    let sum = sums.into_iter().fold(T::zero(), T::add);
    x_rest.iter().zip(y_rest).fold(sum, |sum, (x, y)| sum + term(*x, *y))
}

/// Builds the operator for pairwise distances if the body of the `Scan` computes distances. Otherwise builds tract's
/// `Scan`.
pub fn scan(context: &ParsingContext, node: &NodeProto) -> Built {
    match body(node).and_then(metric) {
        Some(metric) => lower(ScannedDistances(metric)),
        None => (tract_scan()?)(context, node),
    }
}

/// Builder of an operator in tract's registry.
type Builder = fn(&ParsingContext, &NodeProto) -> Built;

/// Returns tract's builder of `Scan`.
fn tract_scan() -> TractResult<Builder> {
    static SCAN: OnceLock<Option<Builder>> = OnceLock::new();
    SCAN.get_or_init(|| tract_onnx::onnx().op_register.0.get("Scan").copied())
        .context("expected the operator Scan in tract's registry, found none")
}

/// Returns the body of a `Scan` with one state, one scanned input and default axes and directions.
/// Returns `None` for any other `Scan`.
fn body(node: &NodeProto) -> Option<&GraphProto> {
    let has_defaults = node.attribute.iter().all(|attribute| match attribute.name.as_str() {
        "body" => true,
        "num_scan_inputs" => attribute.i == 1,
        // Axes and directions; 0 is the first axis or the forward direction.
        _ => attribute.ints.iter().all(|value| *value == 0),
    });
    let body = node.attribute.iter().find(|attribute| attribute.name == "body");
    body.and_then(|body| body.g.as_ref()).filter(|_| has_defaults && node.input.len() == 2)
}

/// Returns the metric if `body` computes the distances between the state's rows and the scanned
/// vector, and passes on the state unchanged.
///
/// The nodes of such a body are `Sub`, then either `ReduceSumSquare` or `Abs` and `ReduceSum`, with
/// `Identity` nodes anywhere.
fn metric(body: &GraphProto) -> Option<Metric> {
    let [state, scanned] = body.input.as_slice() else { return None };
    let [next_state, distance] = body.output.as_slice() else { return None };
    let mut same_as_state = vec![&state.name];
    // The operators after Sub, and the output of the last operator.
    let mut operators = vec![];
    let mut current: Option<&String> = None;
    for node in &body.node {
        let (input, output) = (node.input.first()?, node.output.first()?);
        match node.op_type.as_str() {
            "Identity" if same_as_state.contains(&input) => same_as_state.push(output),
            "Identity" if current == Some(input) => current = Some(output),
            "Sub" if current.is_none() => {
                let [a, b] = node.input.as_slice() else { return None };
                let subtracts_inputs = (same_as_state.contains(&a) && *b == scanned.name)
                    || (same_as_state.contains(&b) && *a == scanned.name);
                subtracts_inputs.then_some(())?;
                current = Some(output);
            }
            "Abs" if current == Some(input) => {
                operators.push("Abs");
                current = Some(output);
            }
            reduce @ ("ReduceSum" | "ReduceSumSquare") if current == Some(input) => {
                reduces_columns(node, body).then_some(())?;
                operators.push(reduce);
                current = Some(output);
            }
            _ => return None,
        }
    }
    let outputs_match =
        same_as_state.contains(&&next_state.name) && current == Some(&distance.name);
    match operators.as_slice() {
        ["ReduceSumSquare"] if outputs_match => Some(Metric::SquaredEuclidean),
        ["Abs", "ReduceSum"] if outputs_match => Some(Metric::Manhattan),
        _ => None,
    }
}

/// Returns `true` if the reduction `node` reduces axis 1 alone and removes that axis. The axes are
/// an attribute or, in newer versions of the operator, an initializer of `graph`.
fn reduces_columns(node: &NodeProto, graph: &GraphProto) -> bool {
    let attribute = |name| node.attribute.iter().find(|attribute| attribute.name == name);
    let removes_axis = attribute("keepdims").is_some_and(|keepdims| keepdims.i == 0);
    let axes = match node.input.get(1) {
        Some(axes) => graph
            .initializer
            .iter()
            .find(|tensor| tensor.name == *axes)
            .map(|axes| axes.int64_data == [1] || axes.raw_data == 1_i64.to_le_bytes()),
        None => attribute("axes").map(|axes| axes.ints == [1]),
    };
    removes_axis && axes == Some(true)
}

/// A replacement for a `Scan` that computes distances. The replacement has the outputs of the `Scan`: the unchanged
/// rows, and the distances as `[vectors, rows]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ScannedDistances(Metric);

impl Lowering for ScannedDistances {
    fn name(&self) -> StaticName {
        "ScannedDistances".into()
    }

    fn outputs(&self) -> usize {
        2
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        check_output_arity(outputs, 2)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)?;
        solver.equals(&inputs[0].datum_type, &outputs[1].datum_type)?;
        solver.equals(&outputs[1].rank, 2)?;
        solver.equals(&outputs[1].shape[0], &inputs[1].shape[0])?;
        solver.equals(&outputs[1].shape[1], &inputs[0].shape[0])
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let distances = model.wire_node(prefix, kernel_op(CDist(self.0)), inputs)?;
        let by_vector =
            model.wire_node(format!("{prefix}.by-vector"), AxisOp::Move(0, 1), &distances)?;
        Ok(tvec!(inputs[0], by_vector[0]))
    }
}
