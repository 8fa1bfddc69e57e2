//! Where nginx takes HTTP/2 from clients, which gRPC needs. Pure.
//!
//! Before 1.25.1 it is a parameter of `listen`: a listener without TLS that has it takes nothing else, so there it is offered
//! with TLS alone, where the protocol is negotiated.

use aegis_api::LoadBalancerSpec;
use aegis_api::load_balancer::Protocol;
use serde::Serialize;

use super::idle::Version;
use super::syntax::mentions;

/// The first nginx with a directive of its own for it.
const DIRECTIVE_FROM: Version = Version::of(1, 25, 1);
const BUILT_WITH: &str = "--with-http_v2_module";
/// The value of a template that can.
const VALUE: &str = "http2";

/// Where it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Http2 {
    /// On every listener.
    On,
    /// On the one with TLS.
    Tls,
}

/// Whether a template can.
pub fn is_known_to(template: &str) -> bool {
    mentions(template, VALUE)
}

/// What an nginx that says this of itself (`nginx -V`) can offer; `None`: none.
pub fn offered_by(version: Option<Version>, said: &str) -> Option<Http2> {
    let is_built_in = said.split_whitespace().any(|word| word == BUILT_WITH);
    let has_directive = version.is_some_and(|version| version >= DIRECTIVE_FROM);
    is_built_in.then_some(match has_directive {
        true => Http2::On,
        false => Http2::Tls,
    })
}

/// Where a load balancer offers it: where one of its applications speaks gRPC. The error says what has to change.
pub(crate) fn wanted(spec: &LoadBalancerSpec, offered: Option<Http2>) -> Result<Option<Http2>, String> {
    let mut backends = spec.backends.iter().enumerate();
    let Some((index, _)) = backends.find(|(_, backend)| backend.protocol == Protocol::Grpc) else {
        return Ok(None);
    };
    let field = format!("spec.backends[{index}].protocol is Grpc");
    match offered {
        None => Err(format!(
            "{field}, which takes an nginx that was built {BUILT_WITH}"
        )),
        Some(Http2::Tls) if spec.tls.is_none() => Err(format!(
            "{field}: before {DIRECTIVE_FROM} nginx takes HTTP/2 beside HTTP/1.1 with TLS alone: set spec.tls, or take a newer nginx"
        )),
        Some(offered) => Ok(Some(offered)),
    }
}

#[cfg(test)]
mod tests {
    use aegis_api::load_balancer::Tls;

    use super::*;
    use crate::load_balancer::testing::balancer;

    #[test]
    fn grpc_is_offered_where_nginx_takes_http_2_beside_http_1_or_it_is_said_what_to_change() {
        let said =
            |version: &str| format!("nginx version: nginx/{version}\nconfigure arguments: {BUILT_WITH}");
        let offered = |said: &str| offered_by(Version::parse(said), said);
        assert_eq!(offered(&said("1.28.3")), Some(Http2::On));
        assert_eq!(offered(&said("1.25.0")), Some(Http2::Tls));
        assert_eq!(offered("nginx version: nginx/1.28.3"), None);
        let mut spec = balancer().spec;
        assert_eq!(wanted(&spec, None), Ok(None), "no gRPC");
        spec.backends[0].protocol = Protocol::Grpc;
        assert_eq!(wanted(&spec, Some(Http2::On)), Ok(Some(Http2::On)));
        assert!(wanted(&spec, None).unwrap_err().contains(BUILT_WITH));
        let why = wanted(&spec, Some(Http2::Tls)).unwrap_err();
        assert!(
            why.contains("spec.backends[0].protocol") && why.contains("spec.tls"),
            "{why}"
        );
        spec.tls = Some(Tls {
            port: 443,
            certificate: "/a.pem".parse().unwrap(),
            key: "/a.key".parse().unwrap(),
        });
        assert_eq!(wanted(&spec, Some(Http2::Tls)), Ok(Some(Http2::Tls)));
    }
}
