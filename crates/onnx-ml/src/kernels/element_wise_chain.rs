//! An interpreter for chains of element-wise operators.
//!
//! The chain is a [`Program`] of steps on registers. Each register holds [`BLOCK`] floats. A block
//! of elements goes through all steps before the next block is loaded, so that intermediate values
//! stay in the L1 cache and each step is a loop that the compiler vectorizes.

use crate::kernels::logistic::logistic;
use crate::kernels::math::{exp, ln};
use crate::kernels::simd::Vectorized;
use serde::{Deserialize, Serialize};

/// Number of elements of a register. The number is small, so that all registers of a long program fit in the L1 cache.
const BLOCK: usize = 64;

/// A function of one to three floats. Booleans are represented as 1 and 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum Function {
    Abs,
    Add,
    And,
    Ceil,
    /// Returns the second operand if the first operand is not 0, and the third operand if the first operand is 0.
    Choose,
    Cube,
    Div,
    Equal,
    Exp,
    Floor,
    Greater,
    GreaterOrEqual,
    Identity,
    Less,
    LessOrEqual,
    Ln,
    Max,
    Min,
    Mul,
    Neg,
    Not,
    NotEqual,
    /// 1 if the operand is not 0: a cast to a boolean.
    NotZero,
    Or,
    Recip,
    Sigmoid,
    Sqrt,
    Square,
    Sub,
}

/// Applies a function to earlier registers and writes the result to the register of this step.
#[derive(Debug, Deserialize, Serialize)]
pub struct Step {
    pub function: Function,
    /// Indices of the operands' registers. If the function has fewer than three operands, the remaining indices are 0.
    pub operands: [usize; 3],
}

/// A list of steps on registers. The first registers contain the inputs. The constants are in the next registers. The
/// remaining registers contain the results of the steps, one register for each step. The register of the last step is
/// the result.
#[derive(Debug, Deserialize, Serialize)]
pub struct Program {
    pub constants: Vec<f32>,
    pub steps: Vec<Step>,
}

/// Elements of an input of the program.
#[derive(Debug, Clone, Copy)]
pub enum Elements<'a> {
    Bool(&'a [bool]),
    F32(&'a [f32]),
    I64(&'a [i64]),
}

/// A run of a program over all elements of `inputs`. Each input has `len` elements.
pub struct Run<'a> {
    pub program: &'a Program,
    pub inputs: &'a [Elements<'a>],
    pub len: usize,
}

impl Vectorized for Run<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run(self) -> Vec<f32> {
        let Run { program: Program { constants, steps }, inputs, len } = self;
        let block = BLOCK.min(len);
        // All registers in one allocation, each `block` elements long.
        let variables = inputs.len() + constants.len();
        let mut registers = vec![0.0; (variables + steps.len()) * block];
        let mut result = Vec::with_capacity(len);
        for (constant, register) in
            constants.iter().zip(registers.chunks_exact_mut(block.max(1)).skip(inputs.len()))
        {
            register.fill(*constant);
        }
        while result.len() < len {
            let first = result.len();
            // The last block may be shorter.
            let width = block.min(len - first);
            for (input, register) in inputs.iter().zip(registers.chunks_exact_mut(block)) {
                load(*input, first, &mut register[..width]);
            }
            for (index, step) in steps.iter().enumerate() {
                let (before, after) = registers.split_at_mut((variables + index) * block);
                apply(step, before, &mut after[..width], block);
            }
            let last = registers.len() - block;
            result.extend_from_slice(&registers[last..][..width]);
        }
        result
    }
}

/// Copies the elements from index `first` on to a register, as floats.
#[inline(always)]
fn load(input: Elements, first: usize, register: &mut [f32]) {
    match input {
        Elements::F32(x) => register.copy_from_slice(&x[first..][..register.len()]),
        Elements::Bool(x) => {
            for (register, x) in register.iter_mut().zip(&x[first..]) {
                *register = flag(*x);
            }
        }
        Elements::I64(x) => {
            for (register, x) in register.iter_mut().zip(&x[first..]) {
                *register = *x as f32;
            }
        }
    }
}

/// Computes one step. `before` are the registers before the register of this step.
#[inline(always)]
fn apply(step: &Step, before: &[f32], out: &mut [f32], block: usize) {
    let [a, b, c] = step.operands.map(|operand| &before[operand * block..][..out.len()]);
    match step.function {
        Function::Abs => unary(out, a, f32::abs),
        Function::Add => binary(out, a, b, |a, b| a + b),
        Function::And | Function::Mul => binary(out, a, b, |a, b| a * b),
        Function::Ceil => unary(out, a, f32::ceil),
        Function::Choose => {
            for (out, (a, (b, c))) in out.iter_mut().zip(a.iter().zip(b.iter().zip(c))) {
                *out = if *a != 0.0 { *b } else { *c };
            }
        }
        Function::Cube => unary(out, a, |a| a * a * a),
        Function::Div => binary(out, a, b, |a, b| a / b),
        Function::Equal => binary(out, a, b, |a, b| flag(a == b)),
        Function::Exp => unary(out, a, exp),
        Function::Floor => unary(out, a, f32::floor),
        Function::Greater => binary(out, a, b, |a, b| flag(a > b)),
        Function::GreaterOrEqual => binary(out, a, b, |a, b| flag(a >= b)),
        Function::Identity => out.copy_from_slice(a),
        Function::Less => binary(out, a, b, |a, b| flag(a < b)),
        Function::LessOrEqual => binary(out, a, b, |a, b| flag(a <= b)),
        Function::Ln => unary(out, a, ln),
        Function::Max => binary(out, a, b, |a, b| if a > b || a.is_nan() { a } else { b }),
        Function::Min => binary(out, a, b, |a, b| if a < b || a.is_nan() { a } else { b }),
        Function::Neg => unary(out, a, |a| -a),
        Function::Not => unary(out, a, |a| 1.0 - a),
        Function::NotEqual => binary(out, a, b, |a, b| flag(a != b)),
        Function::NotZero => unary(out, a, |a| flag(a != 0.0)),
        Function::Or => binary(out, a, b, |a, b| if a > b { a } else { b }),
        Function::Recip => unary(out, a, f32::recip),
        Function::Sigmoid => unary(out, a, logistic),
        Function::Sqrt => unary(out, a, f32::sqrt),
        Function::Square => unary(out, a, |a| a * a),
        Function::Sub => binary(out, a, b, |a, b| a - b),
    }
}

/// Applies a function of one operand.
#[inline(always)]
fn unary(out: &mut [f32], a: &[f32], function: impl Fn(f32) -> f32) {
    for (out, a) in out.iter_mut().zip(a) {
        *out = function(*a);
    }
}

/// Applies a function of two operands.
#[inline(always)]
fn binary(out: &mut [f32], a: &[f32], b: &[f32], function: impl Fn(f32, f32) -> f32) {
    for (out, (a, b)) in out.iter_mut().zip(a.iter().zip(b)) {
        *out = function(*a, *b);
    }
}

/// Represents a boolean as a float.
#[inline(always)]
fn flag(holds: bool) -> f32 {
    f32::from(u8::from(holds))
}
