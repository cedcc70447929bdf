//! The view of a tensor around neighboring axes.

/// A tensor viewed as `[outer, length, inner]`, where `length` covers a range of axes.
#[derive(Debug, Clone, Copy)]
pub struct AxisView {
    pub outer: usize,
    pub length: usize,
    pub inner: usize,
}

impl AxisView {
    /// Returns `None` if the axes are not adjacent.
    pub fn new(shape: &[usize], axes: &[usize]) -> Option<AxisView> {
        let (first, last) = (*axes.iter().min()?, *axes.iter().max()?);
        let adjacent = last - first + 1 == axes.len() && last < shape.len();
        adjacent.then(|| AxisView {
            outer: shape[..first].iter().product(),
            length: shape[first..=last].iter().product(),
            inner: shape[last + 1..].iter().product(),
        })
    }
}
