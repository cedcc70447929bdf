//! The paths that [Vertex AI] chooses for its containers.
//!
//! [Vertex AI]: https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements

/// Additional paths that Vertex AI specifies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VertexRoutes {
    /// Path for predictions, from `AIP_PREDICT_ROUTE`.
    pub predict: Option<String>,
    /// Path for the liveness probe, from `AIP_HEALTH_ROUTE`.
    pub health: Option<String>,
}

/// Parses a path. Braces are rejected, because the router would interpret them as a path parameter.
pub(super) fn parse_route(text: &str) -> Option<String> {
    (text.starts_with('/') && !text.contains(['{', '}'])).then(|| text.to_owned())
}
