//! Raw requests. The body consists only of the elements of the model's single input, as bytes.

use super::{binary, inputs};
use crate::error::Error;
use ml_app_model::{Data, Signature, Tensor, Tensors};

/// Decodes the body of a raw request. If the input has a dynamic axis, the length of this axis is computed from the
/// size of the body.
pub fn decode(body: &[u8], signature: &Signature) -> Result<Tensors, Error> {
    let [spec] = signature.inputs.as_slice() else {
        return Err(Error::invalid(format!(
            "expected a model with one input for a raw binary request, found {} inputs",
            signature.inputs.len()
        )));
    };
    let input = &spec.name;
    let dynamic_axes = spec.shape.iter().filter(|len| len.is_none()).count();
    let fixed_elements: usize = spec.shape.iter().flatten().product();
    let tensor = match spec.datatype.size() {
        _ if dynamic_axes > 1 => {
            let detail = format!(
                "input `{input}`: expected at most one dynamic axis for a raw binary request, found {dynamic_axes}"
            );
            return Err(Error::invalid(detail));
        }
        None => {
            // As in Triton, the body is a single string, without the length that precedes other binary strings.
            let string = std::str::from_utf8(body).map_err(|_| {
                Error::malformed(format!("input `{input}`: expected UTF-8, found other bytes"))
            })?;
            let shape: Vec<usize> = spec.shape.iter().map(|len| len.unwrap_or(1)).collect();
            if shape.iter().product::<usize>() != 1 {
                return Err(Error::invalid(format!(
                    "input `{input}`: expected a shape of one string for a raw binary request, found {shape:?}"
                )));
            }
            Tensor::new(&shape, Data::String(vec![string.to_owned()]))
        }
        Some(size) => {
            // Size in bytes of a tensor in which the dynamic axis has length 1.
            let unit_size = fixed_elements * size;
            if unit_size == 0 || !body.len().is_multiple_of(unit_size) {
                return Err(Error::invalid(format!(
                    "input `{input}`: expected a multiple of {unit_size} bytes, found {}",
                    body.len()
                )));
            }
            let shape: Vec<usize> =
                spec.shape.iter().map(|len| len.unwrap_or(body.len() / unit_size)).collect();
            binary::decode_tensor(spec, &shape, body)?
        }
    };
    inputs::check_inputs(signature, vec![tensor])
}
