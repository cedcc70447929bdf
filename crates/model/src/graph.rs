//! Reads an ONNX graph: its operators, inputs, outputs and task.

use crate::axes::{self, DeclaredInput};
use crate::datatype::Datatype;
use crate::error::{LoadError, Unsupported};
use crate::limits;
use crate::metadata::StatedAxes;
use crate::probe::Observed;
use crate::signature::{Scores, Task, TensorSpec};
use onnx_ml::dynamic::SEQUENCE_OPERATORS;
use onnx_ml::functions;
use onnx_ml::label_outputs::LabelOutput;
use onnx_ml::zip_map::{self, ZipMap};
use std::collections::{BTreeMap, HashSet};
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, ValueInfoProto, tensor_proto, type_proto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::DimLike;

/// Decodes an ONNX file and inlines the calls of the functions that the file defines.
///
/// # Errors
///
/// Returns [`LoadError::NotOnnx`] if the file is not an ONNX model with a graph. Returns
/// [`LoadError::Plan`] if a function cannot be inlined.
pub(crate) fn decode(bytes: &[u8]) -> Result<ModelProto, LoadError> {
    let mut proto = onnx_ml::onnx()
        .proto_model_for_read(&mut &*bytes)
        .map_err(|error| LoadError::NotOnnx(error.to_string()))?;
    graph(&proto)?;
    functions::inline(&mut proto).map_err(|error| LoadError::Plan(error.to_string()))?;
    Ok(proto)
}

/// Returns the graph of a model.
///
/// # Errors
///
/// Returns [`LoadError::NotOnnx`] if the model has no graph, or the graph has no output.
pub(crate) fn graph(proto: &ModelProto) -> Result<&GraphProto, LoadError> {
    match &proto.graph {
        Some(graph) if !graph.output.is_empty() => Ok(graph),
        _ => Err(LoadError::NotOnnx("expected a graph with an output, found none".into())),
    }
}

/// Domains whose operators the runtime supports. The runtime looks up an operator by its name alone, so the domain must
/// be checked before.
const DOMAINS: [&str; 4] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];

/// Names of operators that exist in ONNX's own domain and in `com.microsoft`, with different definitions. The registry
/// has the operators of ONNX's own domain. The operators of `com.microsoft` are replaced when a model is loaded. A node
/// that remains is not supported.
const DIFFERENT: [&str; 2] = ["Attention", "RotaryEmbedding"];

/// Returns the operators of a model that the runtime does not support.
pub(crate) fn unsupported(proto: &ModelProto) -> Vec<Unsupported> {
    let registry = onnx_ml::onnx().op_register.0;
    let mut unsupported: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut graphs: Vec<&GraphProto> = proto.graph.iter().collect();
    while let Some(graph) = graphs.pop() {
        for node in &graph.node {
            let is_different =
                node.domain == "com.microsoft" && DIFFERENT.contains(&node.op_type.as_str());
            let is_known = DOMAINS.contains(&node.domain.as_str())
                && (registry.contains_key(&node.op_type)
                    || SEQUENCE_OPERATORS.contains(&node.op_type.as_str()))
                && !is_different;
            if !is_known {
                unsupported.entry(operator(node)).or_default().push(node_name(node));
            }
            for attribute in &node.attribute {
                graphs.extend(attribute.g.iter().chain(&attribute.graphs));
            }
        }
    }
    unsupported.into_iter().map(|(operator, nodes)| Unsupported { operator, nodes }).collect()
}

/// Returns a node's operator as `domain.Operator`, or as `Operator` if the operator belongs to ONNX's own domain.
pub(crate) fn operator(node: &NodeProto) -> String {
    match node.domain.as_str() {
        "" | "ai.onnx" => node.op_type.clone(),
        domain => format!("{domain}.{}", node.op_type),
    }
}

/// Returns a node's name, or the names of its outputs if the node has no name.
fn node_name(node: &NodeProto) -> String {
    if node.name.is_empty() { node.output.join(", ") } else { node.name.clone() }
}

/// Returns the inputs of a graph, and the fixed number of rows in a run. The number is `None` if the graph accepts any
/// number of rows. An input with an initializer is a weight, so it is left out. `stated` are the batch axes in the
/// metadata. If the graph does not declare the shape of an input, the input gets `rank` dynamic axes.
///
/// # Errors
///
/// Returns an error if an input cannot be served, or if the graph has no inputs.
pub(crate) fn inputs(
    graph: &GraphProto,
    stated: &StatedAxes,
    rank: usize,
) -> Result<(Vec<TensorSpec>, Option<usize>), LoadError> {
    let initialized: HashSet<&str> =
        graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let inputs: Vec<DeclaredInput> = graph
        .input
        .iter()
        .filter(|input| !initialized.contains(input.name.as_str()))
        .map(|info| input(info, rank))
        .collect::<Result<_, _>>()?;
    if inputs.is_empty() {
        return Err(LoadError::NotOnnx("expected a graph with an input, found none".into()));
    }
    let (inputs, fixed_rows) = axes::set_input_axes(inputs, stated)?;
    limits::check_inputs(&inputs)?;
    Ok((inputs, fixed_rows))
}

/// Numbers of axes that are tried for inputs whose shapes the graph does not declare, in this order. An input with 2
/// axes has rows and columns. Images have 4 axes, and sequences have 3. An input with 1 axis has one value for each
/// row.
const RANKS: [usize; 4] = [2, 4, 3, 1];

/// Returns the numbers of axes to try for inputs whose shapes the graph does not declare. If the graph declares the
/// shapes of all inputs, the list has a single entry, which has no effect.
pub(crate) fn ranks(graph: &GraphProto) -> &'static [usize] {
    let has_shape = |info: &ValueInfoProto| match info.r#type.as_ref().map(|r#type| &r#type.value) {
        Some(Some(type_proto::Value::TensorType(tensor))) => tensor.shape.is_some(),
        _ => true,
    };
    if graph.input.iter().all(has_shape) { &RANKS[..1] } else { &RANKS }
}

/// Converts the graph's declaration of an input. If the declaration has no shape, the input gets `rank` dynamic axes.
fn input(info: &ValueInfoProto, rank: usize) -> Result<DeclaredInput, LoadError> {
    let error = |reason: String| LoadError::Input { name: info.name.clone(), reason };
    let tensor = match info.r#type.as_ref().and_then(|tensor| tensor.value.as_ref()) {
        Some(type_proto::Value::TensorType(tensor)) => tensor,
        None => return Err(error("expected a tensor, found a different type".into())),
    };
    let datatype = tensor_proto::DataType::try_from(tensor.elem_type)
        .ok()
        .and_then(|datatype| DatumType::try_from(datatype).ok())
        .and_then(datatype)
        .ok_or_else(|| {
            error(format!(
                "expected an element type that can be served, found {}",
                tensor.elem_type
            ))
        })?;
    let (mut shape, mut symbols) = (vec![], vec![]);
    if tensor.shape.is_none() {
        (shape, symbols) = (vec![None; rank], vec![None; rank]);
    }
    for dim in tensor.shape.iter().flat_map(|shape| &shape.dim) {
        let (len, symbol) = match &dim.value {
            Some(dimension::Value::DimValue(len)) => {
                (usize::try_from(*len).ok().filter(|len| *len > 0), None)
            }
            Some(dimension::Value::DimParam(name)) => (None, axes::symbol(name)),
            None => (None, None),
        };
        shape.push(len);
        symbols.push(symbol);
    }
    let spec = TensorSpec { name: info.name.clone(), datatype, shape, batch_axis: None };
    Ok(DeclaredInput { spec, symbols })
}

/// Returns the outputs of a graph with their types and shapes. If an output is listed in `labels`, the graph computes
/// indices of labels, and the output's element type is string. `rows` is the number of rows in a run, as a symbol or a
/// number. `stated` are the batch axes in the metadata.
pub(crate) fn outputs(
    graph: &GraphProto,
    typed: &TypedModel,
    labels: &[LabelOutput],
    rows: &TDim,
    stated: &StatedAxes,
) -> Result<Vec<TensorSpec>, LoadError> {
    let mut specs = vec![];
    for (index, info) in graph.output.iter().enumerate() {
        let error = |reason: String| LoadError::Output { name: info.name.clone(), reason };
        let fact = typed.output_fact(index).map_err(|cause| error(format!("{cause:#}")))?;
        let datatype = if labels.iter().any(|labels| labels.output == info.name) {
            Datatype::String
        } else {
            datatype(fact.datum_type).ok_or_else(|| {
                error(format!(
                    "expected an element type that can be served, found {:?}",
                    fact.datum_type
                ))
            })?
        };
        let shape: Vec<Option<usize>> = fact.shape.iter().map(|dim| dim.to_usize().ok()).collect();
        let axis = output_axis(&fact.shape, rows);
        let batch_axis = axes::stated_axis(stated, &info.name, shape.len())?.unwrap_or(axis);
        specs.push(TensorSpec { name: info.name.clone(), datatype, shape, batch_axis });
    }
    Ok(specs)
}

/// Returns the outputs of a graph that has no plan for all shapes. The types and shapes come from `observed`, the
/// observations about each output in several runs. An axis has a fixed length if the length was equal in all runs and
/// the graph does not declare a different length or a dynamic axis. The other parameters are described at [`outputs`].
pub(crate) fn observed_outputs(
    graph: &GraphProto,
    observed: &[Observed],
    labels: &[LabelOutput],
    fixed_rows: Option<usize>,
    stated: &StatedAxes,
) -> Result<Vec<TensorSpec>, LoadError> {
    let mut specs = vec![];
    for (info, observed) in graph.output.iter().zip(observed) {
        let is_label = labels.iter().any(|labels| labels.output == info.name);
        let datatype = match datatype(observed.datum_type) {
            _ if is_label => Datatype::String,
            Some(datatype) => datatype,
            None => {
                return Err(LoadError::Output {
                    name: info.name.clone(),
                    reason: format!(
                        "expected an element type that can be served, found {:?}",
                        observed.datum_type
                    ),
                });
            }
        };
        let axis = match fixed_rows {
            Some(rows) => (observed.two.first() == Some(&rows)).then_some(0),
            None => {
                let lens = |shape: &[usize]| shape.iter().copied().map(Some).collect::<Vec<_>>();
                axes::batch_axis_of_output(&lens(&observed.two), &lens(&observed.three))
            }
        };
        let declared = declared_dims(info);
        let dim = |axis: usize| {
            let is_declared = match declared.as_ref().and_then(|dims| dims.get(axis)) {
                Some(DeclaredDim::Fixed(len)) => *len == observed.two[axis],
                Some(DeclaredDim::Named) => false,
                None => true,
            };
            (is_declared && observed.is_fixed[axis]).then_some(observed.two[axis])
        };
        let shape: Vec<Option<usize>> = (0..observed.two.len()).map(dim).collect();
        let batch_axis = axes::stated_axis(stated, &info.name, shape.len())?.unwrap_or(axis);
        specs.push(TensorSpec { name: info.name.clone(), datatype, shape, batch_axis });
    }
    Ok(specs)
}

/// The length that a graph declares for an axis.
enum DeclaredDim {
    Fixed(usize),
    /// The axis is dynamic: the graph declares a name or nothing.
    Named,
}

/// Returns the lengths that a graph declares for the axes of an output. Returns `None` if the graph declares no shape.
fn declared_dims(info: &ValueInfoProto) -> Option<Vec<DeclaredDim>> {
    let type_proto::Value::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()?;
    let dims = tensor.shape.as_ref()?.dim.iter().map(|dim| match &dim.value {
        Some(dimension::Value::DimValue(len)) if *len > 0 => DeclaredDim::Fixed(*len as usize),
        _ => DeclaredDim::Named,
    });
    Some(dims.collect())
}

/// Returns the batch axis of an output. If the number of rows is fixed, only the first axis can be the batch axis.
fn output_axis(shape: &[TDim], rows: &TDim) -> Option<usize> {
    let TDim::Sym(symbol) = rows else {
        return (shape.first() == Some(rows)).then_some(0);
    };
    let lens = |rows: i64| -> Vec<Option<usize>> {
        let values = SymbolValues::default().with(symbol, rows);
        shape.iter().map(|dim| dim.eval(&values).to_usize().ok()).collect()
    };
    axes::batch_axis_of_output(&lens(2), &lens(3))
}

/// Returns the task of a model.
///
/// The model is a classifier if it has two outputs, a label and a matrix of scores. The labels of the classes are the
/// first of these lists that has as many entries as the scores have columns:
///
/// 1. the labels of the `ZipMap` that returns the scores;
/// 2. the labels of an output for which the graph computes indices of labels;
/// 3. the class labels of an operator, from the last operator of the graph to the first;
/// 4. the numbers from 0.
pub(crate) fn task(
    proto: &ModelProto,
    outputs: &[TensorSpec],
    zip_maps: &[ZipMap],
    labels: &[LabelOutput],
) -> Task {
    let [label, scores] = outputs else {
        return Task::Other;
    };
    let is_label = (label.datatype.is_integer() || label.datatype == Datatype::String)
        && label.batch_axis.is_some()
        && matches!(label.row_shape()[..], [] | [Some(1)]);
    let (true, true, Some(0), [_, Some(columns)]) =
        (is_label, scores.datatype.is_float(), scores.batch_axis, scores.shape.as_slice())
    else {
        return Task::Other;
    };
    let zip_map = zip_maps.iter().find(|zip_map| zip_map.output == scores.name);
    let operators = proto.graph.iter().flat_map(|graph| graph.node.iter().rev());
    let classes = zip_map
        .map(|zip_map| zip_map.labels.clone())
        .into_iter()
        .chain(labels.iter().map(|labels| labels.labels.clone()))
        .chain(operators.map(zip_map::class_labels))
        .find(|classes| classes.len() == *columns)
        .unwrap_or_else(|| (0..*columns).map(|class| class.to_string()).collect());
    Task::Classification { label: 0, scores: 1, classes, meaning: Scores::Other }
}

/// Returns the graph's name. Each character other than a letter, a digit, `.`, `_` or `-` is replaced by `-`, because
/// the name is part of URL paths.
pub(crate) fn name(graph: &GraphProto) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }
    };
    let name: String = graph.name.chars().map(safe).collect();
    match name.trim_matches('-') {
        "" => "model".to_owned(),
        name => name.to_owned(),
    }
}

/// Converts tract's element type. Returns `None` if the type cannot be served.
fn datatype(datum_type: DatumType) -> Option<Datatype> {
    Some(match datum_type {
        DatumType::Bool => Datatype::Bool,
        DatumType::U8 => Datatype::Uint8,
        DatumType::U16 => Datatype::Uint16,
        DatumType::U32 => Datatype::Uint32,
        DatumType::U64 => Datatype::Uint64,
        DatumType::I8 => Datatype::Int8,
        DatumType::I16 => Datatype::Int16,
        DatumType::I32 => Datatype::Int32,
        DatumType::I64 | DatumType::TDim => Datatype::Int64,
        DatumType::F32 => Datatype::Float32,
        DatumType::F16 => Datatype::Float16,
        DatumType::F64 => Datatype::Float64,
        DatumType::String => Datatype::String,
        _ => return None,
    })
}
