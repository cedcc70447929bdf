//! Typed arrays, as they go into a model and come out of it.

use crate::signature::Datatype;

/// One tensor per input, or per output, in the signature's order; all have the same first axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensors {
    rows: usize,
    tensors: Vec<Tensor>,
}

/// Elements in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub data: Data,
}

macro_rules! data {
    ($($variant:ident($element:ty)),+ $(,)?) => {
        /// Elements of a tensor, by type.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Data { $($variant(Vec<$element>)),+ }

        impl Data {
            pub fn new(datatype: Datatype) -> Data {
                match datatype { $(Datatype::$variant => Data::$variant(vec![])),+ }
            }

            pub fn datatype(&self) -> Datatype {
                match self { $(Data::$variant(_) => Datatype::$variant),+ }
            }

            pub fn len(&self) -> usize {
                match self { $(Data::$variant(elements) => elements.len()),+ }
            }

            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            pub(crate) fn resize(&mut self, len: usize) {
                match self { $(Data::$variant(elements) => elements.resize(len, Default::default())),+ }
            }

            fn slice(&self, range: std::ops::Range<usize>) -> Data {
                match self { $(Data::$variant(elements) => Data::$variant(elements[range].to_vec())),+ }
            }

            fn append(&mut self, other: Data) {
                match (self, other) {
                    $((Data::$variant(elements), Data::$variant(more)) => elements.extend(more),)+
                    _ => unreachable!("parts of one output have one type"),
                }
            }
        }
    };
}

data! {
    Bool(bool), Uint8(u8), Uint16(u16), Uint32(u32), Uint64(u64), Int8(i8), Int16(i16), Int32(i32),
    Int64(i64), Float32(f32), Float64(f64), String(String),
}

impl Tensors {
    pub(crate) fn new(rows: usize, tensors: Vec<Tensor>) -> Tensors {
        debug_assert!(tensors.iter().all(|tensor| tensor.shape.first() == Some(&rows)));
        Tensors { rows, tensors }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    pub(crate) fn into_tensors(self) -> Vec<Tensor> {
        self.tensors
    }

    /// The rows, `most` at a time.
    pub(crate) fn chunks(&self, most: usize) -> impl Iterator<Item = Tensors> {
        (0..self.rows).step_by(most).map(move |first| {
            let rows = first..self.rows.min(first.saturating_add(most));
            let of = |tensor: &Tensor| tensor.rows(rows.clone(), self.rows);
            Tensors::new(rows.len(), self.tensors.iter().map(of).collect())
        })
    }

    /// One after the other; `None` where their rows differ in shape. `parts` come from the same
    /// outputs.
    pub(crate) fn concat(parts: Vec<Tensors>) -> Option<Tensors> {
        let mut parts = parts.into_iter();
        let mut all = parts.next()?;
        for part in parts {
            all.rows += part.rows;
            for (tensor, more) in all.tensors.iter_mut().zip(part.tensors) {
                if tensor.shape[1..] != more.shape[1..] {
                    return None;
                }
                tensor.data.append(more.data);
                tensor.shape[0] = all.rows;
            }
        }
        Some(all)
    }
}

impl Tensor {
    fn rows(&self, rows: std::ops::Range<usize>, all: usize) -> Tensor {
        let len = self.data.len() / all.max(1);
        let mut shape = self.shape.clone();
        shape[0] = rows.len();
        Tensor { shape, data: self.data.slice(rows.start * len..rows.end * len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_make_the_whole() {
        let data = Data::Int64((0..10).collect());
        let tensors = Tensors::new(5, vec![Tensor { shape: vec![5, 2], data }]);
        for (most, count) in [(1, 5), (2, 3), (3, 2), (5, 1), (usize::MAX, 1)] {
            let chunks: Vec<Tensors> = tensors.chunks(most).collect();
            assert_eq!(chunks.len(), count);
            assert!(chunks.iter().all(|chunk| chunk.rows() <= most));
            assert_eq!(Tensors::concat(chunks).as_ref(), Some(&tensors));
        }
    }
}
