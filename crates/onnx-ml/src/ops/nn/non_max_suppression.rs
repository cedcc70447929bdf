//! [NonMaxSuppression](https://onnx.ai/onnx/operators/onnx__NonMaxSuppression.html): for each image
//! and class, selects boxes in descending order of their scores, except boxes that overlap a box
//! selected before. tract's operator requires limits of shape `[1]`, and treats a maximum of 0
//! boxes as no maximum.

use crate::operator::adapter::{Built, variadic};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, slices, tensor};
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Names of the optional inputs, in ONNX's order.
const LIMITS: [&str; 3] = ["max_output_boxes_per_class", "iou_threshold", "score_threshold"];

#[derive(Debug)]
struct NonMaxSuppression {
    /// If `true`, a box is `[x center, y center, width, height]`. Otherwise a box is two corners, `[y1, x1, y2, x2]`.
    centers: bool,
    /// Indices of the inputs in [`LIMITS`]. `None` for an input that the node omits.
    limits: [Option<usize>; 3],
    /// Stands for the number of selected boxes, which is only known at run time.
    count: Symbol,
}

pub fn non_max_suppression(context: &ParsingContext, node: &NodeProto) -> Built {
    let found = node.input.iter().take(2).filter(|name| !name.is_empty()).count();
    node.expect(found == 2, || format!("boxes and scores, found {found} of them"))?;
    let center_point_box = node.get_attr_opt::<i64>("center_point_box")?.unwrap_or(0);
    node.expect_attr("center_point_box", matches!(center_point_box, 0 | 1), || {
        format!("0 or 1, found {center_point_box}")
    })?;
    let mut limits = optional_inputs(node).skip(2).take(3);
    let suppression = NonMaxSuppression {
        centers: center_point_box == 1,
        limits: std::array::from_fn(|_| limits.next().flatten()),
        count: context.template.symbols.new_with_prefix("selected"),
    };
    variadic(node, suppression)
}

impl Kernel for NonMaxSuppression {
    const NAME: &'static str = "NonMaxSuppression";

    fn mints_symbols(&self) -> bool {
        true
    }

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let [boxes, scores, ..] = inputs else {
            bail!("expected boxes and scores, found {} inputs", inputs.len());
        };
        let ([images, count, four], [score_images, _, score_count]) =
            (&*boxes.shape, &*scores.shape)
        else {
            let found = (&boxes.shape, &scores.shape);
            bail!("expected boxes and scores of three axes, found shapes {found:?}");
        };
        ensure!(*four == 4.to_dim(), "expected 4 coordinates of a box, found {four}");
        for (name, boxes, scores) in
            [("images", images, score_images), ("boxes", count, score_count)]
        {
            ensure!(
                boxes.compatible_with(scores),
                "expected scores for {boxes} {name}, found {scores}"
            );
        }
        for (name, index) in LIMITS.iter().zip(self.limits) {
            let Some(limit) = index.and_then(|index| inputs.get(index)) else { continue };
            let single = limit.shape.iter().all(|length| length.is_one());
            ensure!(single, "expected `{name}` of one element, found shape {:?}", limit.shape);
        }
        Ok(tvec!(Fact::new(i64::datum_type(), [self.count.to_dim(), 3.to_dim()])))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let limit = |index: usize| -> TractResult<Option<f32>> {
            let input = self.limits[index].and_then(|index| inputs.get(index));
            let value =
                |input| elements::<f32>(input)?.try_as_plain_ram()?.as_slice().map(<[f32]>::to_vec);
            Ok(input.map(value).transpose()?.and_then(|value| value.first().copied()))
        };
        let maximum = match self.limits[0].and_then(|index| inputs.get(index)) {
            Some(input) => elements::<i64>(input)?.try_as_plain_ram()?.as_slice::<i64>()?[0],
            None => 0,
        };
        let maximum = usize::try_from(maximum).unwrap_or(0);
        let (iou_threshold, score_threshold) = (limit(1)?.unwrap_or(0.0), limit(2)?);
        ensure!(
            (0.0..=1.0).contains(&iou_threshold),
            "expected `iou_threshold` from 0 to 1, found {iou_threshold}"
        );
        let tensors = [elements::<f32>(&inputs[0])?, elements::<f32>(&inputs[1])?];
        let [boxes, scores] = slices::<f32>(&tensors)?[..] else { bail!("expected two tensors") };
        let [images, classes, count] = inputs[1].shape() else {
            bail!("expected scores of rank 3, found shape {:?}", inputs[1].shape())
        };
        let expected = [*images, *count, 4];
        ensure!(
            inputs[0].shape() == expected,
            "expected boxes of shape {expected:?}, found {:?}",
            inputs[0].shape()
        );
        let boxes: Vec<Area> = boxes.as_chunks().0.iter().map(|area| self.area(area)).collect();
        let mut selected = vec![];
        for group in 0..images * classes {
            let image = group / classes;
            let (boxes, scores) = (&boxes[image * count..][..*count], &scores[group * count..]);
            let scores = &scores[..*count];
            for index in select(boxes, scores, maximum, iou_threshold, score_threshold) {
                selected.extend([image, group % classes, index].map(|index| index as i64));
            }
        }
        Ok(vec![tensor(&[selected.len() / 3, 3], selected)?])
    }
}

/// The corners of a box, as `[[y1, x1], [y2, x2]]`, lower coordinates first.
type Area = [[f32; 2]; 2];

impl NonMaxSuppression {
    /// Returns the corners of a box in the model's format.
    fn area(&self, found: &[f32; 4]) -> Area {
        let [a, b, c, d] = *found;
        if self.centers {
            let (width, height) = (c / 2.0, d / 2.0);
            [[b - height, a - width], [b + height, a + width]]
        } else {
            [[a.min(c), b.min(d)], [a.max(c), b.max(d)]]
        }
    }
}

/// Returns the indices of at most `maximum` boxes in descending order of their scores. Boxes with scores of at most
/// `score_threshold` are not selected. Boxes whose IoU with a selected box exceeds `iou_threshold` are not selected
/// either.
fn select(
    boxes: &[Area],
    scores: &[f32],
    maximum: usize,
    iou_threshold: f32,
    score_threshold: Option<f32>,
) -> Vec<usize> {
    let considered =
        |index: &usize| score_threshold.is_none_or(|threshold| scores[*index] > threshold);
    let mut order: Vec<usize> = (0..boxes.len()).filter(considered).collect();
    // The sort is stable: of equal scores, the lower index comes first. Adding 0 makes -0 equal to 0.
    let score = |index: &usize| scores[*index] + 0.0;
    order.sort_by(|a, b| score(b).total_cmp(&score(a)));
    let mut selected: Vec<usize> = vec![];
    for index in order {
        if selected.len() >= maximum {
            break;
        }
        let suppresses = |other: &usize| iou(&boxes[index], &boxes[*other]) > iou_threshold;
        if !selected.iter().any(suppresses) {
            selected.push(index);
        }
    }
    selected
}

/// Returns the intersection over union (IoU) of two boxes, or 0 if one of the boxes is empty. The IoU is the area of the
/// intersection, divided by the area of the union.
fn iou(a: &Area, b: &Area) -> f32 {
    let area = |[[y1, x1], [y2, x2]]: &Area| (y2 - y1) * (x2 - x1);
    let height = a[1][0].min(b[1][0]) - a[0][0].max(b[0][0]);
    let width = a[1][1].min(b[1][1]) - a[0][1].max(b[0][1]);
    let (area_a, area_b) = (area(a), area(b));
    if height <= 0.0 || width <= 0.0 || area_a <= 0.0 || area_b <= 0.0 {
        return 0.0;
    }
    let intersection = height * width;
    intersection / (area_a + area_b - intersection)
}
