//! An upper bound for the speed of `ml-app predict` on a CSV file. One thread reads the file with the csv crate,
//! parses each field as a number, and writes an output as large as the output of `ml-app predict`. It predicts
//! nothing.
//!
//! `parse FILE BYTES > OUT` appends `BYTES` bytes to each record.

use musl_mem as _;
use std::io::{self, BufWriter, Write};
use std::{env, fs, hint};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().collect();
    let [_, file, bytes] = arguments.as_slice() else {
        return Err(io::Error::other("expected FILE and BYTES"));
    };
    let appended = vec![b'0'; bytes.parse().map_err(io::Error::other)?];
    let mut reader = csv::Reader::from_reader(fs::File::open(file)?);
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record)? {
        for field in &record {
            let text = str::from_utf8(field).map_err(io::Error::other)?;
            hint::black_box(text.parse::<f32>().map_err(io::Error::other)?);
            out.write_all(field)?;
            out.write_all(b",")?;
        }
        out.write_all(&appended)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}
