//! Tests of API keys, cross-origin requests, and the sandbox of the process.

use crate::server::{Response, Server};
use std::fs;

const ROW: &str = "/predict?age=21&new_user=1&total_pages_visited=14";
const INFER: &str = "/v2/models/online-sales/infer";
const PROBES: [&str; 7] = [
    "/",
    "/healthz",
    "/readyz",
    "/ping",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/online-sales/ready",
];
const DOCS: [&str; 4] = ["/apidocs", "/apidocs/swagger-ui.css", "/openapi.json", "/metrics"];

fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Response {
    server.send("GET", path, headers, b"")
}

#[test]
fn predictions_need_a_key_and_probes_do_not() {
    let server =
        Server::start_in(&[("ML_APP_API_KEYS", "key-of-today-0001\nkey-of-yesterday")], &[]);
    for path in PROBES.iter().chain(&DOCS) {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    let rejected = server.get(ROW);
    assert_eq!((rejected.status, rejected.header("www-authenticate")), (401, "Bearer"));
    assert_eq!(rejected.header("content-type"), "application/problem+json");
    assert_eq!(
        rejected.json()["detail"],
        "expected an API key (`Authorization: Bearer KEY` or `X-API-Key: KEY`), found none"
    );
    let rejected = server.post(INFER, "application/json", "{}");
    assert_eq!(rejected.status, 401);
    assert!(rejected.json()["error"].is_string());
    // The router decodes this path to /predict, so it needs a key as well.
    let disguised = ROW.replacen("predict", "pre%64ict", 1);
    for path in [disguised.as_str(), "/v1/models", "/v2", "/invocations", "/no/such/route"] {
        assert_eq!(server.get(path).status, 401, "{path}");
    }
    for key in ["key-of-today-0001", "key-of-yesterday"] {
        let bearer = format!("bearer {key}");
        assert_eq!(get(&server, ROW, &[("authorization", &bearer)]).status, 200);
        assert_eq!(get(&server, ROW, &[("x-api-key", key)]).status, 200);
    }
    for (name, value) in [
        ("authorization", "Basic key-of-today-0001"),
        ("x-api-key", "secret-guess"),
        ("x-api-key", ""),
    ] {
        let rejected = get(&server, ROW, &[(name, value)]);
        assert_eq!(rejected.status, 401, "{name}: {value}");
        assert!(!rejected.body.contains("secret-guess"));
    }
    let metrics = server.get("/metrics").body;
    assert!(metrics.contains("ml_app_rejected_total{reason=\"api_key\"} 10\n"), "{metrics}");
    let document = server.get("/openapi.json").json();
    assert!(document["paths"]["/predict"]["post"]["security"][0]["bearer"].is_array());
    assert!(document["paths"]["/predict"]["post"]["responses"]["401"].is_object());
    assert!(document["paths"]["/healthz"]["get"]["security"].is_null());
    let texts = [server.announcement.concat(), server.log(0).concat(), metrics];
    assert!(texts.iter().all(|text| !text.contains("key-of-")), "{texts:?}");
}

#[test]
fn keys_from_a_file_can_protect_all_routes_except_the_probes() {
    let file = std::env::temp_dir().join(format!("ml-app-keys-{}", std::process::id()));
    fs::write(&file, "# one\nfirst-of-two-keys\n\nsecond-of-two-keys\n").unwrap();
    let path = file.to_str().unwrap();
    let server = Server::start(&["--api-key-file", path, "--api-key-scope", "all"]);
    fs::remove_file(&file).unwrap();
    for path in PROBES {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    for path in DOCS {
        assert_eq!(server.get(path).status, 401, "{path}");
        assert_eq!(
            get(&server, path, &[("x-api-key", "second-of-two-keys")]).status,
            200,
            "{path}"
        );
    }
}

#[test]
fn allows_configured_origins() {
    let origin = |origin| [("origin", origin)];
    let server = Server::start(&[]);
    let response = get(&server, ROW, &origin("https://shop.example"));
    assert_eq!((response.status, response.header("access-control-allow-origin")), (200, ""));

    let environment = [
        ("ML_APP_CORS_ORIGINS", "https://shop.example, http://localhost:8080"),
        ("ML_APP_API_KEYS", "key-of-the-shop-0"),
    ];
    let server = Server::start_in(&environment, &[]);
    let preflight = [
        ("origin", "https://shop.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type, x-api-key"),
    ];
    // A browser sends no key with a preflight request.
    let response = server.send("OPTIONS", "/predict", &preflight, b"");
    assert_eq!(response.status, 200);
    assert_eq!(response.header("access-control-allow-origin"), "https://shop.example");
    let headers = [("origin", "http://localhost:8080"), ("x-api-key", "key-of-the-shop-0")];
    let response = get(&server, ROW, &headers);
    assert_eq!(response.status, 200);
    assert_eq!(response.header("access-control-allow-origin"), "http://localhost:8080");
    let response = get(
        &server,
        ROW,
        &[("origin", "https://other.example"), ("x-api-key", "key-of-the-shop-0")],
    );
    assert_eq!(response.header("access-control-allow-origin"), "");

    let server = Server::start(&["--cors-origins", "*"]);
    let response = get(&server, ROW, &origin("https://any.example"));
    assert_eq!(response.header("access-control-allow-origin"), "*");
}

#[test]
fn pages_may_only_load_their_own_files() {
    let server = Server::start(&[]);
    for path in ["/apidocs", "/apidocs/page.js", "/apidocs/swagger-ui-bundle.js"] {
        let response = server.get(path);
        let policy = response.header("content-security-policy");
        assert!(policy.contains("default-src 'none'; script-src 'self';"), "{path}: {policy}");
        assert_eq!(response.header("x-content-type-options"), "nosniff", "{path}");
    }
    let page = server.get("/apidocs").body;
    assert!(!page.contains("<script>"), "a script in the page would not run");
}

/// Returns the seccomp mode of every thread of the server.
fn seccomp(server: &Server) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{}/task", server.id())).unwrap();
    let status = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("status")).unwrap();
    let mode = |status: String| {
        let mut lines = status.lines();
        lines.find_map(|line| Some(line.strip_prefix("Seccomp:")?.trim().to_owned())).unwrap()
    };
    threads.map(|thread| mode(status(thread.unwrap()))).collect()
}

#[test]
fn every_thread_is_in_the_sandbox_unless_it_is_off() {
    let server = Server::start(&["--sandbox", "required"]);
    assert_eq!(server.get(ROW).status, 200);
    // This request is too slow for the I/O thread, so it starts a thread of the inference pool.
    let rows = vec![r#"{"age":21,"new_user":1,"total_pages_visited":14}"#; 1000].join(",");
    assert_eq!(server.post_json(format!("[{rows}]")).status, 200);
    let modes = seccomp(&server);
    assert!(modes.len() >= 3 && modes.iter().all(|mode| mode == "2"), "{modes:?}");
    let metrics = server.get("/metrics").body;
    for by in ["landlock", "seccomp"] {
        assert!(metrics.contains(&format!("ml_app_sandbox{{by=\"{by}\"}} 1\n")), "{metrics}");
    }
    // The files behind these metrics are opened before the sandbox is entered.
    assert!(metrics.contains("process_cpu_seconds_total"), "{metrics}");
    assert!(metrics.contains("process_open_fds"), "{metrics}");

    let server = Server::start(&["--sandbox", "off"]);
    assert!(seccomp(&server).iter().all(|mode| mode == "0"));
    assert!(server.get("/metrics").body.contains("ml_app_sandbox{by=\"landlock\"} 0\n"));
}
