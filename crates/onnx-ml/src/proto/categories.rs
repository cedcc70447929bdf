//! Finds a valid example value for each categorical input column of a model.
//!
//! A column that a `OneHotEncoder` or a `LabelEncoder`
//! ([ai.onnx.ml](https://onnx.ai/onnx/operators/index_ai_onnx_ml.html)) reads has a fixed set of
//! categories. If the attribute `zeros` of a `OneHotEncoder` is 0, any other value is an error;
//! models exported from scikit-learn with default settings have this attribute. A column of strings
//! that is cast to numbers must hold strings that are numbers.

use crate::proto::maps::attribute;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, ValueInfoProto, type_proto};

/// A value that a column accepts.
#[derive(Debug, Clone, PartialEq)]
pub enum Category {
    Integer(i64),
    Float(f32),
    String(String),
}

/// A column of a graph input: the name of the input and the index of the column.
type Column<'g> = (&'g str, usize);

/// Maximum number of columns to trace, summed over all values of the graph. Without a limit, a few
/// nodes could create any number of columns.
const MAX_COLUMNS: usize = 1 << 20;

/// Returns an example value for each input column that has categories or is cast from strings to numbers. Columns are
/// traced through operators that select, concatenate and cast columns, but not into subgraphs.
pub fn of_inputs(graph: &GraphProto) -> HashMap<Column<'_>, Category> {
    let constants = constants(graph);
    // For each column of each value of the graph, the input column from which it comes.
    let mut columns: HashMap<&str, Vec<Column<'_>>> = HashMap::new();
    let mut budget = MAX_COLUMNS;
    // Collects columns. Returns no columns if they would exceed the budget.
    let mut within_budget = |traced: &mut dyn Iterator<Item = _>| {
        let traced: Vec<Column<'_>> = traced.take(budget + 1).collect();
        match budget.checked_sub(traced.len()) {
            Some(rest) => {
                budget = rest;
                traced
            }
            None => vec![],
        }
    };
    let mut string_inputs = HashSet::new();
    for input in &graph.input {
        if matches!(tensor_type(input), Some(tensor) if tensor.elem_type == DataType::String as i32)
        {
            string_inputs.insert(input.name.as_str());
        }
        let count = width(input).unwrap_or(0);
        let traced = within_budget(&mut (0..count).map(|column| (input.name.as_str(), column)));
        columns.insert(&input.name, traced);
    }
    let (mut examples, mut numeric_columns) = (HashMap::new(), vec![]);
    for node in &graph.node {
        if let (Some(category), Some(read)) = (first_category(node), node.input.first()) {
            let mut read = columns.get(read.as_str()).into_iter().flatten().copied();
            for column in within_budget(&mut read) {
                examples.entry(column).or_insert_with(|| category.clone());
            }
        }
        if let (true, Some(read)) = (casts_to_numbers(node), node.input.first()) {
            let read = columns.get(read.as_str()).into_iter().flatten().copied();
            let mut strings = read.filter(|column| string_inputs.contains(column.0));
            numeric_columns.extend(within_budget(&mut strings));
        }
        if let [output] = node.output.as_slice() {
            let traced = within_budget(&mut *output_columns(node, &columns, &constants));
            columns.insert(output, traced);
        }
    }
    // Categories take precedence over the example `0`.
    for column in numeric_columns {
        examples.entry(column).or_insert_with(|| Category::String("0".into()));
    }
    examples
}

/// Returns `true` if `node` casts to a type other than string.
fn casts_to_numbers(node: &NodeProto) -> bool {
    let to = attribute(node, "to").map(|to| to.i);
    node.op_type == "Cast" && to != Some(DataType::String as i64)
}

/// Returns the tensor type that an input declares.
fn tensor_type(input: &ValueInfoProto) -> Option<&type_proto::Tensor> {
    let type_proto::Value::TensorType(tensor) = input.r#type.as_ref()?.value.as_ref()?;
    Some(tensor)
}

/// Returns the number of columns that an input declares. A vector has one column.
fn width(input: &ValueInfoProto) -> Option<usize> {
    match tensor_type(input)?.shape.as_ref()?.dim.as_slice() {
        [_] => Some(1),
        [_, columns] => match columns.value {
            Some(dimension::Value::DimValue(count)) => usize::try_from(count).ok(),
            _ => None,
        },
        _ => None,
    }
}

/// Returns, for each column of a node's output, the input column from which it comes. The list ends before the first
/// column of unknown origin.
fn output_columns<'c, 'g>(
    node: &'c NodeProto,
    columns: &'c HashMap<&str, Vec<Column<'g>>>,
    constants: &'c HashMap<&str, &TensorProto>,
) -> Box<dyn Iterator<Item = Column<'g>> + 'c> {
    // The columns of the node's input at `index`.
    let input_columns = |index: usize| {
        let input = node.input.get(index);
        input.and_then(|name| columns.get(name.as_str())).map_or(&[][..], Vec::as_slice)
    };
    let axis = attribute(node, "axis").map_or(0, |axis| axis.i);
    match node.op_type.as_str() {
        "Cast" | "Identity" | "Imputer" => Box::new(input_columns(0).iter().copied()),
        "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" if input_columns(0).len() == 1 => {
            Box::new(input_columns(0).iter().copied())
        }
        // An imputer of strings is exported as Where(is missing, fill value, original).
        "Where" if input_columns(1).is_empty() => Box::new(input_columns(2).iter().copied()),
        "Where" => Box::new(input_columns(1).iter().copied()),
        "Gather" if !matches!(axis, 1 | -1) => Box::new(std::iter::empty()),
        "ArrayFeatureExtractor" | "Gather" => {
            let data = input_columns(0);
            let indices = node.input.get(1).and_then(|name| constants.get(name.as_str()));
            let indices = indices.map(|indices| integers(indices)).unwrap_or_default();
            let column = |index: i64| data.get(usize::try_from(index).ok()?).copied();
            Box::new(indices.into_iter().map_while(column))
        }
        "Concat" if matches!(axis, 1 | -1) => {
            let traced =
                |name: &String| columns.get(name.as_str()).filter(|columns| !columns.is_empty());
            Box::new(node.input.iter().map_while(traced).flatten().copied())
        }
        _ => Box::new(std::iter::empty()),
    }
}

/// Returns the constant tensors of a graph, by the name of the value: the outputs of `Constant`
/// nodes, and the initializers.
fn constants(graph: &GraphProto) -> HashMap<&str, &TensorProto> {
    let nodes = graph.node.iter().filter(|node| node.op_type == "Constant").filter_map(|node| {
        Some((node.output.first()?.as_str(), attribute(node, "value")?.t.as_ref()?))
    });
    let initializers = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor));
    nodes.chain(initializers).collect()
}

/// Returns the elements of an `int64` tensor, or an empty vector for other types.
fn integers(tensor: &TensorProto) -> Vec<i64> {
    if tensor.data_type != DataType::Int64 as i32 {
        return vec![];
    }
    match tensor.raw_data.as_chunks() {
        ([], _) => tensor.int64_data.clone(),
        (integers, _) => integers.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect(),
    }
}

/// Returns the first category of a `OneHotEncoder` or `LabelEncoder`.
fn first_category(node: &NodeProto) -> Option<Category> {
    let names = match node.op_type.as_str() {
        "OneHotEncoder" => ["cats_strings", "cats_int64s", ""],
        "LabelEncoder" => ["keys_strings", "keys_int64s", "keys_floats"],
        _ => return None,
    };
    let lists = names.iter().filter_map(|name| attribute(node, name));
    let mut categories = lists.filter_map(|list| {
        let string = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).ok().map(Category::String);
        let integer = || list.ints.first().copied().map(Category::Integer);
        let float = || list.floats.iter().copied().find(|key| key.is_finite()).map(Category::Float);
        list.strings.first().and_then(string).or_else(integer).or_else(float)
    });
    categories.next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::tensor_shape_proto::Dimension;
    use tract_onnx::pb::{AttributeProto, TensorShapeProto, TypeProto};

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

    fn to_attribute(to: DataType) -> Vec<AttributeProto> {
        vec![AttributeProto { name: "to".into(), i: to as i64, ..AttributeProto::default() }]
    }

    fn axis_attribute(axis: i64) -> Vec<AttributeProto> {
        vec![AttributeProto { name: "axis".into(), i: axis, ..AttributeProto::default() }]
    }

    fn one_hot(input: &str, categories: &[&str]) -> NodeProto {
        let strings = categories.iter().map(|text| text.as_bytes().to_vec()).collect();
        let name = "cats_strings".into();
        let list = AttributeProto { name, strings, ..AttributeProto::default() };
        node("OneHotEncoder", &[input], &format!("{input}.encoded"), vec![list])
    }

    fn constant(name: &str, index: i64) -> TensorProto {
        let (data_type, int64_data) = (DataType::Int64 as i32, vec![index]);
        TensorProto { name: name.into(), data_type, int64_data, ..TensorProto::default() }
    }

    #[test]
    fn traces_columns_to_their_inputs() {
        let graph = GraphProto {
            input: vec![input("city", 1), input("kinds", 2), input("size", 1), input("floor", 1)],
            initializer: vec![constant("one", 1), constant("two", 2)],
            node: vec![
                node("Concat", &["city", "kinds"], "all", axis_attribute(1)),
                node("ArrayFeatureExtractor", &["all", "two"], "extracted", vec![]),
                node("Identity", &["extracted"], "same", vec![]),
                one_hot("same", &["round", "square"]),
                node("Gather", &["all", "one"], "gathered", axis_attribute(-1)),
                one_hot("gathered", &["red"]),
                node("Cast", &["city"], "text", to_attribute(DataType::String)),
                node("Cast", &["size"], "number", to_attribute(DataType::Float)),
                node("Cast", &["floor"], "integer", to_attribute(DataType::Int64)),
                one_hot("integer", &["3"]),
            ],
            ..GraphProto::default()
        };
        let expected =
            [("kinds", 1, "round"), ("kinds", 0, "red"), ("size", 0, "0"), ("floor", 0, "3")];
        let expected =
            expected.map(|(input, column, text)| ((input, column), Category::String(text.into())));
        assert_eq!(of_inputs(&graph), HashMap::from(expected));
    }

    #[test]
    fn does_not_trace_computed_values() {
        let graph = GraphProto {
            input: vec![input("city", 1)],
            node: vec![
                node("StringNormalizer", &["city"], "lower", vec![]),
                one_hot("lower", &["lisbon"]),
                node("Concat", &["lower", "city"], "both", axis_attribute(1)),
                one_hot("both", &["porto"]),
            ],
            ..GraphProto::default()
        };
        assert_eq!(of_inputs(&graph), HashMap::new());
    }

    #[test]
    fn does_not_trace_an_excessive_number_of_columns() {
        let names: Vec<String> = (0..64).map(|index| format!("x{index}")).collect();
        let double =
            |pair: &[String]| node("Concat", &[&pair[0], &pair[0]], &pair[1], axis_attribute(1));
        let mut graph = GraphProto {
            input: vec![input("x0", 1), input("wide", i64::MAX)],
            node: names.windows(2).map(double).collect(),
            ..GraphProto::default()
        };
        graph.node.push(one_hot("x63", &["a"]));
        graph.node.push(one_hot("wide", &["b"]));
        graph.node.push(one_hot("x0", &["c"]));
        let expected = HashMap::from([(("x0", 0), Category::String("c".into()))]);
        assert_eq!(of_inputs(&graph), expected);
    }
}
