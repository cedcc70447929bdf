//! Sliding windows over the spatial axes of `[N, C, D…]`, with the attributes of pooling operators:
//! strides, dilations, padding and `ceil_mode`.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Maximum of kernel size, stride and padding along an axis.
const MAX_LENGTH: usize = 1 << 20;

/// Maximum number of kernel elements over all windows that [`Windows::over`] lists: 1 GB.
const MAX_TAPS: usize = 1 << 26;

/// Maximum number of elements of a kernel with its padding, for [`expect_moderate`].
const MAX_PADDED_KERNEL: i64 = 1 << 22;

/// Checks the size of a convolution or pooling kernel before tract sees the node.
///
/// # Errors
///
/// Returns an error for attributes far beyond real models, which would keep tract busy: more than
/// four million kernel and padding elements, or strides of more than a million.
pub fn expect_moderate(node: &NodeProto) -> TractResult<()> {
    let list = |name: &str| -> TractResult<Vec<i64>> {
        Ok(node.get_attr_opt_vec(name)?.unwrap_or_default())
    };
    let (kernel, pads) = (list("kernel_shape")?, list("pads")?);
    for name in ["kernel_shape", "strides", "dilations"] {
        let found = list(name)?;
        let fits = found.iter().all(|length| (1..=MAX_LENGTH as i64).contains(length));
        node.expect_attr(name, fits, || format!("1 to {MAX_LENGTH}, found {found:?}"))?;
    }
    let fits = pads.iter().all(|pad| (0..=MAX_LENGTH as i64).contains(pad));
    node.expect_attr("pads", fits, || format!("0 to {MAX_LENGTH}, found {pads:?}"))?;
    let axes = kernel.len().max(pads.len() / 2);
    let around = (0..axes).map(|axis| {
        let [kernel, before, after] = [
            kernel.get(axis).unwrap_or(&1),
            pads.get(axis).unwrap_or(&0),
            pads.get(axis + axes).unwrap_or(&0),
        ];
        kernel + before + after
    });
    let around = around.fold(1, i64::saturating_mul);
    node.expect(around <= MAX_PADDED_KERNEL, || {
        format!("a kernel with its padding of at most {MAX_PADDED_KERNEL} elements, found {around}")
    })
}

#[derive(Debug, Clone)]
pub struct Windows {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    padding: Padding,
    ceil: bool,
}

#[derive(Debug, Clone)]
enum Padding {
    Explicit(Vec<usize>),
    SameUpper,
    SameLower,
}

/// Position of a window on the input.
#[derive(Debug, Default)]
pub struct Window {
    /// Pairs of kernel element and input element, without those on the padding.
    pub taps: Vec<(usize, usize)>,
    /// Number of kernel elements that lie on the input or its padding.
    pub covered: usize,
}

impl Windows {
    /// Reads the windows of a node with the given kernel shape.
    ///
    /// # Errors
    ///
    /// Returns an error if the attributes do not fit the kernel.
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
        let fits = lengths.all(|length| (1..=MAX_LENGTH).contains(length));
        ensure!(fits, "expected lengths from 1 to {MAX_LENGTH}, found {windows:?}");
        if let Padding::Explicit(pads) = &windows.padding {
            let fits = pads.iter().all(|pad| *pad <= MAX_LENGTH);
            ensure!(fits, "expected at most {MAX_LENGTH} elements of padding, found {pads:?}");
        }
        Ok(windows)
    }

    /// Returns the number of windows along each spatial axis.
    ///
    /// # Errors
    ///
    /// Returns an error if the number of axes differs from the kernel's, or if an axis is too
    /// short.
    pub fn counts<D: DimLike>(&self, lengths: &[D]) -> TractResult<TVec<D>> {
        let (expected, found) = (self.kernel.len(), lengths.len());
        ensure!(expected == found, "expected {expected} spatial dimensions, found {found}");
        let counts = (0..found).map(|axis| self.count(axis, &lengths[axis]));
        let counts = counts.collect::<TractResult<TVec<D>>>()?;
        let known = counts.iter().filter_map(|count| count.as_usize());
        let taps = known.chain(self.kernel.iter().copied());
        let fits = taps.fold(1, usize::saturating_mul) <= MAX_TAPS;
        ensure!(fits, "expected fewer or smaller windows, found {counts:?} of {:?}", self.kernel);
        Ok(counts)
    }

    fn count<D: DimLike>(&self, axis: usize, length: &D) -> TractResult<D> {
        let stride = self.strides[axis];
        let Padding::Explicit(pads) = &self.padding else {
            return Ok(length.divceil(stride));
        };
        let (before, after) = (pads[axis], pads[axis + self.kernel.len()]);
        let room = length.clone() + before + after;
        let extent = self.extent(axis);
        if let Some(found) = room.as_i64() {
            let fits = found >= extent as i64;
            ensure!(fits, "expected {extent} elements or more, found {found}");
        }
        let room = room - extent;
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

    /// Returns the position of a kernel element on the padded axis.
    pub fn place(&self, axis: usize, window: usize, element: usize) -> usize {
        window * self.strides[axis] + element * self.dilations[axis]
    }

    /// Returns the padding before and after an axis of the given length.
    ///
    /// # Errors
    ///
    /// Returns an error if [`Windows::counts`] does.
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
    /// Returns an error if [`Windows::counts`] does.
    pub fn over(&self, lengths: &[usize]) -> TractResult<Vec<Window>> {
        self.counts(lengths)?;
        let mut windows = vec![Window { taps: vec![(0, 0)], covered: 1 }];
        for (axis, length) in lengths.iter().enumerate() {
            let lines = self.along(axis, *length)?;
            windows = windows
                .iter()
                .flat_map(|window| {
                    lines.iter().map(|line| window.across(line, self.kernel[axis], *length))
                })
                .collect();
        }
        Ok(windows)
    }

    fn along(&self, axis: usize, length: usize) -> TractResult<Vec<Window>> {
        let (before, after) = self.pads(axis, length)?;
        let windows = (0..self.count(axis, &length)?).map(|window| {
            let mut line = Window::default();
            for element in 0..self.kernel[axis] {
                let place = self.place(axis, window, element);
                line.covered += usize::from(place < before + length + after);
                let source = place.checked_sub(before).filter(|source| *source < length);
                line.taps.extend(source.map(|source| (element, source)));
            }
            line
        });
        Ok(windows.collect())
    }
}

impl Window {
    /// Returns the product of this window with a window along one more axis, which has the given
    /// kernel and input lengths.
    fn across(&self, line: &Window, kernel: usize, length: usize) -> Window {
        let taps = self.taps.iter().flat_map(|(element, source)| {
            line.taps.iter().map(move |(on, at)| (element * kernel + on, source * length + at))
        });
        Window { taps: taps.collect(), covered: self.covered * line.covered }
    }
}
