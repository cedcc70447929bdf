//! The values of a graph at run time.

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// A value of one of ONNX's types.
#[derive(Debug, Clone)]
pub enum Value {
    Tensor(TValue),
    Sequence(Vec<Value>),
    /// An optional value; `None` if it is empty.
    Optional(Option<Box<Value>>),
}

impl Value {
    /// Returns the tensor.
    ///
    /// # Errors
    ///
    /// Returns an error if the value is empty or a sequence.
    pub fn tensor(&self) -> TractResult<&TValue> {
        match self {
            Value::Tensor(tensor) => Ok(tensor),
            Value::Optional(Some(value)) => value.tensor(),
            Value::Sequence(_) => bail!("expected a tensor, found a sequence"),
            Value::Optional(None) => bail!("expected a tensor, found an empty optional value"),
        }
    }

    /// Returns the tensor like [`Value::tensor`].
    pub fn into_tensor(self) -> TractResult<TValue> {
        self.tensor().cloned()
    }

    /// Returns the tensor, or the elements of a sequence of tensors along a new first axis.
    ///
    /// # Errors
    ///
    /// Returns an error if the value is empty, or if the elements differ in type or shape.
    pub fn into_output(self) -> TractResult<TValue> {
        let Ok(elements) = self.sequence() else { return self.into_tensor() };
        let stacked = |element: &Value| {
            let mut tensor = element.tensor()?.clone().into_tensor();
            tensor.insert_axis(0)?;
            Ok(tensor)
        };
        let tensors = elements.iter().map(stacked).collect::<TractResult<Vec<Tensor>>>()?;
        let first =
            tensors.first().context("expected a sequence with elements, found an empty one")?;
        for other in &tensors {
            let fits = other.datum_type() == first.datum_type() && other.shape() == first.shape();
            ensure!(
                fits,
                "expected elements of a sequence of one shape, found {:?} and {:?}",
                &first.shape()[1..],
                &other.shape()[1..]
            );
        }
        Ok(Tensor::stack_tensors(0, &tensors)?.into_tvalue())
    }

    /// Returns the elements of a sequence.
    ///
    /// # Errors
    ///
    /// Returns an error if the value is no sequence.
    pub fn sequence(&self) -> TractResult<&[Value]> {
        match self {
            Value::Sequence(elements) => Ok(elements),
            Value::Optional(Some(value)) => value.sequence(),
            _ => bail!("expected a sequence, found a tensor"),
        }
    }

    /// Returns the only element of a tensor, cast to `T`.
    ///
    /// # Errors
    ///
    /// Returns an error if the tensor does not have exactly one element.
    pub fn scalar<T: Datum + Copy>(&self) -> TractResult<T> {
        let tensor = self.tensor()?;
        ensure!(tensor.len() == 1, "expected one element, found {}", tensor.len());
        Ok(tensor.cast_to::<T>()?.try_as_plain_ram()?.as_slice::<T>()?[0])
    }

    /// Returns the size of the elements in bytes.
    pub fn size(&self) -> usize {
        match self {
            Value::Tensor(tensor) => tensor.len() * tensor.datum_type().size_of(),
            Value::Sequence(elements) => elements.iter().map(Value::size).sum(),
            Value::Optional(value) => value.as_ref().map_or(0, |value| value.size()),
        }
    }
}

/// Returns `tensor` with integers instead of tract's dimensions (`TDim`) as elements. The
/// dimensions must not contain symbols.
pub fn integers(tensor: Arc<Tensor>) -> TractResult<Arc<Tensor>> {
    if tensor.datum_type().is_tdim() {
        Ok(tensor.cast_to::<i64>()?.into_owned().into_arc_tensor())
    } else {
        Ok(tensor)
    }
}
