//! Serialization of a graph: the nodes and the constants. The constants include all values that depend only on
//! constants. Plans are not serialized.

use crate::dynamic::cache::Cache;
use crate::dynamic::context::Context;
use crate::dynamic::graph::{Graph, Node, ValueId};
use crate::encoding::fields::datum_type;
use crate::encoding::sharing;
use crate::encoding::weights::{self, Weights};
use prost::Message;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tract_onnx::pb::{ModelProto, NodeProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// A serialized model.
#[derive(Debug)]
pub struct Written {
    /// The nodes, the constants, and the fields of the `ModelProto` outside its graph. The elements of constants are in
    /// `weights`, except strings, which are here.
    pub graph: Vec<u8>,
    /// The elements of all constants that are not strings. `graph` contains their positions in `weights`.
    pub weights: Vec<u8>,
}

/// Serializes a model.
///
/// # Errors
///
/// Returns an error if a constant is not serializable.
pub fn write(context: &Context, graph: &Graph) -> TractResult<Written> {
    let (graph, weights) = weights::written(|| {
        let graph = SerializedGraph::new(graph)?;
        TractResult::Ok(postcard::to_allocvec(&(context.model().encode_to_vec(), graph))?)
    });
    Ok(Written { graph: graph?, weights })
}

/// Reads a model that [`write()`] serialized.
///
/// # Errors
///
/// Returns an error if the bytes are not from [`write()`] of the same build.
pub fn read(graph: &[u8], weights: &'static [u8]) -> TractResult<(Context, Graph)> {
    let (model, graph): (Vec<u8>, SerializedGraph) =
        weights::read(weights, || postcard::from_bytes(graph))?;
    let context = Context::of(ModelProto::decode(model.as_slice())?);
    let (graph, _) = context.weights.share(|| graph.into_graph());
    Ok((context, graph?))
}

/// The fields of a [`Graph`], except its plans.
#[derive(Debug, Deserialize, Serialize)]
struct SerializedGraph {
    nodes: Vec<SerializedNode>,
    inputs: Vec<ValueId>,
    captured: Vec<String>,
    outputs: Vec<ValueId>,
    declared: Vec<Option<Declared>>,
    constants: Vec<(ValueId, Constant)>,
    end: Vec<usize>,
}

/// Type and shape that a graph declares for an output.
#[derive(Debug, Deserialize, Serialize)]
struct Declared(#[serde(with = "datum_type")] DatumType, Vec<usize>);

/// The fields of a [`Node`].
#[derive(Debug, Deserialize, Serialize)]
struct SerializedNode {
    name: String,
    /// The `NodeProto` in protobuf's format.
    proto: Vec<u8>,
    inputs: Vec<Option<ValueId>>,
    outputs: Vec<Option<ValueId>>,
    bodies: Vec<(String, SerializedGraph)>,
    captures: Vec<(String, ValueId)>,
}

/// A tensor.
#[derive(Debug, Deserialize, Serialize)]
struct Constant {
    #[serde(with = "datum_type")]
    datum_type: DatumType,
    shape: Vec<usize>,
    elements: Elements,
}

/// The elements of a constant.
#[derive(Debug, Deserialize, Serialize)]
enum Elements {
    Bytes(Weights<u8>),
    Strings(Vec<String>),
}

impl SerializedGraph {
    fn new(graph: &Graph) -> TractResult<SerializedGraph> {
        let Graph { nodes, inputs, captured, outputs, declared, constants, end, cache: _ } = graph;
        let nodes = nodes.iter().map(SerializedNode::new).collect::<TractResult<_>>()?;
        let declared = declared.iter().cloned();
        let declared = declared.map(|declared| declared.map(|(dt, shape)| Declared(dt, shape)));
        let constants = constants.iter().map(|(id, tensor)| Ok((*id, Constant::new(tensor)?)));
        let mut constants: Vec<_> = constants.collect::<TractResult<_>>()?;
        // Sorts the constants, because a hash map has a different order in each build.
        constants.sort_by_key(|(id, _)| *id);
        Ok(SerializedGraph {
            nodes,
            inputs: inputs.clone(),
            captured: captured.clone(),
            outputs: outputs.clone(),
            declared: declared.collect(),
            constants,
            end: end.clone(),
        })
    }

    /// Returns the graph, without plans.
    fn into_graph(self) -> TractResult<Graph> {
        let SerializedGraph { nodes, inputs, captured, outputs, declared, constants, end } = self;
        let nodes = nodes.into_iter().map(SerializedNode::into_node).collect::<TractResult<_>>()?;
        let declared = declared.into_iter().map(|declared| declared.map(|Declared(a, b)| (a, b)));
        let constants = constants.into_iter().map(|(id, constant)| {
            Ok((id, sharing::tensor(constant.into_tensor()?.into_arc_tensor())))
        });
        Ok(Graph {
            nodes,
            inputs,
            captured,
            outputs,
            declared: declared.collect(),
            constants: constants.collect::<TractResult<_>>()?,
            end,
            cache: Cache::default(),
        })
    }
}

impl SerializedNode {
    fn new(node: &Node) -> TractResult<SerializedNode> {
        let Node { name, proto, inputs, outputs, bodies, captures } = node;
        let bodies = bodies.iter();
        let bodies = bodies.map(|(name, body)| Ok((name.clone(), SerializedGraph::new(body)?)));
        Ok(SerializedNode {
            name: name.clone(),
            proto: proto.encode_to_vec(),
            inputs: inputs.clone(),
            outputs: outputs.clone(),
            bodies: bodies.collect::<TractResult<_>>()?,
            captures: captures.clone(),
        })
    }

    fn into_node(self) -> TractResult<Node> {
        let SerializedNode { name, proto, inputs, outputs, bodies, captures } = self;
        let proto = NodeProto::decode(proto.as_slice())?;
        let bodies = bodies.into_iter().map(|(name, body)| Ok((name, body.into_graph()?)));
        let bodies = bodies.collect::<TractResult<_>>()?;
        Ok(Node { name, proto, inputs, outputs, bodies, captures })
    }
}

impl Constant {
    fn new(tensor: &Arc<Tensor>) -> TractResult<Constant> {
        let datum_type = tensor.datum_type();
        let view = tensor.try_as_plain_ram()?;
        let elements = if datum_type == String::datum_type() {
            Elements::Strings(view.as_slice::<String>()?.to_vec())
        } else {
            let is_serializable = datum_type.is_copy() && !datum_type.is_quantized();
            ensure!(is_serializable, "expected a serializable constant, found {tensor:?}");
            Elements::Bytes(view.as_bytes().to_vec().into())
        };
        Ok(Constant { datum_type, shape: tensor.shape().to_vec(), elements })
    }

    fn into_tensor(self) -> TractResult<Tensor> {
        let Constant { datum_type, shape, elements } = self;
        match elements {
            Elements::Strings(strings) => {
                Ok(tract_ndarray::ArrayD::from_shape_vec(shape, strings)?.into_tensor())
            }
            Elements::Bytes(bytes) => {
                let mut tensor = Tensor::zero_dt(datum_type, &shape)?;
                let mut view = tensor.try_as_plain_ram_mut()?;
                let (expected, found) = (view.as_bytes().len(), bytes.len());
                ensure!(
                    expected == found,
                    "expected {expected} bytes of a constant, found {found}"
                );
                view.as_bytes_mut().copy_from_slice(&bytes);
                Ok(tensor)
            }
        }
    }
}
