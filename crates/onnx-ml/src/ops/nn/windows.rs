//! Sliding windows over the spatial axes of `[N, C, D…]`, with the attributes of pooling operators:
//! strides, dilations, padding and `ceil_mode`.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Maximum for the kernel size, the stride, the dilation and the padding along an axis.
const MAX_LENGTH: usize = 1 << 20;

/// Maximum number of kernel elements in all windows of [`Windows::over`]. Each element takes 16 bytes in the returned
/// list.
const MAX_TAPS: usize = 1 << 26;

/// Maximum size of the padded kernel in [`expect_moderate`]: the product, over all axes, of the sum
/// of kernel length and padding.
const MAX_PADDED_KERNEL: i64 = 1 << 22;

/// Checks the size of a convolution or pooling kernel before tract sees the node.
///
/// # Errors
///
/// Returns an error if an attribute is far larger than in real models, because tract would then run for a very long
/// time. A size, stride, dilation or pad may be at most [`MAX_LENGTH`], and the size of the padded kernel at most
/// [`MAX_PADDED_KERNEL`].
pub fn expect_moderate(node: &NodeProto) -> TractResult<()> {
    let list = |name: &str| -> TractResult<Vec<i64>> {
        Ok(node.get_attr_opt_vec(name)?.unwrap_or_default())
    };
    let (kernel, pads) = (list("kernel_shape")?, list("pads")?);
    for name in ["kernel_shape", "strides", "dilations"] {
        let found = list(name)?;
        let in_range = found.iter().all(|length| (1..=MAX_LENGTH as i64).contains(length));
        node.expect_attr(name, in_range, || format!("1 to {MAX_LENGTH}, found {found:?}"))?;
    }
    let in_range = pads.iter().all(|pad| (0..=MAX_LENGTH as i64).contains(pad));
    node.expect_attr("pads", in_range, || format!("0 to {MAX_LENGTH}, found {pads:?}"))?;
    let axes = kernel.len().max(pads.len() / 2);
    let padded_kernel = (0..axes).map(|axis| {
        let [kernel, before, after] = [
            kernel.get(axis).unwrap_or(&1),
            pads.get(axis).unwrap_or(&0),
            pads.get(axis + axes).unwrap_or(&0),
        ];
        kernel + before + after
    });
    let padded_kernel = padded_kernel.fold(1, i64::saturating_mul);
    node.expect(padded_kernel <= MAX_PADDED_KERNEL, || {
        format!("a product of at most {MAX_PADDED_KERNEL} for kernel lengths plus padding, found {padded_kernel}")
    })
}

/// The windows of an operator, with an element for each spatial axis.
#[derive(Debug, Clone)]
pub struct Windows {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    padding: Padding,
    /// `true` if the last window may extend beyond the padding (`ceil_mode`).
    ceil: bool,
}

/// Padding of the input.
#[derive(Debug, Clone)]
enum Padding {
    /// The padding before each axis, then the padding after each axis.
    Explicit(Vec<usize>),
    /// Padding such that the number of windows is the length divided by the stride, rounded up. If
    /// the total padding is odd, the extra element goes after the axis.
    SameUpper,
    /// Like `SameUpper`, but the extra element goes before the axis.
    SameLower,
}

/// A window at one position on the input. Kernel elements and input elements are indices in
/// row-major order.
#[derive(Debug, Default)]
pub struct Window {
    /// Pairs of a kernel element and the input element under it. Kernel elements on the padding are
    /// omitted.
    pub taps: Vec<(usize, usize)>,
    /// Number of kernel elements that lie on the input or its padding.
    pub covered: usize,
}

impl Windows {
    /// Reads the windows of a node with the given kernel shape.
    ///
    /// # Errors
    ///
    /// Returns an error if an attribute has the wrong number of elements or a value out of range.
    pub fn new(node: &NodeProto, kernel: Vec<usize>) -> TractResult<Windows> {
        let axes = kernel.len();
        let list = |name: &str, length: usize, default: usize| -> TractResult<Vec<usize>> {
            let list = node.get_attr_opt_vec(name)?.unwrap_or_else(|| vec![default; length]);
            let found = list.len();
            node.expect_attr(name, found == length, || {
                format!("{length} elements, found {found}")
            })?;
            Ok(list)
        };
        let padding = match node.get_attr_opt("auto_pad")?.unwrap_or("NOTSET") {
            "NOTSET" => Padding::Explicit(list("pads", 2 * axes, 0)?),
            "VALID" => Padding::Explicit(vec![0; 2 * axes]),
            "SAME_UPPER" => Padding::SameUpper,
            "SAME_LOWER" => Padding::SameLower,
            found => bail!("expected NOTSET, VALID, SAME_UPPER or SAME_LOWER, found {found}"),
        };
        let windows = Windows {
            strides: list("strides", axes, 1)?,
            dilations: list("dilations", axes, 1)?,
            padding,
            ceil: node.get_attr_opt::<i64>("ceil_mode")?.unwrap_or(0) != 0,
            kernel,
        };
        let mut lengths = windows.kernel.iter().chain(&windows.strides).chain(&windows.dilations);
        let in_range = lengths.all(|length| (1..=MAX_LENGTH).contains(length));
        ensure!(
            in_range,
            "kernel, strides and dilations: expected lengths from 1 to {MAX_LENGTH}, found {windows:?}"
        );
        if let Padding::Explicit(pads) = &windows.padding {
            let in_range = pads.iter().all(|pad| *pad <= MAX_LENGTH);
            ensure!(
                in_range,
                "`pads`: expected at most {MAX_LENGTH} elements of padding, found {pads:?}"
            );
        }
        Ok(windows)
    }

    /// Returns the number of windows along each spatial axis.
    ///
    /// # Errors
    ///
    /// Returns an error if the number of axes differs from the number of axes of the kernel, if an
    /// axis is shorter than the kernel, or if there are too many windows.
    pub fn counts<D: DimLike>(&self, lengths: &[D]) -> TractResult<TVec<D>> {
        let (expected, found) = (self.kernel.len(), lengths.len());
        ensure!(expected == found, "expected {expected} spatial dimensions, found {found}");
        let counts = (0..found).map(|axis| self.count(axis, &lengths[axis]));
        let counts = counts.collect::<TractResult<TVec<D>>>()?;
        let concrete = counts.iter().filter_map(|count| count.as_usize());
        let taps = concrete.chain(self.kernel.iter().copied());
        let is_moderate = taps.fold(1, usize::saturating_mul) <= MAX_TAPS;
        ensure!(
            is_moderate,
            "expected windows of at most {MAX_TAPS} elements in total, found {counts:?} of {:?}",
            self.kernel
        );
        Ok(counts)
    }

    /// Returns the number of windows along an axis of the given length.
    fn count<D: DimLike>(&self, axis: usize, length: &D) -> TractResult<D> {
        let stride = self.strides[axis];
        let Padding::Explicit(pads) = &self.padding else {
            return Ok(length.divceil(stride));
        };
        let (before, after) = (pads[axis], pads[axis + self.kernel.len()]);
        let padded = length.clone() + before + after;
        let extent = self.extent(axis);
        if let Some(found) = padded.as_i64() {
            let is_long_enough = found >= extent as i64;
            ensure!(
                is_long_enough,
                "spatial axis {axis}: expected {extent} elements or more with padding, found {found}"
            );
        }
        let room = padded - extent;
        if !self.ceil {
            return Ok(room / stride + 1);
        }
        // A last window that would start on the padding after the input is dropped.
        let started = (length.clone() + before + (stride - 1)) / stride;
        Ok((room.divceil(stride) + 1).mini(started))
    }

    /// Returns the extent of the dilated kernel along an axis.
    fn extent(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilations[axis] + 1
    }

    /// Returns the index on the padded axis of kernel element `element` in window `window`.
    pub fn position(&self, axis: usize, window: usize, element: usize) -> usize {
        window * self.strides[axis] + element * self.dilations[axis]
    }

    /// Returns the padding before and after an axis of the given length.
    ///
    /// # Errors
    ///
    /// Returns an error if [`Windows::counts`] returns an error.
    pub fn pads(&self, axis: usize, length: usize) -> TractResult<(usize, usize)> {
        let total = || -> TractResult<usize> {
            let last = (self.count(axis, &length)?.max(1) - 1) * self.strides[axis];
            Ok((last + self.extent(axis)).saturating_sub(length))
        };
        Ok(match &self.padding {
            Padding::Explicit(pads) => (pads[axis], pads[axis + self.kernel.len()]),
            Padding::SameUpper => (total()? / 2, total()?.div_ceil(2)),
            Padding::SameLower => (total()?.div_ceil(2), total()? / 2),
        })
    }

    /// Returns all windows over an input with the given spatial lengths, in row-major order.
    ///
    /// # Errors
    ///
    /// Returns an error if [`Windows::counts`] returns an error.
    pub fn over(&self, lengths: &[usize]) -> TractResult<Vec<Window>> {
        self.counts(lengths)?;
        let mut windows = vec![Window { taps: vec![(0, 0)], covered: 1 }];
        for (axis, length) in lengths.iter().enumerate() {
            let lines = self.windows_along(axis, *length)?;
            windows = windows
                .iter()
                .flat_map(|window| {
                    lines.iter().map(|line| window.combined_with(line, self.kernel[axis], *length))
                })
                .collect();
        }
        Ok(windows)
    }

    /// Returns all windows along a single axis.
    fn windows_along(&self, axis: usize, length: usize) -> TractResult<Vec<Window>> {
        let (before, after) = self.pads(axis, length)?;
        let windows = (0..self.count(axis, &length)?).map(|window| {
            let mut line = Window::default();
            for element in 0..self.kernel[axis] {
                let position = self.position(axis, window, element);
                line.covered += usize::from(position < before + length + after);
                let source = position.checked_sub(before).filter(|source| *source < length);
                line.taps.extend(source.map(|source| (element, source)));
            }
            line
        });
        Ok(windows.collect())
    }
}

impl Window {
    /// Combines this window with `line`, a window along the next axis. `kernel` and `length` are
    /// the lengths of kernel and input along that axis.
    fn combined_with(&self, line: &Window, kernel: usize, length: usize) -> Window {
        let taps = self.taps.iter().flat_map(|(element, source)| {
            line.taps.iter().map(move |(on, at)| (element * kernel + on, source * length + at))
        });
        Window { taps: taps.collect(), covered: self.covered * line.covered }
    }
}
