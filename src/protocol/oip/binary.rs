//! Tensors as bytes: elements one after the other, little-endian, a boolean a byte; a string is its
//! length as 32 bits, then its bytes.

use super::{invalid, malformed, name};
use crate::error::Error;
use ml_app_model::{Data, Datatype, Elements, Signature, Tensor, TensorSpec, Tensors};

/// A tensor of an input.
pub fn tensor(spec: &TensorSpec, shape: &[usize], bytes: &[u8]) -> Result<Tensor, Error> {
    let input = &spec.name;
    if spec.datatype != Datatype::String {
        return Tensor::from_le_bytes(spec.datatype, shape, bytes)
            .map_err(|mismatch| invalid(format!("input `{input}`: {mismatch}")));
    }
    let expected = super::inputs::count(shape, input)?;
    let mut strings = vec![];
    let mut rest = bytes;
    while !rest.is_empty() {
        let cut = rest.split_first_chunk().and_then(|(length, rest)| {
            rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
        });
        let Some((string, after)) = cut else {
            return Err(malformed(format!(
                "input `{input}`, element {}: expected a length and a string in the remaining {} \
                 bytes, found a longer string",
                strings.len(),
                rest.len()
            )));
        };
        let string = std::str::from_utf8(string).map_err(|_| {
            let place = strings.len();
            malformed(format!(
                "input `{input}`, element {place}: expected UTF-8, found other bytes"
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
        return Err(invalid(format!(
            "input `{input}`: expected {expected} elements for shape {shape:?}, found {found}"
        )));
    }
    Ok(Tensor::new(shape, Data::String(strings)))
}

/// A body that is the one input's elements: its free axis, if it has one, is as long as they ask for.
pub fn raw(body: &[u8], signature: &Signature) -> Result<Tensors, Error> {
    let [spec] = signature.inputs.as_slice() else {
        return Err(invalid(format!(
            "expected a model with one input for a raw binary request, found {} inputs",
            signature.inputs.len()
        )));
    };
    let input = &spec.name;
    let free = spec.shape.iter().filter(|len| len.is_none()).count();
    let rest: usize = spec.shape.iter().flatten().product();
    let tensor = match spec.datatype.size() {
        _ if free > 1 => {
            let detail = format!(
                "input `{input}`: expected at most one dynamic axis for a raw binary request, found {free}"
            );
            return Err(invalid(detail));
        }
        None => {
            // As Triton reads it: one string, without its length.
            let string = std::str::from_utf8(body).map_err(|_| {
                malformed(format!("input `{input}`: expected UTF-8, found other bytes"))
            })?;
            let shape: Vec<usize> = spec.shape.iter().map(|len| len.unwrap_or(1)).collect();
            if shape.iter().product::<usize>() != 1 {
                return Err(invalid(format!(
                    "input `{input}`: expected a shape of one string for a raw binary request, found {shape:?}"
                )));
            }
            Tensor::new(&shape, Data::String(vec![string.to_owned()]))
        }
        Some(size) => {
            let row = rest * size;
            if row == 0 || !body.len().is_multiple_of(row) {
                return Err(invalid(format!(
                    "input `{input}`: expected a multiple of {row} bytes, found {}",
                    body.len()
                )));
            }
            let shape: Vec<usize> =
                spec.shape.iter().map(|len| len.unwrap_or(body.len() / row)).collect();
            tensor(spec, &shape, body)?
        }
    };
    super::inputs::of_inputs(signature, vec![tensor])
}

/// Appends a tensor's elements.
pub fn elements(out: &mut Vec<u8>, tensor: &Tensor) {
    match (tensor.le_bytes(), tensor.elements()) {
        (Some(bytes), _) => out.extend_from_slice(bytes),
        (None, Elements::String(elements)) => elements.iter().for_each(|text| string(out, text)),
        (None, _) => {
            unreachable!("only strings have no fixed size, not {}", name(tensor.datatype()))
        }
    }
}

pub fn string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}
