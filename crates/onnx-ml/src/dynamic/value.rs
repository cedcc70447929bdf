//! The values of a graph at run time.

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// A value of one of ONNX's types.
#[derive(Debug, Clone)]
pub enum Value {
    Tensor(TValue),
    Sequence(Vec<Value>),
    /// An optional value. `None` if the optional value is empty.
    Optional(Option<Box<Value>>),
}

impl Value {
    /// Returns the tensor. If the value is an optional value, returns the tensor that it contains.
    ///
    /// # Errors
    ///
    /// Returns an error if the value is a sequence or an empty optional value.
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

    /// Converts the value to a tensor. The elements of a sequence are stacked along a new first axis.
    ///
    /// # Errors
    ///
    /// Returns an error if the value is an empty sequence or an empty optional value, or if the elements of a sequence
    /// differ in type or shape.
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
                "expected a sequence whose elements have one type and shape, found {:?} {:?} and {:?} {:?}",
                first.datum_type(),
                &first.shape()[1..],
                other.datum_type(),
                &other.shape()[1..]
            );
        }
        Ok(Tensor::stack_tensors(0, &tensors)?.into_tvalue())
    }

    /// Returns the elements of a sequence.
    ///
    /// # Errors
    ///
    /// Returns an error if the value is not a sequence.
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

    /// Returns the size of all elements, in bytes.
    pub fn size(&self) -> usize {
        match self {
            Value::Tensor(tensor) => tensor.len() * tensor.datum_type().size_of(),
            Value::Sequence(elements) => elements.iter().map(Value::size).sum(),
            Value::Optional(value) => value.as_ref().map_or(0, |value| value.size()),
        }
    }
}

/// Converts a tensor of tract's dimensions (`TDim`) to a tensor of integers. Returns other tensors unchanged.
///
/// # Errors
///
/// Returns an error if a dimension contains a symbol.
pub fn integers(tensor: Arc<Tensor>) -> TractResult<Arc<Tensor>> {
    if tensor.datum_type().is_tdim() {
        Ok(tensor.cast_to::<i64>()?.into_owned().into_arc_tensor())
    } else {
        Ok(tensor)
    }
}
