//! Values that the inputs of a model are compared with: a column that `OneHotEncoder` or `LabelEncoder`
//! reads ([ai.onnx.ml](https://onnx.ai/onnx/operators/index_ai_onnx_ml.html)) has categories, and a
//! `OneHotEncoder` whose `zeros` is 0, as scikit-learn's is by default, fails on all others.

use std::collections::HashMap;
use std::fmt;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, ValueInfoProto, type_proto};

/// A value that a `OneHotEncoder` does not know, and does not take for zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownCategory {
    /// Row of the operator's input, counted from 0.
    pub row: usize,
    /// The categories, in their order.
    pub expected: Vec<String>,
    pub found: String,
}

impl fmt::Display for UnknownCategory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnknownCategory { row, expected, found } = self;
        write!(f, "row {row}: expected one of {expected:?}, but found {found:?}")
    }
}

impl std::error::Error for UnknownCategory {}

/// A value that a column can have.
#[derive(Debug, Clone, PartialEq)]
pub enum Category {
    Integer(i64),
    Float(f32),
    String(String),
}

/// A column of an input, by the input's name.
type Column<'g> = (&'g str, usize);

/// The first category of each column that has some. Columns are followed through what selects, joins and
/// casts them, not into inner graphs.
pub fn of_inputs(graph: &GraphProto) -> HashMap<Column<'_>, Category> {
    let inputs = graph.input.iter().map(|input| (input.name.as_str(), own_columns(input)));
    let mut columns: HashMap<&str, Vec<Column<'_>>> = inputs.collect();
    let mut found = HashMap::new();
    for node in &graph.node {
        if let (Some(category), Some(read)) = (first_category(node), node.input.first()) {
            for column in columns.get(read.as_str()).into_iter().flatten() {
                found.entry(*column).or_insert_with(|| category.clone());
            }
        }
        if let [output] = node.output.as_slice() {
            columns.insert(output, passed_on(graph, node, &columns));
        }
    }
    found
}

fn own_columns(input: &ValueInfoProto) -> Vec<Column<'_>> {
    let tensor = match input.r#type.as_ref().and_then(|tensor| tensor.value.as_ref()) {
        Some(type_proto::Value::TensorType(tensor)) => tensor,
        None => return vec![],
    };
    let count = match tensor.shape.as_ref().map(|shape| shape.dim.as_slice()) {
        Some([_]) => 1,
        Some([_, columns]) => match columns.value {
            Some(dimension::Value::DimValue(count)) => usize::try_from(count).unwrap_or(0),
            _ => 0,
        },
        _ => 0,
    };
    (0..count).map(|column| (input.name.as_str(), column)).collect()
}

/// The columns that a node's output has from inputs, as far as they are known from the first on.
fn passed_on<'g>(
    graph: &GraphProto,
    node: &NodeProto,
    columns: &HashMap<&str, Vec<Column<'g>>>,
) -> Vec<Column<'g>> {
    let of = |index: usize| {
        let input = node.input.get(index);
        input.and_then(|name| columns.get(name.as_str())).map_or(&[][..], Vec::as_slice)
    };
    let axis = attribute(node, "axis").map_or(0, |axis| axis.i);
    match node.op_type.as_str() {
        "Cast" | "Identity" | "Imputer" => of(0).to_vec(),
        "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" if of(0).len() == 1 => of(0).to_vec(),
        // As an imputer of text is exported: where it is missing, another, else as it is.
        "Where" if of(1).is_empty() => of(2).to_vec(),
        "Where" => of(1).to_vec(),
        "ArrayFeatureExtractor" => picked(of(0), graph, node),
        "Gather" if matches!(axis, 1 | -1) => picked(of(0), graph, node),
        "Concat" if matches!(axis, 1 | -1) => {
            let parts = (0..node.input.len()).map(of).take_while(|part| !part.is_empty());
            parts.flatten().copied().collect()
        }
        _ => vec![],
    }
}

/// The columns at the constant indices that are the second input.
fn picked<'g>(columns: &[Column<'g>], graph: &GraphProto, node: &NodeProto) -> Vec<Column<'g>> {
    let indices = node.input.get(1).map(|name| integers(graph, name)).unwrap_or_default();
    let column = |index: &i64| columns.get(usize::try_from(*index).ok()?).copied();
    indices.iter().map_while(column).collect()
}

fn integers(graph: &GraphProto, name: &str) -> Vec<i64> {
    let constants = graph.node.iter().filter(|node| node.op_type == "Constant");
    let constants = constants.filter(|node| node.output.iter().any(|output| output == name));
    let constants = constants.filter_map(|node| attribute(node, "value")?.t.as_ref());
    let mut tensors =
        graph.initializer.iter().filter(|tensor| tensor.name == name).chain(constants);
    match tensors.next() {
        Some(tensor) if tensor.data_type != DataType::Int64 as i32 => vec![],
        Some(tensor) if tensor.raw_data.is_empty() => tensor.int64_data.clone(),
        Some(tensor) => {
            let (integers, _) = tensor.raw_data.as_chunks();
            integers.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
        }
        None => vec![],
    }
}

fn first_category(node: &NodeProto) -> Option<Category> {
    let names = match node.op_type.as_str() {
        "OneHotEncoder" => ["cats_strings", "cats_int64s", ""],
        "LabelEncoder" => ["keys_strings", "keys_int64s", "keys_floats"],
        _ => return None,
    };
    let lists = names.iter().filter_map(|name| attribute(node, name));
    let mut categories = lists.filter_map(|list| {
        let text = |text: &Vec<u8>| String::from_utf8(text.clone()).ok().map(Category::String);
        let integer = || list.ints.first().copied().map(Category::Integer);
        let float = || list.floats.iter().copied().find(|key| key.is_finite()).map(Category::Float);
        list.strings.first().and_then(text).or_else(integer).or_else(float)
    });
    categories.next()
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::tensor_shape_proto::Dimension;
    use tract_onnx::pb::{TensorProto, TensorShapeProto, TypeProto};

    fn input(name: &str, columns: i64) -> ValueInfoProto {
        let dim = |len| Dimension {
            value: Some(dimension::Value::DimValue(len)),
            ..Dimension::default()
        };
        let shape = Some(TensorShapeProto { dim: vec![dim(0), dim(columns)] });
        let tensor = type_proto::Tensor { elem_type: DataType::String as i32, shape };
        let value = Some(type_proto::Value::TensorType(tensor));
        let r#type = Some(TypeProto { value, ..TypeProto::default() });
        ValueInfoProto { name: name.into(), r#type, ..ValueInfoProto::default() }
    }

    fn node(
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: Vec<AttributeProto>,
    ) -> NodeProto {
        NodeProto {
            op_type: operator.into(),
            input: inputs.iter().map(|input| (*input).into()).collect(),
            output: vec![output.into()],
            attribute: attributes,
            ..NodeProto::default()
        }
    }

    fn axis(axis: i64) -> Vec<AttributeProto> {
        vec![AttributeProto { name: "axis".into(), i: axis, ..AttributeProto::default() }]
    }

    fn one_hot(input: &str, categories: &[&str]) -> NodeProto {
        let strings = categories.iter().map(|text| text.as_bytes().to_vec()).collect();
        let name = "cats_strings".into();
        let list = AttributeProto { name, strings, ..AttributeProto::default() };
        node("OneHotEncoder", &[input], &format!("{input}.encoded"), vec![list])
    }

    fn index(name: &str, index: i64) -> TensorProto {
        let (data_type, int64_data) = (DataType::Int64 as i32, vec![index]);
        TensorProto { name: name.into(), data_type, int64_data, ..TensorProto::default() }
    }

    #[test]
    fn columns_are_followed_to_their_inputs() {
        let graph = GraphProto {
            input: vec![input("city", 1), input("kinds", 2)],
            initializer: vec![index("one", 1), index("two", 2)],
            node: vec![
                node("Concat", &["city", "kinds"], "all", axis(1)),
                node("ArrayFeatureExtractor", &["all", "two"], "picked", vec![]),
                node("Identity", &["picked"], "same", vec![]),
                one_hot("same", &["round", "square"]),
                node("Gather", &["all", "one"], "gathered", axis(-1)),
                one_hot("gathered", &["red"]),
            ],
            ..GraphProto::default()
        };
        let expected = [("kinds", 1, "round"), ("kinds", 0, "red")];
        let expected =
            expected.map(|(input, column, text)| ((input, column), Category::String(text.into())));
        assert_eq!(of_inputs(&graph), HashMap::from(expected));
    }

    #[test]
    fn what_is_computed_is_no_column() {
        let graph = GraphProto {
            input: vec![input("city", 1)],
            node: vec![
                node("StringNormalizer", &["city"], "lower", vec![]),
                one_hot("lower", &["lisbon"]),
                node("Concat", &["lower", "city"], "both", axis(1)),
                one_hot("both", &["porto"]),
            ],
            ..GraphProto::default()
        };
        assert_eq!(of_inputs(&graph), HashMap::new());
    }
}
