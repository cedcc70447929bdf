//! The interface that every operator implements, and its adapter to tract.
//!
//! A [`Kernel`] derives the facts of its outputs from those of its inputs, and computes the
//! outputs. [`operator`] wraps it in an operator that takes part in tract's shape analysis,
//! including symbolic dimensions.

use std::any::Any;
use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// The semantics of an operator.
pub trait Kernel: Debug + Send + Sync + 'static {
    /// Name of the operator in ONNX.
    const NAME: &'static str;

    /// Number of outputs.
    const OUTPUTS: usize = 1;

    /// Indices of inputs whose [`Fact::value`] the kernel needs. [`Kernel::outputs`] is not called
    /// before these values are known. A value that is computed at run time is never known.
    const CONSTANTS: &'static [usize] = &[];

    /// Returns `true` if dimensions of its outputs are symbols whose values are only known when it
    /// runs.
    fn mints_symbols(&self) -> bool {
        false
    }

    /// Returns whether a run may fail with an
    /// [`InvalidValue`](super::invalid_value::InvalidValue).
    fn may_refuse(&self) -> bool {
        false
    }

    /// Returns type and shape of each output for the given inputs.
    ///
    /// # Errors
    ///
    /// Returns an error if the operator does not accept such inputs.
    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>>;

    /// Computes the outputs. [`Kernel::outputs`] has accepted the facts of the inputs.
    ///
    /// # Errors
    ///
    /// Returns an error if the operator does not accept the values.
    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>>;

    /// Returns a version of the operator that is specialized for the known values among its inputs,
    /// or `None` if there is nothing to gain.
    ///
    /// # Errors
    ///
    /// Returns an error if the operator does not accept the values.
    fn prepared(&self, _: &[Fact]) -> TractResult<Option<Self>>
    where
        Self: Sized,
    {
        Ok(None)
    }

    /// Adapts the operator to the current processor. It may have been prepared on a different one.
    fn settled(self: Arc<Self>) -> Arc<Self> {
        self
    }

    /// Returns a patch of the model that fuses this operator, which is `node`, with a neighbor.
    ///
    /// # Errors
    ///
    /// Returns an error if the model is invalid.
    fn fuse(self: &Arc<Self>, _model: &TypedModel, _node: &TypedNode) -> Patch {
        Ok(None)
    }
}

/// Type and shape of a tensor, and its value if it is a constant of the model.
#[derive(Debug, Clone)]
pub struct Fact {
    pub datum_type: DatumType,
    pub shape: TVec<TDim>,
    pub value: Option<Arc<Tensor>>,
}

impl Fact {
    pub fn new(datum_type: DatumType, shape: impl IntoIterator<Item = TDim>) -> Fact {
        Fact { datum_type, shape: shape.into_iter().collect(), value: None }
    }

    /// Returns rows and columns as `ai.onnx.ml` defines them: `[C]` is a single row.
    pub fn matrix(&self) -> TractResult<(TDim, TDim)> {
        match self.shape.as_slice() {
            [columns] => Ok((1.to_dim(), columns.clone())),
            [rows, columns] => Ok((rows.clone(), columns.clone())),
            shape => bail!("expected a vector or a matrix, found shape {shape:?}"),
        }
    }

    /// Returns `true` if the type is a number that `ai.onnx.ml` operators accept.
    pub fn is_number(&self) -> bool {
        self.datum_type.is_float() || self.datum_type.is_integer() || self.datum_type.is_tdim()
    }
}

/// A change of a model; `None` if there is nothing to change.
pub type Patch = TractResult<Option<TypedModelPatch>>;

/// Result of a builder in tract's registry: the operator, and the names of values captured by
/// subgraphs (always empty).
pub type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// Wraps `kernel` in a tract operator for `node`, which must have `inputs` inputs.
///
/// # Errors
///
/// Returns an error if the node has another number of inputs, or more outputs than the operator.
pub fn operator<K: Kernel>(node: &NodeProto, inputs: usize, kernel: K) -> Built {
    // tract leaves out inputs with an empty name.
    let found = node.input.iter().filter(|name| !name.is_empty()).count();
    node.expect(found == inputs, || format!("{inputs} inputs, found {found}"))?;
    variadic(node, kernel)
}

/// Wraps `kernel` like [`operator`], for any number of inputs.
///
/// # Errors
///
/// Returns an error if the node has more outputs than the operator.
pub fn variadic<K: Kernel>(node: &NodeProto, kernel: K) -> Built {
    let found = node.output.len();
    node.expect(found <= K::OUTPUTS, || format!("{} outputs, found {found}", K::OUTPUTS))?;
    // tract leaves out outputs with an empty name.
    let outputs = (0..found).filter(|index| !node.output[*index].is_empty()).collect();
    Ok((expand(KernelOp { kernel: Arc::new(kernel), outputs }), vec![]))
}

/// Adds a node for `kernel` with its first `outputs` outputs to a typed model.
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

/// Wraps `kernel` in an operator of a typed model.
pub fn kernel_op<K: Kernel>(kernel: K) -> impl Into<Box<dyn TypedOp>> {
    KernelOp { kernel: Arc::new(kernel), outputs: (0..K::OUTPUTS).collect() }
}

/// A [`Kernel`] of any type, so that one type of operator suffices for all of them.
trait AnyKernel: Any + Debug + Send + Sync {
    fn name(&self) -> &'static str;
    fn constants(&self) -> &'static [usize];
    fn mints_symbols(&self) -> bool;
    fn may_refuse(&self) -> bool;
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

    fn may_refuse(&self) -> bool {
        Kernel::may_refuse(self)
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

/// tract's operator for a kernel.
#[derive(Debug, Clone)]
struct KernelOp {
    kernel: Arc<dyn AnyKernel>,
    /// Indices of the kernel's outputs that the node has.
    outputs: TVec<usize>,
}

/// Compares kernels by address: comparing their weights would take as long as a prediction.
impl PartialEq for KernelOp {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.kernel), Arc::as_ptr(&other.kernel))
            && self.outputs == other.outputs
    }
}

impl Eq for KernelOp {}

impl KernelOp {
    fn checked_outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let facts = self.kernel.outputs(inputs).with_context(|| self.kernel.name())?;
        facts
            .iter()
            .try_for_each(|fact| bounded(&fact.shape))
            .with_context(|| self.kernel.name())?;
        self.kept(facts)
    }

    /// Selects the outputs that the node has.
    fn kept<T>(&self, all: impl IntoIterator<Item = T>) -> TractResult<TVec<T>> {
        let mut all: TVec<Option<T>> = all.into_iter().map(Some).collect();
        let kept = self.outputs.iter().map(|index| all.get_mut(*index).and_then(Option::take));
        kept.collect::<Option<_>>()
            .with_context(|| format!("{}: expected another output", self.kernel.name()))
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
                let known = constants.iter().filter_map(|index| inputs.get(*index));
                let values: Vec<_> = known.map(|input| &input.value).collect();
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

/// Passes what is known of an output to the solver. A dimension with a symbol that no input has is
/// unknown.
fn constrain<'r, 'p: 'r>(
    solver: &mut Solver<'r>,
    output: &'p TensorProxy,
    fact: &Fact,
    inputs: &[Fact],
) -> InferenceResult {
    solver.equals(&output.datum_type, fact.datum_type)?;
    solver.equals(&output.rank, i64::try_from(fact.shape.len())?)?;
    let known: HashSet<Symbol> =
        inputs.iter().flat_map(|input| &input.shape).flat_map(TDim::symbols).collect();
    for (axis, dim) in fact.shape.iter().enumerate() {
        if dim.symbols().is_subset(&known) {
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
        self.kept(outputs.into_iter().map(TValue::from))
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

fn facts(inputs: &[&TypedFact]) -> Vec<Fact> {
    let fact = |fact: &&TypedFact| Fact {
        datum_type: fact.datum_type,
        shape: fact.shape.iter().cloned().collect(),
        value: fact.konst.clone(),
    };
    inputs.iter().map(fact).collect()
}

/// Returns the kernel of a node, if it is a `K`.
pub fn kernel<K: Kernel>(node: &TypedNode) -> Option<Arc<K>> {
    downcast(node.op_as()?)
}

/// Returns the kernel of an operator, if it is a `K`, and the indices of the outputs that it has.
pub fn parts<K: Kernel>(op: &dyn TypedOp) -> Option<(Arc<K>, &[usize])> {
    let op: &KernelOp = op.downcast_ref()?;
    Some((downcast(op)?, &op.outputs))
}

fn downcast<K: Kernel>(op: &KernelOp) -> Option<Arc<K>> {
    Arc::clone(&op.kernel).into_any().downcast().ok()
}

/// Returns whether a run of the model may fail with an
/// [`InvalidValue`](super::invalid_value::InvalidValue). Nodes of subgraphs are not considered.
pub fn may_refuse(model: &TypedModel) -> bool {
    let ops = model.nodes.iter().filter_map(|node| node.op_as::<KernelOp>());
    ops.into_iter().any(|op| op.kernel.may_refuse())
}

/// Creates the operator from its [`parts`], which may have been prepared on another machine.
pub fn from_parts<K: Kernel>(kernel: Arc<K>, outputs: &[usize]) -> Box<dyn TypedOp> {
    Box::new(KernelOp { kernel: kernel.settled(), outputs: outputs.into() })
}

/// Returns the only node that reads the only output of `node`.
pub fn successor<'m>(model: &'m TypedModel, node: &TypedNode) -> Option<&'m TypedNode> {
    let [output] = node.outputs.as_slice() else { return None };
    let [successor] = output.successors.as_slice() else { return None };
    let told = model.outputs.contains(&node.id.into());
    (!told).then(|| model.node(successor.node))
}

/// Replaces the nodes from `first` to `last` by `kernel`, which takes the inputs of `first` and gives
/// the outputs of `last`.
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

/// Returns the elements as `T`, cast if they are of another number type.
pub fn elements<T: Datum>(value: &TValue) -> TractResult<Cow<'_, Tensor>> {
    // tract may represent an integer as a dimension, which casts to few types.
    if value.datum_type() == TDim::datum_type() {
        let integers = value.cast_to::<i64>()?.into_owned();
        return Ok(Cow::Owned(integers.cast_to::<T>()?.into_owned()));
    }
    value.cast_to::<T>()
}

/// Returns the elements of each tensor, which must be of type `T`.
pub fn slices<'a, T: Datum>(tensors: &'a [Cow<'_, Tensor>]) -> TractResult<Vec<&'a [T]>> {
    tensors.iter().map(|tensor| tensor.try_as_plain_ram()?.as_slice::<T>()).collect()
}

/// Creates a tensor from its elements.
pub fn tensor<T: Datum>(shape: &[usize], elements: Vec<T>) -> TractResult<Tensor> {
    // `from_shape` takes a shorter path, but only for types that are `Copy`.
    let any: &dyn Any = &elements;
    if let Some(floats) = any.downcast_ref::<Vec<f32>>() {
        return Tensor::from_shape(shape, floats);
    }
    if let Some(integers) = any.downcast_ref::<Vec<i64>>() {
        return Tensor::from_shape(shape, integers);
    }
    Ok(tract_ndarray::ArrayD::from_shape_vec(shape, elements)?.into_tensor())
}

/// Creates a tensor of zeros that `write` fills in; [`tensor`] would copy the elements.
pub fn written(shape: &[usize], write: impl FnOnce(&mut [f32])) -> TractResult<Tensor> {
    let mut tensor = Tensor::zero::<f32>(shape)?;
    write(tensor.try_as_plain_ram_mut()?.as_slice_mut()?);
    Ok(tensor)
}

/// Returns rows and columns of a tensor; see [`Fact::matrix`].
pub fn matrix(value: &TValue) -> (usize, usize) {
    match value.shape() {
        [rows, columns] => (*rows, *columns),
        shape => (1, shape.iter().product()),
    }
}

/// Maximum number of elements per row of a batch: 4 GiB of floats. Models that need more are
/// rejected.
const MAX_ELEMENTS: i64 = 1 << 30;

/// Checks a shape that follows from constants of the model.
///
/// # Errors
///
/// Returns an error if the shape is invalid or has too many elements.
pub fn bounded(shape: &[TDim]) -> TractResult<()> {
    let mut known = shape.iter().filter_map(|length| length.as_i64());
    let elements = known.try_fold(1_i64, |product, length| match length {
        0.. => product.checked_mul(length.max(1)),
        _ => None,
    });
    let fits = elements.is_some_and(|elements| elements <= MAX_ELEMENTS);
    ensure!(fits, "expected a shape of at most {MAX_ELEMENTS} elements, found {shape:?}");
    Ok(())
}

/// Resolves an axis, which may be negative, for a tensor of the given rank.
///
/// # Errors
///
/// Returns an error if the tensor has no such axis.
pub fn axis(found: i64, rank: usize) -> TractResult<usize> {
    let from = if found < 0 { rank as i64 } else { 0 };
    let axis = usize::try_from(found + from).ok().filter(|axis| *axis < rank);
    axis.with_context(|| format!("expected an axis of {rank}, found {found}"))
}
