//! Example categories for the inputs of a model. A column that `OneHotEncoder` or `LabelEncoder`
//! ([ai.onnx.ml](https://onnx.ai/onnx/operators/index_ai_onnx_ml.html)) reads has a fixed set of
//! categories. A `OneHotEncoder` whose `zeros` is 0, which is scikit-learn's default, fails on any
//! other value. A text column that is cast to a number must hold text that is a number.

use crate::proto::maps::attribute;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, ValueInfoProto, type_proto};

/// Value that a column accepts.
#[derive(Debug, Clone, PartialEq)]
pub enum Category {
    Integer(i64),
    Float(f32),
    String(String),
}

/// Column of an input: the input's name and the column's index.
type Column<'g> = (&'g str, usize);

/// Maximum number of columns to follow, summed over all values of the graph. A few nodes could
/// otherwise create any number of columns.
const MAX_COLUMNS: usize = 1 << 20;

/// Returns the first known category of each input column. Columns are followed through operators
/// that select, concatenate and cast them, but not into subgraphs.
pub fn of_inputs(graph: &GraphProto) -> HashMap<Column<'_>, Category> {
    let constants = constants(graph);
    let mut columns: HashMap<&str, Vec<Column<'_>>> = HashMap::new();
    let mut budget = MAX_COLUMNS;
    let mut follow = |found: &mut dyn Iterator<Item = _>| {
        let found: Vec<Column<'_>> = found.take(budget + 1).collect();
        match budget.checked_sub(found.len()) {
            Some(rest) => {
                budget = rest;
                found
            }
            None => vec![],
        }
    };
    let mut texts = HashSet::new();
    for input in &graph.input {
        if matches!(tensor_type(input), Some(tensor) if tensor.elem_type == DataType::String as i32)
        {
            texts.insert(input.name.as_str());
        }
        let count = width(input).unwrap_or(0);
        let own = follow(&mut (0..count).map(|column| (input.name.as_str(), column)));
        columns.insert(&input.name, own);
    }
    let (mut found, mut numbers) = (HashMap::new(), vec![]);
    for node in &graph.node {
        if let (Some(category), Some(read)) = (first_category(node), node.input.first()) {
            for column in follow(&mut columns.get(read.as_str()).into_iter().flatten().copied()) {
                found.entry(column).or_insert_with(|| category.clone());
            }
        }
        if let (true, Some(read)) = (casts_to_numbers(node), node.input.first()) {
            let read = columns.get(read.as_str()).into_iter().flatten().copied();
            numbers.extend(follow(&mut read.filter(|column| texts.contains(column.0))));
        }
        if let [output] = node.output.as_slice() {
            let passed = follow(&mut *passed_on(node, &columns, &constants));
            columns.insert(output, passed);
        }
    }
    for column in numbers {
        found.entry(column).or_insert_with(|| Category::String("0".into()));
    }
    found
}

fn casts_to_numbers(node: &NodeProto) -> bool {
    let to = attribute(node, "to").map(|to| to.i);
    node.op_type == "Cast" && to != Some(DataType::String as i64)
}

fn tensor_type(input: &ValueInfoProto) -> Option<&type_proto::Tensor> {
    let type_proto::Value::TensorType(tensor) = input.r#type.as_ref()?.value.as_ref()?;
    Some(tensor)
}

/// Returns the number of columns of an input, if it is known.
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

/// Returns the input columns that make up the columns of a node's output, up to the first unknown
/// one.
fn passed_on<'c, 'g>(
    node: &'c NodeProto,
    columns: &'c HashMap<&str, Vec<Column<'g>>>,
    constants: &'c HashMap<&str, &TensorProto>,
) -> Box<dyn Iterator<Item = Column<'g>> + 'c> {
    let of = |index: usize| {
        let input = node.input.get(index);
        input.and_then(|name| columns.get(name.as_str())).map_or(&[][..], Vec::as_slice)
    };
    let axis = attribute(node, "axis").map_or(0, |axis| axis.i);
    match node.op_type.as_str() {
        "Cast" | "Identity" | "Imputer" => Box::new(of(0).iter().copied()),
        "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" if of(0).len() == 1 => {
            Box::new(of(0).iter().copied())
        }
        // Text imputers are exported as Where(is missing, fill value, original).
        "Where" if of(1).is_empty() => Box::new(of(2).iter().copied()),
        "Where" => Box::new(of(1).iter().copied()),
        "Gather" if !matches!(axis, 1 | -1) => Box::new(std::iter::empty()),
        "ArrayFeatureExtractor" | "Gather" => {
            let of = of(0);
            let indices = node.input.get(1).and_then(|name| constants.get(name.as_str()));
            let indices = indices.map(|indices| integers(indices)).unwrap_or_default();
            let column = |index: i64| of.get(usize::try_from(index).ok()?).copied();
            Box::new(indices.into_iter().map_while(column))
        }
        "Concat" if matches!(axis, 1 | -1) => {
            let part = |name: &String| columns.get(name.as_str()).filter(|part| !part.is_empty());
            Box::new(node.input.iter().map_while(part).flatten().copied())
        }
        _ => Box::new(std::iter::empty()),
    }
}

/// Returns the constant tensors of a graph by name.
fn constants(graph: &GraphProto) -> HashMap<&str, &TensorProto> {
    let nodes = graph.node.iter().filter(|node| node.op_type == "Constant").filter_map(|node| {
        Some((node.output.first()?.as_str(), attribute(node, "value")?.t.as_ref()?))
    });
    let own = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor));
    nodes.chain(own).collect()
}

fn integers(tensor: &TensorProto) -> Vec<i64> {
    if tensor.data_type != DataType::Int64 as i32 {
        return vec![];
    }
    match tensor.raw_data.as_chunks() {
        ([], _) => tensor.int64_data.clone(),
        (integers, _) => integers.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect(),
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

    fn to(to: DataType) -> Vec<AttributeProto> {
        vec![AttributeProto { name: "to".into(), i: to as i64, ..AttributeProto::default() }]
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
    fn columns_are_traced_to_their_inputs() {
        let graph = GraphProto {
            input: vec![input("city", 1), input("kinds", 2), input("size", 1), input("floor", 1)],
            initializer: vec![index("one", 1), index("two", 2)],
            node: vec![
                node("Concat", &["city", "kinds"], "all", axis(1)),
                node("ArrayFeatureExtractor", &["all", "two"], "picked", vec![]),
                node("Identity", &["picked"], "same", vec![]),
                one_hot("same", &["round", "square"]),
                node("Gather", &["all", "one"], "gathered", axis(-1)),
                one_hot("gathered", &["red"]),
                node("Cast", &["city"], "text", to(DataType::String)),
                node("Cast", &["size"], "number", to(DataType::Float)),
                node("Cast", &["floor"], "integer", to(DataType::Int64)),
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
    fn computed_values_are_not_columns() {
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

    #[test]
    fn an_excessive_number_of_columns_is_not_traced() {
        let names: Vec<String> = (0..64).map(|index| format!("x{index}")).collect();
        let double = |pair: &[String]| node("Concat", &[&pair[0], &pair[0]], &pair[1], axis(1));
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
