//! What a request may cost. What all may cost at once is in `tests/load`.

use crate::server::Server;

const ROW: &str = r#"{"age":21,"new_user":1,"total_pages_visited":14}"#;

#[test]
fn rows_are_bounded() {
    let server = Server::start(&["--max-rows", "2"]);
    assert_eq!(server.post_json(format!("[{ROW},{ROW}]")).status, 200);
    let refused = server.post_json(format!("[{ROW},{ROW},{ROW}]"));
    assert_eq!(refused.status, 413);
    assert_eq!(refused.json()["detail"], "expected at most 2 rows, but found 3");
    let tensors =
        r#"{"inputs":[{"name":"X","shape":[3,3],"datatype":"FP32","data":[1,1,1,1,1,1,1,1,1]}]}"#;
    let refused = server.post("/v2/models/online-sales/infer", "application/json", tensors);
    assert_eq!(refused.status, 413);
    assert_eq!(refused.json()["error"], "expected at most 2 rows, but found 3");
    let metrics = server.get("/metrics").body;
    assert!(metrics.contains("ml_app_rejected_total{reason=\"rows\"} 2\n"), "{metrics}");
}

#[test]
fn heads_are_bounded() {
    let server = Server::start(&["--max-header", "1KiB"]);
    let long = "x".repeat(1100);
    assert_eq!(server.send("GET", "/healthz", &[("x-long", &long[..600])], b"").status, 200);
    for (path, header) in [("/healthz", long.as_str()), (&*format!("/healthz?{long}"), "")] {
        let refused = server.send("GET", path, &[("x-long", header)], b"");
        assert_eq!(refused.status, 431, "{path}");
        assert!(
            refused.json()["detail"]
                .as_str()
                .unwrap()
                .starts_with("expected a head of at most 1024 bytes, but found 1")
        );
    }
}

#[test]
fn bodies_are_bounded_all_together() {
    let server = Server::start(&["--max-body", "1MiB", "--max-buffered", "10"]);
    let refused = server.post_json(ROW);
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
    assert_eq!(
        refused.json()["detail"],
        "bodies take 10 bytes already, which is the most at once; try again in a second"
    );
    // What was refused is not held.
    assert_eq!(server.post_json("[]").status, 422);
}

#[test]
fn threads_are_told() {
    let server = Server::start(&["--inference-threads", "3"]);
    let line = "threads: 1 for HTTP, 3 for inference; sandbox: landlock on, seccomp on";
    assert!(
        server.announcement.iter().any(|told| told.contains(line)),
        "{:?}",
        server.announcement
    );
    let metrics = server.get("/metrics").body;
    assert!(metrics.contains("ml_app_threads{kind=\"inference\"} 3\n"), "{metrics}");
}
