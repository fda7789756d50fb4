//! What a client is told before it has asked: there is no request that the application could answer.

/// 503: there is no place for the connection.
pub fn no_place() -> String {
    let message = "Too many connections; close some, or try again later";
    answer(503, "Service Unavailable", "ServiceUnavailableException", message, "retry-after: 1\r\n")
}

/// 408: the first request did not come in time.
pub fn head_too_slow() -> String {
    let message = "The head of the request did not arrive in time";
    answer(408, "Request Timeout", "RequestTimeoutException", message, "")
}

/// The whole answer, in the form of every other error; with it the connection ends.
fn answer(code: u16, reason: &str, kind: &str, message: &str, header: &str) -> String {
    let body = format!(
        "{{\n  \"code\": {code},\n  \"type\": \"{kind}\",\n  \"message\": \"{message}\"\n}}\n"
    );
    format!(
        "HTTP/1.1 {code} {reason}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         cache-control: no-store, private\r\nx-content-type-options: nosniff\r\n{header}\
         connection: close\r\n\r\n{body}",
        body.len()
    )
}
