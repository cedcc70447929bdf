//! `Iff` (`Where` in ONNX): selects each element from one of two tensors by a condition.

use super::fast_path::FastPath;
use crate::kernels::broadcast::Loops;
use crate::kernels::simd::{Vectorized, vectorized};
use crate::operator::tensors::tensor;
use tract_onnx::prelude::*;

/// The fast path of `Iff`.
#[derive(Debug)]
pub struct FastIff;

impl FastPath for FastIff {
    fn eval(&self, inputs: &[TValue]) -> TractResult<Option<Vec<Tensor>>> {
        let [condition, yes, no] = inputs else { return Ok(None) };
        let shapes = [condition.shape(), yes.shape(), no.shape()];
        let Some(loops) = Loops::new(shapes) else { return Ok(None) };
        if yes.datum_type() != no.datum_type() {
            return Ok(None);
        }
        let chosen = match yes.datum_type() {
            DatumType::F32 => choose::<f32>(condition, yes, no, &loops)?,
            DatumType::F64 => choose::<f64>(condition, yes, no, &loops)?,
            DatumType::I64 => choose::<i64>(condition, yes, no, &loops)?,
            DatumType::I32 => choose::<i32>(condition, yes, no, &loops)?,
            DatumType::Bool => choose::<bool>(condition, yes, no, &loops)?,
            DatumType::String => choose::<String>(condition, yes, no, &loops)?,
            _ => return Ok(None),
        };
        Ok(Some(vec![chosen]))
    }
}

/// Selects elements of type `T`.
fn choose<T: Datum>(
    condition: &TValue,
    yes: &TValue,
    no: &TValue,
    loops: &Loops<3>,
) -> TractResult<Tensor> {
    let (condition, yes, no) =
        (condition.try_as_plain_ram()?, yes.try_as_plain_ram()?, no.try_as_plain_ram()?);
    let chosen = vectorized(Choice {
        condition: condition.as_slice()?,
        yes: yes.as_slice::<T>()?,
        no: no.as_slice::<T>()?,
        loops,
    });
    tensor(&loops.shape, chosen)
}

/// The selection over broadcast operands.
struct Choice<'a, T> {
    condition: &'a [bool],
    yes: &'a [T],
    no: &'a [T],
    loops: &'a Loops<3>,
}

impl<T: Clone> Vectorized for Choice<'_, T> {
    type Output = Vec<T>;

    #[inline(always)]
    fn run(self) -> Vec<T> {
        let Choice { condition, yes, no, loops } = self;
        let mut chosen = Vec::with_capacity(loops.shape.iter().product());
        let [.., (length, steps)] = loops.loops[..] else { return chosen };
        // `steps` are the strides in the inner loop: 1 for a contiguous operand, 0 for an operand
        // with one element for the whole loop. Common cases have loops of their own, which
        // vectorize.
        loops.for_each_inner_loop(|[c, y, n]| match steps {
            [1, 1, 1] => {
                let (yes, no) = (&yes[y..][..length], &no[n..][..length]);
                let pairs = condition[c..][..length].iter().zip(yes.iter().zip(no));
                chosen.extend(pairs.map(|(c, (yes, no))| if *c { yes } else { no }.clone()));
            }
            [1, 0, 1] => {
                let (yes, no) = (&yes[y], &no[n..][..length]);
                let pairs = condition[c..][..length].iter().zip(no);
                chosen.extend(pairs.map(|(c, no)| if *c { yes } else { no }.clone()));
            }
            [1, 1, 0] => {
                let (yes, no) = (&yes[y..][..length], &no[n]);
                let pairs = condition[c..][..length].iter().zip(yes);
                chosen.extend(pairs.map(|(c, yes)| if *c { yes } else { no }.clone()));
            }
            [condition_step, yes_step, no_step] => {
                chosen.extend((0..length).map(|index| {
                    if condition[c + index * condition_step] {
                        yes[y + index * yes_step].clone()
                    } else {
                        no[n + index * no_step].clone()
                    }
                }));
            }
        });
        chosen
    }
}
