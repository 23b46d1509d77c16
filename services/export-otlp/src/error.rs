//! Why the exporter cannot be used.

use immune_domain::ErrorKind;

/// An exporter that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The SDK refuses the settings.
    #[error("an exporter for {endpoint} cannot be built")]
    Build {
        /// Where to.
        endpoint: String,
        /// Why.
        #[source]
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// A header cannot be sent; its value is not told.
    #[error("header {name:?} has a name or a value that cannot be sent")]
    Header {
        /// Which.
        name: String,
    },
    /// A view of an instrument cannot be built.
    #[error("the limit of agents cannot be used: {0}")]
    View(String),
}

impl Error {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Build { .. } | Error::Header { .. } | Error::View(_) => ErrorKind::Invalid,
        }
    }
}
