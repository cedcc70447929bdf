"""Media types that schemathesis does not know. They are sent and received as text."""

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return value if isinstance(value, (bytes, str)) else str(value)


@schemathesis.deserializer("application/x-ndjson", "text/csv")
def text(context, response):
    return response.text
