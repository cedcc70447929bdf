//! Pairwise distances between rows and a set of vectors, the first step of nearest neighbors.
//!
//! `com.microsoft.CDist` ([ONNX
//! Runtime](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#commicrosoftcdist))
//! returns them as `[rows, vectors]`. Without that operator, skl2onnx exports a `Scan` over the
//! vectors whose body computes the distances of all rows to one vector. [`scan`] recognizes such a
//! body.

use crate::kernels::simd::{Vectorized, vectorized};
use crate::operator::kernel::{Built, Fact, Kernel, elements, kernel_op, operator, tensor};
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{GraphProto, NodeProto};
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_num_traits::Float;

/// Number of rows that are compared with a vector at once, one per lane. The rows of a block are
/// transposed to `[columns][LANES]`, so that the compiler vectorizes over rows.
const LANES: usize = 64;

/// Below this number of rows, transposing does not pay: rows are compared one by one, vectorized
/// along the columns.
const MIN_TRANSPOSED_ROWS: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
enum Metric {
    Euclidean,
    SquaredEuclidean,
    Manhattan,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct CDist(Metric);

pub fn cdist(_: &ParsingContext, node: &NodeProto) -> Built {
    let metric = match node.get_attr_opt("metric")?.unwrap_or("sqeuclidean") {
        "euclidean" => Metric::Euclidean,
        "sqeuclidean" => Metric::SquaredEuclidean,
        found => {
            let expected = format!("expected euclidean or sqeuclidean, found {found}");
            return node.bail_attr("metric", &expected);
        }
    };
    operator(node, 2, CDist(metric))
}

impl Kernel for CDist {
    const NAME: &'static str = "CDist";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let [rows, vectors] = inputs else { bail!("expected rows and vectors") };
        let ([n, columns], [m, vector_columns]) = (rows.shape.as_slice(), vectors.shape.as_slice())
        else {
            bail!("expected matrices, found {:?} and {:?}", rows.shape, vectors.shape);
        };
        ensure!(
            columns == vector_columns,
            "expected vectors of {columns} columns, found {vector_columns}"
        );
        let datum_type = rows.datum_type;
        let floats = datum_type.is_float() && datum_type == vectors.datum_type;
        ensure!(floats, "expected floats, found {datum_type:?} and {:?}", vectors.datum_type);
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
                let step = |x: T, y: T| (x - y).abs();
                vectorized(Distances { rows, vectors, columns, out, step });
            }
            Metric::Euclidean | Metric::SquaredEuclidean => {
                let step = |x: T, y: T| (x - y) * (x - y);
                vectorized(Distances { rows, vectors, columns, out, step });
            }
        }
    }
    if metric == Metric::Euclidean {
        distances.iter_mut().for_each(|distance| *distance = distance.sqrt());
    }
    tensor(&shape, distances)
}

struct Distances<'a, T, S> {
    rows: &'a [T],
    vectors: &'a [T],
    columns: usize,
    out: &'a mut [T],
    step: S,
}

impl<T: Float, S: Fn(T, T) -> T> Vectorized for Distances<'_, T, S> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Distances { rows, vectors, columns, out, step } = self;
        let count = vectors.len() / columns;
        let mut transposed = vec![[T::zero(); LANES]; columns];
        for (rows, out) in rows.chunks(LANES * columns).zip(out.chunks_mut(LANES * count)) {
            if rows.len() < MIN_TRANSPOSED_ROWS * columns {
                for (row, out) in rows.chunks_exact(columns).zip(out.chunks_exact_mut(count)) {
                    for (vector, out) in vectors.chunks_exact(columns).zip(out) {
                        *out = distance(row, vector, &step);
                    }
                }
                continue;
            }
            for (lane, row) in rows.chunks_exact(columns).enumerate() {
                transposed.iter_mut().zip(row).for_each(|(column, x)| column[lane] = *x);
            }
            for (index, vector) in vectors.chunks_exact(columns).enumerate() {
                let mut sums = [T::zero(); LANES];
                for (column, y) in transposed.iter().zip(vector) {
                    for (sum, x) in sums.iter_mut().zip(column) {
                        *sum = *sum + step(*x, *y);
                    }
                }
                for (row, sum) in out.chunks_exact_mut(count).zip(sums) {
                    row[index] = sum;
                }
            }
        }
    }
}

#[inline(always)]
fn distance<T: Float>(x: &[T], y: &[T], step: impl Fn(T, T) -> T) -> T {
    let (x, x_rest) = x.as_chunks::<8>();
    let (y, y_rest) = y.as_chunks::<8>();
    let mut sums = [T::zero(); 8];
    for (x, y) in x.iter().zip(y) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum = *sum + step(*x, *y);
        }
    }
    let sum = sums.into_iter().fold(T::zero(), T::add);
    x_rest.iter().zip(y_rest).fold(sum, |sum, (x, y)| sum + step(*x, *y))
}

/// Builds a pairwise distance if the body computes one, else tract's `Scan`.
pub fn scan(context: &ParsingContext, node: &NodeProto) -> Built {
    match body(node).and_then(metric) {
        Some(metric) => lower(ScannedDistances(metric)),
        None => (tract_scan()?)(context, node),
    }
}

type Builder = fn(&ParsingContext, &NodeProto) -> Built;

fn tract_scan() -> TractResult<Builder> {
    static SCAN: OnceLock<Option<Builder>> = OnceLock::new();
    SCAN.get_or_init(|| tract_onnx::onnx().op_register.0.get("Scan").copied())
        .context("expected tract to have the operator Scan")
}

/// Returns the body of a `Scan` with one state, one scanned input and default attributes.
fn body(node: &NodeProto) -> Option<&GraphProto> {
    let plain = node.attribute.iter().all(|attribute| match attribute.name.as_str() {
        "body" => true,
        "num_scan_inputs" => attribute.i == 1,
        _ => attribute.ints.iter().all(|axis| *axis == 0),
    });
    let body = node.attribute.iter().find(|attribute| attribute.name == "body");
    body.and_then(|body| body.g.as_ref()).filter(|_| plain && node.input.len() == 2)
}

/// Returns the metric, if the body computes the distance from the state's rows to the scanned
/// vector.
fn metric(body: &GraphProto) -> Option<Metric> {
    let [state, scanned] = body.input.as_slice() else { return None };
    let [next_state, distance] = body.output.as_slice() else { return None };
    let mut same_as_state = vec![&state.name];
    let mut operators = vec![];
    let mut current: Option<&String> = None;
    for node in &body.node {
        let (input, output) = (node.input.first()?, node.output.first()?);
        match node.op_type.as_str() {
            "Identity" if same_as_state.contains(&input) => same_as_state.push(output),
            "Identity" if current == Some(input) => current = Some(output),
            "Sub" if current.is_none() => {
                let [a, b] = node.input.as_slice() else { return None };
                let of_both = (same_as_state.contains(&a) && *b == scanned.name)
                    || (same_as_state.contains(&b) && *a == scanned.name);
                (current, _) = (Some(output), of_both.then_some(())?);
            }
            "Abs" if current == Some(input) => {
                operators.push("Abs");
                current = Some(output);
            }
            reduce @ ("ReduceSum" | "ReduceSumSquare") if current == Some(input) => {
                along_columns(node, body).then_some(())?;
                operators.push(reduce);
                current = Some(output);
            }
            _ => return None,
        }
    }
    let whole = same_as_state.contains(&&next_state.name) && current == Some(&distance.name);
    match operators.as_slice() {
        ["ReduceSumSquare"] if whole => Some(Metric::SquaredEuclidean),
        ["Abs", "ReduceSum"] if whole => Some(Metric::Manhattan),
        _ => None,
    }
}

/// Returns `true` if a reduction runs along axis 1 and drops that axis.
fn along_columns(node: &NodeProto, graph: &GraphProto) -> bool {
    let attribute = |name| node.attribute.iter().find(|attribute| attribute.name == name);
    let dropped = attribute("keepdims").is_some_and(|keepdims| keepdims.i == 0);
    let axes = match node.input.get(1) {
        Some(axes) => graph
            .initializer
            .iter()
            .find(|tensor| tensor.name == *axes)
            .map(|axes| axes.int64_data == [1] || axes.raw_data == 1_i64.to_le_bytes()),
        None => attribute("axes").map(|axes| axes.ints == [1]),
    };
    dropped && axes == Some(true)
}

/// The two outputs of the `Scan`: the rows, and the distances as `[vectors, rows]`.
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
