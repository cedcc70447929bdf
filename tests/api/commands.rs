//! Tests of the commands on the command line.

use crate::case;
use crate::server::Server;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn ml_app(args: &[&str], input: &str) -> Output {
    let mut process = Command::new(env!("CARGO_BIN_EXE_ml-app"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The process may have ended before it read all of its input.
    let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
    process.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Returns a path for a temporary file that belongs to this test run.
fn scratch(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("{}-{name}", std::process::id()));
    let _ = fs::remove_file(&path);
    path
}

#[test]
fn sbom_lists_crates_of_the_lock_file() {
    let output = ml_app(&["sbom"], "");
    let document: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let lock = fs::read_to_string("Cargo.lock").unwrap();
    let crates: Vec<&serde_json::Value> = document["components"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|component| component["type"] == "library")
        .collect();
    for component in &crates {
        let locked = format!("name = {}\nversion = {}\n", component["name"], component["version"]);
        assert!(lock.contains(&locked), "{component}");
    }
    let actix = crates.iter().find(|component| component["name"] == "actix-web").unwrap();
    assert_eq!(actix["scope"], "required");
    assert!(!crates.iter().any(|component| component["name"] == "criterion"));
}

const CSV: &str = "id,age,new_user,total_pages_visited\n1,21,1,14\n2,45,0,5\n";

#[test]
fn predict_scores_csv() {
    let output = ml_app(&["predict", "-"], CSV);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "id,age,new_user,total_pages_visited,prediction,probability_0,probability_1"
    );
    assert!(lines[1].starts_with("1,21,1,14,1,0.033"), "{text}");
    assert!(lines[2].starts_with("2,45,0,5,0,0.964"), "{text}");
    assert!(stderr(&output).contains("2 rows scored"));
    assert!(stderr(&output).contains("ignored columns, which are not features: id"));
}

#[test]
fn predict_scores_ndjson() {
    let lines = "{\"age\":21,\"new_user\":1,\"total_pages_visited\":14}\n\n {\"new_user\":0,\"age\":45,\"total_pages_visited\":5 }";
    let output = ml_app(&["predict", "--format", "ndjson", "-"], lines);
    let text = stdout(&output);
    let rows: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2, "{}", stderr(&output));
    assert_eq!((&rows[0]["age"], &rows[0]["prediction"]), (&21.into(), &1.into()));
    assert_eq!((&rows[1]["age"], &rows[1]["prediction"]), (&45.into(), &0.into()));
}

#[test]
fn predict_agrees_with_the_server_over_many_batches() {
    let mut csv = "age,new_user,total_pages_visited\n".to_owned();
    for row in 0..10_000 {
        csv.push_str(&format!("{},{},{}\n", row % 100, row % 2, row % 31));
    }
    let input = scratch("many.csv");
    let output = scratch("many-scored.csv");
    fs::write(&input, &csv).unwrap();
    let done =
        ml_app(&["predict", input.to_str().unwrap(), "--output", output.to_str().unwrap()], "");
    assert!(done.status.success(), "{}", stderr(&done));
    assert_eq!(stdout(&done), "");
    let by_server = Server::start(&[]).post("/predict", "text/csv", &csv);
    assert!(fs::read_to_string(&output).unwrap() == by_server.body);
}

#[test]
fn concatenated_shards_equal_the_whole_output() {
    let whole = |input: &str| stdout(&ml_app(&["predict", input], ""));
    let parts = |input: &str, count: usize| {
        let part = |index| {
            stdout(&ml_app(&["predict", input, "--shard", &format!("{index}/{count}")], ""))
        };
        (0..count).map(part).collect::<Vec<_>>()
    };
    let row = |row: usize| (row % 100, row % 2, row % 31);
    let mut csv = "name,age,new_user,total_pages_visited\n".to_owned();
    let mut lines = String::new();
    for (age, new_user, pages) in (0..10_000).map(row) {
        // Some cells contain line ends in quotes, and some lines are blank.
        let name = if age == 7 { "\"x,1\n1,1,1,1\n\"" } else { "y" };
        csv.push_str(&format!(
            "{name},{age},{new_user},{pages}\n{}",
            if age == 9 { "\n" } else { "" }
        ));
        lines.push_str(&format!(
            "{{\"age\":{age},\"new_user\":{new_user},\"total_pages_visited\":{pages}}}\n"
        ));
    }
    for (name, content) in [("parts.csv", csv), ("parts.ndjson", lines)] {
        let input = scratch(name);
        fs::write(&input, content).unwrap();
        let input = input.to_str().unwrap();
        for count in [1, 3, 7] {
            let parts = parts(input, count);
            assert!(parts.iter().all(|part| part.len() > 1000));
            assert!(parts.concat() == whole(input), "{name} in {count}");
        }
    }
    let few = scratch("parts-few.csv");
    fs::write(&few, CSV).unwrap();
    let few = few.to_str().unwrap();
    assert_eq!(parts(few, 20).concat(), whole(few));
}

#[test]
fn an_error_in_a_shard_is_reported_with_its_line_in_the_file() {
    let input = scratch("shard-error.csv");
    let rows = (0..1000).map(|row| if row == 900 { "1,x,1\n" } else { "1,1,1\n" });
    fs::write(&input, format!("age,new_user,total_pages_visited\n{}", rows.collect::<String>()))
        .unwrap();
    let input = input.to_str().unwrap();
    let part = |shard: &str| ml_app(&["predict", input, "--shard", shard], "");
    assert!(part("0/2").status.success());
    let errors = stderr(&part("1/2"));
    assert!(errors.contains("line 902, `new_user`: expected an integer"), "{errors}");
    let pipe = ml_app(&["predict", "-", "--shard", "0/2"], CSV);
    assert!(stderr(&pipe).contains("--shard: expected a regular file, found -"));
    let wrong = part("2/2");
    assert!(stderr(&wrong).contains("expected INDEX/COUNT"), "{}", stderr(&wrong));
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn predict_writes_the_same_output_with_any_number_of_threads() {
    let (input, wrong) = (scratch("blocks.csv"), scratch("blocks-wrong.csv"));
    // The file has about 2 MB. A thread takes 256 KiB at a time.
    let row = |row: usize| {
        format!("{},{},\"a \"\"b\"\"\n{row}\",{}\r\n", 17 + row % 60, row % 2, row % 30)
    };
    let mut csv = "age,new_user,note,total_pages_visited\r\n".to_owned();
    (0..80_000).for_each(|number| csv.push_str(&row(number)));
    fs::write(&input, &csv).unwrap();
    let score = |file: &PathBuf, threads: &str| {
        ml_app(&["predict", file.to_str().unwrap(), "--threads", threads], "")
    };
    let (one, many) = (score(&input, "1"), score(&input, "7"));
    assert!(many.status.success(), "{}", stderr(&many));
    assert!(one.stdout == many.stdout);
    assert_eq!(csv::Reader::from_reader(&*many.stdout).records().count(), 80_000);
    // Each row has two lines, and the header is line 1, so row 59,999 ends on line 119,999.
    let at = csv.match_indices("\r\n").nth(59_999).unwrap().0 + 2;
    csv.insert(at, 'x');
    fs::write(&wrong, &csv).unwrap();
    for threads in ["1", "7"] {
        let errors = stderr(&score(&wrong, threads));
        let expected = "line 120000, `age`: expected an integer, found `x76`";
        assert!(errors.contains(expected), "{errors}");
    }
}

#[test]
fn predict_reports_the_row_that_a_model_rejects() {
    let model = case::path("categories", "model.onnx");
    let mut csv = "city,rooms\n".to_owned() + &"Porto,2\n".repeat(9000) + "Rome,2\n";
    let predict = |format: &str, rows: &str| {
        let model = model.to_str().unwrap();
        ml_app(&["predict", "--model", model, "--format", format, "-"], rows)
    };
    let error = "row 9001: expected one of `Lisbon`, `Porto`, `東京`, found `Rome`";
    let rejected = predict("csv", &csv);
    assert_eq!(rejected.status.code(), Some(1));
    assert!(stderr(&rejected).contains(error), "{}", stderr(&rejected));
    let lines =
        "{\"city\":\"Porto\",\"rooms\":2}\n".repeat(9000) + "{\"city\":\"Rome\",\"rooms\":2}\n";
    let rejected = predict("ndjson", &lines);
    assert!(stderr(&rejected).contains(error), "{}", stderr(&rejected));
    csv.truncate(csv.len() - "Rome,2\n".len());
    assert!(predict("csv", &csv).status.success());
}

#[test]
fn predict_reports_every_error_and_leaves_no_partial_file() {
    let input = scratch("errors.csv");
    let output = scratch("errors-scored.csv");
    let mut csv = "age,new_user,total_pages_visited\n".to_owned();
    for row in 0..10_000 {
        csv.push_str(if [5, 5000, 9999].contains(&row) { "1,x,1\n" } else { "1,1,1\n" });
    }
    fs::write(&input, csv).unwrap();
    let done = ml_app(&["predict", input.to_str().unwrap(), "-o", output.to_str().unwrap()], "");
    assert_eq!(done.status.code(), Some(1));
    let errors = stderr(&done);
    for line in [7, 5002, 10001] {
        let expected = format!("line {line}, `new_user`: expected an integer, found `x`");
        assert!(errors.contains(&expected), "{errors}");
    }
    assert!(!output.exists());
    let folder = fs::read_dir(output.parent().unwrap()).unwrap();
    let left = folder.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with(output.file_name().unwrap().to_str().unwrap())
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn predict_reuses_the_partial_file_of_a_killed_process_but_not_of_a_running_one() {
    let (input, output) = (scratch("taken.csv"), scratch("taken-scored.csv"));
    fs::write(&input, CSV).unwrap();
    let partial = scratch("taken-scored.csv.partial");
    let left = fs::File::create(&partial).unwrap();
    (&left).write_all(&[b'x'; 10_000]).unwrap();
    left.lock().unwrap();
    let args = ["predict", input.to_str().unwrap(), "-o", output.to_str().unwrap()];
    let rejected = ml_app(&args, "");
    assert_eq!(rejected.status.code(), Some(1));
    assert!(stderr(&rejected).contains("another process is writing"), "{}", stderr(&rejected));
    drop(left);
    let done = ml_app(&args, "");
    assert!(done.status.success(), "{}", stderr(&done));
    assert!(!partial.exists());
    let scored = fs::read_to_string(&output).unwrap();
    assert_eq!(scored.lines().count(), CSV.lines().count());
    assert!(!scored.contains('x'), "{scored}");
}

#[test]
fn predict_writes_through_links_and_to_devices() {
    let input = scratch("link-input.csv");
    fs::write(&input, CSV).unwrap();
    let (target, link) = (scratch("link-target.csv"), scratch("link.csv"));
    fs::write(&target, "before").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let done = ml_app(&["predict", input.to_str().unwrap(), "-o", link.to_str().unwrap()], "");
    assert!(done.status.success(), "{}", stderr(&done));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&target).unwrap().contains("prediction"));

    let pipe = scratch("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = {
        let pipe = pipe.clone();
        std::thread::spawn(move || fs::read_to_string(pipe).unwrap())
    };
    let done = ml_app(&["predict", input.to_str().unwrap(), "-o", pipe.to_str().unwrap()], "");
    assert!(done.status.success(), "{}", stderr(&done));
    assert!(reader.join().unwrap().contains("prediction"));

    let to_stdout = ml_app(&["predict", input.to_str().unwrap(), "-o", "-"], "");
    assert!(stdout(&to_stdout).contains("prediction"));
    let nowhere = ml_app(&["predict", input.to_str().unwrap(), "-o", "/nonexistent/x.csv"], "");
    assert!(stderr(&nowhere).contains("cannot write /nonexistent/x.csv"), "{}", stderr(&nowhere));
}

#[test]
fn predict_reports_an_invalid_input() {
    for (args, input, expected) in [
        (vec!["predict", "/nonexistent.csv"], "", "cannot read /nonexistent.csv"),
        (vec!["predict", "/"], "", "it is a directory"),
        (vec!["predict", "-"], "", "expected a header row"),
        (vec!["predict", "-"], "age,new_user\n", "line 1: missing column `total_pages_visited`"),
        (vec!["predict", "-"], "age,new_user,total_pages_visited\n", "expected at least one row"),
        (vec!["predict", "--format", "ndjson", "-"], "{\"age\":", "line 1, column 7: invalid JSON"),
    ] {
        let output = ml_app(&args, input);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}

#[test]
fn inspect_shows_the_model() {
    let text = stdout(&ml_app(&["inspect"], ""));
    for expected in [
        "online-sales version 1",
        "age integer: Age of the visitor (years). Seen in training: 17 to 123.",
        "output_label int64[?]",
        "1: buys",
        "ai.onnx.ml.LinearClassifier × 1",
        "skl2onnx",
        "c70c19d5e928445dc9f02084131a3115482d79ff16748e8dbe959cbc24fbe396",
    ] {
        assert!(text.contains(expected), "no {expected} in {text}");
    }
    let unsupported = case::path("unsupported", "model.onnx");
    let output = ml_app(&["inspect", "--model", unsupported.to_str().unwrap()], "");
    assert!(stdout(&output).contains("com.example.NonExistent × 1"));
    assert_eq!(output.status.code(), Some(1));
    let other = case::path("mixed", "model.onnx");
    let text = stdout(&ml_app(&["inspect", "--model", other.to_str().unwrap()], ""));
    assert!(text.contains("image number[2, 2]"), "{text}");
}

#[test]
fn check_reports_whether_a_model_can_be_served() {
    let path = |case| case::path(case, "model.onnx").to_str().unwrap().to_owned();
    let good = ml_app(&["check", &path("diabetes")], "");
    assert!(good.status.success());
    assert!(stdout(&good).contains("can be served"));

    let embedded = stdout(&ml_app(&["check"], ""));
    assert!(
        embedded
            .starts_with("the embedded model can be served, and reproduces its 4 golden rows\n"),
        "{embedded}"
    );

    let bad = ml_app(&["check", &path("unsupported")], "");
    assert_eq!(bad.status.code(), Some(1));
    let text = stdout(&bad);
    for expected in ["cannot be served", "com.example.NonExistent (node `mystery`)", "export"] {
        assert!(text.contains(expected), "no {expected} in {text}");
    }

    let beside = ml_app(&["check", &path("external-data")], "");
    assert!(beside.status.success(), "{}", stdout(&beside));
    let alone = scratch("alone.onnx");
    fs::copy(path("external-data"), &alone).unwrap();
    let alone = ml_app(&["check", alone.to_str().unwrap()], "");
    assert_eq!(alone.status.code(), Some(1));
    let text = stdout(&alone);
    assert!(text.contains("tensor `weights`: its data is in ") && text.contains("weights.bin"));

    let odd = |name| case::path("odd", name).to_str().unwrap().to_owned();
    let text = stdout(&ml_app(&["check", &odd("foreign.onnx")], ""));
    assert!(text.contains("cannot be served"), "{text}");
    assert!(text.contains("com.example.Add (node `sum`)"), "{text}");

    let none = scratch("none.onnx");
    fs::write(&none, "not a model").unwrap();
    let none = ml_app(&["check", none.to_str().unwrap()], "");
    assert_eq!(none.status.code(), Some(1));
    assert!(stdout(&none).contains("not an ONNX model"), "{}", stdout(&none));
    let missing = ml_app(&["check", "/nonexistent.onnx"], "");
    assert!(stderr(&missing).contains("cannot read the model /nonexistent.onnx"));
}

/// Truncates a model at many positions, and changes single bytes. Each result must load or be reported as invalid.
#[test]
fn a_damaged_model_never_crashes_the_process() {
    let whole = fs::read(case::path("diabetes", "model.onnx")).unwrap();
    let damaged = scratch("damaged.onnx");
    for index in (0..whole.len()).step_by(23) {
        let mut changed = whole.clone();
        changed[index] ^= 0xff;
        for bytes in [&whole[..index], changed.as_slice()] {
            fs::write(&damaged, bytes).unwrap();
            let output = ml_app(&["check", damaged.to_str().unwrap()], "");
            let code = output.status.code();
            assert!(matches!(code, Some(0 | 1)), "byte {index}: {code:?} {}", stderr(&output));
        }
    }
}

#[test]
fn healthcheck_reports_whether_a_server_is_ready() {
    let server = Server::start(&[]);
    let (host, port) = server.address().rsplit_once(':').unwrap();
    let (host, port) = (host.to_owned(), port.to_owned());
    let check = || ml_app(&["healthcheck", "--host", &host, "--port", &port], "");
    assert!(check().status.success());
    server.stop();
    let gone = check();
    assert_eq!(gone.status.code(), Some(1));
    assert!(stderr(&gone).contains("no response from"), "{}", stderr(&gone));
}

#[test]
fn every_invalid_setting_is_reported() {
    let output = ml_app(&["--port", "http", "--max-body", "much", "--workers", "0"], "");
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(
        stderr(&output),
        "error: --port: expected a port from 0 to 65535, found `http`\n\
         error: --max-body: expected a size such as 1048576, 512KiB or 32MiB, found `much`\n\
         error: --workers: expected a number from 1 to 1024, found `0`\n"
    );
}

#[test]
fn a_port_in_use_is_an_error() {
    let server = Server::start(&[]);
    let port = server.address().rsplit_once(':').unwrap().1;
    let output = ml_app(&["serve", "--host", "127.0.0.1", "--port", port], "");
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{text}");
}

#[test]
fn check_lists_the_operators() {
    let text = stdout(&ml_app(&["check", "--operators"], ""));
    let operators: Vec<&str> = text.lines().collect();
    for operator in ["MatMul", "ai.onnx.ml.SVMClassifier", "ai.onnx.ml.ZipMap"] {
        assert!(operators.contains(&operator), "{text}");
    }
    assert!(!operators.contains(&"NonExistent"));
}
