//! Functions that a model defines ([FunctionProto](https://github.com/onnx/onnx/blob/main/docs/IR.md#functions)).
//! Exporters of scikit-learn and PyTorch models write functions. [`inline`] replaces each call of a function by the
//! function's nodes.

use prost::Message;
use std::collections::HashMap;
use std::fmt;
use std::mem;
use tract_onnx::pb::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto};

/// Maximum depth of nested calls. A function may call other functions but not itself.
const MAX_DEPTH: usize = 64;

/// Maximum size of all inlined nodes, in bytes. If each function calls the next function twice, the
/// size doubles at each level.
const MAX_BYTES: usize = 256 << 20;

/// Estimate, in bytes, of the memory that a node takes beyond its size in the file.
const NODE_OVERHEAD: usize = 1 << 10;

/// The reason why a call cannot be inlined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorKind {
    /// The function calls itself, or the calls are nested too deeply.
    Depth,
    /// The inlined nodes are too large.
    Size,
    /// The call has more inputs or outputs than the function.
    Arguments,
    /// The call omits the attribute with this name. The attribute has a default value, and default
    /// values are not supported.
    Default(String),
}

/// A call that cannot be inlined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Name of the called function.
    pub function: String,
    pub kind: ErrorKind,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "function `{}`: ", self.function)?;
        match &self.kind {
            ErrorKind::Depth => write!(f, "expected calls at most {MAX_DEPTH} deep, found more"),
            ErrorKind::Size => {
                write!(f, "expected at most {} MiB after inlining, found more", MAX_BYTES >> 20)
            }
            ErrorKind::Arguments => f.write_str(
                "expected calls with at most the inputs and outputs of the function, found more",
            ),
            ErrorKind::Default(name) => write!(
                f,
                "expected a value for the attribute `{name}` in each call (default values are not supported), found a call without it"
            ),
        }
    }
}

impl std::error::Error for Error {}

/// Replaces each call of a function of the model by the nodes of the function, also in subgraphs.
/// Names that are local to the function get a prefix that is unique to the call.
///
/// # Errors
///
/// Returns an error if a call cannot be inlined; see [`ErrorKind`].
pub fn inline(model: &mut ModelProto) -> Result<(), Error> {
    let functions = mem::take(&mut model.functions);
    let (false, Some(graph)) = (functions.is_empty(), model.graph.as_mut()) else {
        return Ok(());
    };
    for import in functions.iter().flat_map(|function| &function.opset_import) {
        if model.opset_import.iter().all(|imported| imported.domain != import.domain) {
            model.opset_import.push(import.clone());
        }
    }
    let functions = functions.iter().map(|function| (key(function), function)).collect();
    let mut inliner = Inliner { functions, calls: 0, bytes: 0 };
    graph.node = inliner.inline_calls(mem::take(&mut graph.node), 0)?;
    Ok(())
}

/// Returns the domain and the name of a function, which together identify the function.
fn key(function: &FunctionProto) -> (&str, &str) {
    (function.domain.as_deref().unwrap_or_default(), function.name.as_deref().unwrap_or_default())
}

/// The state of [`inline`].
struct Inliner<'m> {
    /// The functions of the model by domain and name.
    functions: HashMap<(&'m str, &'m str), &'m FunctionProto>,
    /// Number of calls that have been inlined.
    calls: usize,
    /// Size of the nodes that have been inlined, in bytes.
    bytes: usize,
}

impl<'m> Inliner<'m> {
    /// Returns `nodes` with all calls inlined. `depth` is the number of calls that enclose the
    /// nodes.
    fn inline_calls(
        &mut self,
        nodes: Vec<NodeProto>,
        depth: usize,
    ) -> Result<Vec<NodeProto>, Error> {
        let mut inlined = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            for graph in node.attribute.iter_mut().flat_map(subgraphs) {
                graph.node = self.inline_calls(mem::take(&mut graph.node), depth)?;
            }
            let Some(function) = self.functions.get(&(&*node.domain, &*node.op_type)).copied()
            else {
                inlined.push(node);
                continue;
            };
            let bytes = function.encoded_len() + NODE_OVERHEAD * function.node.len();
            self.bytes = self.bytes.saturating_add(bytes);
            let kind = if depth == MAX_DEPTH {
                Some(ErrorKind::Depth)
            } else {
                (self.bytes > MAX_BYTES).then_some(ErrorKind::Size)
            };
            if let Some(kind) = kind {
                return Err(Error { function: key(function).1.to_owned(), kind });
            }
            self.calls += 1;
            let body = Call::new(function, &node, self.calls)?.nodes()?;
            inlined.extend(self.inline_calls(body, depth + 1)?);
        }
        Ok(inlined)
    }
}

/// Returns the subgraphs in an attribute.
fn subgraphs(attribute: &mut AttributeProto) -> impl Iterator<Item = &mut GraphProto> {
    attribute.g.iter_mut().chain(&mut attribute.graphs)
}

/// A function in the context of one call.
struct Call<'a> {
    function: &'a FunctionProto,
    /// The node that calls the function.
    node: &'a NodeProto,
    /// Maps the names of the function's inputs and outputs to the names in the calling graph.
    names: HashMap<&'a str, String>,
    /// Prefix of all names that are local to the function.
    prefix: String,
}

impl<'a> Call<'a> {
    /// Maps the inputs and outputs of the function to the inputs and outputs of `node`. `call_number` is a different
    /// number for each call in the model.
    fn new(
        function: &'a FunctionProto,
        node: &'a NodeProto,
        call_number: usize,
    ) -> Result<Call<'a>, Error> {
        let names = function.input.iter().enumerate().map(|(index, name)| {
            (name.as_str(), node.input.get(index).cloned().unwrap_or_default())
        });
        let mut call = Call {
            function,
            node,
            names: names.collect(),
            prefix: format!("{}.{call_number}/", key(function).1),
        };
        if node.input.len() > function.input.len() || node.output.len() > function.output.len() {
            return Err(call.error(ErrorKind::Arguments));
        }
        for (name, output) in function.output.iter().zip(&node.output) {
            // An output that is also an input keeps the name of the input; `nodes` adds an
            // Identity.
            if !output.is_empty() && !function.input.contains(name) {
                call.names.insert(name, output.clone());
            }
        }
        Ok(call)
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error { function: key(self.function).1.to_owned(), kind }
    }

    /// Returns the nodes that replace the call.
    fn nodes(&self) -> Result<Vec<NodeProto>, Error> {
        let mut nodes = self.function.node.clone();
        for node in &mut nodes {
            self.rename_node(node)?;
        }
        for (name, output) in self.function.output.iter().zip(&self.node.output) {
            // The output is also an input, or is listed twice: copy the value to its other name.
            let source = self.names.get(name.as_str()).filter(|source| *source != output);
            if let (Some(source), false) = (source, output.is_empty()) {
                nodes.push(NodeProto {
                    name: output.clone(),
                    op_type: "Identity".into(),
                    input: vec![source.clone()],
                    output: vec![output.clone()],
                    ..NodeProto::default()
                });
            }
        }
        Ok(nodes)
    }

    /// Replaces a name in the function by the name in the calling graph.
    fn rename(&self, name: &mut String) {
        if let Some(outer) = self.names.get(name.as_str()) {
            name.clone_from(outer);
        } else if !name.is_empty() {
            name.insert_str(0, &self.prefix);
        }
    }

    /// Renames the values of a node and replaces references to attributes of the call.
    fn rename_node(&self, node: &mut NodeProto) -> Result<(), Error> {
        if !node.name.is_empty() {
            node.name.insert_str(0, &self.prefix);
        }
        node.input.iter_mut().chain(&mut node.output).for_each(|name| self.rename(name));
        let mut attributes = Vec::with_capacity(node.attribute.len());
        for mut attribute in mem::take(&mut node.attribute) {
            if !attribute.ref_attr_name.is_empty() {
                match self.referenced(&attribute)? {
                    Some(referenced) => attribute = referenced,
                    None => continue,
                }
            } else {
                subgraphs(&mut attribute).try_for_each(|graph| self.rename_graph(graph))?;
            }
            attributes.push(attribute);
        }
        node.attribute = attributes;
        Ok(())
    }

    /// Returns the attribute of the call to which `attribute` refers. Returns `None` if the attribute is optional and
    /// the call omits it.
    fn referenced(&self, attribute: &AttributeProto) -> Result<Option<AttributeProto>, Error> {
        let name = &attribute.ref_attr_name;
        if let Some(argument) = self.node.attribute.iter().find(|argument| argument.name == *name) {
            return Ok(Some(AttributeProto { name: attribute.name.clone(), ..argument.clone() }));
        }
        // The function's field `attribute` lists the attributes without a default value.
        if self.function.attribute.contains(name) {
            Ok(None)
        } else {
            Err(self.error(ErrorKind::Default(name.clone())))
        }
    }

    /// Renames the values of a subgraph.
    fn rename_graph(&self, graph: &mut GraphProto) -> Result<(), Error> {
        for info in graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info) {
            self.rename(&mut info.name);
        }
        graph.initializer.iter_mut().for_each(|tensor| self.rename(&mut tensor.name));
        graph.node.iter_mut().try_for_each(|node| self.rename_node(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(op_type: &str, input: &[&str], output: &[&str]) -> NodeProto {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let domain = if op_type.starts_with('f') { "local" } else { "" };
        NodeProto {
            name: op_type.to_lowercase(),
            op_type: op_type.into(),
            domain: domain.into(),
            input: owned(input),
            output: owned(output),
            ..NodeProto::default()
        }
    }

    fn function(
        name: &str,
        input: &[&str],
        output: &[&str],
        body: Vec<NodeProto>,
    ) -> FunctionProto {
        let NodeProto { input, output, .. } = node("", input, output);
        let (name, domain) = (Some(name.into()), Some("local".into()));
        FunctionProto { name, domain, input, output, node: body, ..FunctionProto::default() }
    }

    fn model(node: Vec<NodeProto>, functions: Vec<FunctionProto>) -> ModelProto {
        let graph = Some(GraphProto { node, ..GraphProto::default() });
        ModelProto { graph, functions, ..ModelProto::default() }
    }

    /// Returns each node formatted as "Op(inputs) outputs".
    fn inlined(mut model: ModelProto) -> Result<Vec<String>, ErrorKind> {
        inline(&mut model).map_err(|error| error.kind)?;
        let nodes = model.graph.expect("the model has a graph").node;
        let text = |node: &NodeProto| {
            format!("{}({}) {}", node.op_type, node.input.join(","), node.output.join(","))
        };
        Ok(nodes.iter().map(text).collect())
    }

    fn reference(name: &str, to: &str) -> AttributeProto {
        AttributeProto { name: name.into(), ref_attr_name: to.into(), ..Default::default() }
    }

    #[test]
    fn inlines_nested_calls() {
        let inner = function("f", &["a"], &["b"], vec![node("Neg", &["a"], &["b"])]);
        let body = vec![node("f", &["x"], &["y"]), node("Add", &["y", "z"], &["w"])];
        let outer = function("fo", &["x", "z"], &["w"], body);
        let calls = vec![node("fo", &["in", "w"], &["mid"]), node("fo", &["mid", "w"], &["out"])];
        assert_eq!(
            inlined(model(calls, vec![outer, inner])),
            Ok(vec![
                "Neg(in) fo.1/y".to_owned(),
                "Add(fo.1/y,w) mid".to_owned(),
                "Neg(mid) fo.3/y".to_owned(),
                "Add(fo.3/y,w) out".to_owned(),
            ])
        );
    }

    #[test]
    fn leaves_omitted_inputs_out() {
        let body = vec![node("Clip", &["x", "low", "high"], &["y"]), node("Abs", &["y"], &["z"])];
        let clip = function("f", &["x", "low", "high"], &["y", "z"], body);
        assert_eq!(
            inlined(model(vec![node("f", &["in", "", "top"], &["out"])], vec![clip])),
            Ok(vec!["Clip(in,,top) out".to_owned(), "Abs(out) f.1/z".to_owned()])
        );
    }

    #[test]
    fn an_output_can_alias_an_input_or_another_output() {
        let f = function("f", &["x"], &["x", "y", "y"], vec![node("Abs", &["x"], &["y"])]);
        assert_eq!(
            inlined(model(vec![node("f", &["in"], &["same", "one", "two"])], vec![f])),
            Ok(vec![
                "Abs(in) two".to_owned(),
                "Identity(in) same".to_owned(),
                "Identity(two) one".to_owned(),
            ])
        );
    }

    #[test]
    fn takes_attributes_from_the_call() {
        let mut leaky = node("LeakyRelu", &["x"], &["y"]);
        leaky.attribute = vec![reference("alpha", "slope")];
        let mut f = function("f", &["x"], &["y"], vec![leaky]);
        let without_slope = node("f", &["in"], &["out"]);
        let mut with_slope = without_slope.clone();
        with_slope.attribute =
            vec![AttributeProto { name: "slope".into(), f: 0.5, ..Default::default() }];
        let alphas = |call: &NodeProto, f: &FunctionProto| {
            let mut model = model(vec![call.clone()], vec![f.clone()]);
            inline(&mut model).map_err(|error| error.kind)?;
            let node = model.graph.expect("the model has a graph").node.remove(0);
            Ok(node.attribute.iter().map(|found| (found.name.clone(), found.f)).collect())
        };
        assert_eq!(alphas(&with_slope, &f), Ok(vec![("alpha".to_owned(), 0.5)]));
        assert_eq!(alphas(&without_slope, &f), Err(ErrorKind::Default("slope".into())));
        f.attribute = vec!["slope".into()];
        assert_eq!(alphas(&without_slope, &f), Ok(vec![]));
    }

    #[test]
    fn renames_the_values_of_subgraphs() {
        let branch = GraphProto {
            node: vec![node("f2", &["x"], &["t"]), node("Add", &["t", "k"], &["r"])],
            output: vec![tract_onnx::pb::ValueInfoProto { name: "r".into(), ..Default::default() }],
            ..GraphProto::default()
        };
        let mut choice = node("If", &["c"], &["y"]);
        choice.attribute = vec![AttributeProto { g: Some(branch), ..Default::default() }];
        let f = function("f", &["x", "c"], &["y"], vec![node("Abs", &["x"], &["k"]), choice]);
        let f2 = function("f2", &["a"], &["b"], vec![node("Neg", &["a"], &["b"])]);
        let mut model = model(vec![node("f", &["in", "cond"], &["out"])], vec![f, f2]);
        assert_eq!(inline(&mut model), Ok(()));
        let nodes = model.graph.expect("the model has a graph").node;
        assert_eq!(
            (&nodes[1].input, &nodes[1].output),
            (&vec!["cond".into()], &vec!["out".into()])
        );
        let branch = nodes[1].attribute[0].g.as_ref().expect("the branch is there");
        assert_eq!(branch.node[0].input, ["in"]);
        assert_eq!(branch.node[1].input, ["f.1/t", "f.1/k"]);
        assert_eq!(branch.output[0].name, "f.1/r");
    }

    #[test]
    fn rejects_recursive_functions() {
        let call = vec![node("f", &["x"], &["y"])];
        let f = function("f", &["x"], &["y"], call.clone());
        assert_eq!(inlined(model(call, vec![f])), Err(ErrorKind::Depth));
    }

    #[test]
    fn rejects_exponential_inlining() {
        let level = |level: usize| {
            let next = format!("f{}", level + 1);
            let calls = vec![node(&next, &["x"], &["y"]), node(&next, &["y"], &["z"])];
            function(&format!("f{level}"), &["x"], &["z"], calls)
        };
        let functions = (0..60).map(level).collect();
        assert_eq!(
            inlined(model(vec![node("f0", &["in"], &["out"])], functions)),
            Err(ErrorKind::Size)
        );
    }

    #[test]
    fn rejects_calls_with_too_many_arguments() {
        let f = || function("f", &["x"], &["y"], vec![node("Abs", &["x"], &["y"])]);
        let more_in = model(vec![node("f", &["a", "b"], &["c"])], vec![f()]);
        let more_out = model(vec![node("f", &["a"], &["b", "c"])], vec![f()]);
        assert_eq!(inlined(more_in), Err(ErrorKind::Arguments));
        assert_eq!(inlined(more_out), Err(ErrorKind::Arguments));
    }
}
