//! The windows of a kernel that slides over the spatial axes of `[N, C, D…]`, as pooling operators
//! declare them: strides, dilations, padding, and whether a last window may be cut.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Of a kernel, its steps and its padding, along an axis.
const LONGEST: usize = 1 << 20;

/// Elements of the kernel below all windows, which [`Windows::over`] lists: 1 GB.
const MOST_TAPS: usize = 1 << 26;

/// Of a kernel with its padding, in [`expect_moderate`]: what is read and made beside the input.
const MOST_AROUND: i64 = 1 << 22;

/// # Errors
///
/// Where the attributes of a convolution or pooling would have tract go through more than any model
/// means: a kernel with its padding of over four million elements, or steps of over a million.
pub fn expect_moderate(node: &NodeProto) -> TractResult<()> {
    let list = |name: &str| -> TractResult<Vec<i64>> {
        Ok(node.get_attr_opt_vec(name)?.unwrap_or_default())
    };
    let (kernel, pads) = (list("kernel_shape")?, list("pads")?);
    for name in ["kernel_shape", "strides", "dilations"] {
        let found = list(name)?;
        let fits = found.iter().all(|length| (1..=LONGEST as i64).contains(length));
        node.expect_attr(name, fits, || format!("1 to {LONGEST}, found {found:?}"))?;
    }
    let fits = pads.iter().all(|pad| (0..=LONGEST as i64).contains(pad));
    node.expect_attr("pads", fits, || format!("0 to {LONGEST}, found {pads:?}"))?;
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
    node.expect(around <= MOST_AROUND, || {
        format!("a kernel with its padding of at most {MOST_AROUND} elements, found {around}")
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

/// Where a window lies on the input.
#[derive(Debug, Default)]
pub struct Window {
    /// The element of the kernel and that of the input below it, but for those on the padding.
    pub taps: Vec<(usize, usize)>,
    /// How many elements of the kernel lie on the input or its padding.
    pub covered: usize,
}

impl Windows {
    /// The windows of a node with such a kernel.
    ///
    /// # Errors
    ///
    /// Where the attributes do not fit the kernel.
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
        let fits = lengths.all(|length| (1..=LONGEST).contains(length));
        ensure!(fits, "expected lengths from 1 to {LONGEST}, found {windows:?}");
        if let Padding::Explicit(pads) = &windows.padding {
            let fits = pads.iter().all(|pad| *pad <= LONGEST);
            ensure!(fits, "expected at most {LONGEST} elements of padding, found {pads:?}");
        }
        Ok(windows)
    }

    /// How many windows lie along each of the spatial axes.
    ///
    /// # Errors
    ///
    /// Where there are not as many as the kernel has, or one is too short.
    pub fn counts<D: DimLike>(&self, lengths: &[D]) -> TractResult<TVec<D>> {
        let (expected, found) = (self.kernel.len(), lengths.len());
        ensure!(expected == found, "expected {expected} spatial dimensions, found {found}");
        let counts = (0..found).map(|axis| self.count(axis, &lengths[axis]));
        let counts = counts.collect::<TractResult<TVec<D>>>()?;
        let known = counts.iter().filter_map(|count| count.as_usize());
        let taps = known.chain(self.kernel.iter().copied());
        let fits = taps.fold(1, usize::saturating_mul) <= MOST_TAPS;
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
        // A last window that would start on the padding after the input is left out.
        let started = (length.clone() + before + (stride - 1)) / stride;
        Ok((room.divceil(stride) + 1).mini(started))
    }

    /// From a kernel's first element to its last.
    fn extent(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilations[axis] + 1
    }

    /// Where an element of the kernel lies on the padded axis.
    pub fn place(&self, axis: usize, window: usize, element: usize) -> usize {
        window * self.strides[axis] + element * self.dilations[axis]
    }

    /// How many elements an axis of this length is padded with before and after.
    ///
    /// # Errors
    ///
    /// As [`Windows::counts`].
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

    /// Each window over an input of these spatial lengths, in row-major order.
    ///
    /// # Errors
    ///
    /// As [`Windows::counts`].
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
    /// This window with one axis more, on which the kernel and the input have these lengths.
    fn across(&self, line: &Window, kernel: usize, length: usize) -> Window {
        let taps = self.taps.iter().flat_map(|(element, source)| {
            line.taps.iter().map(move |(on, at)| (element * kernel + on, source * length + at))
        });
        Window { taps: taps.collect(), covered: self.covered * line.covered }
    }
}
