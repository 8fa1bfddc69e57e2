//! Query parameters: typed, bounded, and refused with a 422 that names the parameter and what it may be.
//! Pure, apart from being an axum extractor.

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Whole<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Whole<MIN, MAX> {
    pub(crate) fn get(self) -> u64 {
        self.0
    }
}

impl<const MIN: u64, const MAX: u64> TryFrom<String> for Whole<MIN, MAX> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.parse() {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => Err(format!(
                "must be a whole number from {MIN} to {MAX}, not {text:?}"
            )),
        }
    }
}

/// A share from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Ratio(f64);

impl Ratio {
    pub(crate) const NONE: Self = Self(0.0);

    pub(crate) fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<String> for Ratio {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.parse() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Self(share)),
            _ => Err(format!("must be a number from 0 to 1, not {text:?}")),
        }
    }
}

/// The query of a request as a `T`.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for Params<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(params)| Self(params))
            .map_err(|rejection| {
                let text = rejection.body_text();
                let reason = text
                    .strip_prefix("Failed to deserialize query string: ")
                    .unwrap_or(&text);
                refused(StatusCode::UNPROCESSABLE_ENTITY, reason)
            })
    }
}

/// An error as every route answers it: `{"detail": why}`.
pub(crate) fn refused(status: StatusCode, why: &str) -> Response {
    (status, Json(serde_json::json!({ "detail": why }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_keeps_to_its_bounds() {
        type Seconds = Whole<1, 300>;
        assert_eq!(Seconds::try_from("300".to_owned()).unwrap().get(), 300);
        for bad in ["0", "301", "-1", "1.5", "", "many", "99999999999999999999999"] {
            let why = Seconds::try_from(bad.to_owned()).unwrap_err();
            assert!(why.contains("from 1 to 300") && why.contains(bad), "{why}");
        }
    }

    #[test]
    fn a_ratio_is_between_none_and_all() {
        assert_eq!(Ratio::try_from("0.5".to_owned()).unwrap().get(), 0.5);
        for bad in ["-0.1", "1.1", "NaN", "inf", "half"] {
            assert!(Ratio::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
