//! Tensors as bytes: the elements in row-major order, little-endian. A boolean is one byte. A string is its length in
//! bytes as a 32-bit integer, followed by the bytes.

use super::datatype::datatype_name;
use crate::error::Error;
use ml_app_model::{Data, Datatype, Elements, Tensor, TensorSpec};

/// Decodes the tensor of an input from its bytes.
pub fn decode_tensor(spec: &TensorSpec, shape: &[usize], bytes: &[u8]) -> Result<Tensor, Error> {
    let input = &spec.name;
    if spec.datatype != Datatype::String {
        return Tensor::from_le_bytes(spec.datatype, shape, bytes)
            .map_err(|mismatch| Error::invalid(format!("input `{input}`: {mismatch}")));
    }
    let expected = element_count(shape, input)?;
    let mut strings = vec![];
    let mut rest = bytes;
    while !rest.is_empty() {
        let split = rest.split_first_chunk().and_then(|(length, rest)| {
            rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
        });
        let Some((string, after)) = split else {
            return Err(Error::malformed(format!(
                "input `{input}`, element {}: expected a length of 4 bytes and a string of this \
                 length, found only {} bytes",
                strings.len(),
                rest.len()
            )));
        };
        let string = std::str::from_utf8(string).map_err(|_| {
            let index = strings.len();
            Error::malformed(format!(
                "input `{input}`, element {index}: expected UTF-8, found other bytes"
            ))
        })?;
        if strings.len() == expected {
            break;
        }
        strings.push(string.to_owned());
        rest = after;
    }
    if strings.len() != expected || !rest.is_empty() {
        let found = if rest.is_empty() { strings.len().to_string() } else { "more".to_owned() };
        return Err(Error::invalid(format!(
            "input `{input}`: expected {expected} elements for shape {shape:?}, found {found}"
        )));
    }
    Ok(Tensor::new(shape, Data::String(strings)))
}

/// Appends the elements of a tensor as bytes.
pub fn append_elements(out: &mut Vec<u8>, tensor: &Tensor) {
    match (tensor.le_bytes(), tensor.elements()) {
        (Some(bytes), _) => out.extend_from_slice(bytes),
        (None, Elements::String(elements)) => {
            elements.iter().for_each(|text| append_string(out, text))
        }
        (None, _) => {
            unreachable!(
                "only strings have no fixed size, not {}",
                datatype_name(tensor.datatype())
            )
        }
    }
}

/// Appends the length of a string and the bytes of the string.
pub fn append_string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Returns the number of elements in a tensor of this shape, or an error if the number overflows. `input` is the name
/// of the input, for the error message.
pub fn element_count(shape: &[usize], input: &str) -> Result<usize, Error> {
    shape.iter().try_fold(1_usize, |len, dim| len.checked_mul(*dim)).ok_or_else(|| {
        Error::invalid(format!(
            "input `{input}`: expected a shape of at most {} elements, found {shape:?}",
            usize::MAX
        ))
    })
}
