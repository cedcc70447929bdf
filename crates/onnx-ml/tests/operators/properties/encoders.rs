//! Compares LabelEncoder, OneHotEncoder and CategoryMapper with a linear search.

use crate::node::{self, elements, float, floats, int, ints, run, string};
use crate::random::Random;
use tract_onnx::pb::AttributeProto;
use tract_onnx::prelude::*;

fn strings(name: &str, strings: &[String]) -> AttributeProto {
    node::strings(name, &strings.iter().map(String::as_str).collect::<Vec<_>>())
}

fn words(random: &mut Random, len: usize) -> Vec<String> {
    (0..len).map(|_| random.word()).collect()
}

fn integers(random: &mut Random, len: usize) -> Vec<i64> {
    (0..len).map(|_| random.below(8) as i64 - 3).collect()
}

fn column<T: Datum + Clone>(values: &[T]) -> Tensor {
    let array = tract_ndarray::Array2::from_shape_vec((values.len(), 1), values.to_vec());
    array.unwrap().into()
}

#[test]
fn label_encoders_match_the_specification() {
    let mut random = Random(0x1abe1);
    for _ in 0..300 {
        let len = 1 + random.below(9);
        let rows = 1 + random.below(50);
        let values = random.numbers(len);
        let default = random.number();
        let with =
            |keys| vec![keys, floats("values_floats", &values), float("default_float", default)];
        let (found, positions): (TVec<TValue>, Vec<Option<usize>>) = match random.below(3) {
            0 => {
                let (keys, x) = (words(&mut random, len), words(&mut random, rows));
                let find = |x| keys.iter().position(|key| key == x);
                (
                    run("LabelEncoder", with(strings("keys_strings", &keys)), column(&x)),
                    x.iter().map(find).collect(),
                )
            }
            1 => {
                let (keys, x) = (integers(&mut random, len), integers(&mut random, rows));
                let find = |x| keys.iter().position(|key| key == x);
                (
                    run("LabelEncoder", with(ints("keys_int64s", &keys)), column(&x)),
                    x.iter().map(find).collect(),
                )
            }
            _ => {
                let keys: Vec<f32> = (0..len).map(|_| random.category()).collect();
                let x: Vec<f32> = (0..rows).map(|_| random.category()).collect();
                // NaN equals no key before version 4 of the domain.
                let find = |x| keys.iter().position(|key| key == x);
                (
                    run("LabelEncoder", with(floats("keys_floats", &keys)), column(&x)),
                    x.iter().map(find).collect(),
                )
            }
        };
        let expected: Vec<f32> =
            positions.iter().map(|at| at.map_or(default, |at| values[at])).collect();
        assert_eq!(found[0].shape(), [rows, 1]);
        assert_eq!(elements::<f32>(&found[0]), expected);
    }
}

#[test]
fn one_hot_encoders_match_the_specification() {
    let mut random = Random(0x0e4);
    for _ in 0..300 {
        let rows = 1 + random.below(50);
        let zeros = int("zeros", 1);
        let (found, hot, len): (TVec<TValue>, Vec<Option<usize>>, usize) = if random.flag() {
            let mut categories = words(&mut random, 6);
            categories.sort();
            categories.dedup();
            let x = words(&mut random, rows);
            let hot = x.iter().map(|x| categories.iter().position(|known| known == x)).collect();
            let attributes = vec![strings("cats_strings", &categories), zeros];
            (run("OneHotEncoder", attributes, column(&x)), hot, categories.len())
        } else {
            let mut categories = integers(&mut random, 6);
            categories.sort_unstable();
            categories.dedup();
            let x = integers(&mut random, rows);
            let hot = x.iter().map(|x| categories.iter().position(|known| known == x)).collect();
            let attributes = vec![ints("cats_int64s", &categories), zeros];
            (run("OneHotEncoder", attributes, column(&x)), hot, categories.len())
        };
        assert_eq!(found[0].shape(), [rows, 1, len]);
        let found: Vec<f32> = elements(&found[0]);
        for (found, hot) in found.chunks(len).zip(hot) {
            for (index, value) in found.iter().enumerate() {
                assert_eq!(*value == 1.0, hot == Some(index));
                assert!(*value == 1.0 || *value == 0.0);
            }
        }
    }
}

#[test]
fn category_mappers_match_the_specification() {
    let mut random = Random(0xca7);
    for _ in 0..100 {
        let mut names = words(&mut random, 5);
        names.sort();
        names.dedup();
        let numbers: Vec<i64> = (0..names.len() as i64).map(|index| 7 - 2 * index).collect();
        let attributes = || {
            vec![
                strings("cats_strings", &names),
                ints("cats_int64s", &numbers),
                int("default_int64", 99),
                string("default_string", "other"),
            ]
        };
        let rows = 1 + random.below(40);
        let x = words(&mut random, rows);
        let position = |x| names.iter().position(|name| name == x);
        let expected: Vec<i64> =
            x.iter().map(|x| position(x).map_or(99, |index| numbers[index])).collect();
        let found = run("CategoryMapper", attributes(), column(&x));
        let found = found[0].cast_to::<i64>().unwrap().into_owned().into_tvalue();
        assert_eq!(elements::<i64>(&found), expected);

        let back: Vec<&str> = expected
            .iter()
            .map(|x| numbers.iter().position(|number| number == x))
            .map(|index| index.map_or("other", |index| names[index].as_str()))
            .collect();
        let found = run("CategoryMapper", attributes(), column(&expected));
        assert_eq!(elements::<String>(&found[0]), back);
    }
}
