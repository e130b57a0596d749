//! `google.rpc.Status`: what receivers say of a failure, in the details over gRPC and as the body over HTTP.

use prost::Message as _;

/// `google.rpc.Status`
///
/// # Source
/// googleapis, `google/rpc/status.proto`; OTLP specification, "Failures" under OTLP/HTTP.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) details: Vec<Any>,
}

/// `google.protobuf.Any`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// The most characters of an answer that are shown.
const MOST_SHOWN: usize = 200;

/// What the body of a failed request says, as one line for people. Bodies are the status in protobuf or, from proxies and
/// others, text.
pub(super) fn words_of(body: &[u8], content_type: Option<&str>) -> String {
    let is_protobuf = content_type.is_some_and(|kind| kind.contains("protobuf"));
    let status = is_protobuf.then(|| RpcStatus::decode(body).ok()).flatten();
    let text = match &status {
        Some(status) => status.message.as_str().into(),
        None => String::from_utf8_lossy(body),
    };
    text.chars().filter(|c| !c.is_control()).take(MOST_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a failed request is answered with a status in protobuf, with text, or with neither.
    /// Guarantees: the log has the words of the receiver, without control characters.
    #[test]
    fn the_words_of_an_error_body_are_read() {
        let status = RpcStatus { code: 8, message: "quota\nexceeded".to_owned(), details: Vec::new() };
        let body = status.encode_to_vec();
        assert_eq!(words_of(&body, Some("application/x-protobuf")), "quotaexceeded");
        assert_eq!(words_of(b"no such\x1b[2J tenant", Some("text/plain")), "no such[2J tenant");
        assert_eq!(words_of(b"plain", None), "plain");
        assert_eq!(words_of(b"busy", Some("application/x-protobuf")), "busy");
        assert_eq!(words_of(b"", Some("application/x-protobuf")), "");
        assert_eq!(words_of(&[b'x'; 1000], None).len(), MOST_SHOWN);
    }
}
