SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null,
  // Swagger UI treats NDJSON as JSON, and would send the example as one JSON string.
  plugins: [(system) => ({ fn: {
    getSampleSchema: (schema, type, config, example) =>
      type === "application/x-ndjson" && typeof example === "string"
        ? example
        : system.fn.jsonSchema5.getSampleSchema(schema, type, config, example)
  } })]
});
