"""Sends and receives bodies as text if schemathesis does not know their media type."""

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return value if isinstance(value, (bytes, str)) else str(value)


@schemathesis.deserializer("application/x-ndjson", "text/csv")
def text(context, response):
    return response.text
