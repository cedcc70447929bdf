//! The interface of operators that this crate computes, and the adapter to tract.
//!
//! A [`Kernel`] derives the [facts](Fact) (type and shape) of its outputs from the facts of its
//! inputs, and computes the outputs. [`operator`] wraps the kernel in a tract operator, which takes
//! part in tract's inference of types and shapes. A shape may contain symbols, such as `N` for the
//! size of the batch.

use std::any::Any;
use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// An operator that this crate computes.
pub trait Kernel: Debug + Send + Sync + 'static {
    /// Name of the operator in ONNX.
    const NAME: &'static str;

    /// Maximum number of outputs. A node may omit some of them.
    const OUTPUTS: usize = 1;

    /// Indices of inputs whose [`Fact::value`] the kernel needs to determine the shapes of its
    /// outputs. During tract's inference, [`Kernel::outputs`] is called only if all of them are
    /// constants of the model. Loading the model fails if one of them is computed at run time.
    const CONSTANTS: &'static [usize] = &[];

    /// Returns `true` if the shapes of the outputs contain symbols that the kernel created, because
    /// the sizes are only known after [`Kernel::eval`].
    fn mints_symbols(&self) -> bool {
        false
    }

    /// Returns whether [`Kernel::eval`] may fail with an
    /// [`InvalidValue`](super::invalid_value::InvalidValue).
    fn may_reject(&self) -> bool {
        false
    }

    /// Returns the type and the shape of each output for inputs with the given facts.
    ///
    /// # Errors
    ///
    /// Returns an error if the operator does not accept such inputs.
    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>>;

    /// Computes the outputs. The types and shapes of `inputs` are such that [`Kernel::outputs`]
    /// accepted them.
    ///
    /// # Errors
    ///
    /// Returns an error if the operator does not accept the values.
    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>>;

    /// Returns a variant of the kernel that is faster because it uses the inputs that are
    /// constants, or `None` if no such variant exists. tract calls it at the end of its
    /// optimization.
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

    /// Adapts a deserialized kernel to this processor. The kernel may have been serialized on a
    /// machine with a different instruction set.
    fn adapt_to_processor(self: Arc<Self>) -> Arc<Self> {
        self
    }

    /// Returns a patch that fuses `node`, whose kernel is `self`, with an adjacent node of `model`.
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
    /// Dimensions: integers, symbols or expressions of symbols.
    pub shape: TVec<TDim>,
    /// Value of a constant; `None` if the tensor is computed at run time.
    pub value: Option<Arc<Tensor>>,
}

impl Fact {
    /// Creates the fact of a tensor that is computed at run time.
    pub fn new(datum_type: DatumType, shape: impl IntoIterator<Item = TDim>) -> Fact {
        Fact { datum_type, shape: shape.into_iter().collect(), value: None }
    }

    /// Returns the number of rows and of columns. As `ai.onnx.ml` defines, a tensor of shape `[C]`
    /// is a single row of `C` columns.
    pub fn matrix(&self) -> TractResult<(TDim, TDim)> {
        match self.shape.as_slice() {
            [columns] => Ok((1.to_dim(), columns.clone())),
            [rows, columns] => Ok((rows.clone(), columns.clone())),
            shape => bail!("expected a vector or a matrix, found shape {shape:?}"),
        }
    }

    /// Returns `true` if the elements are numbers (floats, integers or tract's dimensions).
    pub fn is_number(&self) -> bool {
        self.datum_type.is_float() || self.datum_type.is_integer() || self.datum_type.is_tdim()
    }
}

/// A change of a model, or `None` if there is nothing to change.
pub type Patch = TractResult<Option<TypedModelPatch>>;

/// The result that tract expects from a function that builds an operator: the operator, and the
/// names of the values that its subgraphs capture. The list of names is empty, because the
/// operators that return this type have no subgraphs.
pub type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// Wraps `kernel` in a tract operator for `node`, which must have `inputs` inputs.
///
/// # Errors
///
/// Returns an error if the number of inputs is not `inputs`, or if the node has more outputs than
/// the kernel.
pub fn operator<K: Kernel>(node: &NodeProto, inputs: usize, kernel: K) -> Built {
    // An empty name stands for an omitted optional input. tract does not pass it to the operator.
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
    // An empty name stands for an omitted optional output. tract does not expect it from the
    // operator.
    let outputs = (0..found).filter(|index| !node.output[*index].is_empty()).collect();
    Ok((expand(KernelOp { kernel: Arc::new(kernel), outputs }), vec![]))
}

/// Adds a node for `kernel` to a typed model, and returns the node's outputs: the first `outputs`
/// outputs of the kernel.
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

/// A [`Kernel`] of any type: the trait's variant that permits `dyn`. [`KernelOp`] holds one, so
/// that it need not be generic.
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
    /// Returns the facts of the node's outputs after checking their sizes.
    fn checked_outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let facts = self.kernel.outputs(inputs).with_context(|| self.kernel.name())?;
        facts
            .iter()
            .try_for_each(|fact| bounded(&fact.shape))
            .with_context(|| self.kernel.name())?;
        self.select_outputs(facts)
    }

    /// Selects the elements of `all`, one for each of the kernel's outputs, that belong to outputs
    /// of the node.
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

/// Passes the type and the shape of an output to tract's solver. Dimensions with symbols that no
/// input has are left open.
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

/// Converts tract's facts.
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

/// Returns the tensor with elements of type `T`, cast if its type is different.
pub fn elements<T: Datum>(value: &TValue) -> TractResult<Cow<'_, Tensor>> {
    // tract may represent integers as dimensions (`TDim`), which it casts to few types. Cast to
    // `i64` first.
    if value.datum_type() == TDim::datum_type() {
        let integers = value.cast_to::<i64>()?.into_owned();
        return Ok(Cow::Owned(integers.cast_to::<T>()?.into_owned()));
    }
    value.cast_to::<T>()
}

/// Returns the elements of each tensor.
///
/// # Errors
///
/// Returns an error if the elements of a tensor are not of type `T`.
pub fn slices<'a, T: Datum>(tensors: &'a [Cow<'_, Tensor>]) -> TractResult<Vec<&'a [T]>> {
    tensors.iter().map(|tensor| tensor.try_as_plain_ram()?.as_slice::<T>()).collect()
}

/// Creates a tensor from its elements, in row-major order.
pub fn tensor<T: Datum>(shape: &[usize], elements: Vec<T>) -> TractResult<Tensor> {
    // `from_shape` is faster than the conversion from an array, but requires that `T` is `Copy`.
    // Use it for the two most frequent types.
    let any: &dyn Any = &elements;
    if let Some(floats) = any.downcast_ref::<Vec<f32>>() {
        return Tensor::from_shape(shape, floats);
    }
    if let Some(integers) = any.downcast_ref::<Vec<i64>>() {
        return Tensor::from_shape(shape, integers);
    }
    Ok(tract_ndarray::ArrayD::from_shape_vec(shape, elements)?.into_tensor())
}

/// Creates a tensor of zeros and lets `write` overwrite its elements. [`tensor`] would copy a list
/// of elements into the tensor; this function computes them in place.
pub fn written(shape: &[usize], write: impl FnOnce(&mut [f32])) -> TractResult<Tensor> {
    let mut tensor = Tensor::zero::<f32>(shape)?;
    write(tensor.try_as_plain_ram_mut()?.as_slice_mut()?);
    Ok(tensor)
}

/// Returns the number of rows and of columns of a tensor. A vector is a single row, as in
/// [`Fact::matrix`].
pub fn matrix(value: &TValue) -> (usize, usize) {
    match value.shape() {
        [rows, columns] => (*rows, *columns),
        shape => (1, shape.iter().product()),
    }
}

/// Maximum number of elements of a tensor, apart from its symbolic dimensions: 4 GiB of floats.
/// Usually the only symbolic dimension is the batch, so this is the maximum for one row of the
/// batch. A model with larger tensors is rejected when it is loaded.
const MAX_ELEMENTS: i64 = 1 << 30;

/// Checks the size of a tensor whose shape follows from constants of the model, so that a small
/// model cannot request an arbitrary amount of memory.
///
/// # Errors
///
/// Returns an error if a dimension is negative, or if the product of the dimensions that are not
/// symbolic exceeds [`MAX_ELEMENTS`].
pub fn bounded(shape: &[TDim]) -> TractResult<()> {
    let mut lengths = shape.iter().filter_map(|length| length.as_i64());
    let elements = lengths.try_fold(1_i64, |product, length| match length {
        0.. => product.checked_mul(length.max(1)),
        _ => None,
    });
    let in_bounds = elements.is_some_and(|elements| elements <= MAX_ELEMENTS);
    ensure!(in_bounds, "expected a shape of at most {MAX_ELEMENTS} elements, found {shape:?}");
    Ok(())
}

/// Returns the index of an axis of a tensor of the given rank. A negative `found` counts from the
/// last axis, which is -1.
///
/// # Errors
///
/// Returns an error if the tensor has no such axis.
pub fn axis(found: i64, rank: usize) -> TractResult<usize> {
    let start = if found < 0 { rank as i64 } else { 0 };
    let axis = usize::try_from(found + start).ok().filter(|axis| *axis < rank);
    axis.with_context(|| format!("expected an axis of a tensor of rank {rank}, found axis {found}"))
}
