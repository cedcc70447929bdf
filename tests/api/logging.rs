//! Tests of the request log.

use crate::server::Server;
use serde_json::Value;

const ROW: &str = "/predict?age=21&new_user=1&total_pages_visited=14";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn logs_requests_in_the_format_of_cloud_logging() {
    let environment = [("GOOGLE_CLOUD_PROJECT", "shop")];
    let mut args = vec!["--log-format", "json", "--log-requests", "1"];
    let server = Server::start_in(&environment, &args);
    let first: Value = serde_json::from_str(&server.announcement[0]).unwrap();
    assert_eq!(first["message"], "model online-sales version 1");
    assert_eq!(first["severity"], "INFO");
    let headers = [("traceparent", PARENT), ("x-request-id", "of-today")];
    assert_eq!(server.send("GET", ROW, &headers, b"").status, 200);
    assert_eq!(server.post_json("[]").status, 422);
    let log = server.log(2);
    let line: Value = serde_json::from_str(&log[0]).unwrap();
    assert_eq!(line["severity"], "INFO");
    assert_eq!(line["rows"], 1);
    assert_eq!(line["request_id"], "of-today");
    let trace = "projects/shop/traces/0af7651916cd43dd8448eb211c80319c";
    assert_eq!(line["logging.googleapis.com/trace"], trace);
    assert_eq!(line["logging.googleapis.com/spanId"].as_str().unwrap().len(), 16);
    let request = &line["httpRequest"];
    assert_eq!(request["requestMethod"], "GET");
    assert_eq!(request["requestUrl"], "/predict");
    assert_eq!(request["status"], 200);
    assert_eq!(request["responseSize"], "63");
    let latency = request["latency"].as_str().unwrap().strip_suffix('s').unwrap();
    assert!(latency.parse::<f64>().unwrap() > 0.0, "{line}");
    let line: Value = serde_json::from_str(&log[1]).unwrap();
    assert_eq!(
        (&line["severity"], &line["httpRequest"]["status"]),
        (&"WARNING".into(), &422.into())
    );
    // Neither the query nor the response is logged.
    assert!(log.iter().all(|line| !line.contains("total_pages_visited")), "{log:?}");

    args[1] = "text";
    let server = Server::start(&args);
    assert_eq!(server.send("GET", ROW, &headers, b"").status, 200);
    let line = &server.log(1)[0];
    assert!(
        line.contains(" INFO ] GET /predict 200 in ") || line.contains("INFO  GET /predict 200 in"),
        "{line}"
    );
    assert!(line.ends_with(" ms, 1 row of-today"), "{line}");
}

#[test]
fn requests_are_not_logged_by_default() {
    let server = Server::start(&[]);
    for _ in 0..10 {
        assert_eq!(server.get(ROW).status, 200);
        assert_eq!(server.get("/no/such/route").status, 404);
    }
    server.signal("TERM");
    let log = server.log(2);
    assert!(log[0].contains("stopping: not ready"), "{log:?}");
}

#[test]
fn a_fraction_of_the_requests_is_logged() {
    let server = Server::start(&["--log-requests", "0.5"]);
    for _ in 0..200 {
        assert_eq!(server.get(ROW).status, 200);
    }
    server.signal("TERM");
    let log = server.log(60);
    // Half of 200 requests, plus the lines of the shutdown. A count outside these bounds is less likely than 1 in 10⁷.
    assert!((60..142).contains(&log.len()), "{}", log.len());
}

#[test]
fn warns_about_variables_that_set_nothing() {
    let environment = [
        ("ML_APP_MAX_BDOY", "1MiB"),
        ("ML_APP_SERVICE_HOST", "10.0.0.1"),
        ("ML_APP_PORT", "tcp://10.0.0.1:80"),
    ];
    let server = Server::start_in(&environment, &[]);
    let warnings: Vec<&String> =
        server.announcement.iter().filter(|line| line.contains("WARN")).collect();
    let expected =
        "unknown variable `ML_APP_MAX_BDOY` is ignored (did you mean `ML_APP_MAX_BODY`?)";
    assert!(warnings.len() == 1 && warnings[0].contains(expected), "{warnings:?}");
}
