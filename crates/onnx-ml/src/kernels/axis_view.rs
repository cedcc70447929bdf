//! The view of a tensor as three axes around a range of its axes.

/// A row-major tensor viewed as `[outer, length, inner]`.
#[derive(Debug, Clone, Copy)]
pub struct AxisView {
    /// Product of the lengths of all axes before the range.
    pub outer: usize,
    /// Product of the lengths of the axes in the range.
    pub length: usize,
    /// Product of the lengths of all axes after the range.
    pub inner: usize,
}

impl AxisView {
    /// Returns the view around `axes`, or `None` if the axes are not adjacent or do not exist.
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
