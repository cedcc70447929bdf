//! Test cases. A case is a folder in `tests/cases` that contains a model and its expected predictions.

use std::fs;
use std::path::PathBuf;

pub fn path(case: &str, file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "cases", case, file].iter().collect()
}

pub fn text(case: &str, file: &str) -> String {
    let path = path(case, file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the arguments that select the model of a case. `online-sales` is the embedded model and needs no arguments.
pub fn model(case: &str) -> Vec<String> {
    match case {
        "online-sales" => vec![],
        case => vec!["--model".into(), path(case, "model.onnx").to_str().unwrap().into()],
    }
}

pub fn serve(case: &str) -> crate::server::Server {
    let args = model(case);
    crate::server::Server::start(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Parses a CSV. Returns the name and the values of each column, in the order of the header.
pub fn columns(csv: &str) -> Vec<(String, Vec<String>)> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let mut columns: Vec<(String, Vec<String>)> =
        reader.headers().unwrap().iter().map(|name| (name.to_owned(), vec![])).collect();
    for record in reader.records() {
        for ((_, values), cell) in columns.iter_mut().zip(&record.unwrap()) {
            values.push(cell.to_owned());
        }
    }
    columns
}

/// Returns the values of a column as numbers.
pub fn numbers(columns: &[(String, Vec<String>)], name: &str) -> Vec<f64> {
    let (_, values) = columns.iter().find(|(column, _)| column == name).unwrap();
    values.iter().map(|value| value.parse().unwrap()).collect()
}

/// Writes the first `count` columns as a CSV.
pub fn csv_of(columns: &[(String, Vec<String>)], count: usize) -> String {
    let mut writer = csv::Writer::from_writer(vec![]);
    writer.write_record(columns[..count].iter().map(|(name, _)| name)).unwrap();
    for row in 0..columns[0].1.len() {
        writer.write_record(columns[..count].iter().map(|(_, values)| &values[row])).unwrap();
    }
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}
