"""Checks that the Swagger page works in a browser, and sends no requests to other hosts."""

import base64
import json
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from conftest import CASES, PATIENCE, ROOT, serving

SCREENSHOT = ROOT / "target" / "e2e" / "apidocs.png"
NO_HOST = {"about", "blob", "chrome", "chrome-extension", "data"}
ONLINE_SALES = ["age", "new_user", "total_pages_visited"]
DIABETES = ["age", "sex", "bmi", "bp"]
FLAGS = """
    --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --disable-sync
    --disable-background-networking --disable-component-update --no-first-run --no-proxy-server
    --window-size=1280,2400
"""


class Page:
    """The Swagger page of a server, and the actions of a user on it."""

    def __init__(self, driver, server):
        self.driver = driver
        self.server = server

    def open(self, path):
        self.driver.get(self.server.url + path)
        self.find(".info .title")

    def find(self, selector, inside=None):
        """Waits until the page shows an element that matches `selector`, and returns the first such element."""
        found = self.wait(lambda: [e for e in self.all(selector, inside) if e.is_displayed()])
        return found[0]

    def all(self, selector, inside=None):
        return (inside or self.driver).find_elements(By.CSS_SELECTOR, selector)

    def wait(self, condition):
        return WebDriverWait(self.driver, PATIENCE).until(lambda _: condition())

    def operation(self, name):
        """Expands an operation, and returns its element."""
        operation = self.find(f"[id^=operations-][id$='-{name}']")
        self.find(".opblock-summary-control", operation).click()
        self.find("button.execute", operation)
        return operation

    def execute(self, operation):
        """Clicks Execute. Returns status and body of the response, as the page shows them."""
        self.find("button.execute", operation).click()
        response = self.find(".live-responses-table tbody .response", operation)
        status = self.find(".response-col_status", response).text.split()[0]
        return status, self.find(".response-col_description .microlight", response).text

    def requests(self):
        """Returns the URLs of all requests since the last call."""
        entries = [json.loads(entry["message"]) for entry in self.driver.get_log("performance")]
        events = [entry["message"] for entry in entries]
        urls = [
            event["params"].get("url") or event["params"]["request"]["url"]
            for event in events
            if event["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated")
        ]
        return [url for url in urls if urlsplit(url).scheme not in NO_HOST]

    def screenshot(self, path):
        """Saves a picture of the whole page."""
        options = {"captureBeyondViewport": True}
        png = self.driver.execute_cdp_cmd("Page.captureScreenshot", options)["data"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(png))


@pytest.fixture
def page(server, tmp_path):
    """The Swagger page in a browser. After the test, checks the requests and the console of the browser."""
    options = ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(flag)
    driver = Chrome(options, Service("/usr/bin/chromedriver"))
    try:
        page = Page(driver, server)
        yield page
        requests = page.requests()
        assert f"{server.url}/apidocs/swagger-ui-bundle.js" in requests
        assert [url for url in requests if not url.startswith(f"{server.url}/")] == []
        assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    finally:
        driver.quit()


def shown_features(page, operation):
    return [name.text.split()[0] for name in page.all(".parameters .parameter__name", operation)]


def test_the_root_redirects_to_the_page(page):
    page.open("/")
    assert page.driver.current_url == f"{page.server.url}/apidocs"
    assert page.driver.title == "online-sales"
    assert page.find(".info .title").text.startswith("online-sales")


def test_operations_work_with_their_examples(page, tmp_path):
    page.open("/apidocs")

    query = page.operation("predict_query")
    assert shown_features(page, query) == ONLINE_SALES
    status, body = page.execute(query)
    assert status == "200"
    assert json.loads(body)["prediction"] in (0, 1)

    post = page.operation("predict")
    example = page.find("textarea.body-param__text", post).get_attribute("value")
    assert list(json.loads(example)) == ONLINE_SALES
    status, body = page.execute(post)
    assert status == "200"
    assert json.loads(body)["prediction"] in (0, 1)

    visitors = (CASES / "online-sales" / "golden.csv").read_text().splitlines()[:4]
    table = tmp_path / "visitors.csv"
    table.write_text("".join(f"{line}\n" for line in visitors))
    file = page.operation("predict_file")
    page.find("input[type=file]", file).send_keys(str(table))
    status, body = page.execute(file)
    assert status == "200"
    assert [row["prediction"] for row in json.loads(body)] == [
        int(line.split(",")[3]) for line in visitors[1:]
    ]

    page.screenshot(SCREENSHOT)


@serving(None, "mixed")
@pytest.mark.parametrize(
    "name",
    ["v2_infer", "v2_model", "v2_model_config", "v2_stats", "v1_predict", "v1_model", "vertex_predict"]
    + ["sagemaker_invocations"],
)
def test_operations_of_the_protocols_work_with_their_examples(page, name):
    page.open("/apidocs")
    status, body = page.execute(page.operation(name))
    assert status == "200", body
    assert json.loads(body)


@pytest.mark.parametrize("content_type", ["text/csv", "application/x-ndjson"])
def test_examples_of_other_formats_work(page, content_type):
    page.open("/apidocs")
    post = page.operation("predict")
    Select(page.find(".opblock-section-request-body select.content-type", post)).select_by_value(
        content_type
    )
    status, body = page.execute(post)
    assert status == "200"
    assert "prediction" in body


@serving("diabetes")
def test_the_page_shows_the_features_of_another_model(page):
    page.open("/apidocs")
    query = page.operation("predict_query")
    assert shown_features(page, query) == DIABETES
    status, body = page.execute(query)
    assert status == "200"
    assert isinstance(json.loads(body)["prediction"], float)
