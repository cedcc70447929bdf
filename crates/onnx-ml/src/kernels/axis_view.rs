//! The view of a tensor around neighboring axes.

/// A tensor seen as `[outer, length, inner]`, around neighbouring axes.
#[derive(Debug, Clone, Copy)]
pub struct AxisView {
    pub outer: usize,
    pub length: usize,
    pub inner: usize,
}

impl AxisView {
    /// `None` where the axes are no neighbours.
    pub fn new(shape: &[usize], axes: &[usize]) -> Option<AxisView> {
        let (first, last) = (*axes.iter().min()?, *axes.iter().max()?);
        let neighbours = last - first + 1 == axes.len() && last < shape.len();
        neighbours.then(|| AxisView {
            outer: shape[..first].iter().product(),
            length: shape[first..=last].iter().product(),
            inner: shape[last + 1..].iter().product(),
        })
    }
}
