//! The adapter from a [`Kernel`] to tract.
//!
//! [`operator`] wraps a kernel in a tract operator, which takes part in tract's inference of types
//! and shapes. The other functions add, find and replace such operators in a typed model.

use super::kernel::{Fact, Kernel, Patch};
use super::tensors::check_size;
use std::any::Any;
use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// The result that tract expects from a function that builds an operator: the operator, and the
/// names of the outer values that its subgraphs use. Operators without subgraphs return an empty
/// list of names.
pub type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// Wraps `kernel` in a tract operator for `node`, which must have `inputs` inputs.
///
/// # Errors
///
/// Returns an error if the number of inputs is not `inputs`, or if the node has more outputs than
/// the kernel.
pub fn operator<K: Kernel>(node: &NodeProto, inputs: usize, kernel: K) -> Built {
    // An empty name stands for an omitted optional input, which tract does not pass to the operator.
    let found = node.input.iter().filter(|name| !name.is_empty()).count();
    node.expect(found == inputs, || format!("{inputs} inputs, found {found}"))?;
    variadic(node, kernel)
}

/// Wraps `kernel` like [`operator`], but accepts any number of inputs.
///
/// # Errors
///
/// Returns an error if the node has more outputs than the kernel.
pub fn variadic<K: Kernel>(node: &NodeProto, kernel: K) -> Built {
    let found = node.output.len();
    node.expect(found <= K::OUTPUTS, || format!("{} outputs, found {found}", K::OUTPUTS))?;
    // An empty name stands for an omitted optional output, which tract does not expect from the operator.
    let outputs = (0..found).filter(|index| !node.output[*index].is_empty()).collect();
    Ok((expand(KernelOp { kernel: Arc::new(kernel), outputs }), vec![]))
}

/// Adds a node that computes the first `outputs` outputs of `kernel` to a typed model, and returns
/// the node's outputs.
///
/// # Errors
///
/// Returns an error if the kernel does not accept the inputs.
pub fn wire<K: Kernel>(
    name: &str,
    model: &mut TypedModel,
    kernel: K,
    inputs: &[OutletId],
    outputs: usize,
) -> TractResult<TVec<OutletId>> {
    let outputs = (0..outputs).collect();
    model.wire_node(name, KernelOp { kernel: Arc::new(kernel), outputs }, inputs)
}

/// Wraps `kernel`, with all its outputs, in an operator of a typed model.
pub fn kernel_op<K: Kernel>(kernel: K) -> impl Into<Box<dyn TypedOp>> {
    KernelOp { kernel: Arc::new(kernel), outputs: (0..K::OUTPUTS).collect() }
}

/// The counterpart of [`Kernel`] for `dyn`. `dyn Kernel` is not possible, because `Kernel` has associated constants.
/// With `dyn AnyKernel`, [`KernelOp`] need not be generic.
trait AnyKernel: Any + Debug + Send + Sync {
    fn name(&self) -> &'static str;
    fn constants(&self) -> &'static [usize];
    fn mints_symbols(&self) -> bool;
    fn may_reject(&self) -> bool;
    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>>;
    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>>;
    fn prepared(&self, inputs: &[Fact]) -> TractResult<Option<Arc<dyn AnyKernel>>>;
    fn fuse(self: Arc<Self>, model: &TypedModel, node: &TypedNode) -> Patch;
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<K: Kernel> AnyKernel for K {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn constants(&self) -> &'static [usize] {
        K::CONSTANTS
    }

    fn mints_symbols(&self) -> bool {
        Kernel::mints_symbols(self)
    }

    fn may_reject(&self) -> bool {
        Kernel::may_reject(self)
    }

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        Kernel::outputs(self, inputs)
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        Kernel::eval(self, inputs)
    }

    fn prepared(&self, inputs: &[Fact]) -> TractResult<Option<Arc<dyn AnyKernel>>> {
        Ok(Kernel::prepared(self, inputs)?.map(|kernel| Arc::new(kernel) as Arc<dyn AnyKernel>))
    }

    fn fuse(self: Arc<Self>, model: &TypedModel, node: &TypedNode) -> Patch {
        Kernel::fuse(&self, model, node)
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// The tract operator that runs a kernel.
#[derive(Debug, Clone)]
struct KernelOp {
    kernel: Arc<dyn AnyKernel>,
    /// Indices of the kernel's outputs that the node has, in ascending order.
    outputs: TVec<usize>,
}

/// Compares kernels by address. Comparing their weights would take too long.
impl PartialEq for KernelOp {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.kernel), Arc::as_ptr(&other.kernel))
            && self.outputs == other.outputs
    }
}

impl Eq for KernelOp {}

impl KernelOp {
    /// Returns the facts of the node's outputs, after checking the sizes of all outputs of the
    /// kernel (see [`check_size`]).
    fn checked_outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let facts = self.kernel.outputs(inputs).with_context(|| self.kernel.name())?;
        facts
            .iter()
            .try_for_each(|fact| check_size(&fact.shape))
            .with_context(|| self.kernel.name())?;
        self.select_outputs(facts)
    }

    /// Returns the elements of `all` for the outputs that the node has. `all` has one element for each output of the
    /// kernel.
    fn select_outputs<T>(&self, all: impl IntoIterator<Item = T>) -> TractResult<TVec<T>> {
        let mut all: TVec<Option<T>> = all.into_iter().map(Some).collect();
        let selected = self.outputs.iter().map(|index| all.get_mut(*index).and_then(Option::take));
        selected.collect::<Option<_>>().with_context(|| {
            let (name, outputs, found) = (self.kernel.name(), &self.outputs, all.len());
            format!("{name}: expected outputs {outputs:?}, found {found} outputs")
        })
    }
}

impl Expansion for KernelOp {
    fn name(&self) -> StaticName {
        self.kernel.name().into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.outputs.len())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        let types: Vec<_> = inputs.iter().map(|input| &input.datum_type).collect();
        solver.given_all(types, move |solver, types| {
            let shapes: Vec<_> = inputs.iter().map(|input| &input.shape).collect();
            solver.given_all(shapes, move |solver, shapes| {
                let types = types.clone();
                let constants = self.kernel.constants();
                let inputs = constants.iter().filter_map(|index| inputs.get(*index));
                let values: Vec<_> = inputs.map(|input| &input.value).collect();
                solver.given_all(values, move |solver, values| {
                    let mut facts: Vec<Fact> = types
                        .iter()
                        .zip(&shapes)
                        .map(|(datum_type, shape)| Fact::new(*datum_type, shape.iter().cloned()))
                        .collect();
                    for (index, value) in constants.iter().zip(values) {
                        facts[*index].value = Some(value);
                    }
                    let outputs = outputs.iter().zip(self.checked_outputs(&facts)?);
                    outputs
                        .into_iter()
                        .try_for_each(|(output, fact)| constrain(solver, output, &fact, &facts))
                })
            })
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

/// Passes the type and the shape of an output to tract's solver. A dimension is left open if it
/// contains a symbol that no input has.
fn constrain<'r, 'p: 'r>(
    solver: &mut Solver<'r>,
    output: &'p TensorProxy,
    fact: &Fact,
    inputs: &[Fact],
) -> InferenceResult {
    solver.equals(&output.datum_type, fact.datum_type)?;
    solver.equals(&output.rank, i64::try_from(fact.shape.len())?)?;
    let input_symbols: HashSet<Symbol> =
        inputs.iter().flat_map(|input| &input.shape).flat_map(TDim::symbols).collect();
    for (axis, dim) in fact.shape.iter().enumerate() {
        if dim.symbols().is_subset(&input_symbols) {
            solver.equals(&output.shape[axis], dim.clone())?;
        }
    }
    Ok(())
}

impl Op for KernelOp {
    fn name(&self) -> StaticName {
        self.kernel.name().into()
    }

    fn mints_runtime_symbols(&self) -> bool {
        self.kernel.mints_symbols()
    }

    op_as_typed_op!();
}

impl EvalOp for KernelOp {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let outputs = self.kernel.eval(&inputs).with_context(|| self.kernel.name())?;
        if outputs.len() == self.outputs.len() {
            return Ok(outputs.into_iter().map(TValue::from).collect());
        }
        self.select_outputs(outputs.into_iter().map(TValue::from))
    }
}

impl TypedOp for KernelOp {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let outputs = self.checked_outputs(&facts(inputs))?;
        Ok(outputs.iter().map(|fact| fact.datum_type.fact(&*fact.shape)).collect())
    }

    fn declutter(&self, model: &TypedModel, node: &TypedNode) -> Patch {
        Arc::clone(&self.kernel).fuse(model, node)
    }

    fn codegen(&self, model: &TypedModel, node: &TypedNode) -> Patch {
        let inputs = facts(&model.node_input_facts(node.id)?);
        let Some(kernel) = self.kernel.prepared(&inputs).with_context(|| self.kernel.name())?
        else {
            return Ok(None);
        };
        let prepared = KernelOp { kernel, outputs: self.outputs.clone() };
        TypedModelPatch::replace_single_op(model, node, &node.inputs, prepared).map(Some)
    }

    as_op!();
}

/// Converts facts of tract to [`Fact`]s.
fn facts(inputs: &[&TypedFact]) -> Vec<Fact> {
    let fact = |fact: &&TypedFact| Fact {
        datum_type: fact.datum_type,
        shape: fact.shape.iter().cloned().collect(),
        value: fact.konst.clone(),
    };
    inputs.iter().map(fact).collect()
}

/// Returns the kernel of a node, or `None` if the node has no kernel of type `K`.
pub fn kernel<K: Kernel>(node: &TypedNode) -> Option<Arc<K>> {
    downcast(node.op_as()?)
}

/// Returns the kernel of an operator and the indices of the kernel's outputs that the node has, or
/// `None` if the operator has no kernel of type `K`.
pub fn parts<K: Kernel>(op: &dyn TypedOp) -> Option<(Arc<K>, &[usize])> {
    let op: &KernelOp = op.downcast_ref()?;
    Some((downcast(op)?, &op.outputs))
}

fn downcast<K: Kernel>(op: &KernelOp) -> Option<Arc<K>> {
    Arc::clone(&op.kernel).into_any().downcast().ok()
}

/// Returns whether a run of the model may fail with an
/// [`InvalidValue`](super::invalid_value::InvalidValue). Nodes inside the subgraphs of `If`, `Loop`
/// and `Scan` are ignored.
pub fn may_reject(model: &TypedModel) -> bool {
    let ops = model.nodes.iter().filter_map(|node| node.op_as::<KernelOp>());
    ops.into_iter().any(|op| op.kernel.may_reject())
}

/// Creates the operator from its [`parts`], which may have been serialized on another machine.
pub fn from_parts<K: Kernel>(kernel: Arc<K>, outputs: &[usize]) -> Box<dyn TypedOp> {
    Box::new(KernelOp { kernel: kernel.adapt_to_processor(), outputs: outputs.into() })
}

/// Returns the only node that reads the only output of `node`. Returns `None` if `node` has several
/// outputs or readers, or if the model returns the output.
pub fn successor<'m>(model: &'m TypedModel, node: &TypedNode) -> Option<&'m TypedNode> {
    let [output] = node.outputs.as_slice() else { return None };
    let [successor] = output.successors.as_slice() else { return None };
    let is_model_output = model.outputs.contains(&node.id.into());
    (!is_model_output).then(|| model.node(successor.node))
}

/// Returns a patch that replaces the nodes from `first` to `last` by one node with `kernel`. The
/// kernel takes the inputs of `first` and returns the outputs of `last`.
///
/// # Errors
///
/// Returns an error if the kernel does not accept the inputs.
pub fn replace<K: Kernel>(
    model: &TypedModel,
    first: &TypedNode,
    last: &TypedNode,
    kernel: K,
) -> Patch {
    let outputs = last.op_as::<KernelOp>().map_or_else(|| tvec!(0), |op| op.outputs.clone());
    let mut patch = TypedModelPatch::default();
    let inputs = patch.taps(model, &first.inputs)?;
    let op = KernelOp { kernel: Arc::new(kernel), outputs };
    for (slot, wire) in patch.wire_node(&last.name, op, &inputs)?.into_iter().enumerate() {
        patch.shunt_outside(model, OutletId::new(last.id, slot), wire)?;
    }
    Ok(Some(patch))
}
