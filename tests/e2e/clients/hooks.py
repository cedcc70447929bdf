"""Formats that schemathesis does not know: text both ways."""

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return value if isinstance(value, (bytes, str)) else str(value)


@schemathesis.deserializer("application/x-ndjson", "text/csv")
def text(context, response):
    return response.text
